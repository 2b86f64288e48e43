"""Simulated runs of abilities whose truth is known."""

from collections.abc import Callable
from typing import Any

import numpy as np

from scaling.fitting.abilities.names import AbilityNames
from scaling.fitting.abilities.scores import Scores, gather_scores
from scaling.tables.metrics import Metric
from scaling.tables.run_table import RunTable, make_table
from scaling.units import FloatArray

SIZES = np.geomspace(1e4, 1e6, 9)
LENGTH = 4  # tokens of an answer
ITEMS = 512  # test items behind a share
NAMES = AbilityNames("answer_exact", "answer_loss", "answer_null")


def make_runs(
    exact: Callable[[FloatArray, FloatArray], FloatArray],
    *,
    seeds: int = 8,
    sizes: FloatArray = SIZES,
    noise: float = 0.03,
    seed: int = 0,
) -> RunTable:
    """Runs whose answers' loss falls as a power of N and whose tokens are right with p = e^(−.9
    loss); exact match is drawn over ITEMS answers with probability `exact(N, p)`."""
    rng = np.random.default_rng(seed)
    n = np.repeat(sizes, seeds)
    loss = (0.02 + 2.2 * (1e4 / n) ** 0.55) * np.exp(noise * rng.standard_normal(n.size))
    right = np.exp(-0.9 * loss)
    share = rng.binomial(ITEMS, np.clip(exact(n, right), 0.0, 1.0)) / ITEMS
    return tabulate(n, share, answer_loss=loss, answer_null=right**LENGTH, seeds=seeds)


def tabulate(
    params: FloatArray,
    exact: FloatArray,
    *,
    tokens: FloatArray | float = 3e6,
    seeds: int = 8,
    **lower: FloatArray,
) -> RunTable:
    """A table of exact match with other metrics: answer_null is a share, the rest are losses."""
    metrics = [_make(name, values) for name, values in lower.items()]
    metrics.append(_make("answer_exact", exact))
    d = np.broadcast_to(np.asarray(tokens, dtype=np.float64), params.shape)
    return make_table(
        params, d, loss=np.full(params.size, 2.0), seed=np.arange(params.size) % seeds,
        metrics=tuple(metrics), source="world",
    )  # fmt: skip


def _make(name: str, values: FloatArray) -> Metric:
    share = name != "answer_loss"
    return Metric(
        name=name, values=values, higher_is_better=share, bound=1.0 if share else None,
        unit="" if share else "nats/token",
    )  # fmt: skip


def draw_success(
    chance: Callable[[FloatArray], FloatArray], *, seeds: int, rng: np.random.Generator,
    sizes: FloatArray = SIZES,
) -> Scores:  # fmt: skip
    """Seeds reach .98 with a probability that depends on N, or stay at .02."""
    n = np.repeat(sizes, seeds)
    won = rng.random(n.size) < chance(n)
    return score(tabulate(n, np.where(won, 0.98, 0.02), seeds=seeds))


def score(table: RunTable, **how: Any) -> Scores:
    """The runs of the ability, with its companion metrics in the table."""
    here = {one.name for one in table.metrics}
    smooth = "answer_loss" if "answer_loss" in here else "loss"
    null = "answer_null" if "answer_null" in here else None
    return gather_scores(table, AbilityNames("answer_exact", smooth, null), **how)


def independent(n: FloatArray, right: FloatArray) -> FloatArray:
    """Exact match if tokens err independently."""
    return right**LENGTH
