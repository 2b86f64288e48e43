"""Speed and peak are recorded beside the training curve and do not change it."""

import json

import pytest
from test_trainer import corpus, curve, make_run, train

from scaling.ledger.results import RunInterrupted
from scaling.sweep.counting import count_flops_per_token
from scaling.training import peak as peak_module
from scaling.training.peak import find_peak

__all__ = ["corpus"]  # a fixture


def read_speed(attempt):
    return json.loads((attempt / "speed.json").read_text())


def test_a_run_states_how_fast_it_was_and_how_often_it_clipped(corpus, tmp_path):
    run = make_run(corpus)
    measured = train(run, corpus, tmp_path / "a")
    speed, rows = read_speed(tmp_path / "a"), curve(tmp_path / "a").splitlines()
    assert len(speed["tokens_per_second"]) == len(speed["mfu"]) == len(rows) == 60
    assert all(rate > 0 for rate in speed["tokens_per_second"])
    per_token = count_flops_per_token(run.shape) / speed["peak_flops_per_second"]
    assert measured.mfu == pytest.approx(measured.tokens_per_second * per_token, abs=1e-5)
    low, high = min(speed["tokens_per_second"]), max(speed["tokens_per_second"])
    assert low <= measured.tokens_per_second <= high
    clipped = [json.loads(row)["clipped"] for row in rows]
    assert measured.clipped == pytest.approx(sum(clipped) / len(clipped))
    late = [json.loads(row)["grad_norm"] for row in rows[-3:]]
    assert measured.grad_norm == pytest.approx(sum(late) / len(late))


def test_rows_of_an_earlier_attempt_have_no_speed_of_this_one(corpus, tmp_path):
    run = make_run(corpus)
    with pytest.raises(RunInterrupted):
        train(run, corpus, tmp_path / "first", stop_after=40)
    resumed = train(run, corpus, tmp_path / "second", resume=(tmp_path / "first",))
    rates = read_speed(tmp_path / "second")["tokens_per_second"]
    assert rates[:40] == [None] * 40
    assert all(rate > 0 for rate in rates[40:])
    assert resumed.tokens_per_second > 0


def test_the_peak_of_a_device_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setattr(peak_module, "_known", {})
    first = find_peak("cpu", "float32", cache=tmp_path)
    assert first > 0
    monkeypatch.setattr(peak_module, "_known", {})
    monkeypatch.setattr(peak_module, "measure_peak", lambda device, dtype: 1.0)
    assert find_peak("cpu", "float32", cache=tmp_path) == first
    monkeypatch.setattr(peak_module, "_known", {})
    assert find_peak("cpu", "mixed", cache=tmp_path) == 1.0  # another device, not measured yet


def test_a_damaged_peak_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(peak_module, "_known", {})
    monkeypatch.setattr(peak_module, "measure_peak", lambda device, dtype: 5.0)
    find_peak("cpu", "float32", cache=tmp_path)
    (path,) = (tmp_path / "peak").iterdir()
    path.write_bytes(path.read_bytes().replace(b"5.0", b"7.0"))
    monkeypatch.setattr(peak_module, "_known", {})
    assert find_peak("cpu", "float32", cache=tmp_path) == 5.0


def test_a_run_with_part_of_a_gpu_asks_for_the_peak_but_does_not_measure_it(tmp_path, monkeypatch):
    """Other runs may use the rest of the GPU, so the stored peak would be too low."""
    monkeypatch.setattr(peak_module, "_known", {})
    monkeypatch.setattr(peak_module, "measure_peak", lambda device, dtype: 3.0)
    assert find_peak("cpu", "float32", cache=tmp_path, measure=False) is None
    assert find_peak("cpu", "float32", cache=tmp_path) == 3.0
    monkeypatch.setattr(peak_module, "_known", {})
    assert find_peak("cpu", "float32", cache=tmp_path, measure=False) == 3.0
