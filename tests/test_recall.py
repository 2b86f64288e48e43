"""Claims about stored fits found by content: the same answer quickly, and never a stale one."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import CODE, Said, call

from scaling.files.sealed import open_document, seal_document
from scaling.ledger.contents import read_contents
from scaling.verbs.exits import DAMAGED

ASK = ("allocate", "--flops", "1e12", "--bootstrap", "20", "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the results on code after one question, with a note beside the stored fit."""
    copy = shutil.copytree(CODE, tmp_path / "code", ignore=shutil.ignore_patterns("fits"))
    assert ask(copy).code == 0
    assert len(list((copy / "fits" / "known").iterdir())) == 1
    return copy


def ask(folder: Path, *words: str) -> Said:
    return call(*ASK, *words, folder)


def ask_the_long_way(folder: Path, *words: str) -> Said:
    """The answer without notes and stored fits."""
    shutil.rmtree(folder / "fits")
    return ask(folder, *words)


def first_result(folder: Path) -> Path:
    return sorted(folder.glob("runs/*/result.json"))[0]


def raise_loss(folder: Path) -> None:
    path = first_result(folder)
    body, _ = open_document(json.loads(path.read_bytes()))
    path.write_bytes(seal_document(body | {"loss": 1.05 * body["loss"]}))


def remove_run(folder: Path) -> None:
    shutil.rmtree(first_result(folder).parent)


def drop_budget(folder: Path) -> None:
    path = folder / "sweep.yaml"
    text = path.read_text()
    assert "budgets: [2e10, " in text
    path.write_text(text.replace("budgets: [2e10, ", "budgets: ["))


@pytest.mark.parametrize("change", [raise_loss, remove_run, drop_budget])
def test_a_stale_fit_never_answers(folder: Path, change: Callable[[Path], None]) -> None:
    before = ask(folder)
    change(folder)
    after = ask(folder)
    assert after.out != before.out
    assert after.out == ask_the_long_way(folder).out


@pytest.mark.parametrize(
    "words", [("--count", "total"), ("--level", "0.5"), ("--min-ratio", "20"), ("--seed", "3")]
)
def test_another_question_has_another_answer(folder: Path, words: tuple[str, ...]) -> None:
    plain, asked = ask(folder), ask(folder, *words)
    assert asked.out != plain.out
    assert asked.out == ask(folder, *words).out == ask_the_long_way(folder, *words).out


def test_damage_is_found_even_if_the_answer_is_stored(folder: Path) -> None:
    curve = sorted(folder.glob("runs/*/attempts/*/*.jsonl"))[0]
    curve.write_bytes(curve.read_bytes() + b"\n")
    # Twice, because a damaged folder must not leave a note.
    for _ in range(2):
        done = ask(folder)
        assert done.code == DAMAGED
        assert "left out, damaged" in done.errors
    assert len(list((folder / "fits" / "known").iterdir())) == 1


def test_a_recalled_fit_repeats_its_notes(folder: Path) -> None:
    done = ask(folder, "--min-ratio", "20")
    again = ask(folder, "--min-ratio", "20")
    assert "filter min_ratio" in done.errors
    assert again.errors == done.errors


@pytest.mark.parametrize("torn", ["fits/known/*.json", "fits/*.json"])
@pytest.mark.filterwarnings("ignore::scaling.errors.ScalingWarning")
def test_a_torn_note_or_fit_is_made_again(folder: Path, torn: str) -> None:
    before = ask(folder)
    (path,) = folder.glob(torn)
    path.write_bytes(path.read_bytes()[:-20])
    after = ask(folder)
    assert after.out == before.out
    assert after.code == 0


def test_a_forged_note_cannot_point_to_files_or_endless_ladders(folder: Path) -> None:
    before = ask(folder)
    (path,) = folder.glob("fits/known/*.json")
    body, _ = open_document(json.loads(path.read_bytes()))
    # A ladder whose width does not grow would never end.
    endless = {"rung": body["rung"] | {"head_size": 1, "d_model": 1}}
    for change in ({"fit": "../../sweep.json"}, endless, {"table_digest": "0" * 64}):
        path.write_bytes(seal_document(body | change))
        assert ask(folder).out == before.out


def test_a_fixed_depth_is_noted(tmp_path: Path) -> None:
    """Of two layers throughout, the first rung is the usual ladder's: the note says which it is."""
    copy = shutil.copytree(CODE, tmp_path / "code", ignore=shutil.ignore_patterns("fits"))
    path = copy / "sweep.yaml"
    text = path.read_text()
    assert "seq_len: 128}" in text
    path.write_text(text.replace("seq_len: 128}", "seq_len: 128, layers: 2}"))
    before, again = ask(copy), ask(copy)
    assert again.out == before.out
    (answer,) = json.loads(again.out)["answers"]
    assert answer["shape"]["n_layers"] == 2
    assert answer["shape"]["d_model"] >= 48  # where the usual ladder begins with three layers


def test_a_damaged_folder_has_no_fingerprint(folder: Path) -> None:
    assert read_contents(folder).fingerprint == read_contents(folder).fingerprint is not None
    run = first_result(folder).parent
    run.rename(run.with_name("stranger"))
    assert read_contents(folder).fingerprint is None


def test_a_recalled_answer_loads_only_what_it_needs(folder: Path) -> None:
    unwanted = {"pandas", "scipy", "pydantic", "yaml", "filelock", "psutil", "statistics", "shutil"}
    unwanted |= {f"scaling.{one}" for one in ("workflow.stored", "sweep.plan", "tables.reading")}
    code = (
        "import sys; from scaling.cli import cli; "
        f"cli.main({[*ASK, str(folder)]!r}, standalone_mode=False); "
        f"print(sorted({unwanted!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"
