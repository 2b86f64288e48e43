"""Which tenth of a pool's FLOPs forecasts its most expensive runs best, on published tables.

    python benchmarks/suggest.py --tables ../shared/data [--pools 6]

Of each table the top decile in C is forecast from runs chosen among the others for at most a tenth
of those others' FLOPs, twice: by Chinchilla's law (Huber 1e-3), every run alike, and by the runs
near the forecast (scaling/design/nearness.py). Printed for each: mean absolute relative error of
the forecast loss, geometric mean over pools (the whole rest, then random 85 % of it, for one choice
of a dozen runs is a lottery), and in brackets how many runs were chosen; last, the geometric mean
over tables of the error over that of Chinchilla's law on everything, and the same without Epoch's
table, to whose law the prior of the second forecast owes its middle.

    everything      the whole pool: ten times the FLOPs
    random          in random order, each run that is still paid for
    cheapest        cheapest first
    D-optimal       most ln det of the information per FLOP, local at the law of the runs so far
    V-optimal       most forecast variance per FLOP, local likewise
    basins          Li et al. 2026, arXiv:2604.22753, as described: laws of several basins
                    weighted by BIC; forecast variance within them and disagreement between them,
                    per FLOP^0.4
    suggest         scaling/design/suggestion.py: at once, from the published law; also with half
                    and twice its rate of model error, and with none

The sequential ones begin with the published law, and refit after every third of the spend. Errors
of fits that a choice cannot carry count as 1. A last line says how often the 90 % interval of the
second forecast holds a run, from what `suggest` chose of the whole pool, and how wide it is. The
tables are others' work and not part of this repository.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from extrapolate import load

from scaling.design.nearness import DEFAULT_RATE, forecast_nearby, forecast_nearby_each
from scaling.design.suggestion import Points, suggest_runs
from scaling.errors import QueryError
from scaling.fitting.budgets import list_flops
from scaling.fitting.checks.points import find_law_problem
from scaling.fitting.parametric import fit_parametric
from scaling.fitting.projection import scan_exponents
from scaling.fitting.solver import make_task
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.family import Axes
from scaling.ledger.machine import name_processor
from scaling.tables.run_table import RunTable, select_rows, sort_rows
from scaling.units import FloatArray, IntArray

SHARE = 0.1
DELTA = 1e-3
SIGMA = 0.005  # seed noise of runs of this size: .1 to .7 %
PUBLISHED = np.array([1.8172, 477.8, 2143.4, 0.34731, 0.36717])
TARGETS = 6
ROUNDS = 3
# Prior standard deviations of theta: the same weak prior for every design.
WIDTHS = np.array([0.6, 2.0, 2.0, 0.3, 0.3])
QUADRATURE = np.polynomial.hermite_e.hermegauss(15)


@dataclass(frozen=True)
class Pool:
    """A table, its rows that may be chosen, those to forecast, and the FLOPs to spend."""

    table: RunTable
    flops: FloatArray
    free: IntArray
    test: IntArray

    @property
    def spend(self) -> float:
        return SHARE * float(self.flops[self.free].sum())

    @property
    def targets(self) -> IntArray:
        places = np.linspace(0, self.test.size - 1, min(self.test.size, TARGETS))
        return self.test[np.unique(np.round(places).astype(int))]


def make_pool(table: RunTable, seed: int) -> Pool:
    flops = list_flops(table)
    dear = flops >= np.quantile(flops, 0.9)
    free = np.flatnonzero(~dear)
    if seed:
        keep = np.random.default_rng(seed).permutation(free)[: int(0.85 * free.size)]
        free = np.sort(keep)
    return Pool(table, flops, free, np.flatnonzero(dear))


def judge(pool: Pool, rows: IntArray) -> tuple[float, float]:
    """Errors of both forecasts of the dearest runs from some rows."""
    part = sort_rows(select_rows(pool.table, rows))
    if find_law_problem(part, CHINCHILLA) is not None:
        return 1.0, 1.0
    test = select_rows(pool.table, pool.test)
    fit = fit_parametric(part, CHINCHILLA, delta=DELTA)
    alike = CHINCHILLA.loss(fit.coefficients, test.params, test.tokens)
    near = forecast_nearby_each(
        part.params,
        part.tokens,
        part.loss,
        at=(test.params, test.tokens),
        sigma=SIGMA,
        rate=DEFAULT_RATE,
    )
    alike_error, near_error = (float(np.mean(np.abs(one / test.loss - 1))) for one in (alike, near))
    return alike_error, near_error


def cover(pool: Pool, rows: IntArray) -> tuple[float, float]:
    """Share of the dearest runs inside the interval of the second forecast, its median width."""
    part, held, widths = select_rows(pool.table, rows), [], []
    test = select_rows(pool.table, pool.test)
    for n, d, loss in zip(test.params, test.tokens, test.loss, strict=True):
        said = forecast_nearby(
            part.params, part.tokens, part.loss, at=(n, d), sigma=SIGMA, rate=DEFAULT_RATE
        ).new_run
        held.append(said.low <= loss <= said.high)
        widths.append(np.log(said.high / said.low))
    return float(np.mean(held)), float(np.median(widths))


# --- designs that do not use losses -------------------------------------------------------------


def choose_all(pool: Pool, seed: int) -> IntArray:
    return pool.free


def choose_cheapest(pool: Pool, seed: int) -> IntArray:
    order = pool.free[np.argsort(pool.flops[pool.free], kind="stable")]
    return order[np.cumsum(pool.flops[order]) <= pool.spend]


def choose_randomly(pool: Pool, seed: int) -> IntArray:
    chosen: list[int] = []
    spent = 0.0
    for row in np.random.default_rng((seed, 1)).permutation(pool.free):
        if spent + pool.flops[row] <= pool.spend:
            chosen.append(int(row))
            spent += float(pool.flops[row])
    return np.array(chosen)


def choose_suggested(pool: Pool, seed: int, rate: float = DEFAULT_RATE) -> IntArray:
    def place(rows: IntArray) -> Points:
        table = pool.table
        return Points(params=table.params[rows], tokens=table.tokens[rows], flops=pool.flops[rows])

    found = suggest_runs(
        place(pool.free),
        place(pool.targets),
        spend=pool.spend,
        laws=PUBLISHED[None],
        sigma=SIGMA,
        rate=rate,
    )
    return pool.free[list(found.chosen)]


# --- sequential designs -------------------------------------------------------------------------


@dataclass(frozen=True)
class Belief:
    """Laws with weights, and at each of them the slopes of ln L and the covariance of theta."""

    weights: FloatArray
    logs: FloatArray  # ln L of every row, (k, n)
    slopes: FloatArray  # (k, n, p)
    covariance: FloatArray  # (k, p, p)


def choose_sequentially(
    pool: Pool, seed: int, gain: Callable[[Pool, Belief, IntArray], FloatArray], exponent: float,
    basins: int,
) -> IntArray:  # fmt: skip
    chosen: list[int] = []
    spent, due = 0.0, 0.0
    laws, weights = PUBLISHED[None], np.ones(1)
    while True:
        if spent >= due and chosen:
            laws, weights = find_basins(pool, chosen, basins)
        if spent >= due:
            due += pool.spend / ROUNDS
        left = np.setdiff1d(pool.free, np.array(chosen, dtype=np.int64))
        left = left[spent + pool.flops[left] <= pool.spend]
        if not left.size:
            return np.array(chosen)
        belief = believe(pool, chosen, laws, weights)
        score = gain(pool, belief, left) / pool.flops[left] ** exponent
        best = int(left[np.argmax(score)])
        chosen.append(best)
        spent += float(pool.flops[best])


def find_basins(pool: Pool, chosen: list[int], most: int) -> tuple[FloatArray, FloatArray]:
    """The best node of each block of the exponent grid, weighted by exp(−BIC/2); fewer than five
    runs say nothing yet."""
    if len(chosen) < 5:
        return PUBLISHED[None], np.ones(1)
    part = select_rows(pool.table, chosen)
    task = make_task(CHINCHILLA, part.params, tokens=part.tokens, loss=part.loss, delta=DELTA)
    theta, _ = scan_exponents(task)
    laws = CHINCHILLA.to_coefficients(theta[:most], task.axes)
    missed = np.log(CHINCHILLA.loss(laws[:, None, :], part.params, part.tokens) / part.loss)
    variance = np.maximum(np.mean(missed**2, axis=1), SIGMA**2)
    logs = -0.5 * len(part) * np.log(variance)  # every law has the same number of parameters
    weights = np.exp(logs - logs.max())
    keep = weights > 1e-3
    return laws[keep], weights[keep] / weights[keep].sum()


def believe(pool: Pool, chosen: list[int], laws: FloatArray, weights: FloatArray) -> Belief:
    x, y = np.log(pool.table.params), np.log(pool.table.tokens)
    logs, slopes, covariance = [], [], []
    for law in laws:
        log_loss = np.log(CHINCHILLA.loss(law, pool.table.params, pool.table.tokens))
        centre = (float(x.mean()), float(y.mean()), float(log_loss.mean()))
        axes = Axes(x=x - centre[0], y=y - centre[1], centre=centre)
        _, gradient = CHINCHILLA.log_loss(CHINCHILLA.to_theta(law[None], axes), axes)
        one = gradient[0].T
        seen = one[chosen]
        logs.append(log_loss)
        slopes.append(one)
        covariance.append(np.linalg.inv(seen.T @ seen / SIGMA**2 + np.diag(1 / WIDTHS**2)))
    return Belief(weights, np.stack(logs), np.stack(slopes), np.stack(covariance))


def gain_information(pool: Pool, belief: Belief, left: IntArray) -> FloatArray:
    """ln det grows by ln(1 + leverage)."""
    slopes, covariance = belief.slopes[0, left], belief.covariance[0]
    return np.log1p(np.einsum("kp,pq,kq->k", slopes, covariance, slopes) / SIGMA**2)


def gain_variance(pool: Pool, belief: Belief, left: IntArray) -> FloatArray:
    """Forecast variance that a run takes away, summed over targets and laws."""
    total = np.zeros(left.size)
    for weight, slopes, covariance in zip(
        belief.weights, belief.slopes, belief.covariance, strict=True
    ):
        cross = slopes[pool.targets] @ covariance @ slopes[left].T
        own = np.einsum("kp,pq,kq->k", slopes[left], covariance, slopes[left])
        total += weight * np.sum(cross**2, axis=0) / (SIGMA**2 + own)
    return total


def gain_agreement(pool: Pool, belief: Belief, left: IntArray) -> FloatArray:
    """`gain_variance`, and the disagreement between basins that an outcome is expected to take."""
    total = gain_variance(pool, belief, left)
    weights, targets = belief.weights, pool.targets
    if weights.size < 2:
        return total

    def disagree(share: FloatArray, forecast: FloatArray) -> FloatArray:
        mean = np.einsum("...k,...kt->...t", share, forecast)
        return np.einsum("...k,...kt->...", share, (forecast - mean[..., None, :]) ** 2)

    before = float(disagree(weights, belief.logs[:, targets]))
    nodes, node_weights = QUADRATURE[0], QUADRATURE[1] / QUADRATURE[1].sum()
    for at, row in enumerate(left):
        slope = belief.slopes[:, row]
        along = np.einsum("kpq,kq->kp", belief.covariance, slope)
        variance = SIGMA**2 + np.einsum("kp,kp->k", slope, along)
        gains = np.einsum("ktp,kp->kt", belief.slopes[:, targets], along) / variance[:, None]
        expected = belief.logs[:, row]
        outcome = (expected[:, None] + np.sqrt(variance)[:, None] * nodes).ravel()
        missed = outcome[:, None] - expected
        logs = np.log(weights) - 0.5 * (missed**2 / variance + np.log(variance))
        share = np.exp(logs - logs.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        moved = belief.logs[:, targets] + missed[:, :, None] * gains
        after = float((weights[:, None] * node_weights).ravel() @ disagree(share, moved))
        total[at] += before - after
    return total


METHODS: dict[str, Callable[[Pool, int], IntArray]] = {
    "everything": choose_all,
    "random": choose_randomly,
    "cheapest": choose_cheapest,
    "D-optimal": partial(choose_sequentially, gain=gain_information, exponent=1.0, basins=1),
    "V-optimal": partial(choose_sequentially, gain=gain_variance, exponent=1.0, basins=1),
    "V-optimal, FLOP^0.4": partial(choose_sequentially, gain=gain_variance, exponent=0.4, basins=1),
    "basins": partial(choose_sequentially, gain=gain_agreement, exponent=0.4, basins=16),
    "suggest": choose_suggested,
    "suggest, rate 0": partial(choose_suggested, rate=0.0),
    "suggest, rate .025": partial(choose_suggested, rate=0.025),
    "suggest, rate .1": partial(choose_suggested, rate=0.1),
}


def replay(tables: dict[str, RunTable], job: tuple[str, str, int]) -> tuple[float, float, int]:
    method, name, seed = job
    pool = make_pool(tables[name], seed)
    try:
        rows = METHODS[method](pool, seed)
    except QueryError:
        return 1.0, 1.0, 0
    return *judge(pool, rows), rows.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--pools", type=int, default=6)
    asked = parser.parse_args()
    print(f"machine: {name_processor()}, numpy {np.__version__}")
    tables = load(asked.tables)
    jobs = [(method, name, seed) for method in METHODS for name in tables
            for seed in range(asked.pools)]  # fmt: skip
    with ProcessPoolExecutor() as executor:
        found = np.array(list(executor.map(partial(replay, tables), jobs, chunksize=4)))
    found = found.reshape(len(METHODS), len(tables), asked.pools, 3)
    errors = np.exp(np.log(found[..., :2]).mean(axis=2))
    counts = found[..., 2].mean(axis=2)
    no_epoch = np.array([name != "epoch" for name in tables])
    for which, words in enumerate(("every run alike", "by the runs near the forecast")):
        print(f"{words:29s}" + "".join(f"{name:>18s}" for name in tables))
        for method, row, runs in zip(METHODS, errors[..., which], counts, strict=True):
            cells = "".join(
                f"{error:>11.2%} ({count:4.0f})" for error, count in zip(row, runs, strict=True)
            )
            logs = np.log(row / errors[0, :, 0])
            ratios = f"×{np.exp(logs.mean()):.2f} ×{np.exp(logs[no_epoch].mean()):.2f}"
            print(f"{method:29s}{cells}   {ratios}", flush=True)
    covered = []
    for name in tables:
        pool = make_pool(tables[name], 0)
        share, width = cover(pool, choose_suggested(pool, 0))
        covered.append(f"{share:>11.2f} ({width:4.2f})")
    print(f"{'held (ln width)':29s}" + "".join(covered))


if __name__ == "__main__":
    main()
