"""Claims about fits with declared filters: what is stored, printed and compared."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import CODE, call, write_table

from scaling.tables.filters import Filters
from scaling.workflow.fits import FitOptions, fit_filtered
from scaling.workflow.stored import read_runs

POINT = FitOptions(bootstrap=None, approach="parametric")


@pytest.fixture
def bent_table(tmp_path: Path) -> Path:
    """Runs of a known law with E = 1.7; those below 4 tokens per parameter are 10 % too high."""
    params, tokens = (grid.ravel() for grid in np.meshgrid(np.geomspace(1e6, 1e8, 6),
                                                          np.geomspace(1e8, 1e10, 6)))  # fmt: skip
    loss = 1.7 + 400 / params**0.34 + 2000 / tokens**0.37
    loss = np.where(tokens / params < 4, 1.1 * loss, loss)
    rows = zip(params.tolist(), tokens.tolist(), loss.tolist(), strict=True)
    return write_table(tmp_path / "runs.csv", rows)


def test_each_filter_has_a_stored_fit_of_its_own(tmp_path: Path) -> None:
    folder = shutil.copytree(CODE, tmp_path / "code", ignore=shutil.ignore_patterns("fits"))
    table, stored = read_runs(folder)
    # The third filter leaves nothing out but is still noted.
    for least in (None, 20.0, 1e-9):
        found = fit_filtered(table, stored, POINT, Filters(min_ratio=least))
        again = fit_filtered(table, stored, POINT, Filters(min_ratio=least))
        assert again.fit == found.fit
        assert any("min_ratio" in note for note in found.fit.notes) == (least is not None)
    assert len(list((folder / "fits").iterdir())) == 3


def test_the_unfiltered_law_stands_beside_the_filtered(bent_table: Path) -> None:
    table, stored = read_runs(bent_table)
    filters = Filters(min_ratio=4.0)
    found = fit_filtered(table, stored, POINT, filters, compare=True)
    assert found.unfiltered is not None
    assert found.fit.law is not None
    assert found.unfiltered.law is not None
    # Noise-free rows give E exactly.
    assert found.fit.law.params["E"] == pytest.approx(1.7, abs=1e-6)
    assert abs(found.unfiltered.law.params["E"] - 1.7) > 1e-3
    assert found.fit.n + found.effects[0].left_out == found.unfiltered.n == 36
    assert fit_filtered(table, stored, POINT, filters).unfiltered is None
    assert fit_filtered(table, stored, POINT, Filters(), compare=True).unfiltered is None


def test_fit_says_in_json_what_filters_did(bent_table: Path) -> None:
    words = ("fit", bent_table, "--no-bootstrap", "--json")
    plain = json.loads(call(*words).out)
    assert plain.keys().isdisjoint({"filters", "unfiltered"})
    done = call(*words, "--min-ratio", 4, "--flops-range", "1e15:")
    said = json.loads(done.out)
    names = [one["name"] for one in said["filters"]]
    assert names == ["flops_range", "min_ratio"]
    assert said["n"] + sum(one["left_out"] for one in said["filters"]) == plain["n"]
    assert said["unfiltered"]["law"]["params"] == plain["law"]["params"]
    assert said["unfiltered"]["frontier"]["a"] == plain["frontier"]["a"]
    assert any("filter min_ratio (D/N >= 4)" in note for note in said["notes"])
    assert "filter min_ratio (D/N >= 4)" in done.errors


def test_fit_says_in_text_what_filters_changed(bent_table: Path) -> None:
    done = call("fit", bent_table, "--no-bootstrap", "--min-ratio", 4)
    last = done.out.strip().split("\n")[-2:]
    assert last[0].startswith("without filters (36 runs): ")
    assert "E 1." in last[0]
    assert "without filters, N* = " in last[1]


@pytest.mark.parametrize(
    ("verb", "words"),
    [("allocate", ("--flops", 1e19)), ("predict", ("--params", 1e7, "--tokens", 1e9))],
)
def test_every_verb_that_fits_takes_filters(
    bent_table: Path, verb: str, words: tuple[object, ...]
) -> None:
    asked = (verb, bent_table, *words, "--no-bootstrap", "--json")
    plain, filtered = call(*asked), call(*asked, "--min-ratio", 4)
    assert plain.code == filtered.code == 0, filtered.errors
    assert "filter min_ratio" in filtered.errors
    assert json.loads(plain.out) != json.loads(filtered.out)


@pytest.mark.parametrize(
    "words", [("--min-ratio", 0), ("--flops-range", "1e9"), ("--first-epoch",)]
)
def test_filters_that_cannot_act_exit_2(bent_table: Path, words: tuple[object, ...]) -> None:
    done = call("fit", bent_table, "--no-bootstrap", *words)
    assert done.code == 2
    assert words[0].strip("-").replace("-", "_") in done.errors.replace("-", "_")
    assert "Traceback" not in done.errors
