"""Forecasts of expensive runs from cheap ones, on published tables.

    python benchmarks/extrapolate.py --tables ../shared/data [--draws 300]

Of each table the top decile in C is forecast from the runs at or below the q25, q50 and q75
quantile of C, by Chinchilla's law (Huber 1e-3, every run) and by the mixture of laws. Printed:
mean absolute relative error, signed bias, the share of runs inside the 90 % interval of a new run
(rows of a table share one fit: read coverage per table), and the median over tables.

Tables: Epoch's 240 points; marin (comma, dclm), regular runs; misfitting, best learning rate of
each (N, D); datablations, one epoch; Porian et al., tuned, RefinedWeb and OpenWebText2. The tables
are others' work and not part of this repository.
"""

from __future__ import annotations

import argparse
import platform
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from scaling.allocation import predict
from scaling.errors import ScalingError, ScalingWarning
from scaling.fitting.budgets import list_flops
from scaling.fitting.engine import fit_runs
from scaling.ledger.tables import RunTable, make_table, select_rows

QUANTILES = (0.25, 0.5, 0.75)


def load(folder: Path) -> dict[str, RunTable]:
    epoch = pd.read_csv(folder / "epoch_chinchilla.csv").nsmallest(240, "loss")
    marin = pd.read_csv(folder / "marin_isoflop_comma_dclm.csv")
    marin = marin[~marin.validation_optimal.astype(bool)].assign(C=lambda one: one.C_6ND)
    misfitting = pd.read_csv(folder / "misfitting_final.csv").assign(C=lambda one: one.C_6ND)
    best = misfitting.groupby(["N", "D"]).loss.idxmin()
    data = pd.read_csv(folder / "datablations_182.csv")
    porian = pd.read_csv(folder / "porian_isoflop.csv")
    return {
        "epoch": convert(epoch),
        "marin comma": convert(marin[marin.data == "comma"]),
        "marin dclm": convert(marin[marin.data == "dclm"]),
        "misfitting": convert(misfitting.loc[best]),
        "datablations": convert(data[data.epochs <= 1.0001]),
        "porian rw": convert(porian[porian.source == "rw|tuned|short|const|standard|val"]),
        "porian owt2": convert(porian[porian.source == "owt2|tuned|short|const|standard|val"]),
    }


def convert(frame: pd.DataFrame) -> RunTable:
    columns = {name: frame[name].to_numpy(dtype=float) for name in ("N", "D", "C", "loss")}
    return make_table(columns["N"], columns["D"], loss=columns["loss"], flops=columns["C"])


def forecast(table: RunTable, quantile: float, family: str, draws: int) -> dict[str, float] | None:
    flops = list_flops(table)
    below = np.flatnonzero(flops <= np.quantile(flops, quantile))
    test = select_rows(table, np.flatnonzero(flops >= np.quantile(flops, 0.9)))
    fit = fit_runs(
        select_rows(table, below),
        approach="parametric",
        family=family,
        huber_delta=1e-3,
        bootstrap=draws,
    )
    errors, inside, widths = [], [], []
    try:
        for at in range(len(test)):
            answer = predict(
                fit, params=test.params[at], tokens=test.tokens[at], far=True, anyway=True
            )
            errors.append(answer.loss / test.loss[at] - 1.0)
            interval = answer.new_run_interval
            assert interval is not None
            inside.append(interval.low <= test.loss[at] <= interval.high)
            widths.append(np.log(interval.high / interval.low))
    except ScalingError:
        return None
    return {
        "error": float(np.mean(np.abs(errors))),
        "bias": float(np.mean(errors)),
        "coverage": float(np.mean(inside)),
        "width": float(np.median(widths)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=300)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ScalingWarning)
    print(f"machine: {platform.processor() or platform.machine()}, numpy {np.__version__}")
    tables = load(asked.tables)
    medians: dict[tuple[str, float], list[float]] = {}
    for name, table in tables.items():
        for quantile in QUANTILES:
            words = [f"{name:13s} q{100 * quantile:.0f}"]
            for family in ("chinchilla", "mixture"):
                found = forecast(table, quantile, family, asked.draws)
                if found is None:
                    words.append(f"{family}: no fit" + 30 * " ")
                    continue
                medians.setdefault((family, quantile), []).append(found["error"])
                words.append(
                    f"{family}: error {found['error']:6.2%} bias {found['bias']:+7.2%} "
                    f"inside {found['coverage']:4.0%} width {found['width']:.3f}"
                )
            print("   ".join(words), flush=True)
    for (family, quantile), errors in sorted(medians.items()):
        count, middle = len(errors), float(np.median(errors))
        print(f"median over {count} tables, {family}, q{100 * quantile:.0f}: {middle:.2%}")


if __name__ == "__main__":
    main()
