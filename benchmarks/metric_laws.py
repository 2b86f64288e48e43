"""Coverage of the forecasts of metric laws, and how often noise passes for a law, in simulation.

    python benchmarks/metric_laws.py --worlds 200

A world is a grid of N and D with three seeds: a power law (or one of N alone, one that bends, or
noise alone), times log-normal noise. Reported: share of worlds whose law is supported, of forecasts
of the largest size inside their 90 % intervals, and of exponents inside theirs.
"""

import argparse
import itertools
from collections.abc import Callable

import numpy as np

from scaling.fitting.metric_laws.judged import judge_metric
from scaling.tables.metrics import AskedMetric, Metric
from scaling.tables.run_table import RunTable, make_table

SIZES, TOKENS, SEEDS = np.geomspace(4e3, 64e3, 5), np.geomspace(3e5, 4.8e6, 3), 3
Truth = Callable[[np.ndarray, np.ndarray], np.ndarray]
WORLDS: dict[str, tuple[Truth, np.ndarray]] = {
    "N and D": (lambda n, d: 0.1 + 60.0 * n**-0.6 + 400.0 * d**-0.5, TOKENS),
    "N alone": (lambda n, d: 0.05 + 60.0 * n**-0.6, TOKENS[:1]),
    "bends": (lambda n, d: 0.05 + 60.0 * n**-0.6 / (1.0 + (n / 6e4) ** 2), TOKENS[:1]),
    "noise": (lambda n, d: np.full(n.size, 0.4), TOKENS),
}


def simulate(truth: Truth, tokens: np.ndarray, noise: float, seed: int) -> RunTable:
    """The runs of one world."""
    cells = np.array(list(itertools.product(SIZES, tokens, range(SEEDS))))
    n, d = cells[:, 0], cells[:, 1]
    drawn = np.random.default_rng(seed).standard_normal(n.size)
    metric = Metric(name="m", values=truth(n, d) * np.exp(noise * drawn), higher_is_better=False)
    return make_table(n, d, loss=np.full(n.size, 2.0), seed=cells[:, 2], metrics=(metric,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--noise", type=float, default=0.03)
    given = parser.parse_args()
    for name, (truth, tokens) in WORLDS.items():
        judged = [
            judge_metric(simulate(truth, tokens, given.noise, seed), AskedMetric(name="m"))
            for seed in range(given.worlds)
        ]
        cells = [cell for one in judged if one.forecast for cell in one.forecast.cells]
        known = [one.intervals["alpha"] for one in judged if one.supported and name[0] == "N"]
        supported = np.mean([one.supported for one in judged])
        print(f"{name}: supported {supported:.2f}, forecasts {len(cells)}", end="")
        if cells:
            print(f", inside {np.mean([one.inside for one in cells]):.2f}", end="")
        if known:
            print(
                f", alpha inside {np.mean([one.low < 0.6 < one.high for one in known]):.2f}", end=""
            )
        print()


if __name__ == "__main__":
    main()
