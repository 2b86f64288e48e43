"""Coverage of the compute multiplier when two recipes share cells and noise, in simulated worlds.

    python benchmarks/pairs.py [--tables 150] [--bootstrap 200]

Recipe B is worth 1.2 times the parameters and tokens (`alike`), or has other exponents (`steeper`).
Noise on ln loss has sigma .64 % and a correlation between the two runs of a cell. `apart` draws
each table's clusters by themselves, `together` those that both share in both or in neither, as
`compare` does. Printed: the share of the nominal 90 % intervals of the multiplier that hold it, and
their median width in ln m.
"""

import argparse
import sys
import unittest.mock
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fitting"))
from known_law import NOISE, TRUTH, design_isoflop

import scaling.compare.multiplier as comparison
from scaling.fitting.noise import join_clusters, list_clusters
from scaling.fitting.parametric import ParametricFit, fit_parametric
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.family import LawFamily
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import RunTable, make_table
from scaling.units import FloatArray, IntArray

GAIN = 1.2
ASKED = 1e13
# B's law: the same exponents, or steeper ones with the same loss near N = 5e4, D = 3e6.
ALIKE = TRUTH * np.array([1.0, GAIN ** -TRUTH[3], GAIN ** -TRUTH[4], 1.0, 1.0])
STEEPER = np.array([0.75, ALIKE[1] * 5e4**0.12, ALIKE[2] * 3e6**0.12, 0.47, 0.42])
WORLDS = {"alike": ALIKE, "steeper": STEEPER}
DESIGNS = {"5x5": (5, 5), "5x7": (5, 7), "3x5": (3, 5)}  # 3x5: too few cells to resample


def cluster_apart(first: RunTable, second: RunTable) -> IntArray:
    """What was done before: no cluster in common."""
    own = list_clusters(first)
    return np.concatenate((own, list_clusters(second) + own.max() + 1))


def simulate(law: FloatArray, design: str, correlation: float, seed: int) -> list[RunTable]:
    budgets, sizes = DESIGNS[design]
    params, tokens, _ = design_isoflop(budgets=budgets, sizes=sizes, span=6.0, ends=(1e11, 1e13))
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(params.size)
    tables = []
    for letters in (TRUTH, law):
        own = rng.standard_normal(params.size)
        noise = np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * own
        loss = CHINCHILLA.loss(letters, params, tokens) * np.exp(NOISE * noise)
        tables.append(make_table(params, tokens, loss=loss))
    return tables


def find_truth(law: FloatArray) -> float:
    def lowest(letters: FloatArray, flops: float) -> float:
        params, tokens = find_frontier(CHINCHILLA, letters, flops=np.array([flops]), cost=SIX_ND)
        return float(CHINCHILLA.loss(letters, params, tokens)[0])

    target = lowest(TRUTH, ASKED)
    found = brentq(lambda log_c: lowest(law, np.exp(log_c)) - target, np.log(1e10), np.log(1e16))
    return float(np.exp(found) / ASKED)


def judge(tables: list[RunTable], bootstrap: int) -> list[list[float]]:
    """Of `apart` and `together`: the interval of m, and whether one pair of exponents is shared."""
    known: dict[bytes, ParametricFit] = {}

    def fit_once(table: RunTable, law: LawFamily, **options: Any) -> ParametricFit:
        """Both ways have the same point fits."""
        key = law.name.encode() + table.loss.tobytes()
        if key not in known:
            known[key] = fit_parametric(table, law, **options)
        return known[key]

    found = []
    for join in (cluster_apart, join_clusters):
        with unittest.mock.patch.multiple(comparison, join_clusters=join, fit_parametric=fit_once):
            answer = comparison.compare(
                *tables, flops=ASKED, bootstrap=bootstrap, huber_delta=1.345 * NOISE
            )
        ends = answer.multiplier_interval
        assert ends is not None
        found.append([ends.low, ends.high, float(answer.shared)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=int, default=150)
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=WORLDS)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=DESIGNS)
    asked = parser.parse_args()
    for world in asked.worlds:
        truth = find_truth(WORLDS[world])
        for design in asked.designs:
            for correlation in (0.0, 0.5, 0.9):
                found = np.array(
                    [
                        judge(simulate(WORLDS[world], design, correlation, seed), asked.bootstrap)
                        for seed in range(asked.tables)
                    ]
                )
                words = [f"{world:8s} {design}  correlation {correlation:.1f}"]
                for way, (low, high, _) in zip(
                    ("apart", "together"), found.transpose(1, 2, 0), strict=True
                ):
                    covered = np.mean((low <= truth) & (truth <= high))
                    width = np.median(np.log(high / low))
                    words.append(f"{way}: covered {covered:.2f}, width {width:.3f}")
                words.append(f"exponents shared in {found[:, 0, 2].mean():.0%}")
                print("   ".join(words), flush=True)


if __name__ == "__main__":
    main()
