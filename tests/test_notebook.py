"""The package from Python: the command line's answers as values, figures and frames."""

import json
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from commands import CODE, tell

import scaling
from scaling.notebook.plots import PlotName

matplotlib.use("Agg")
FEW = {"bootstrap": 20}


@pytest.fixture(scope="module")
def fitted() -> scaling.Fitted:
    return scaling.fit(str(CODE), **FEW)


def ask(*words: object) -> dict:
    return json.loads(tell(*words, "--bootstrap", "20", "--json"))


def test_answers_equal_those_of_the_command_line(fitted: scaling.Fitted) -> None:
    said = ask("allocate", CODE, "--flops", "3.2e12")["answers"][0]
    mine = fitted.allocate(flops=3.2e12)
    assert (mine.params, mine.tokens, mine.loss) == (said["params"], said["tokens"], said["loss"])
    assert fitted.allocate(3.2e12).params == mine.params
    told = ask("predict", CODE, "--params", "1e5", "--tokens", "1e6")["predictions"][0]
    assert fitted.predict(params=1e5, tokens=1e6).loss == told["loss"]


def test_a_frame_and_a_file_of_the_same_rows_give_the_same_fit(tmp_path: Path) -> None:
    n, c = (column.ravel() for column in np.meshgrid(np.geomspace(5e7, 5e8, 6), [1e18, 1e19, 1e20]))
    d = c / (6 * n)
    frame = pd.DataFrame({"params": n, "D": d, "loss": 1.8 + 480 / n**0.35 + 2100 / d**0.37})
    frame.to_csv(tmp_path / "t.csv", index=False)
    names = {"N": "params"}
    mine = scaling.fit(frame, columns=names, bootstrap=None)
    file = scaling.fit(tmp_path / "t.csv", columns=names, bootstrap=None)
    assert mine.fit.law == file.fit.law
    assert mine.table.source == "DataFrame"
    assert not any(str(tmp_path) in note or "/tmp" in note for note in mine.table.notes)
    with pytest.raises(scaling.ScalingError, match=r"^DataFrame:1: N: no such column"):
        scaling.fit(frame)


def test_losses_are_in_the_chosen_unit_everywhere(fitted: scaling.Fitted) -> None:
    bits = scaling.fit(CODE, loss_unit="bits", **FEW)
    nats, other = fitted.allocate(flops=3.2e12), bits.allocate(flops=3.2e12)
    assert other.params == nats.params
    assert other.loss == pytest.approx(nats.loss / np.log(2), rel=1e-12)
    assert other.loss_interval.low == pytest.approx(nats.loss_interval.low / np.log(2), rel=1e-12)
    ratio = bits.to_frame()["loss"] / fitted.to_frame()["loss"]
    assert np.allclose(ratio, 1 / np.log(2), rtol=1e-12)
    assert bits.allocate(target_loss=other.loss).flops == pytest.approx(3.2e12, rel=1e-3)


def test_a_repr_is_a_few_lines(fitted: scaling.Fitted) -> None:
    assert len(repr(fitted).splitlines()) == 5
    assert "N* grows as C^" in repr(fitted)
    assert "below_scaling_regime" in repr(fitted)
    answer = fitted.allocate(flops=3.2e12)
    assert len(repr(answer).splitlines()) <= 6
    assert "build: " in repr(answer)
    assert answer._repr_html_().startswith("<pre>")
    assert "<" not in fitted._repr_html_()[5:-6]


@pytest.mark.parametrize("name", PlotName.__args__)
def test_every_figure_draws_on_axes_that_are_given(fitted: scaling.Fitted, name: PlotName) -> None:
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert fitted.plot(name, ax=ax) is ax
    assert ax.lines or ax.collections
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_frames_contain_the_fitted_runs(fitted: scaling.Fitted) -> None:
    runs = fitted.to_frame("runs")
    assert len(runs) == fitted.fit.n
    assert {"run", "N", "D", "loss", "C", "seed"} <= set(runs)
    draws = fitted.to_frame("draws")
    assert list(draws) == list(fitted.fit.law.params)
    assert len(draws) == len(fitted.fit.draws)
    assert "isoflop" in set(fitted.to_frame("frontier")["approach"])
    assert set(fitted.to_frame("checks")["code"]) == {check.code for check in fitted.checks}
    row = fitted.allocate(flops=3.2e12).to_frame()
    assert row.loc[0, "params_low"] < row.loc[0, "params"]


def test_invalid_requests_are_refused_with_the_valid_ones(fitted: scaling.Fitted) -> None:
    with pytest.raises(scaling.ScalingError, match="isoflop"):
        fitted.plot("isoflops")
    with pytest.raises(scaling.ScalingError, match="draws"):
        fitted.to_frame("answers")
    with pytest.raises(scaling.ScalingError, match="point fit"):
        scaling.fit(CODE, bootstrap=None).to_frame("draws")
    with pytest.raises(scaling.ScalingError, match="makes 5 sweeps"):
        scaling.run_sweep(CODE.parents[1] / "sweeps" / "vocabulary.yaml")


def test_a_sweep_runs_from_python(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "name: tiny\n"
        "corpus: {source: synthetic, tokens: 200000}\n"
        "grid: {params: [1000, 2000], tokens: [20000, 40000]}\n"
        "model: {family: transformer, seq_len: 32}\n"
        "resources: {cpus_per_run: 1}\n"
    )
    made = scaling.run_sweep(str(file), root=tmp_path, executor="inline")
    assert made.fit.n == len(made.to_frame("runs")) > 0
