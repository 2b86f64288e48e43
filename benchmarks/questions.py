"""What answers to questions rest on: coverage of the compute that a loss takes, and R of repeats.

    python benchmarks/questions.py --sweeps 100
    python benchmarks/questions.py --tables ../shared/data

The first draws sweeps from a known law and asks each for the compute behind a loss, inside the
data and at ten times them, with and without service, and beside it for the budget that reaches that
loss: fitted as tables of others are (Huber 1e-3, a sixth of the noise here) and as own sweeps with
replicates are (1.345 of the noise). The second fits R of Muennighoff et al.'s D' alone
(arXiv:2305.16264, eq. 5) to their 182 runs, their other constants held.
"""

import argparse
import csv
import math
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from scaling.allocation import Question, allocate
from scaling.errors import ScalingError
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Fit, Interval
from scaling.fitting.parametric import DEFAULT_DELTA, HUBER_EFFICIENCY
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import make_table
from scaling.units import FloatArray

# Epoch's refit of Hoffmann et al. (arXiv:2404.10102).
LAW = np.array([1.8172, 477.8, 2143.4, 0.34731, 0.36717])
SIGMA = 0.0064  # seed noise at CPU scale (docs/measurements/prototype.md)
SERVED = 2e12
# Muennighoff et al.'s e, a, b and alpha = beta.
BASE = (math.exp(0.6254804), math.exp(6.255414), math.exp(7.3049974), 0.3526596)
HUBER = 1e-3


def measure_coverage(sweeps: int, delta: float) -> None:
    """How often the interval of C, N and the loss holds the truth, nominal .90."""
    flops = np.repeat(np.geomspace(1e19, 1e22, 7), 7)
    centre, _ = find_frontier(CHINCHILLA, LAW, flops=flops, cost=SIX_ND)
    params = centre * np.tile(np.geomspace(0.25, 4, 7), 7)
    tokens = flops / (6 * params)
    clean = CHINCHILLA.loss(LAW, params, tokens)

    def fit(noise: FloatArray, bootstrap: int | None) -> Fit:
        loss = clean * np.exp(noise)
        table = make_table(params, tokens, loss=loss, flops=flops, budget=flops, cost=SIX_ND)
        return fit_runs(table, bootstrap=bootstrap, huber_delta=delta)

    exact = fit(np.zeros(49), None)
    inside, beyond = (allocate(exact, budget).loss for budget in (1e21, 1e23))
    asked = {
        "inside": Question(target_loss=inside),
        "10x": Question(target_loss=beyond),
        "10x, served": Question(target_loss=beyond, inference_tokens=SERVED),
        "budget": Question(flops=1e21),
        "budget, 10x": Question(flops=1e23),
    }
    truths = {name: allocate(exact, one, far=True) for name, one in asked.items()}
    held: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in asked}
    for seed in range(sweeps):
        fitted = fit(SIGMA * np.random.default_rng(1000 + seed).standard_normal(49), 200)
        for name, question in asked.items():
            truth = truths[name]
            try:
                answer = allocate(fitted, question, far=True)
            except ScalingError:  # the floor lies above the target
                held[name].append((0.0, 0.0, 0.0, math.inf))
                continue
            c = answer.flops_interval
            held[name].append(
                (
                    _holds(c, truth.flops),
                    _holds(answer.params_interval, truth.params),
                    _holds(answer.loss_interval, truth.loss),
                    math.nan if c is None else math.log(c.high / c.low),
                )
            )
    print(f"Huber's delta {delta:g}, {sweeps} sweeps: coverage, median width of ln C")
    for name, found in held.items():
        of_c, of_n, of_loss, width = np.array(found).T
        stated = math.isnan(of_c[0])
        of_what = f"loss {of_loss.mean():.2f}" if stated else f"C {of_c.mean():.2f}"
        wide = "" if stated else f"  ln C {np.median(width):.3g}"
        print(f"  {name:12} {of_what:9}  N {of_n.mean():.2f}{wide}", flush=True)


def _holds(interval: Interval | None, truth: float | None) -> float:
    """1 or 0; nan where there is none, for the number is what was asked by."""
    if interval is None or truth is None:
        return math.nan
    return float(interval.low <= truth <= interval.high)


def fit_worth(tables: Path) -> None:
    """R of D' alone, over all runs and those of at most four epochs."""
    with (tables / "datablations_182.csv").open() as file:
        rows = [
            [float(row[name]) for name in ("N", "D", "U", "loss")] for row in csv.DictReader(file)
        ]
    data = np.array(rows).T
    n, d, u, _ = data
    few = d / np.minimum(u, d) <= 4
    rng = np.random.default_rng(0)
    drawn = [_fit_r(data[:, rng.integers(n.size, size=n.size)])[0] for _ in range(100)]
    for name, part in (("all", data), ("at most 4 epochs", data[:, few])):
        r, objective = _fit_r(part)
        print(f"{name}: {part.shape[1]} runs, R {r:.3g}, objective {objective:.6f}")
    print("bootstrap of all, 90 %:", np.quantile(drawn, [0.05, 0.95]).round(2))


def _fit_r(data: FloatArray) -> tuple[float, float]:
    def lose(log_r: float) -> float:
        n, d, u, loss = data
        r, fresh = math.exp(log_r), np.minimum(u, d)
        worth = fresh * (1 + r * -np.expm1(-(d / fresh - 1) / r))
        e, a, b, alpha = BASE
        gap = np.abs(np.log(e + a / n**alpha + b / worth**alpha) - np.log(loss))
        return float(np.where(gap <= HUBER, gap**2 / 2, HUBER * (gap - HUBER / 2)).sum())

    grid = np.linspace(-1.0, 6.0, 141)
    start = grid[int(np.argmin([lose(value) for value in grid]))]
    found = minimize_scalar(lose, bounds=(start - 0.1, start + 0.1), method="bounded")
    return math.exp(found.x), float(found.fun)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=0)
    parser.add_argument("--tables", type=Path, default=None)
    options = parser.parse_args()
    if options.sweeps:
        for delta in (DEFAULT_DELTA, HUBER_EFFICIENCY * SIGMA):
            measure_coverage(options.sweeps, delta)
    if options.tables:
        fit_worth(options.tables)
