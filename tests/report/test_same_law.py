"""Claims about one set of runs in three places: a folder, its index, and the CSV of its report.

The folder holds a run of every kind: grid, replicates, brackets, validation, outside the plan,
diverged ones of the grid and of a bracket, and trunks in a second sweep.
"""

import base64
import csv
import dataclasses
import io
import json
import re
from pathlib import Path

import pytest
from commands import call, tell
from simulated import FACTS, commit

from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Fit
from scaling.ledger.commit import Ledger
from scaling.ledger.forecasts import read_forecasts
from scaling.ledger.sweep_table import INDEX_PATH, write_index
from scaling.sweep.counting import COUNT_CONVENTIONS
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.tables.reading import read_table
from scaling.tables.run_table import RunTable
from scaling.workflow.stored import open_results, read_runs

SWEEP = """\
# Question: what do these runs say?
name: everything
corpus: {source: python-stdlib, tokenizer: bytes}
model: {family: transformer, seq_len: 128}
grid: {budgets: [3e10, 6.5e10, 1.4e11, 3e11, 6.5e11], sizes: 5, span: 4}
seeds: [0]
replicates: 4
bracket: true
"""
# Fields that describe a fit's source, not its result.
PLACE = {"source": "", "notes": (), "table_digest": ""}
# A finite loss that must not be used.
DIVERGED = {"status": "diverged", "loss": 9.0, "reason": "the loss rose"}


def make_folder(folder: Path, sweep: str) -> Path:
    spec = parse_sweep(sweep.encode(), source="sweep.yaml")
    ledger = Ledger.create(folder, name="everything", corpus=FACTS, sweep_yaml=sweep)
    cells = plan_sweep(spec, FACTS).cells
    wanted = [cell for cell in cells if cell.role == "grid"]
    spoiled = {wanted[3].run.run_id}
    spoiled |= {cell.run.run_id for cell in cells if cell.varied and cell.varied[2] > 2.0}
    for run in {cell.run.run_id: cell.run for cell in cells}.values():
        commit(ledger, run, **(DIVERGED if run.run_id in spoiled else {}))
    commit(ledger, dataclasses.replace(wanted[0].run, seed=77))  # from an earlier plan
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_folder(tmp_path_factory.mktemp("root") / "results" / "everything", SWEEP)
    tell("forecast", made, "--flops", "1e12", "--bootstrap", "20")
    ledger = Ledger.open(made)
    for one in read_forecasts(made).forecasts:
        commit(ledger, one.forecast.run)
    write_index(ledger, ledger.read_results(), open_results(made).plan.cells)
    return made


@pytest.fixture(scope="module")
def report_csv(folder: Path) -> Path:
    """The CSV that a reader saves from the report."""
    root = folder.parents[1]
    tell("report", folder, "--root", root)
    page = (root / "reports" / "everything" / "index.html").read_text()
    found = re.search(r'href="data:text/csv;base64,([^"]*)"', page)
    assert found is not None
    path = root / "everything-runs.csv"
    path.write_bytes(base64.b64decode(found[1]))
    return path


def read_roles(path: Path) -> list[str]:
    return [row["role"] for row in csv.DictReader(io.StringIO(path.read_text()))]


def fit(table: RunTable) -> Fit:
    return dataclasses.replace(fit_runs(table, bootstrap=100), **PLACE)


def test_the_folder_has_a_run_of_every_role(folder: Path) -> None:
    roles = read_roles(folder / INDEX_PATH)
    assert set(roles) == {"grid", "replicate", "bracket", "validation", ""}
    table, _ = read_runs(folder)
    assert table.diverged
    assert table.brackets
    assert any(loss is None for one in table.brackets for _, loss in one.learning_rates)


def test_every_source_gives_the_same_law_intervals_frontier_and_checks(
    folder: Path, report_csv: Path
) -> None:
    wanted = fit(read_runs(folder)[0])
    assert wanted.law is not None
    assert wanted.law.intervals
    assert wanted.objective is not None
    assert wanted.objective.delta > 1e-3  # δ comes from the replicates
    assert wanted.cost.name == "ladder"
    for path in (folder / INDEX_PATH, report_csv):
        assert fit(read_runs(path)[0]) == wanted


@pytest.mark.parametrize("count", COUNT_CONVENTIONS)
def test_the_tables_agree_under_every_count(folder: Path, count: str) -> None:
    wanted, _ = read_runs(folder, count=count)  # type: ignore[arg-type]
    found, _ = read_runs(folder / INDEX_PATH, count=count)  # type: ignore[arg-type]
    assert (found.cost, found.convention) == (wanted.cost, count)
    assert found.brackets == wanted.brackets
    by_name = dict(zip(found.run, found.params.tolist(), strict=True))
    assert by_name == dict(zip(wanted.run, wanted.params.tolist(), strict=True))


def test_runs_left_out_are_counted(folder: Path) -> None:
    path = folder / INDEX_PATH
    table, roles = read_table(path), read_roles(path)
    counts = f"{roles.count('bracket')} bracket, 1 outside the plan, {roles.count('validation')} v"
    assert table.notes[0].startswith(f"rows left out, as from the results folder: {counts}")
    assert table.notes[0].endswith("1 not finished")
    assert table.rejected == ()


def test_the_command_line_prints_the_same_law(folder: Path) -> None:
    said = []
    for source in (folder, folder / INDEX_PATH):
        words = ["fit", str(source), "--no-bootstrap", "--json", "--family", "tied"]
        said.append({**json.loads(call(*words).out), "notes": None})
    assert said[0] == said[1]


def test_an_index_resaved_by_a_user_gives_the_same_law(folder: Path, tmp_path: Path) -> None:
    """Only the fitted rows, in another order, as JSON Lines, without columns that a fit ignores."""
    rows = list(csv.DictReader(io.StringIO((folder / INDEX_PATH).read_text())))
    kept = [row for row in reversed(rows) if row["role"] in ("grid", "replicate")]
    dropped = (
        "role",
        "run_id",
        "mfu",
        "seconds",
        "train_loss",
        "varied",
        "overlap",
        "unigram_entropy",
    )
    lines = [
        json.dumps({name: cell for name, cell in row.items() if name not in dropped})
        for row in kept
        if row["status"] == "finished"
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("\n".join(lines) + "\n")
    wanted = dataclasses.replace(
        read_runs(folder)[0], brackets=(), diverged=(), overlap=None, unigram_entropy=None
    )
    found, expected = fit(read_table(path)), fit(wanted)
    assert (found.law, found.objective, found.approaches) == (
        expected.law,
        expected.objective,
        expected.approaches,
    )
    assert found.cost == expected.cost


def test_runs_of_a_trunk_stay_one_group(tmp_path: Path) -> None:
    sweep = SWEEP.replace(
        "grid: {budgets: [3e10, 6.5e10, 1.4e11, 3e11, 6.5e11], sizes: 5, span: 4}",
        "grid: {params: [1e4, 2e4, 4e4], tokens: [4e5, 8e5, 1.6e6]}\nschedule: {trunk: true}",
    )
    made = make_folder(tmp_path / "results" / "everything", sweep)
    ledger = Ledger.open(made)
    write_index(ledger, ledger.read_results(), open_results(made).plan.cells)
    wanted, _ = read_runs(made)
    found = read_table(made / INDEX_PATH)
    assert wanted.group is not None
    assert found.group is not None
    assert len(set(wanted.group)) < len(wanted)
    assert dict(zip(found.run, found.group, strict=True)) == dict(
        zip(wanted.run, wanted.group, strict=True)
    )
    assert found.budget is wanted.budget is None


def test_shapes_that_contradict_n_or_c_are_ignored(folder: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / INDEX_PATH).read_text())))
    path = tmp_path / "other.csv"
    for column, factor in (("N", 2.0), ("C", 0.5), ("d_model", 2.0)):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows({**row, column: float(row[column]) * factor} for row in rows)
        table = read_table(path)
        assert (table.convention, table.cost.name) == (None, "table")
