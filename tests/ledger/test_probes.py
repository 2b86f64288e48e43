"""Claims about probe values: sealed, written once, tied to one result, verified when read."""

import dataclasses
import json
import os

import pytest
from test_commit import FACTS, begin, make_cell, make_measurement, make_run

from scaling.errors import IntegrityError
from scaling.ledger.commit import Ledger
from scaling.ledger.integrity import verify
from scaling.ledger.probes import (
    REPORTED_FILE,
    commit_probe,
    has_probe,
    read_probes,
    read_reported,
    tabulate_probes,
)
from scaling.ledger.sweep_table import render_index, tabulate
from scaling.sweep.cost_model import SIX_ND
from scaling.sweep.probes import AskedProbe, Probe
from scaling.tables.reading import read_table

ACCURACY = AskedProbe(
    Probe(
        name="accuracy", version=2, unit="", direction="higher", bound=1.0, meaning="", measure="",
        options={"shots": 1},
    )
)  # fmt: skip
FIVE = AskedProbe(ACCURACY.probe, {"shots": 5})


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.create(tmp_path / "results", name="one", corpus=FACTS, sweep_yaml="name: one\n")
    for seed in range(3):
        commit(made, make_run(seed))
    return made


def commit(ledger, run, **reported):
    attempt = begin(ledger, run)
    files = ("metrics.jsonl", "weights.bin")
    if reported:
        (attempt / REPORTED_FILE).write_text(json.dumps(reported))
        files += (REPORTED_FILE,)
    return ledger.commit(run, attempt.name, dataclasses.replace(make_measurement(), files=files))


def results(ledger):
    return ledger.read_results().results


def first(ledger):
    return results(ledger)[make_run(0).run_id]


def home(ledger):
    return ledger.folder / "runs" / make_run(0).run_id / "probes"


def test_the_first_value_of_a_run_counts_and_its_result_does_not_change(ledger):
    before = (ledger.folder / "runs" / make_run(0).run_id / "result.json").read_bytes()
    assert commit_probe(ledger, first(ledger), ACCURACY, 0.5, 0.01)
    assert not commit_probe(ledger, first(ledger), ACCURACY, 0.6, 0.01)
    (value,) = read_probes(ledger, results(ledger)).values[make_run(0).run_id]
    assert (value.value, value.standard_error, value.bound) == (0.5, 0.01, 1.0)
    assert (ledger.folder / "runs" / make_run(0).run_id / "result.json").read_bytes() == before
    assert os.listdir(home(ledger)) == ["accuracy-2.json"]


def test_other_options_give_a_value_of_their_own(ledger):
    commit_probe(ledger, first(ledger), ACCURACY, 0.5, None)
    assert not has_probe(ledger, make_run(0).run_id, FIVE)
    commit_probe(ledger, first(ledger), FIVE, 0.7, None)
    assert len(read_probes(ledger, results(ledger)).values[make_run(0).run_id]) == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused(ledger, value):
    with pytest.raises(IntegrityError, match="not finite"):
        commit_probe(ledger, first(ledger), ACCURACY, value, None)
    assert not has_probe(ledger, make_run(0).run_id, ACCURACY)


def damage_byte(ledger):
    path = home(ledger) / "accuracy-2.json"
    path.write_text(path.read_text().replace("0.5", "0.9"))


def damage_link(ledger):
    path = home(ledger) / "accuracy-2.json"
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))


def damage_folder(ledger):
    home(ledger).rename(home(ledger).with_name("away"))
    home(ledger).symlink_to(home(ledger).with_name("away"))


def damage_name(ledger):
    (home(ledger) / "accuracy-2.json").rename(home(ledger) / "accuracy-3.json")


def damage_run(ledger):
    other = ledger.folder / "runs" / make_run(1).run_id / "probes"
    other.mkdir()
    (home(ledger) / "accuracy-2.json").rename(other / "accuracy-2.json")


@pytest.mark.parametrize(
    "damage", [damage_byte, damage_link, damage_folder, damage_name, damage_run]
)
def test_a_damaged_value_is_found_left_out_and_measured_again_after_a_repair(ledger, damage):
    commit_probe(ledger, first(ledger), ACCURACY, 0.5, 0.01)
    assert verify(ledger) == () or {one.kind for one in verify(ledger)} == {"index"}
    damage(ledger)
    stored = read_probes(ledger, results(ledger))
    assert stored.values == {}
    assert sum(one.kind == "probe" for one in verify(ledger)) == 1
    (repaired,) = [one for one in verify(ledger, repair=True) if one.kind == "probe"]
    assert repaired.repaired
    assert read_probes(ledger, results(ledger)).damaged == ()
    assert commit_probe(ledger, first(ledger), ACCURACY, 0.5, 0.01)


def test_a_value_is_dropped_with_its_result(ledger):
    commit_probe(ledger, first(ledger), ACCURACY, 0.5, 0.01)
    ledger.set_aside(make_run(0).run_id)
    again = commit(ledger, make_run(0))
    assert read_probes(ledger, results(ledger)).values == {}
    assert verify(ledger) == () or {one.kind for one in verify(ledger)} == {"index"}
    assert commit_probe(ledger, again, ACCURACY, 0.6, 0.01)


def test_a_value_of_another_attempt_is_left_out(ledger):
    stale = dataclasses.replace(first(ledger), attempt_id="1-9-0123abcd")
    commit_probe(ledger, stale, ACCURACY, 0.5, 0.01)
    (damage,) = read_probes(ledger, results(ledger)).damaged
    assert "does not count any more" in damage.what


def test_a_trainers_probe_report_is_read_from_its_results_files(ledger):
    result = commit(ledger, make_run(7), accuracy={"value": 0.25, "standard_error": 0.5})
    assert read_reported(ledger, result) == {"accuracy": (0.25, 0.5)}
    assert read_reported(ledger, first(ledger)) == {}
    path = ledger.attempt_folder(make_run(7).run_id, result.attempt_id) / REPORTED_FILE
    path.write_text(path.read_text().replace("0.25", "0.95"))
    with pytest.raises(IntegrityError, match="changed or torn"):
        read_reported(ledger, result)
    wrong = commit(ledger, make_run(8), accuracy=0.3)
    with pytest.raises(IntegrityError, match="write"):
        read_reported(ledger, wrong)


def test_tables_and_the_index_carry_what_was_measured_last(ledger, tmp_path):
    cells = [make_cell(make_run(seed)) for seed in range(3)]
    plain = render_index(ledger, ledger.read_results(), cells)
    commit_probe(ledger, first(ledger), ACCURACY, 0.5, 0.01)
    commit_probe(ledger, results(ledger)[make_run(2).run_id], ACCURACY, 0.75, None)
    table = tabulate(ledger, ledger.read_results(), cells, convention="matmul", cost=SIX_ND)
    (metric,) = table.metrics
    assert (metric.higher_is_better, metric.bound) == (True, 1.0)
    assert [str(one) for one in metric.values] == ["0.5", "nan", "0.75"]
    assert [str(one) for one in metric.errors] == ["0.01", "nan", "nan"]
    text = render_index(ledger, ledger.read_results(), cells)
    assert [line.rsplit(",", 2)[0] for line in text.splitlines()] == plain.splitlines()
    (tmp_path / "runs.csv").write_text(text)
    read = read_table(tmp_path / "runs.csv", metrics=("accuracy",))
    assert np_sorted(read.metrics[0].values) == np_sorted(metric.values)


def np_sorted(values):
    return sorted(map(str, values))


def test_the_newest_of_two_values_becomes_the_metric(ledger, monkeypatch):
    for at, (asked, value) in enumerate(((FIVE, 0.9), (ACCURACY, 0.5))):
        now = f"2026-01-0{at + 1}T00:00:00+00:00"
        monkeypatch.setattr("scaling.ledger.probes.name_now", lambda now=now: now)
        commit_probe(ledger, first(ledger), asked, value, None)
    (metric,) = tabulate_probes(ledger, results(ledger), [make_run(0).run_id])
    assert metric.values.tolist() == [0.5]
