"""Compiled steps equal torch's up to rounding, and a machine without a compiler still trains."""

import copy
import dataclasses
import hashlib
import logging
import math
import platform
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from known_run import change_recipe

from scaling.errors import EnvironmentFault
from scaling.sweep.ladder import iterate_ladder
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape, make_shape
from scaling.training.engines import build_engine, fused, native
from scaling.training.engines.eager import EagerEngine
from scaling.training.engines.fused import FusedEngine
from scaling.training.engines.protocol import Engine

RECIPE = change_recipe(batch_sequences=3, weight_decay=0.1)
# Widths that are multiples of 16 or 8 floats and widths that are not; lengths and vocabularies that
# leave partial tiles.
SHAPES = [
    make_shape(256, 64, d_model=128, n_layers=2),  # its products are copied into panels
    make_shape(1003, 40, d_model=88, n_layers=1),
    make_shape(256, 32, d_model=8, n_layers=2),
    make_shape(256, 32, d_model=16, n_layers=3),
    make_shape(256, 32, d_model=40, n_layers=2),
    make_shape(77, 37, d_model=20, n_layers=2, head_size=4),
    make_shape(301, 9, d_model=12, n_layers=1, head_size=10),
]
NARROW = SHAPES[-2]


def make_run(shape: ModelShape, **recipe: float) -> RunSpec:
    return RunSpec(
        shape=shape, recipe=dataclasses.replace(RECIPE, **recipe), data_digest="d", seed=0
    )


def draw_tokens(shape: ModelShape, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, shape.vocab_size, (count, shape.seq_len + 1))


def build_both(shape: ModelShape, **recipe: float) -> tuple[FusedEngine, EagerEngine]:
    """Two engines of one run, away from the start, where heads and output projections are zero."""
    run = make_run(shape, **recipe)
    fused, eager = FusedEngine(run), EagerEngine(run)
    generator = torch.Generator().manual_seed(1)
    for one, other in zip(fused.model.parameters(), eager.model.parameters(), strict=True):
        noise = 0.2 * torch.randn(one.shape, generator=generator)
        one.data.add_(noise)
        other.data.add_(noise)
    return fused, eager


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.d_model}x{shape.n_layers}")
def test_gradients_are_those_of_autograd(shape):
    fused, eager = build_both(shape)
    tokens = draw_tokens(shape, 3)
    assert fused.add_gradient(tokens, 1.0) == pytest.approx(float(eager.add_gradient(tokens, 1.0)))
    pairs = zip(fused.model.named_parameters(), eager.model.parameters(), strict=True)
    for (name, one), other in pairs:
        # Sums of up to a thousand float32 products in another order: 1e-5 of the largest.
        largest = float(other.grad.abs().max())
        assert float((one.grad - other.grad).abs().max()) < 1e-5 * largest, name


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.d_model}x{shape.n_layers}")
def test_losses_are_those_of_torch(shape):
    fused, eager = build_both(shape)
    tokens = draw_tokens(shape, 150)  # more than one forward pass
    np.testing.assert_allclose(
        fused.measure_losses(tokens), eager.measure_losses(tokens), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("shape", "loss", "gradient"),
    # The last ones have odd rows, partial vectors and a last word with one half.
    [(one, 2e-3, 0.03) for one in SHAPES[:2]]
    + [(one, 5e-3, 0.05) for one in (*SHAPES[2:4], *SHAPES[-2:])],
    ids=lambda one: getattr(one, "d_model", one),
)
def test_products_in_bfloat16_are_near_those_in_float32(shape, loss, gradient):
    """An eight-bit mantissa rounds each factor by up to 2^-9, at random: sums of products, and the
    gradient after a few of them in a row, stay within a few percent."""
    half, single = FusedEngine(make_run(shape), half=True), build_both(shape)[0]
    half.model.load_state_dict(single.model.state_dict())
    tokens = draw_tokens(shape, 3)
    losses = [engine.add_gradient(tokens, 1.0) for engine in (half, single)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=loss)
    one, other = half.optimizer.gradient, single.optimizer.gradient
    assert float((one - other).norm()) < gradient * float(other.norm())
    held_out = [engine.measure_losses(tokens).mean() for engine in (half, single)]
    assert held_out[0] == pytest.approx(held_out[1], rel=loss)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names levels of x86-64")
@pytest.mark.parametrize("level", ["x86-64-v3", "x86-64-v2"])
def test_narrower_vectors_compute_the_same(fresh, monkeypatch, level):
    """With vectors of 8 and of 4 floats; the latter have no fused multiply-add, so last bits
    differ."""
    wide, _ = build_both(SHAPES[1])
    wide_half = FusedEngine(make_run(SHAPES[1]), half=True)
    monkeypatch.setattr(native, "_choose_target", lambda: f"-march={level}")
    native.load_library.cache_clear()
    narrow, _ = build_both(SHAPES[1])
    narrow_half = FusedEngine(make_run(SHAPES[1]), half=True)
    tokens = draw_tokens(SHAPES[1], 3)
    for one, other, share in ((wide, narrow, 1e-5), (wide_half, narrow_half, 0.01)):
        one.model.load_state_dict(wide.model.state_dict())
        other.model.load_state_dict(wide.model.state_dict())
        assert one.add_gradient(tokens, 1.0) == pytest.approx(
            other.add_gradient(tokens, 1.0), rel=share
        )
        difference = (one.optimizer.gradient - other.optimizer.gradient).norm()
        assert float(difference) < share * float(one.optimizer.gradient.norm())


def check_parts(engine: Engine, tokens: np.ndarray, first: int) -> None:
    """The first sequences of a batch and the rest add up to its loss and its gradient."""
    whole = engine.add_gradient(tokens, 1.0)
    gradient = engine.optimizer.gradient.clone()
    engine.optimizer.gradient.zero_()
    shares = [(part, len(part) / len(tokens)) for part in (tokens[:first], tokens[first:])]
    loss = sum(share * float(engine.add_gradient(part, share)) for part, share in shares)
    assert loss == pytest.approx(float(whole), rel=1e-6)
    torch.testing.assert_close(engine.optimizer.gradient, gradient, rtol=1e-4, atol=1e-7)


def test_parts_of_a_batch_add_up_to_its_gradient():
    fused, _ = build_both(SHAPES[3])
    check_parts(fused, draw_tokens(SHAPES[3], 3), 1)


@pytest.mark.parametrize("clip_norm", [1e-3, 1e9])
def test_updates_are_those_of_adamw(clip_norm):
    fused, eager = build_both(SHAPES[4], clip_norm=clip_norm)
    for step in range(3):
        gradient = 0.1 * torch.randn(eager.optimizer.gradient.shape)
        for engine in (fused, eager):
            engine.optimizer.gradient.copy_(gradient)
        norm = float(gradient.norm())
        assert fused.update(0.5 + step) == pytest.approx(norm, rel=1e-6)
        assert float(eager.update(0.5 + step)) == pytest.approx(norm, rel=1e-6)
    for one, other in zip(fused.model.parameters(), eager.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    assert not fused.optimizer.gradient.any()


def test_a_state_of_one_engine_continues_in_the_other():
    fused, eager = build_both(SHAPES[3])
    tokens = draw_tokens(SHAPES[3], 3)
    eager.add_gradient(tokens, 1.0)
    eager.update(1.0)
    fused.model.load_state_dict(eager.model.state_dict())
    # A copy, as if read from disk: torch would share the tensors.
    fused.optimizer.adamw.load_state_dict(copy.deepcopy(eager.optimizer.adamw.state_dict()))
    for engine in (fused, eager):
        engine.add_gradient(tokens, 1.0)
        engine.update(1.0)
    for one, other in zip(fused.model.parameters(), eager.model.parameters(), strict=True):
        # Adam divides by sqrt(v): if a gradient is at rounding level, its sign is noise.
        assert float((one - other).detach().abs().mean()) < 1e-5


def test_one_layer_narrower_than_a_head_trains_alike_in_both_engines():
    """Of the ladder of a fixed depth, its first rung: ten whole steps, with outputs that start as
    hidden matrices do, so that every gradient counts from the first."""
    shape = next(iterate_ladder(33, 65, layers=1, head_size=32))
    assert (shape.d_model, shape.n_layers) == (16, 1)
    run = make_run(shape, output_scale=1.0)
    engines = FusedEngine(run), EagerEngine(run)
    assert engines[0].model.blocks[0].residual_multiplier == RECIPE.base_depth  # 1 / m_L
    for step in range(10):
        tokens = draw_tokens(shape, 3, seed=step)
        losses = [float(engine.add_gradient(tokens, 1.0)) for engine in engines]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        for engine in engines:
            engine.update(1.0)
    tokens = draw_tokens(shape, 3, seed=10)
    # Roundings of ten steps, each up to a learning rate where a gradient is at rounding level.
    np.testing.assert_allclose(*(one.measure_losses(tokens) for one in engines), rtol=1e-3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_values_propagate(value):
    fused, _ = build_both(SHAPES[2])
    with torch.no_grad():
        fused.model.blocks[0].mlp_in.weight[3, 2] = value
    tokens = draw_tokens(SHAPES[2], 3)
    assert not math.isfinite(fused.add_gradient(tokens, 1.0))
    assert not np.isfinite(fused.measure_losses(tokens)).all()
    assert not math.isfinite(fused.update(1.0))


def test_ids_beyond_the_vocabulary_are_refused():
    fused, _ = build_both(NARROW)
    tokens = draw_tokens(NARROW, 2)
    tokens[1, 4] = 77
    with pytest.raises(IndexError, match="not below the vocabulary's 77"):
        fused.add_gradient(tokens, 1.0)
    with pytest.raises(ValueError, match="sequences of 38 ids"):
        fused.measure_losses(tokens[:, :-1] % 77)


# --- where there is no compiler --------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A machine that has compiled nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SCALING_ENGINE", raising=False)
    native.load_library.cache_clear()
    yield tmp_path / "scaling" / "native"
    native.load_library.cache_clear()


def test_without_a_compiler_torch_trains_with_a_warning(fresh, monkeypatch, caplog):
    monkeypatch.setenv("PATH", str(fresh))
    with caplog.at_level(logging.WARNING, logger="scaling"):
        engine = build_engine(make_run(SHAPES[2]))
    assert engine.name == "eager"
    assert "no C++ compiler was found. Install one" in caplog.text


def test_a_requested_engine_is_not_replaced(fresh, monkeypatch):
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("SCALING_ENGINE", "fused")
    with pytest.raises(EnvironmentFault, match="no C\\+\\+ compiler"):
        build_engine(make_run(SHAPES[2]))


def test_an_unknown_engine_is_named(monkeypatch):
    monkeypatch.setenv("SCALING_ENGINE", "warp")
    with pytest.raises(EnvironmentFault, match="names no engine; on cpu it may be fused, eager"):
        build_engine(make_run(SHAPES[2]))


def test_mixed_precision_is_not_replaced_by_another(fresh, monkeypatch):
    run = make_run(SHAPES[0])
    assert build_engine(run, precision="mixed").name == "fused"
    native.load_library.cache_clear()
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.setenv("XDG_CACHE_HOME", str(fresh / "other"))
    with pytest.raises(EnvironmentFault, match="no C\\+\\+ compiler"):
        build_engine(run, precision="mixed")
    monkeypatch.setenv("SCALING_ENGINE", "eager")
    with pytest.raises(EnvironmentFault, match="mixed needs compiled steps"):
        build_engine(run, precision="mixed")


def test_a_failing_compiler_is_named_with_its_message(fresh, monkeypatch):
    fake = fresh.parent.parent / "cc"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "no room" >&2; exit 3\n')
    fake.chmod(0o755)
    monkeypatch.setenv("CXX", str(fake))
    monkeypatch.setenv("SCALING_ENGINE", "fused")
    with pytest.raises(EnvironmentFault, match="failed with 3: no room"):
        build_engine(make_run(SHAPES[2]))


def compile_something(folder: Path) -> Path:
    source = folder / "one.cpp"
    source.write_text('extern "C" int answer() { return 42; }\n')
    assert native.load_library(source).answer() == 42
    native.load_library.cache_clear()
    return source


def test_a_damaged_library_is_compiled_again(fresh, tmp_path):
    source = compile_something(tmp_path)
    (library,) = fresh.glob("*.so")
    content = library.read_bytes()
    library.unlink()  # its pages are mapped, so changed bytes need a new file
    library.write_bytes(content[:100] + b"?" + content[101:])
    assert native.load_library(source).answer() == 42
    assert library.read_bytes() == content


def test_a_cache_that_others_can_write_to_is_not_used(fresh, tmp_path):
    fresh.mkdir(parents=True)
    fresh.chmod(0o777)
    compile_something(tmp_path)
    assert not list(fresh.iterdir())


def write_compiler(path: Path, body: str) -> str:
    """A compiler that runs `body` with the library's name in $out."""
    path.parent.mkdir(exist_ok=True)
    find_out = 'while [ "$1" != -o ]; do shift; done; out="$2"\n'
    path.write_text('#!/bin/sh\n[ "$1" = --version ] && exit 0\n' + find_out + body)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('echo garbage > "$out"', "does not load: file too short"),
        ("exit 0", "does not load: No such file"),
        ("echo 'void other() {}' | c++ -x c++ -shared -o \"$out\" -", "lacks scaling_create"),
    ],
)
def test_a_compiler_that_writes_garbage_leaves_torch_to_train(
    fresh, tmp_path, monkeypatch, caplog, body, why
):
    monkeypatch.setenv("CXX", write_compiler(tmp_path / "canary-94be1c77" / "cc", body))
    with caplog.at_level(logging.INFO, logger="scaling"):
        assert build_engine(make_run(SHAPES[2])).name == "eager"
    assert why in caplog.text
    assert "canary" not in caplog.text


def test_an_intact_library_that_does_not_load_is_compiled_again(fresh, tmp_path, caplog):
    """As left by a machine with a newer C library that shares the home folder."""
    source = compile_something(tmp_path)
    (library,) = fresh.glob("*.so")
    library.unlink()
    library.write_bytes(b"\x7fELF, of another system" + bytes(100))
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    library.with_suffix(".sha256").write_text(digest)
    with caplog.at_level(logging.INFO, logger="scaling"):
        assert native.load_library(source).answer() == 42
    assert "compiled again" in caplog.text
    native.load_library.cache_clear()
    assert native.load_library(source).answer() == 42
    assert caplog.text.count("compiled again") == 1


def test_another_c_library_gets_its_own_compiled_steps(fresh, tmp_path, monkeypatch):
    compile_something(tmp_path)
    monkeypatch.setattr(native.os, "confstr", lambda name: "glibc 1.0")
    compile_something(tmp_path)
    assert len(list(fresh.glob("*.so"))) == 2


def test_a_cache_that_is_full_does_not_stop_training(fresh, tmp_path, monkeypatch):
    def refuse(path, data):
        raise EnvironmentFault("no space")

    monkeypatch.setattr(native, "write_durably", refuse)
    compile_something(tmp_path)
    assert not list(fresh.glob("*.so"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CXX", "canary-94be1c77/c++"),
        ("CXX", "FAILING"),
        ("SCALING_ENGINE", "canary-94be1c77"),
        ("XDG_CACHE_HOME", "/dev/null/canary-94be1c77"),
        ("TMPDIR", "/dev/null/canary-94be1c77"),
    ],
)
def test_no_value_of_the_environment_is_in_a_message(
    fresh, tmp_path, monkeypatch, caplog, variable, value
):
    """For every variable that engines read, since their messages reach log.txt and failed.json."""
    # A library without our functions.
    monkeypatch.setattr(fused, "_SOURCE", compile_something(tmp_path))
    if value == "FAILING":
        value = write_compiler(
            tmp_path / "canary-94be1c77" / "cc", 'echo "$0: no room" >&2; exit 3'
        )
    monkeypatch.setenv(variable, value)
    said = ""
    with caplog.at_level(logging.DEBUG, logger="scaling"):
        try:
            build_engine(make_run(SHAPES[2]))
        except EnvironmentFault as error:
            said = "".join(traceback.format_exception(error))
    assert "canary" not in said + caplog.text
