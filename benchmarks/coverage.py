"""Coverage of the answer's intervals at ten times the data, in simulated worlds.

    python benchmarks/coverage.py [--sweeps 200]

Worlds: `right` (Chinchilla's law holds), `rate` (runs at both ends of D lose 1 % to a poor
learning rate, which the law absorbs without a trace in its residuals), `count` (the law holds in
another count of N than the one that is fitted). Sweeps of 5 x 7 cells over two decades, sigma
.64 %. Printed for several sizes of the allowance for model error (LOSS_DRIFT, PARAMS_DRIFT of
allocation.py): the share of sweeps whose 90 % interval holds the true lowest loss and the true N*.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fitting"))
from known_law import NOISE, TRUTH, design_isoflop

import scaling.allocation as allocation
from scaling.fitting.engine import fit_runs
from scaling.laws.chinchilla import CHINCHILLA
from scaling.ledger.tables import RunTable, make_table
from scaling.units import FloatArray

FAR = 1e14  # a decade beyond the largest budget
PENALTY = 0.01
VOCABULARY = 256
SHARES = (0.0, 0.25, 0.5, 1.0)


def count_otherwise(params: FloatArray) -> FloatArray:
    """N without a quarter of the head of a model with N = 12·d^3: another convention."""
    head = VOCABULARY * (params / 12.0) ** (1.0 / 3.0)
    return np.maximum(params - 0.25 * head, 0.2 * params)


def simulate(world: str, seed: int) -> tuple[RunTable, float, float]:
    """A sweep, and the true lowest loss and N* at FAR."""
    params, tokens, budget = design_isoflop(budgets=5, sizes=7, ends=(1e11, 1e13))
    counted = count_otherwise if world == "count" else np.asarray
    loss = CHINCHILLA.loss(TRUTH, counted(params), tokens)
    if world == "rate":
        logs = np.log(tokens)
        place = 2.0 * (logs - logs.min()) / np.ptp(logs) - 1.0
        loss = loss * (1.0 + PENALTY * place**2)
    noise = np.exp(NOISE * np.random.default_rng(seed).standard_normal(params.size))
    sizes = np.geomspace(1e3, 1e9, 20_001)
    lowest = CHINCHILLA.loss(TRUTH, counted(sizes), FAR / 6.0 / sizes)
    at = int(np.argmin(lowest))
    table = make_table(params, tokens, loss=loss * noise, budget=budget)
    return table, float(lowest[at]), float(sizes[at])


def judge(world: str, seed: int) -> list[list[bool]]:
    """For each share of the allowance, whether loss and N* are covered."""
    table, loss, params = simulate(world, seed)
    fit = fit_runs(table, bootstrap=200, huber_delta=1.345 * NOISE)
    whole = allocation.LOSS_DRIFT, allocation.PARAMS_DRIFT
    covered = []
    for share in SHARES:
        allocation.LOSS_DRIFT, allocation.PARAMS_DRIFT = (share * one for one in whole)
        answer = allocation.allocate(fit, FAR, far=True, anyway=True)
        pairs = ((answer.loss_interval, loss), (answer.params_interval, params))
        covered.append([one is not None and one.low <= true <= one.high for one, true in pairs])
    allocation.LOSS_DRIFT, allocation.PARAMS_DRIFT = whole
    return covered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sweeps", type=int, default=200)
    asked = parser.parse_args()
    for world in ("right", "rate", "count"):
        with ProcessPoolExecutor() as pool:
            found = np.array(list(pool.map(partial(judge, world), range(asked.sweeps))))
        for share, (loss, params) in zip(SHARES, found.mean(axis=0), strict=True):
            print(f"{world:6s} allowance ×{share:<5g} loss {loss:.3f}  N* {params:.3f}", flush=True)


if __name__ == "__main__":
    main()
