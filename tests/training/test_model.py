"""The model and its parametrisation: causality, rotary positions, learning-rate transfer."""

import dataclasses

import numpy as np
import pytest
import torch
from known_run import change_recipe
from torch.nn.functional import cross_entropy

from scaling.sweep.families.transformer_network import _make_rotation, _rotate
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import make_shape
from scaling.training.evaluate import summarise_losses
from scaling.training.parametrization import build_model, build_optimizer
from scaling.training.schedule import learning_rate_multiplier

RECIPE = change_recipe(batch_sequences=4, warmup_steps=10, decay_steps=20)


def make_run(n_heads=2, n_layers=2, seed=0, **recipe):
    shape = make_shape(64, 32, d_model=16 * n_heads, n_layers=n_layers)
    return RunSpec(
        shape=shape,
        recipe=dataclasses.replace(RECIPE, **recipe),
        data_digest="0" * 24,
        seed=seed,
    )


def random_tokens(batch=4, length=33, seed=0):
    return torch.randint(0, 64, (batch, length), generator=torch.Generator().manual_seed(seed))


def train_steps(run, steps):
    model = build_model(run)
    optimizer = build_optimizer(model, run)
    losses = []
    for step in range(steps):
        tokens = random_tokens(seed=step)
        logits = model(tokens[:, :-1])
        loss = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step(1.0, clip_norm=run.recipe.clip_norm)
        losses.append(float(loss.detach()))
    return model, losses


def test_no_position_sees_the_future():
    model, _ = train_steps(make_run(), 5)
    tokens = random_tokens(batch=1, length=32)
    changed = tokens.clone()
    changed[0, 20:] = (changed[0, 20:] + 1) % 64
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[0, :20], after[0, :20], rtol=0, atol=0)
    assert not torch.allclose(before[0, 20:], after[0, 20:])


def test_rotation_keeps_norms_and_depends_on_distance_alone():
    rotation = _make_rotation(64, 16)
    x = torch.randn(16, generator=torch.Generator().manual_seed(0))
    y = torch.randn(16, generator=torch.Generator().manual_seed(1))
    turned_x = _rotate(x.expand(64, 16).contiguous(), rotation)
    turned_y = _rotate(y.expand(64, 16).contiguous(), rotation)
    # float32 sums of 16 terms: 1e-5.
    torch.testing.assert_close(turned_x.norm(dim=1), x.norm().expand(64), rtol=1e-5, atol=1e-5)
    scores = turned_x @ turned_y.T
    for distance in (0, 1, 7):
        diagonal = torch.diagonal(scores, offset=distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)


def test_a_model_starts_at_the_uniform_prediction():
    tokens = random_tokens()
    logits = build_model(make_run())(tokens[:, :-1])
    loss = cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    assert float(loss.detach()) == pytest.approx(np.log(64), rel=1e-6)


def test_output_scale_starts_outputs_like_hidden_matrices_and_moves_nothing_else():
    plain, scaled = (
        dict(build_model(make_run(**more)).named_parameters())
        for more in ({}, {"output_scale": 2.0})
    )
    for name, parameter in scaled.items():
        if not name.endswith(("attention_out.weight", "mlp_out.weight", "head.weight")):
            assert torch.equal(parameter, plain[name])
            continue
        assert not plain[name].any()
        # The standard error of a standard deviation from n draws is 1/sqrt(2n); four of those.
        expected, n = 2.0 / parameter.shape[1] ** 0.5, parameter.numel()
        assert float(parameter.detach().std()) == pytest.approx(expected, rel=4 / (2 * n) ** 0.5)


def test_a_run_without_output_scale_keeps_its_run_id():
    assert "output_scale" not in make_run().to_json()["recipe"]
    assert RunSpec.from_json(make_run(output_scale=1.0).to_json()) == make_run(output_scale=1.0)


def test_initialisation_depends_on_the_seed_alone():
    one, two, other = (build_model(make_run(seed=seed)) for seed in (0, 0, 1))
    for (name, a), b, c in zip(
        one.named_parameters(), two.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b)
        if "norm" not in name and a.abs().sum() > 0:
            assert not torch.equal(a, c)


def test_flat_views_train_like_separate_tensors():
    run = make_run(clip_norm=1e9)
    model, _ = train_steps(run, 3)
    plain = build_model(run)
    # At the base shape every group has the same learning rate, so one plain AdamW is the oracle.
    adamw = torch.optim.AdamW(
        plain.parameters(), lr=0.01, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0, foreach=False
    )
    for step in range(3):
        tokens = random_tokens(seed=step)
        loss = cross_entropy(plain(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        adamw.zero_grad()
        loss.backward()
        adamw.step()
    for (name, flat), separate in zip(model.named_parameters(), plain.parameters(), strict=True):
        # Adam divides by sqrt(v): if a gradient is at rounding level, its sign is noise. Three
        # steps of 0.01 bound that; the mean must agree far more closely.
        assert float((flat - separate).detach().abs().mean()) < 1e-4, name


def test_gradients_are_clipped_to_the_norm():
    run = make_run()
    model = build_model(run)
    optimizer = build_optimizer(model, run)
    tokens = random_tokens()
    model(tokens[:, :-1]).square().sum().backward()
    (model.head.weight.sum() * 1e3).backward()
    before = optimizer.gradient.clone()
    norm = optimizer.step(0.0, clip_norm=1.0)
    assert float(norm) == pytest.approx(float(before.norm()), rel=1e-6)
    assert float(norm) > 1
    assert float(optimizer.gradient.abs().sum()) == 0


def measure_coordinates(axis, size, *, standard):
    """Change of the residual stream, and the logits' size, after eight steps; with `standard` the
    base shape is the model's own, so that nothing is scaled."""
    run = make_run(**({"n_heads": 2, "n_layers": 2} | {axis: size}))
    if standard:
        own = {"base_width": run.shape.d_model, "base_depth": run.shape.n_layers}
        run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, **own))
    model, _ = train_steps(run, 8)
    seen = []
    model.blocks[-1].register_forward_hook(lambda m, i, output: seen.append(output))
    with torch.no_grad():
        logits = model(random_tokens(seed=99)[:, :-1])
        start = model.embedding(random_tokens(seed=99)[:, :-1])
    return float((seen[0] - start).square().mean().sqrt()), float(logits.std())


@pytest.mark.parametrize("axis", ["n_heads", "n_layers"])
@pytest.mark.parametrize("times", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_activations_keep_their_size_as_the_model_grows(axis, times):
    """Under the parametrisation, activations after a few steps keep their size as the model grows
    up to 16 times in width or in depth; without it they change by far more than a factor of 2."""
    sizes = [
        measure_coordinates(axis, size, standard=False) for size in (2, 8, 32) if size <= 2 * times
    ]
    for column in zip(*sizes, strict=True):
        assert max(column) / min(column) < 2, sizes


@pytest.mark.parametrize("axis", ["n_heads", "n_layers"])
def test_activations_grow_without_the_parametrisation(axis):
    """4 times the width or depth, nothing scaled: what the check is able to see."""
    sizes = [measure_coordinates(axis, size, standard=True) for size in (2, 8)]
    growth, _ = zip(*sizes, strict=True)
    assert max(growth) / min(growth) > 2, sizes


def test_schedule_ends_exactly_with_the_last_step():
    multipliers = [learning_rate_multiplier(step, RECIPE) for step in range(RECIPE.steps)]
    assert multipliers[0] == pytest.approx(0.1)
    assert all(m == 1 for m in multipliers[9:80])
    assert np.all(np.diff(multipliers[79:]) < 0)
    assert 0 < multipliers[-1] < 0.03
    # 1 − sqrt would be 0 one step later, Hägele et al. 2024, eq. 2
    assert multipliers[89] == pytest.approx(1 - np.sqrt(10 / 21))


def test_standard_error_is_that_of_documents_not_windows():
    rng = np.random.default_rng(0)
    documents = np.repeat(np.arange(200), 25)
    level = rng.normal(0, 0.3, 200)[documents]
    sums = 32 * (2.0 + level + rng.normal(0, 0.1, documents.size))
    result = summarise_losses(sums, documents, tokens_per_window=32)
    # 0.3 / sqrt(200) from the documents; the windows' own spread adds 0.1 / sqrt(5000). The
    # estimate of a standard deviation from 200 clusters is good to 5 %; 15 % is three of those.
    assert result.loss_se == pytest.approx(0.3 / np.sqrt(200), rel=0.15)
    assert result.loss == pytest.approx(2.0, abs=4 * result.loss_se)
