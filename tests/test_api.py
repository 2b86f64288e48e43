"""The public names, the verbs and their exit codes."""

import re
from pathlib import Path

import pytest
from commands import call

import scaling
from scaling.cli import cli


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
    assert all(f"  {verb} " in done.out for verb in cli.commands)


def test_the_list_of_verbs_describes_each_rather_than_its_syntax() -> None:
    listed = call("--help").out.partition("Common:")[2]
    assert "scaling " not in listed.replace("`scaling run`", "")
    assert "Write a commented sweep file" in listed


@pytest.mark.parametrize("verb", cli.commands)
def test_help_of_a_verb_begins_with_two_examples(verb: str) -> None:
    lines = call(verb, "--help").out.split("\n")
    body = [line.strip() for line in lines[1:] if line.strip()]
    assert body[0].startswith(f"scaling {verb} ")
    assert body[1].startswith(f"scaling {verb} ")


def test_unknown_verb_exits_2() -> None:
    assert call("trian").code == 2


def test_folder_without_results_exits_2(tmp_path: Path) -> None:
    done = call("allocate", str(tmp_path), "--flops", "1e20")
    assert done.code == 2
    assert "sweep.json" in done.errors


def test_the_version_is_that_of_the_newest_release() -> None:
    root = Path(__file__).parents[1]
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (root / "CHANGELOG.md").read_text(), re.M)
    cited = re.findall(r"^version: (.+)$", (root / "CITATION.cff").read_text(), re.M)
    assert [scaling.__version__] == released[:1] == cited
