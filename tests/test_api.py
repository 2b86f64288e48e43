"""The public names, the verbs and their exit codes."""

import json
import re
from pathlib import Path

import pytest
from commands import call

import scaling

VERBS = (
    *("init", "plan", "suggest", "run", "submit", "fit", "allocate", "predict", "forecast"),
    *("abilities", "transfer", "few-shot", "knowledge", "bias"),
    *(
        "backtest",
        "compare",
        "tokenizers",
        "report",
        "sample",
        "status",
        "logs",
        "cancel",
        "retry",
        "verify",
        "track",
    ),
)


def test_every_public_name_exists() -> None:
    for name in scaling.__all__:
        assert getattr(scaling, name) is not None


def test_no_public_name_is_shadowed_by_a_subpackage() -> None:
    """Importing a subpackage binds its name in the package and would hide a public name."""
    rooms = {path.stem for path in Path(scaling.__file__).parent.iterdir()}
    assert rooms.isdisjoint(scaling.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        scaling.nothing  # noqa: B018


def test_help_lists_every_verb() -> None:
    done = call("--help")
    assert done.code == 0
    assert all(f"  {verb} " in done.out for verb in VERBS)


def test_the_list_of_verbs_describes_each_rather_than_its_syntax() -> None:
    listed = call("--help").out.partition("Common:")[2]
    assert "scaling " not in listed.replace("`scaling run`", "")
    assert "Write a commented sweep file" in listed


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_begins_with_two_examples(verb: str) -> None:
    lines = call(verb, "--help").out.split("\n")
    body = [line.strip() for line in lines[1:] if line.strip()]
    assert body[0].startswith(f"scaling {verb} ")
    assert body[1].startswith(f"scaling {verb} ")


def test_unknown_verb_exits_2() -> None:
    assert call("trian").code == 2


def test_a_missing_table_exits_2_with_the_reason(tmp_path: Path) -> None:
    done = call("fit", str(tmp_path / "nothing.csv"))
    assert done.code == 2
    assert "nothing.csv" in done.errors
    assert "Traceback" not in done.errors


def test_folder_without_results_exits_2(tmp_path: Path) -> None:
    done = call("allocate", str(tmp_path), "--flops", "1e20")
    assert done.code == 2
    assert "sweep.json" in done.errors


def test_a_table_of_one_run_exits_4_with_json(tmp_path: Path) -> None:
    table = tmp_path / "one.csv"
    table.write_text("N,D,loss\n1e8,2e9,3.1\n")
    done = call("fit", str(table), "--json")
    assert done.code == 4
    answer = json.loads(done.out)
    assert answer["law"] is None
    assert answer["status"] == "failed"


def test_malformed_rows_exit_2_naming_each(tmp_path: Path) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("N,D,loss\n1e8,2e9,3.1\n-1,2e9,3\n1e8,nan,3\n1e8,2e9,x\n")
    done = call("fit", str(table))
    assert done.code == 2
    assert all(f"bad.csv:{line}" in done.errors for line in (3, 4, 5))


@pytest.mark.parametrize("flops", ["0", "-1", "nan", "1e400"])
def test_an_invalid_budget_exits_2(flops: str, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    rows = [
        f"{n},{d},{1.7 + 400 / n**0.34 + 2000 / d**0.37}"
        for n in (1e8, 2e8, 4e8, 8e8)
        for d in (2e9, 4e9, 8e9, 2e10)
    ]
    table.write_text("N,D,loss\n" + "\n".join(rows) + "\n")
    done = call("allocate", str(table), "--no-bootstrap", f"--flops={flops}")
    assert done.code == 2
    assert "Traceback" not in done.errors


def test_the_version_is_that_of_the_newest_release() -> None:
    root = Path(__file__).parents[1]
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (root / "CHANGELOG.md").read_text(), re.M)
    cited = re.findall(r"^version: (.+)$", (root / "CITATION.cff").read_text(), re.M)
    assert [scaling.__version__] == released[:1] == cited
