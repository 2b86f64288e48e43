"""Forecasts of expensive runs from cheap ones, on published tables.

    python benchmarks/extrapolate.py --tables ../shared/data [--draws 300] [--leave-one-out]

Of each table the top decile in C is forecast from the runs at or below the q25, q50 and q75
quantile of C, by Chinchilla's law (Huber 1e-3, every run) and by the ensemble of laws. Printed:
mean absolute relative error, signed bias, the share of runs inside the 90 % interval of a new run
(rows of a table share one fit: read coverage per table), its median log width and its interval
score (Gneiting & Raftery 2007, doi:10.1198/016214506000001437, eq. 43, of ln L: width, plus 20
times what lies outside), with recipe and model error and without; then medians and means over
tables, the median width against a cap, and on how many tables the ensemble is the worse of the two.
With --leave-one-out the prior of model error is measured anew for each table on the six others.

Tables: Epoch's 240 points; marin (comma, dclm), regular runs; misfitting, best learning rate of
each (N, D); datablations, one epoch; Porian et al., tuned, RefinedWeb and OpenWebText2. The tables
are others' work and not part of this repository.
"""

import argparse
import dataclasses
import unittest.mock
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import scaling.fitting.bracket as bracket
import scaling.fitting.discrepancy as discrepancy
from scaling.allocation import predict
from scaling.errors import ScalingError, ScalingWarning
from scaling.fitting.budgets import list_flops
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Fit
from scaling.ledger.machine import name_processor
from scaling.tables.run_table import RunTable, make_table, select_rows

QUANTILES = (0.25, 0.5, 0.75)
# A decade of compute moves ln L by about .1 on these tables: an interval of more than two and a
# half decades is useless, whatever its coverage.
WIDEST = 0.25
WORSE = 1e-4  # relative to the error: less is rounding
LEAST_RATE = 0.005  # a miss per √decade below this is explained by the coefficients' errors


def load(folder: Path) -> dict[str, RunTable]:
    epoch = pd.read_csv(folder / "epoch_chinchilla.csv").nsmallest(240, "loss")
    marin = pd.read_csv(folder / "marin_isoflop_comma_dclm.csv")
    marin = marin[~marin.validation_optimal.astype(bool)]
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
    more = {
        name: frame[name].to_numpy()
        for name in ("budget", "seed", "loss_se")
        if name in frame and frame[name].notna().all()
    }
    return make_table(columns["N"], columns["D"], loss=columns["loss"], flops=columns["C"], **more)


def forecast(table: RunTable, quantile: float, family: str, draws: int) -> dict[str, float] | None:
    flops = list_flops(table)
    below = np.flatnonzero(flops <= np.quantile(flops, quantile))
    test = select_rows(table, np.flatnonzero(flops >= np.quantile(flops, 0.9)))
    fit_again = partial(
        fit_runs,
        select_rows(table, below),
        approach="parametric",
        family=family,
        huber_delta=1e-3,
        bootstrap=draws,
    )
    fit = fit_again()
    with unittest.mock.patch.object(bracket, "_MOVED", 0.0):
        alike = fit_again()
    try:
        bare = judge(dataclasses.replace(alike, discrepancy=None), test)
        judged = judge(fit, test)
    except ScalingError:
        return None
    reach = np.log10(list_flops(test).mean() / flops[below].max())
    rate = abs(judged["bias"]) / np.sqrt(reach)
    return {**judged, "bare": bare["score"], "rate": rate}


def judge(fit: Fit, test: RunTable) -> dict[str, float]:
    """Errors of a fit's forecasts, and what its 90 % intervals are worth."""
    errors, inside, widths, scores = [], [], [], []
    for at in range(len(test)):
        answer = predict(fit, params=test.params[at], tokens=test.tokens[at], far=True, anyway=True)
        errors.append(answer.loss / test.loss[at] - 1.0)
        interval = answer.new_run_interval
        assert interval is not None
        low, high, seen = np.log([interval.low, interval.high, test.loss[at]])
        inside.append(low <= seen <= high)
        widths.append(high - low)
        scores.append(high - low + 20.0 * max(0.0, low - seen, seen - high))
    return {
        "error": float(np.mean(np.abs(errors))),
        "bias": float(np.mean(errors)),
        "coverage": float(np.mean(inside)),
        "width": float(np.median(widths)),
        "score": float(np.mean(scores)),
    }


def list_rates(table: RunTable) -> list[float]:
    """ln of the rates by which Chinchilla's law misses on a table, if it misses at all."""
    found = [forecast(table, quantile, "chinchilla", 2) for quantile in QUANTILES]
    return [np.log(one["rate"]) for one in found if one and one["rate"] > LEAST_RATE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--leave-one-out", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ScalingWarning)
    print(f"machine: {name_processor()}, numpy {np.__version__}")
    tables = load(asked.tables)
    medians: dict[tuple[str, float], list[dict[str, float]]] = {}
    rates = {name: list_rates(one) for name, one in tables.items()} if asked.leave_one_out else {}
    for name, table in tables.items():
        if asked.leave_one_out:
            others = np.concatenate([rates[other] for other in tables if other != name])
            prior = float(np.exp(others.mean())), float(others.std())
            discrepancy.ONE_LAW = dataclasses.replace(
                discrepancy.ONE_LAW, median=prior[0], log_width=prior[1]
            )
            print(f"{name:13s} prior of the others: median {prior[0]:.3f}, spread {prior[1]:.2f}")
        for quantile in QUANTILES:
            words = [f"{name:13s} q{100 * quantile:.0f}"]
            for family in ("chinchilla", "ensemble"):
                found = forecast(table, quantile, family, asked.draws)
                if found is None:
                    words.append(f"{family}: no fit" + 30 * " ")
                    continue
                medians.setdefault((family, quantile), []).append(found)
                words.append(
                    f"{family}: error {found['error']:6.2%} bias {found['bias']:+7.2%} "
                    f"inside {found['coverage']:4.0%} width {found['width']:.3f} "
                    f"score {found['score']:.3f} (bare {found['bare']:.3f})"
                )
            print("   ".join(words), flush=True)
    for (family, quantile), rows in sorted(medians.items()):
        middle = {key: float(np.median([row[key] for row in rows])) for key in ("error", "width")}
        mean = {key: float(np.mean([row[key] for row in rows])) for key in ("score", "bare")}
        print(
            f"{len(rows)} tables, {family}, q{100 * quantile:.0f}: median error "
            f"{middle['error']:.2%}, median width {middle['width']:.3f}, "
            f"mean score {mean['score']:.3f} (bare {mean['bare']:.3f}); "
            f"{'better' if mean['score'] < mean['bare'] else 'no better'} than the bootstrap, "
            f"{'within' if middle['width'] <= WIDEST else 'beyond'} the cap of {WIDEST}"
        )
    for quantile in QUANTILES:
        pairs = zip(medians["chinchilla", quantile], medians["ensemble", quantile], strict=True)
        worse = [mixed["error"] - plain["error"] for plain, mixed in pairs]
        count = sum(more > WORSE for more in worse)
        print(
            f"q{100 * quantile:.0f}: the ensemble's error is larger on {count} of {len(worse)} "
            f"tables, at most by {max(0.0, *worse):.2%}"
        )


if __name__ == "__main__":
    main()
