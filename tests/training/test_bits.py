"""In every engine and precision a repeated or resumed run is identical bit for bit."""

import dataclasses
import json

import pytest
from known_run import plan_shape
from test_trainer import corpus, curve, make_run, stop_and_resume, train, train_twice

from scaling.sweep.ladder import list_ladder
from scaling.sweep.shapes import make_shape
from scaling.training import trainer
from scaling.training.engines import build_engine
from scaling.training.parametrization import build_model

__all__ = ["corpus"]  # a fixture


@pytest.fixture(params=["fused float32", "fused mixed", "eager float32"])
def numerics(request, monkeypatch) -> str:
    """An engine and a precision."""
    engine, precision = request.param.split()
    monkeypatch.setenv("SCALING_ENGINE", engine)

    def build(run, **kwargs):
        return build_engine(run, **kwargs | {"precision": precision})

    monkeypatch.setattr(trainer, "build_engine", build)
    return request.param


def make_wide_run(corpus, **recipe):
    """Wide enough for products that are copied into panels."""
    shape = make_shape(256, 32, d_model=96, n_layers=2)
    return dataclasses.replace(make_run(corpus, **recipe), shape=shape)


def test_the_same_run_twice_gives_the_same_curve(corpus, tmp_path, numerics):
    train_twice(make_wide_run(corpus, steps=30), corpus, tmp_path)


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_a_killed_run_resumes_bit_for_bit(corpus, tmp_path, numerics, micro_batch):
    run = make_wide_run(corpus, steps=30)
    _, resumed = stop_and_resume(run, corpus, tmp_path, stop_after=13, micro_batch=micro_batch)
    assert resumed.numerics["micro_batch"] == ("batch" if micro_batch is None else "3")


def test_precisions_differ_and_the_numerics_record_them(corpus, tmp_path):
    run = make_wide_run(corpus, steps=30)
    found = {}
    for precision in ("float32", "mixed"):
        folder = tmp_path / precision
        found[precision] = train(run, corpus, folder, keep_weights=False, precision=precision)
    single, mixed = found["float32"], found["mixed"]
    assert single.numerics["dtype"] == "float32"
    assert mixed.numerics["dtype"] == "float32, products and attention in bfloat16"
    assert single.loss != mixed.loss
    # Seed noise of so short a run is a few percent; rounding factors to 2^-9 must stay below it.
    assert mixed.loss == pytest.approx(single.loss, rel=0.02)


def test_a_recurrence_stays_in_float32_and_the_numerics_record_it():
    for family in ("rnn", "lstm"):
        (shape, *_) = list_ladder(64, 16, family=family, max_params=1e4)
        run = plan_shape(shape, 1e4)
        said = trainer._describe_dtype(run, "mixed")
        assert said == "float32, the head's products in bfloat16"
        halved = [
            name for name, part in build_model(run, half=True).named_modules()
            if getattr(part, "half_factors", False)
        ]  # fmt: skip
        assert halved == ["head"]


@pytest.mark.parametrize("learning_rate", [0.01, 1000.0])
def test_an_explosion_is_found_as_the_decay_begins(corpus, tmp_path, monkeypatch, learning_rate):
    """Too high a learning rate from the start, or a collapse at step 300: training stops at the
    first row inside the decay, since the decay might have let the run recover."""
    step = trainer._Training._take_step

    def collapsing(self):
        loss, norm = step(self)
        return (loss + 30.0, norm) if self.step >= 300 else (loss, norm)

    if learning_rate == 0.01:
        monkeypatch.setattr(trainer._Training, "_take_step", collapsing)
    run = make_run(corpus, steps=400, learning_rate=learning_rate)
    measured = train(run, corpus, tmp_path / "a")
    assert measured.status == "diverged"
    last = json.loads(curve(tmp_path / "a").splitlines()[-1])["step"]
    assert last == 388  # 12 steps of decay, four steps per row
    assert measured.flops_spent * 400 == run.flops * last
