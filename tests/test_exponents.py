"""Recipes compared by their exponents, with known laws and known errors of recipe and counting."""

import dataclasses
import json
from functools import cache

import numpy as np
import pytest
from commands import CODE

from scaling.compare.exponents import COUNTED_AS_KAPLAN, Trained, compare_exponents
from scaling.compare.recounting import count_both_ways
from scaling.errors import UsageError
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.parametric import estimate_exponent
from scaling.laws.chinchilla import CHINCHILLA
from scaling.sweep.cost_model import make_ladder_cost
from scaling.sweep.counting import count_flops_per_token, count_params
from scaling.sweep.ladder import list_ladder
from scaling.tables.run_table import RunTable, make_table
from scaling.terminal.exponents import format_exponents
from scaling.units import FloatArray
from scaling.words.recipes import list_recipes, say_step
from scaling.workflow.stored import read_runs

# N* = 1e5 … 7e5, where the ladder's rungs are close.
LAW = np.array([0.6, 0.766 * 3e5**0.35, 0.894 * 3e7**0.35, 0.35, 0.35])
BUDGETS = np.geomspace(1e13, 3e14, 5)
SIZES = (4e4, 2e6)
LADDER = list_ladder(256, 128, max_params=1e9)


@cache
def train(
    recipe: str,
    *,
    penalty: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
    draws: int | None = None,
    vocab_size: int = 256,
) -> Trained:
    """A simulated sweep of every rung at every budget. The loss is the law's, raised by `penalty`
    times the share of 1e7 tokens in D, as if a warmup of that length were lost."""
    ladder = list_ladder(vocab_size, 128, max_params=1e9)
    low, high = SIZES
    rungs = [rung for rung in ladder if low < count_params(rung, "matmul") < high][::3]
    cells = [
        (rung, budget / count_flops_per_token(rung), budget) for rung in rungs for budget in BUDGETS
    ]
    tokens = np.array([one[1] for one in cells])
    budget = np.array([one[2] for one in cells])
    params = np.array([float(count_params(rung, "matmul")) for rung, _, _ in cells])
    rng = np.random.default_rng(seed)
    lost = penalty * np.minimum(1.0, 1e7 / tokens)
    loss = CHINCHILLA.loss(LAW, params, tokens) * (1 + lost)
    loss *= np.exp(noise * rng.standard_normal(loss.size))

    def tabulate(count: str, head_flops: bool) -> RunTable:
        per_token = [count_flops_per_token(rung, head_flops=head_flops) for rung, _, _ in cells]
        return make_table(
            np.array([float(count_params(rung, count)) for rung, _, _ in cells]),
            tokens,
            loss=loss,
            flops=tokens * np.array(per_token),
            budget=budget if head_flops else None,
            group=[f"{rung.d_model}x{rung.n_layers} {d:.0f}" for rung, d, _ in cells],
            convention=count,
            cost=make_ladder_cost(ladder, count, head_flops=head_flops),
        )

    whole, headless = tabulate("matmul", True), tabulate("non_embedding", False)
    lowest = {float(one): float(loss[budget == one].min()) for one in BUDGETS}
    return Trained(
        recipe=recipe,
        sets={"warmup_tokens": 1e7} if penalty else {},
        fit=fit_runs(whole, bootstrap=draws),
        headless=fit_runs(headless, approach="parametric", bootstrap=draws),
        counted=count_both_ways(whole, headless, draws=draws or 0),
        lowest=lowest,
    )


def train_good() -> Trained:
    return train("matched")


def train_poor() -> Trained:
    return train("long-warmup", penalty=0.1)


def find_true_exponent(vocab_size: int, head_flops: bool, span: tuple[float, float]) -> float:
    """The exponent of the law's optima over every rung and a range of C, with N and C counted
    either way."""
    ladder = list_ladder(vocab_size, 128, max_params=2e7)
    count = "matmul" if head_flops else "non_embedding"
    size = np.log([count_params(rung, count) for rung in ladder])
    cost = np.array([count_flops_per_token(rung, head_flops=head_flops) for rung in ladder])
    params = np.array([float(count_params(rung, "matmul")) for rung in ladder])
    best = []
    budgets = np.geomspace(*span, 9)
    for flops in budgets:
        loss = CHINCHILLA.loss(LAW, params, flops / cost)
        at = int(np.argmin(loss))
        near = slice(max(0, at - 8), at + 9)
        bend, slope, _ = np.polyfit(size[near] - size[at], loss[near], 2)
        best.append(size[at] - slope / (2 * bend))
    return float(np.polyfit(np.log(budgets), best, 1)[0])


@pytest.mark.parametrize("vocab_size", [256, 512])
def test_the_effect_of_counting_the_head_is_found_by_minima(vocab_size: int) -> None:
    """The head's share of N falls along the frontier, so N without it grows faster: Porian's first
    step, .835 to .706. Either method finds it to the scatter of the rungs, whose loss is no smooth
    function of N without the head (up to .03 here, where that is a tenth of N at most)."""
    one = train("matched", vocab_size=vocab_size)
    compared = compare_exponents([one, one])
    point, counting = compared.points[0], compared.steps[0]
    assert (counting.before, counting.after) == (f"matched, {COUNTED_AS_KAPLAN}", "matched")
    assert one.counted is not None
    whole, headless = (
        find_true_exponent(vocab_size, flag, counted.flops)
        for flag, counted in zip((True, False), one.counted, strict=True)
    )
    assert counting.minima is not None
    assert counting.minima.value == pytest.approx(whole - headless, abs=0.03)
    assert point.headless_minima is not None
    assert point.headless_minima.value == pytest.approx(headless, abs=0.03)
    assert point.headless is not None
    assert counting.law.value == pytest.approx(point.law.value - point.headless.value)
    assert counting.law.value == pytest.approx(whole - headless, abs=0.03)


def test_a_penalty_on_few_tokens_raises_the_exponent_by_the_stated_step() -> None:
    """Minima follow the penalty; a law's powers of N and D cannot, and absorb most of it in B."""
    compared = compare_exponents([train_poor(), train_good()])
    poor, good = compared.points
    assert poor.law.value > good.law.value + 0.005
    assert poor.minima is not None
    assert good.minima is not None
    assert poor.minima.value > good.minima.value + 0.05
    (step,) = compared.steps[1:]
    assert (step.before, step.after) == ("long-warmup", "matched")
    assert step.law.value == pytest.approx(good.law.value - poor.law.value)
    assert step.minima is not None
    assert step.minima.value == pytest.approx(good.minima.value - poor.minima.value)
    assert "matched in place of long-warmup: -" in say_step(step)


def test_the_law_that_generated_the_runs_is_recovered() -> None:
    """On the ladder a is not beta / (alpha + beta) = .5, because C is not 6ND; under the ladder's
    cost model a noise-free law gives the exponent of its own frontier."""
    cost = make_ladder_cost(LADDER, "matmul")
    expected = estimate_exponent(CHINCHILLA, LAW, cost, (1e13, 3e14))
    (point, _) = compare_exponents([train_good(), train_poor()]).points
    assert point.law.value == pytest.approx(float(expected[0]), abs=2e-3)


def test_minima_at_equal_c_are_those_of_the_budgets_where_the_head_counts() -> None:
    """Interpolating each size along its tokens does not change the exponent of a grid of
    budgets."""
    assert train_good().counted is not None
    line = train_good().fit.approaches["isoflop"]
    assert train_good().counted[0].a == pytest.approx(line.a, abs=0.02)
    assert train_good().counted[0].flops == pytest.approx((1e13, 3e14), rel=0.02)


def test_runs_of_few_sizes_have_no_minima_under_either_count() -> None:
    table = make_table(
        np.repeat([1e4, 2e4, 4e4], 3),
        np.tile([1e6, 2e6, 4e6], 3),
        loss=np.full(9, 2.0),
        flops=np.geomspace(1e10, 1e11, 9),
    )
    assert count_both_ways(table, table, draws=10) is None


def test_a_difference_due_to_noise_is_not_called_sure() -> None:
    noisy = [train(f"seed{seed}", noise=0.006, seed=seed, draws=200) for seed in (1, 2)]
    compared = compare_exponents(noisy)
    _, step = compared.steps
    assert step.minima is not None
    for change in (step.law, step.minima):
        assert change.sure is False
        assert change.interval is not None
        assert change.interval.low < change.value < change.interval.high
    assert say_step(step).count("(not told from nothing)") == 2
    # The difference of two sweeps' exponents is less certain than either exponent.
    own = compared.points[0].law.interval
    assert own is not None
    assert step.law.interval is not None
    assert step.law.interval.high - step.law.interval.low > own.high - own.low


def test_counting_the_head_is_a_sure_step_even_with_noise() -> None:
    """Both counts share the noise of every draw, so their difference is due to counting alone."""
    noisy = [train(f"seed{seed}", noise=0.006, seed=seed, draws=200) for seed in (1, 2)]
    step = compare_exponents(noisy).steps[0]
    assert step.minima is not None
    for change in (step.law, step.minima):
        assert change.sure is True
        assert change.value < 0


def test_a_recipe_without_a_frontier_is_left_out_and_named() -> None:
    lost = dataclasses.replace(
        train_poor(),
        fit=dataclasses.replace(train_poor().fit, approaches={}, reason="too few runs"),
    )
    compared = compare_exponents([lost, train_good(), train("again")])
    assert compared.left_out == {"long-warmup": "too few runs"}
    assert "left out: long-warmup: too few runs" in format_exponents(compared)
    with pytest.raises(UsageError, match="1 of 2 recipes have a frontier"):
        compare_exponents([lost, train_good()])


def test_text_json_and_page_state_the_same_exponents() -> None:
    compared = compare_exponents([train_poor(), train_good()])
    contract = json.loads(json.dumps(compared.to_contract(), allow_nan=False))
    assert contract["schema_version"] == 1
    assert contract["flops"] == pytest.approx(3e14)
    text = format_exponents(compared)
    rows = list_recipes(compared)
    for point, stored, row in zip(compared.points, contract["recipes"], rows, strict=True):
        assert stored["a"]["parametric"]["value"] == point.law.value
        assert f"{point.law.value:.3f}" in text
        assert row[0] == point.recipe
        assert row[2] == f"{point.law.value:.3f}"
    assert rows[0][1] == "warmup_tokens: 1e+07"
    assert rows[1][1] == "nothing: every hyperparameter is by rule"
    assert list_recipes(None) == []


def test_flops_without_the_head_are_those_of_the_blocks() -> None:
    for rung in LADDER[:20]:
        whole, blocks = (count_flops_per_token(rung, head_flops=flag) for flag in (True, False))
        assert whole - blocks == 6 * rung.d_model * rung.vocab_size
    cost = make_ladder_cost(LADDER, "non_embedding", head_flops=False)
    params: FloatArray = np.array([float(count_params(rung, "non_embedding")) for rung in LADDER])
    exact = np.array([count_flops_per_token(rung, head_flops=False) for rung in LADDER])
    smooth = cost.flops_per_token(params)
    assert np.max(np.abs(np.log(smooth / exact))) <= np.log1p(cost.max_deviation) + 1e-9
    assert cost.name == "ladder_without_head"


def test_a_folder_is_read_with_and_without_the_head() -> None:
    whole, _ = read_runs(CODE)
    headless, stored = read_runs(CODE, count="non_embedding", head_flops=False)
    assert stored is not None
    assert headless.run == whole.run
    assert headless.budget is None
    assert headless.digest != read_runs(CODE, count="non_embedding")[0].digest
    assert whole.flops is not None
    assert headless.flops is not None
    shapes = {cell.run.run_id: cell.run.shape for cell in stored.plan.cells}
    head = np.array([6.0 * shapes[run].d_model * shapes[run].vocab_size for run in whole.run])
    assert headless.flops == pytest.approx(whole.flops - head * whole.tokens)
