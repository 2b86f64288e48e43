"""Claims about probes of a trained model: what they are given, and what happens if one fails."""

import dataclasses
import json

import pytest

from scaling.ledger.probes import REPORTED_FILE, read_probes
from scaling.orchestration.driver import run_cells
from scaling.orchestration.executors.inline import InlineExecutor
from scaling.orchestration.outcome import DriverSettings
from scaling.sweep.execution import Execution
from scaling.sweep.probes import PROBES, Probe, register_probe
from scaling.training.trainer import train_run
from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.training import open_ledger, train_sweep

SWEEP = """\
name: two
corpus: {source: text, paths: [text.txt]}
model: {seq_len: 16}
grid: {params: [5e3], tokens: [1e4, 2e4]}
resources: {precision: float32}
"""
TEXT = "\n\n".join(f"{at} and {at * at} are {at + at * at}." for at in range(3000))


def fail(trained):
    raise ArithmeticError("no such thing")


def count_windows(trained):
    return trained.share("windows", lambda: len(trained.shards.validation)), None


@pytest.fixture
def trained(tmp_path):
    """A function that trains a sweep of two runs, first without probes, and again with some."""

    (tmp_path / "text.txt").write_text(TEXT)

    def run(evaluate):
        (tmp_path / "s.yaml").write_text(SWEEP + evaluate)
        sweep = prepare_sweep(tmp_path / "s.yaml", root=tmp_path)
        ledger = open_ledger(sweep, root=tmp_path, retrain=False)
        outcome = train_sweep(sweep, ledger, executor="inline")
        results = ledger.read_results().results
        return ledger, outcome, results, read_probes(ledger, results).values

    assert run("")[1].trained == 2
    return run


@pytest.fixture
def known():
    before = dict(PROBES)
    facts = {"version": 1, "unit": "", "direction": "lower", "meaning": ""}
    register_probe(Probe(name="broken", measure=f"{__name__}:fail", **facts))
    register_probe(
        Probe(name="windows", measure=f"{__name__}:count_windows", needs_weights=False, **facts)
    )
    register_probe(Probe(name="told", measure="", needs_weights=False, **facts))
    yield
    for name in PROBES.keys() - before.keys():
        del PROBES[name]


def test_a_probe_of_finished_runs_trains_nothing_and_is_the_tail_of_the_loss(trained):
    """The trainer stored the mean loss at each position; the probe is their mean over the last
    quarter, up to the order of the sum."""
    ledger, outcome, results, values = trained("evaluate: [tail_loss]\n")
    assert (outcome.trained, outcome.unmeasured) == (0, ())
    for run_id, (value,) in values.items():
        folder = ledger.attempt_folder(run_id, results[run_id].attempt_id)
        positions = json.loads((folder / "positions.json").read_text())["loss"]
        assert value.value == pytest.approx(sum(positions[-4:]) / 4, rel=1e-9)
        assert value.standard_error is not None
        assert value.standard_error > 0
    assert len(values) == 2
    run_id, both = trained("evaluate: [{tail_loss: {share: 1.0}}]\n")[3].popitem()
    (whole,) = (one for one in both if one.options)
    assert whole.value == pytest.approx(results[run_id].loss, rel=1e-9)


def test_a_probe_that_fails_costs_its_value_and_no_run(trained, known):
    ledger, outcome, results, values = trained("evaluate: [broken, windows]\n")
    assert outcome.unmeasured == (("broken", 2),)
    assert set(outcome.finished) == results.keys()
    assert [one.name for found in values.values() for one in found] == ["windows"] * 2
    logs = [path.read_text() for path in ledger.folder.glob("runs/*/attempts/*/log.txt")]
    assert sum("ArithmeticError: no such thing" in text for text in logs) == 2


def test_weights_that_were_changed_give_no_value(trained):
    ledger, _, results, _ = trained("")
    for run_id, result in results.items():
        path = ledger.attempt_folder(run_id, result.attempt_id) / "weights.pt"
        path.write_bytes(path.read_bytes()[::-1])
    outcome = trained("evaluate: [tail_loss]\n")[1]
    assert outcome.unmeasured == (("tail_loss", 2),)


def report_run(run, *, attempt, **settings):
    """A trainer that reports a value beside the loss."""
    measured = train_run(run, attempt=attempt, **settings)
    (attempt / REPORTED_FILE).write_text(json.dumps({"told": {"value": run.tokens}}))
    return dataclasses.replace(measured, files=(*measured.files, REPORTED_FILE))


def test_values_reported_by_a_trainer_need_no_weights(tmp_path, known):
    (tmp_path / "text.txt").write_text(TEXT)
    (tmp_path / "s.yaml").write_text(SWEEP + "evaluate: [told]\nkeep_weights: false\n")
    sweep = prepare_sweep(tmp_path / "s.yaml", root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    settings = DriverSettings(
        trainer=f"{__name__}:report_run",
        execution=Execution(keep_weights=False),
        probes=sweep.spec.evaluate,
    )
    outcome = run_cells(
        sweep.plan.cells, ledger, InlineExecutor(), corpus=sweep.corpus.folder, settings=settings
    )
    assert outcome.unmeasured == ()
    values = read_probes(ledger, ledger.read_results().results).values
    assert {(one.name, one.value, one.standard_error) for (one,) in values.values()} == {
        ("told", float(cell.run.tokens), None) for cell in sweep.plan.cells
    }
