"""Accuracy of the statistics of abilities, in simulated worlds whose truth is known.

    python benchmarks/abilities.py midpoint [--worlds 200]    intervals of N½ and of the slope
    python benchmarks/abilities.py links [--worlds 20]        forecasts of the two largest sizes
    python benchmarks/abilities.py modes [--worlds 2000]      alarms of `unimodal`, and its power

`midpoint`: share of the nominal 90 % intervals that hold the truth, by seeds and slope (ln odds per
e-fold). `links`: mean error of the sharp score by a logistic in s, by one in ln s, and by the mean
of both, and the share of 90 % intervals that hold what was measured; exact match is p^L, p^1.5 or
half of p^L. `modes`: share of sweeps refused when scores of a size are uniform (the worst unimodal
case), bell-shaped, or at either end by lot with P at N = 1e5 one half.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from ability_worlds import SIZES, draw_success, independent, make_runs, score, tabulate

from scaling.fitting.abilities.predictability import judge_sizes
from scaling.fitting.abilities.success import fit_success
from scaling.fitting.abilities.two_steps import _Link, forecast_largest, split_sizes

MIDDLE = 1e5
WORLDS = {
    "p^L": independent,
    "p^1.5": lambda n, right: right**1.5,
    "half p^L": lambda n, right: 0.5 * right**4,
}


def rise(n, slope):
    return 1.0 / (1.0 + (MIDDLE / n) ** slope)


def try_midpoint(worlds: int) -> None:
    rng = np.random.default_rng(0)
    for seeds in (8, 24):
        for slope in (1.0, 2.0, 6.0):
            laws = [
                fit_success(draw_success(partial(rise, slope=slope), seeds=seeds, rng=rng))
                for _ in range(worlds)
            ]
            middle = np.mean([one.interval.low <= MIDDLE <= one.interval.high for one in laws])
            steep = np.mean(
                [one.slope_interval.low <= slope <= one.slope_interval.high for one in laws]
            )
            print(f"{seeds} seeds, slope {slope:g}: N½ {middle:.2f}, slope {steep:.2f}")


def try_links(worlds: int) -> None:
    for name, exact in WORLDS.items():
        missed, held = [], []
        for seed in range(worlds):
            scores = score(make_runs(exact, seed=seed))
            found, _ = forecast_largest(scores)
            below = scores.take_cells(split_sizes(scores)[0])
            link = _Link(scores, below.smooth, below.score, below.cell)
            for one in found.outcomes:
                each = [link._evaluate(at, link.beta[at], one.smooth) for at in (0, 1)]
                missed.append([abs(x - one.measured) for x in (*each, one.forecast)])
                held.append(one.inside)
        plain, log, mean = np.mean(missed, axis=0)
        print(f"{name}: s {plain:.3f}, ln s {log:.3f}, mean {mean:.3f}; held {np.mean(held):.2f}")


def try_modes(worlds: int) -> None:
    rng = np.random.default_rng(0)
    for seeds in (8, 24):
        n = np.repeat(SIZES, seeds)
        for name in ("uniform", "bell", "by lot"):
            alarms = 0
            for _ in range(worlds):
                if name == "uniform":
                    exact = rng.random(n.size)
                elif name == "bell":
                    exact = rng.beta(8.0 * rise(n, 1.0), 8.0 * (1.0 - rise(n, 1.0)))
                else:
                    exact = np.where(rng.random(n.size) < rise(n, 2.0), 0.98, 0.02)
                found = judge_sizes(score(tabulate(n, exact, seeds=seeds)))[2]
                alarms += found.passed is False
            print(f"{seeds} seeds, {name}: refused {alarms / worlds:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("midpoint", "links", "modes"))
    parser.add_argument("--worlds", type=int, default=0)
    asked = parser.parse_args()
    tries = {"midpoint": (try_midpoint, 200), "links": (try_links, 20), "modes": (try_modes, 2000)}
    run, usual = tries[asked.what]
    run(asked.worlds or usual)


if __name__ == "__main__":
    main()
