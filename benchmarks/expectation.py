"""Expected intervals of a dry run against those of the finished runs: ratio of their half-widths.

    python benchmarks/expectation.py [--results results/code …] [--worlds 3] [--draws 10]

Of a results folder, its own cells are simulated from the ensemble fitted to them
(`plan --simulate --prior-law`), and the expected interval of each forecast budget (a decade beyond
the data where none is named) is laid beside that of `allocate` on the folder itself. Of simulated
worlds (tests/fitting/known_law.py: Chinchilla's law, 5 x 5 cells, sigma .64 %), one sweep is the
prior of the next. Printed: ratio of ln high − ln low by quantity, and the median over all.
"""

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fitting"))
from known_law import simulate

from scaling.allocation import allocate
from scaling.design.expectation import simulate_design
from scaling.design.prior import read_prior
from scaling.errors import ScalingWarning
from scaling.fitting.budgets import list_flops
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Fit
from scaling.tables.run_table import RunTable
from scaling.workflow.stored import read_runs

QUANTITIES = ("params", "tokens", "loss")
DECADE = 10.0


def compare(name: str, table: RunTable, believed: Fit, draws: int) -> list[float]:
    """Ratios of expected to delivered widths, for a decade beyond a table's runs."""
    flops = DECADE * float(list_flops(table).max())
    prior = read_prior(believed, sigma=None, answering=True)
    law = prior.law.loss(prior.letters, table.params, table.tokens)
    design = table.replace(loss=law)
    expected = simulate_design(design, prior, flops=[flops], draws=draws).answers[0]
    delivered = allocate(fit_runs(table, bootstrap=300), flops, far=True, anyway=True)
    ratios = []
    words = []
    for what in QUANTITIES:
        interval, width = getattr(delivered, f"{what}_interval"), expected.widths[what]
        if interval is None or width is None:
            continue
        ratios.append(width / float(np.log(interval.high / interval.low)))
        words.append(f"{what} {ratios[-1]:.2f}")
    print(f"{name:16s} expected over delivered width: {', '.join(words)}", flush=True)
    return ratios


def list_pairs(asked: argparse.Namespace) -> Iterator[tuple[str, RunTable, Fit]]:
    for folder in asked.results:
        table, _ = read_runs(folder)
        yield folder.name, table, fit_runs(table, bootstrap=300)
    for seed in range(asked.worlds):
        believed = fit_runs(simulate(seed=seed), bootstrap=100)
        yield f"world {seed}", simulate(seed=1000 + seed), believed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=Path, nargs="*", default=[])
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=10)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ScalingWarning)
    ratios = [
        ratio
        for name, table, believed in list_pairs(asked)
        for ratio in compare(name, table, believed, asked.draws)
    ]
    print(f"median {np.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
