"""A sweep has one precision: requested, that of its results, or chosen by one measurement."""

import dataclasses
from pathlib import Path

import pytest
from known_run import plan_run

from scaling.errors import SpecError
from scaling.ledger.machine import Device
from scaling.ledger.results import RunResult
from scaling.sweep.reading import parse_sweep
from scaling.sweep.runspec import RunSpec
from scaling.sweep.spec import ResourcesSpec
from scaling.training import gain
from scaling.units import Precision
from scaling.workflow.precision import choose_precision
from tools.key_page import write_key_page

DEVICE = Device(
    processor="P",
    torch="2.13",
    python="3.11",
    family="t",
    trainer="ab",
    engine="",
    precision="auto",
)
SWEEP = """name: a
corpus: {source: python-stdlib}
grid: {budgets: [1e10], sizes: 3}
resources: {precision: %s}
"""


def make_run(width: int) -> RunSpec:
    return plan_run(width, 2, 1e6)


RUNS = [make_run(64), make_run(96), make_run(128)]


def make_result(dtype: str) -> RunResult:
    absent = {field.name: None for field in dataclasses.fields(RunResult)}
    return RunResult(**absent | {"run": RUNS[0], "numerics": {"dtype": dtype}})


FLOAT32 = make_result("float32")
MIXED = make_result("float32, products and attention in bfloat16")
OLDER = make_result("float32, products in bfloat16")


@pytest.fixture
def gains(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Gain by width as the device would show it; a measured width is removed."""
    known = {64: 1.0, 128: 1.5}
    monkeypatch.setattr(gain, "measure_gain", lambda run, gpus: known.pop(run.shape.d_model))
    return known


def choose(folder: Path, asked: str = "auto", results=(), runs=RUNS, **kwargs):
    resources = ResourcesSpec.model_validate({"precision": asked})
    return choose_precision(resources, runs, results, folder=folder, device=DEVICE, **kwargs)


def test_mixed_is_chosen_where_it_wins_and_measured_once(tmp_path, gains) -> None:
    chosen = choose(tmp_path)
    assert chosen.precision == "mixed"
    assert "1.50 times as fast" in chosen.why
    assert not gains  # only the cheapest and the most expensive step are measured
    assert choose(tmp_path).precision == "mixed"


@pytest.mark.parametrize(("smallest", "largest"), [(1.0, 1.04), (0.9, 2.0), (0.0, 0.0)])
def test_float32_stays_where_mixed_gains_nothing_or_loses(
    tmp_path, gains, smallest, largest
) -> None:
    gains.update({64: smallest, 128: largest})
    assert choose(tmp_path).precision == "float32"


def test_another_device_is_measured_again(tmp_path, gains) -> None:
    choose(tmp_path)
    gains.update({64: 1.0, 128: 1.0})
    other = dataclasses.replace(DEVICE, processor="Q")
    chosen = choose_precision(ResourcesSpec(), RUNS, (), folder=tmp_path, device=other)
    assert chosen.precision == "float32"


def test_a_lack_of_a_compiler_is_not_remembered(tmp_path, gains) -> None:
    gains.update({64: 0.0, 128: 0.0})
    assert choose(tmp_path).precision == "float32"
    gains.update({64: 1.0, 128: 1.5})
    assert choose(tmp_path).precision == "mixed"


def test_a_sweep_with_narrow_models_gets_mixed_only_on_request(tmp_path, gains) -> None:
    """bfloat16's effect on their loss was not measured, so its speed is not measured either."""
    chosen = choose(tmp_path, runs=[make_run(56), *RUNS])
    assert (chosen.precision, chosen.why) == ("float32", "")
    assert len(gains) == 2
    assert not list(tmp_path.iterdir())
    assert choose(tmp_path, "mixed", runs=[make_run(56)]).precision == "mixed"


@pytest.mark.parametrize(
    ("result", "precision"), [(FLOAT32, "float32"), (MIXED, "mixed"), (OLDER, "mixed")]
)
def test_existing_results_decide_the_precision_on_any_device(
    tmp_path, gains, result: RunResult, precision: Precision
) -> None:
    chosen = choose(tmp_path, results=[result] * 3)
    assert (chosen.precision, chosen.change) == (precision, "")
    assert chosen.why == "as 3 results of this sweep"
    assert len(gains) == 2  # nothing was measured


@pytest.mark.parametrize(
    ("asked", "result"), [("float32", MIXED), ("fp32", OLDER), ("mixed", FLOAT32)]
)
def test_a_requested_precision_is_used_and_a_change_is_reported(
    tmp_path, gains, asked, result
) -> None:
    chosen = choose(tmp_path, asked, results=[result, make_result("")])
    assert chosen.precision == ("mixed" if asked == "mixed" else "float32")
    assert "1 results of this sweep were computed in" in chosen.change
    assert "numerics_changed" in chosen.change
    assert choose(tmp_path, asked).change == ""


def test_float32_is_reported_where_nothing_may_be_measured(tmp_path, gains) -> None:
    chosen = choose(tmp_path, measure=False)
    assert (chosen.precision, chosen.why) == ("float32", "not measured here")


@pytest.mark.parametrize(
    ("written", "read"), [("auto", "auto"), ("fp32", "float32"), ("mixed", "mixed")]
)
def test_a_sweep_file_names_its_precision(written: str, read: str) -> None:
    spec = parse_sweep((SWEEP % written).encode(), source="a.yaml")
    assert spec.resources.precision == read
    assert f"`{written}`" in write_key_page()


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        SpecError, match=r"resources\.precision: expected 'auto', 'float32' or 'mixed'"
    ):
        parse_sweep((SWEEP % "fp16").encode(), source="a.yaml")


def test_a_machine_without_compiled_steps_gains_nothing(monkeypatch) -> None:
    monkeypatch.setenv("SCALING_ENGINE", "eager")
    assert gain.measure_gain(make_run(16)) == 0.0


def test_the_gain_is_measured_on_a_real_step() -> None:
    assert gain.measure_gain(make_run(64)) > 0
