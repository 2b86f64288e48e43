"""The engine of GPUs, run here without one: the same code but for the capture of its graph.

`meta` tensors have a device and a shape and no numbers: a tensor left behind on the CPU is an
error there, and so is every question that would have to wait for a number.
"""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_engines import RECIPE, SHAPES, check_parts, draw_tokens, make_run
from test_trainer import corpus, stop_and_resume, train, train_twice
from test_trainer import make_run as make_real_run
from torch.nn import functional as F

from scaling.errors import EnvironmentFault
from scaling.ledger.results import RunInterrupted
from scaling.orchestration.attempt import classify_failure
from scaling.sweep.families.products import Product
from scaling.sweep.gpu_memory import CONTEXT_BYTES
from scaling.training import device, trainer
from scaling.training.engines import build_engine
from scaling.training.engines.cuda import CudaEngine, earns_compilation
from scaling.training.engines.eager import EagerEngine
from scaling.training.engines.fused import FusedEngine
from scaling.training.engines.protocol import Engine

__all__ = ["corpus"]  # a fixture

SHAPE = SHAPES[0]


def move_away_from_the_start(*engines: Engine) -> None:
    """Add the same noise to every engine's weights, since heads and output projections start at
    zero."""
    generator = torch.Generator().manual_seed(1)
    for parameters in zip(*(engine.model.parameters() for engine in engines), strict=True):
        noise = 0.2 * torch.randn(parameters[0].shape, generator=generator)
        for parameter in parameters:
            parameter.data.add_(noise)


# --- products ---------------------------------------------------------------------------------


def test_factors_are_rounded_and_sums_are_not() -> None:
    """Integers up to 256 are exact in bfloat16, and their sums of products here are below 2^24, so
    rounding a sum to eight bits would show."""
    rng = np.random.default_rng(0)
    x, w, dy = (
        torch.from_numpy(rng.integers(-200, 200, size).astype(np.float32))
        for size in ((2, 5, 64), (7, 64), (2, 5, 7))
    )
    product = Product(64, 7, half=True)
    product.weight.data.copy_(w)
    x.requires_grad_()
    y = product(x)
    y.backward(dy)
    exact = [tensor.detach().double() for tensor in (x, w, dy)]
    assert torch.equal(y.double(), exact[0] @ exact[1].t())
    assert torch.equal(x.grad.double(), exact[2] @ exact[1])
    expected = exact[2].flatten(0, 1).t() @ exact[0].flatten(0, 1)
    assert torch.equal(product.weight.grad.double(), expected)
    third = Product(1, 1, half=True)
    third.weight.data.fill_(1 / 3)
    assert float(third(torch.ones(1, 1)).detach()) == float(torch.tensor(1 / 3).bfloat16())


def test_a_product_in_float32_is_the_linear_map_of_torch() -> None:
    product, x = Product(9, 5, half=False), torch.randn(3, 9)
    assert torch.equal(product(x), F.linear(x, product.weight))


# --- steps ------------------------------------------------------------------------------------


def test_float32_steps_equal_the_eager_engines_bit_for_bit() -> None:
    run = make_run(SHAPE)
    engines = EagerEngine(run), CudaEngine(run, device="cpu")
    move_away_from_the_start(*engines)
    for step in range(3):
        tokens = draw_tokens(SHAPE, 3, seed=step)
        losses = [engine.add_gradient(tokens, 1.0) for engine in engines]
        assert torch.equal(losses[0], losses[1])
        norms = [engine.update(0.5) for engine in engines]
        assert torch.equal(norms[0], norms[1])
    for one, other in zip(*(engine.model.parameters() for engine in engines), strict=True):
        assert torch.equal(one, other)


def test_mixed_steps_are_near_those_in_float32() -> None:
    """As close as the compiled C++ steps, whose factors are rounded in the same places: a few
    percent of the gradient."""
    run = make_run(SHAPE)
    mixed, single = CudaEngine(run, device="cpu", half=True), EagerEngine(run)
    compiled = FusedEngine(run, half=True)
    move_away_from_the_start(mixed, single, compiled)
    tokens = draw_tokens(SHAPE, 3)
    losses = [float(engine.add_gradient(tokens, 1.0)) for engine in (mixed, single, compiled)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
    size = float(single.optimizer.gradient.norm())
    for other in (single, compiled):
        distance = mixed.optimizer.gradient - other.optimizer.gradient
        assert float(distance.norm()) < 0.03 * size
    measured = [engine.measure_losses(tokens) for engine in (mixed, single)]
    # A logit of a few units is rounded by some hundredths, without bias over 192 tokens.
    assert np.abs(measured[0] - measured[1]).max() < 0.1
    assert measured[0].mean() == pytest.approx(measured[1].mean(), rel=2e-3)


def test_only_products_and_attention_are_computed_in_bfloat16() -> None:
    seen = set()
    engine = CudaEngine(make_run(SHAPE), device="cpu", half=True)
    for module in engine.model.modules():
        module.register_forward_hook(lambda module, _, output: seen.add(output.dtype))
    engine.add_gradient(draw_tokens(SHAPE, 2), 1.0)
    assert seen == {torch.float32}  # residual stream, sums of products, logits
    states = [*engine.model.parameters(), engine.optimizer.gradient]
    assert {tensor.dtype for tensor in states} == {torch.float32}


def test_parts_of_a_batch_of_two_lengths_add_up() -> None:
    engine = CudaEngine(make_run(SHAPE), device="cpu")
    move_away_from_the_start(engine)
    check_parts(engine, draw_tokens(SHAPE, 3), 2)


@pytest.mark.parametrize("half", [False, True])
def test_no_tensor_is_left_on_the_cpu_and_no_step_synchronises(half: bool) -> None:
    engine = CudaEngine(make_run(SHAPE), device="meta", half=half)
    loss = engine.add_gradient(draw_tokens(SHAPE, 3), 1.0)
    norm = torch.linalg.vector_norm(engine.optimizer.gradient)
    assert {tensor.device.type for tensor in (loss, norm)} == {"meta"}
    assert {buffer.device.type for buffer in engine.model.buffers()} == {"meta"}
    with pytest.raises(RuntimeError, match="meta"):
        float(loss)  # as any read of a value would


@pytest.mark.slow  # torch.compile takes half a minute
def test_a_step_fused_by_torch_has_the_same_gradient() -> None:
    run = make_run(SHAPES[3])
    plain, fused = EagerEngine(run), CudaEngine(run, device="cpu", compiled=True)
    move_away_from_the_start(plain, fused)
    tokens = draw_tokens(SHAPES[3], 3)
    losses = [float(engine.add_gradient(tokens, 1.0)) for engine in (plain, fused)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    distance = plain.optimizer.gradient - fused.optimizer.gradient
    assert float(distance.norm()) < 1e-5 * float(plain.optimizer.gradient.norm())


def test_only_runs_long_enough_to_gain_time_are_compiled() -> None:
    short = make_run(SHAPE)
    long = dataclasses.replace(short, recipe=dataclasses.replace(RECIPE, steps=10**9))
    assert not earns_compilation(short, 1e12)
    assert earns_compilation(long, 1e12)
    assert not earns_compilation(long, 1e12 * long.flops / short.flops)


# --- runs -------------------------------------------------------------------------------------


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Runs are computed by the GPU's engine, in mixed precision unless said otherwise."""
    how = {"half": True}

    def build(run, **_):
        return CudaEngine(run, device="cpu", half=how["half"])

    monkeypatch.setattr(trainer, "build_engine", build)
    return how


def test_the_same_run_gives_the_same_bits_on_the_gpu_path(corpus, tmp_path, as_on_a_gpu) -> None:
    measured = train_twice(make_real_run(corpus), corpus, tmp_path)
    assert measured.numerics["engine"] == "cuda"


@pytest.mark.parametrize("stop_after", [1, 31])
def test_a_stopped_run_resumes_bit_for_bit_on_the_gpu_path(
    corpus, tmp_path, as_on_a_gpu, stop_after
) -> None:
    stop_and_resume(make_real_run(corpus), corpus, tmp_path, stop_after=stop_after)


@pytest.mark.parametrize("on_gpu_first", [True, False])
def test_a_run_moves_between_processor_and_gpu(
    corpus, tmp_path, as_on_a_gpu, monkeypatch, on_gpu_first
) -> None:
    as_on_a_gpu["half"] = False
    there = trainer.build_engine
    builders = [there, build_engine] if on_gpu_first else [build_engine, there]
    run = make_real_run(corpus)
    monkeypatch.setattr(trainer, "build_engine", builders[0])
    whole = train(run, corpus, tmp_path / "whole")
    with pytest.raises(RunInterrupted):
        train(run, corpus, tmp_path / "first", stop_after=30)
    monkeypatch.setattr(trainer, "build_engine", builders[1])
    moved = train(run, corpus, tmp_path / "second", resume=(tmp_path / "first",))
    assert moved.numerics["engine"] != whole.numerics["engine"]
    # 30 steps amplify float32's rounding to about 1e-5 (as in the golden run).
    assert moved.loss == pytest.approx(whole.loss, rel=1e-3)


# --- devices ----------------------------------------------------------------------------------


def test_a_run_that_was_promised_a_gpu_is_refused_where_there_is_none() -> None:
    with pytest.raises(EnvironmentFault, match=r"gpus_per_run is 0\.25, and no CUDA GPU is seen"):
        device.claim_device(0.25)


def test_a_share_of_a_gpu_is_a_share_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    promised: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", promised.append)
    whole = SimpleNamespace(total_memory=16 * CONTEXT_BYTES)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: whole)
    assert device.claim_device(None) == "cpu"
    assert device.claim_device(0.25) == "cuda"
    assert promised == [0.25 - 1 / 16]  # CUDA's context is outside torch's share


def test_a_gpu_is_named_in_the_numerics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A GPU")
    described = device.describe_device("cuda")
    assert (described["device"], described["capability"]) == ("A GPU", "sm_90")
    assert device.describe_device("cpu")["device"] == "cpu"


def test_a_gpu_out_of_memory_is_retried_with_half_the_micro_batch() -> None:
    error = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    cause, message = classify_failure(error, "here")
    assert cause == "out_of_memory"  # for which retries.py halves the micro-batch
    assert "Tried to allocate 2.00 GiB" in message


@pytest.mark.parametrize("asked", ["fused", "warp"])
def test_an_engine_of_the_processor_is_refused_on_a_gpu(monkeypatch, asked) -> None:
    monkeypatch.setenv("SCALING_ENGINE", asked)
    with pytest.raises(EnvironmentFault, match="on cuda it may be cuda, eager, or unset"):
        build_engine(make_run(SHAPE), device="cuda")


@pytest.mark.gpu
def test_a_recorded_step_has_the_gradient_of_the_processor() -> None:
    run = make_run(SHAPE)
    plain, recorded = EagerEngine(run), CudaEngine(run)
    tokens = draw_tokens(SHAPE, 3)
    for _ in range(2):  # the second time replays the graph over other weights
        losses = [float(engine.add_gradient(tokens, 1.0)) for engine in (plain, recorded)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        distance = plain.optimizer.gradient - recorded.optimizer.gradient.cpu()
        assert float(distance.norm()) < 1e-4 * float(plain.optimizer.gradient.norm())
        for engine in (plain, recorded):
            engine.update(1.0)
