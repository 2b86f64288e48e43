"""Claims about the benchmark of a device: it times the trainer's steps and leaves nothing
behind."""

import tempfile
from pathlib import Path

import pytest
import torch
from known_run import plan_shape

from scaling.data.shards import prepare_corpus
from scaling.sweep.execution import Execution
from scaling.sweep.shapes import make_shape
from scaling.training.throughput import measure_throughput


def test_steps_start_and_evaluation_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text"
    text.mkdir()
    for at in range(40):
        (text / f"{at}.txt").write_text(" ".join(f"word{at * 7 + i * i}" for i in range(400)))
    corpus = prepare_corpus("text", paths=("text",), base=tmp_path, cache=tmp_path / "cache")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    shape = make_shape(256, 32, d_model=8, n_layers=2)
    run = plan_shape(shape, 1e5, data_digest=corpus.facts.digest)
    threads = torch.get_num_threads()
    found = measure_throughput([run], corpus=corpus.folder, device="here", execution=Execution())
    torch.set_num_threads(threads)
    (point,) = found.points
    assert point.configuration == (run.shape, run.recipe.batch_sequences)
    assert min(point.step_seconds, point.evaluation_seconds) > 0
    assert point.start_seconds >= 0
    assert list(scratch.glob("scaling-*")) == []
