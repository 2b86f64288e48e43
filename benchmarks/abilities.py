"""What the statistics of abilities are worth, in simulated worlds whose truth is known.

    python benchmarks/abilities.py midpoint [--worlds 200]    intervals of N½ and of the slope
    python benchmarks/abilities.py links [--worlds 12]        forecasts of the two largest sizes
    python benchmarks/abilities.py modes [--worlds 2000]      alarms of `unimodal`, and its power

`midpoint`: share of the nominal 90 % intervals that hold the truth, by seeds and slope (ln odds per
e-fold). `links`: mean |error| of the sharp score, the exponent λ of the link, and the share of 90 %
intervals that hold what was measured; exact match is p^L, p^1.5 or half of p^L, none of which is of
the link's form, or a logistic in s or in ln s, its two ends. `modes`: share of sweeps refused when
scores of a size are uniform (the worst unimodal case), bell-shaped, or at either end by lot with P
at N = 1e5 one half.
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
from scaling.fitting.abilities.two_steps import forecast_largest

MIDDLE = 1e5


def find_loss(right):
    """The smooth score behind tokens that are right with p = e^(−.9 s)."""
    return -np.log(right) / 0.9


WORLDS = {
    "p^L": independent,
    "p^1.5": lambda n, right: right**1.5,
    "half p^L": lambda n, right: 0.5 * right**4,
    "logistic in s": lambda n, right: 1.0 / (1.0 + np.exp((find_loss(right) - 0.5) / 0.15)),
    "logistic in ln s": lambda n, right: 1.0 / (1.0 + (find_loss(right) / 0.5) ** (1 / 0.35)),
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


def try_links(worlds: int, first: int = 0) -> None:
    for name, exact in WORLDS.items():
        missed, held, bends = [], [], []
        for seed in range(first, first + worlds):
            found, _ = forecast_largest(score(make_runs(exact, seed=seed)))
            missed += [abs(one.error) for one in found.outcomes]
            held += [one.inside for one in found.outcomes]
            bends.append(found.link.exponent)
        print(
            f"{name}: missed by {np.mean(missed):.3f}, λ {np.mean(bends):.2f}, "
            f"held {np.sum(held)} of {len(held)}",
            flush=True,
        )


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
    parser.add_argument("--first", type=int, default=0, help="of links: seed of the first world")
    asked = parser.parse_args()
    tries = {
        "midpoint": (try_midpoint, 200),
        "links": (partial(try_links, first=asked.first), 12),
        "modes": (try_modes, 2000),
    }
    run, usual = tries[asked.what]
    run(asked.worlds or usual)


if __name__ == "__main__":
    main()
