"""Standard errors of truncation, against the spread of its errors over simulated tables.

    python benchmarks/truncate.py [--tables 40]

Six budgets of seven sizes on a known law of Chinchilla's form, sigma .5 %, δ as replicates would
give it. Printed per step: mean error and its standard deviation over tables, the mean of the stated
standard error; the same of the change; how often the step counts as enough.
"""

import argparse

import numpy as np

from scaling.fitting.parametric import HUBER_EFFICIENCY
from scaling.fitting.truncation import truncate_runs
from scaling.laws.registry import find_family
from scaling.tables.run_table import RunTable, make_table, sort_rows
from scaling.units import align_columns

LETTERS = np.array([1.7, 400.0, 1500.0, 0.34, 0.33])
SIGMA = 0.005


def simulate(seed: int) -> RunTable:
    rng = np.random.default_rng(seed)
    flops = np.repeat(np.geomspace(1e18, 1e20, 6), 7)
    params = 0.1 * np.sqrt(flops) * np.tile(np.geomspace(0.25, 4.0, 7), 6)
    tokens = flops / 6.0 / params
    loss = find_family("chinchilla").loss(LETTERS, params, tokens)
    loss = loss * np.exp(SIGMA * rng.standard_normal(42))
    return sort_rows(make_table(params, tokens, loss=loss, flops=flops, budget=flops))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=40)
    seen: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for seed in range(parser.parse_args().tables):
        found = truncate_runs(
            simulate(seed), "chinchilla", delta=HUBER_EFFICIENCY * SIGMA, seed=seed
        )
        for curve in found.curves:
            for step in curve.steps:
                values = (step.error, step.standard_error, step.change, step.change_error)
                known = [value for value in values if value is not None]
                if len(known) == len(values):
                    row = (*known, float(step.is_enough))
                    seen.setdefault((curve.drops, step.fitted), []).append(row)
    rows: list[tuple[str, ...]] = [
        ("drops", "fitted", "tables", "error", "sd", "stated", "change", "sd", "stated", "enough")
    ]
    for (drops, fitted), table in seen.items():
        values = np.array(table)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        shares = (mean[0], spread[0], mean[1], mean[2], spread[2], mean[3])
        rows.append(
            (drops, str(fitted), str(len(table)), *(f"{x:.2%}" for x in shares), f"{mean[4]:.2f}")
        )
    print("\n".join(align_columns(rows)))


if __name__ == "__main__":
    main()
