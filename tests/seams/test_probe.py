"""A probe from outside the package: one function, one registration, and a law fitted to it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.fitting.every_approach import fit_runs
from scaling.sweep.probes import PROBES, Probe, register_probe
from scaling.tables.metrics import AskedMetric
from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.stored import read_runs
from scaling.workflow.training import open_ledger, train_sweep

SWEEP = """\
name: tiny
corpus: {source: text, paths: [text.txt]}
model: {seq_len: 16}
resources: {precision: float32}
grid: {params: [5e3, 1e4, 2e4, 4e4], tokens: [1e4, 2e4, 4e4]}
evaluate: [{top_one: {windows: 20}}]
"""
TOP_ONE = Probe(
    name="top_one",
    version=1,
    unit="",
    direction="higher",
    bound=1.0,
    meaning="share of held-out tokens that the model ranks first",
    measure=f"{__name__}:measure_top_one",
    options={"windows": 50},
)


def measure_top_one(trained):
    length, count = trained.run.shape.seq_len, trained.options["windows"]
    ids = np.asarray(trained.shards.validation[: count * length + 1], dtype=np.int64)
    with torch.inference_mode():
        logits = trained.model(torch.from_numpy(ids[:-1].reshape(count, length)))
    hits = (logits.argmax(-1).numpy() == ids[1:].reshape(count, length)).mean(axis=1)
    return hits.mean(), hits.std(ddof=1) / count**0.5


@pytest.fixture
def known():
    register_probe(TOP_ONE)
    yield
    del PROBES["top_one"]


def test_an_added_probe_is_measured_and_fitted(known, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SWEEP)
    text = "\n\n".join(f"{at} and {at * at} are {at + at * at}." for at in range(3000))
    (tmp_path / "text.txt").write_text(text)
    sweep = prepare_sweep(tmp_path / "tiny.yaml", root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    assert train_sweep(sweep, ledger, executor="inline").unmeasured == ()
    table, _ = read_runs(ledger.folder, metric=AskedMetric(name="top_one"))
    assert len(table) == 12
    assert np.all((table.loss > 0) & (table.loss < 1))  # 1 − top_one
    fit = fit_runs(table, bootstrap=None)
    assert fit.law is not None
    assert fit.metric is not None
    assert fit.metric.symbol == "1 − top_one"
