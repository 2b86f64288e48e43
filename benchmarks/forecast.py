"""How well the default and each of its members forecast: error, coverage, score, width.

    python benchmarks/forecast.py --tables ../shared/data [--results results/code …]
        [--sweeps population.csv] [--draws 200] [--default-only] [--derive]

Cases, each a set of runs that is fitted and one that is forecast:

- of each of seven published tables (benchmarks/extrapolate.py) the top decile in C, from the runs
  at or below the q25, q50 and q75 quantile of C;
- of each results folder its registered forecasts' runs, from the runs of its grid;
- of each text of a CSV of sweeps (columns text, role, N, D, C, budget, loss) the rows whose role is
  `far`, from those whose role is `grid`.

Printed for each case: mean absolute relative error, signed bias, share of runs inside the 90 %
interval of a new run (rows of a case share one fit: read coverage per case), its median log width
and its interval score (of ln L: width, plus 20 times what lies outside); where the forecast runs
are sizes of one budget, also the error of N* against the parabola through them, whether its
interval holds that minimum, and how much loss the recommended N costs. Then, over cases, the
geometric mean of the error over that of Chinchilla's law on all runs, its upper 90 % limit by a
bootstrap over families of tables, the cells that are worse by more than max(15 %, .25 points), mean
score, median width.

With --derive: the power and the shared weight of fitting/ensemble/weights.py, chosen on all
families but one and judged on that one, then on all; and the prior of model error of
fitting/discrepancy.py from what the ensemble's forecasts miss.
"""

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from extrapolate import LEAST_RATE, QUANTILES, convert, judge, load

from scaling.allocation import allocate
from scaling.errors import ScalingError, ScalingWarning
from scaling.fitting.budgets import list_flops
from scaling.fitting.checks.points import find_design_problem
from scaling.fitting.ensemble.members import fit_member
from scaling.fitting.ensemble.weights import list_misses, open_windows
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Fit
from scaling.fitting.noise import estimate_replicate_sigma
from scaling.fitting.parametric import choose_delta
from scaling.laws.ensemble import ENSEMBLE
from scaling.tables.run_table import RunTable, make_table, select_rows, sort_rows
from scaling.units import FloatArray
from scaling.workflow.forecasting import review_forecasts
from scaling.workflow.stored import read_runs

# Tables of one origin form a family: they share authors, recipe and code.
FAMILIES = {"marin comma": "marin", "marin dclm": "marin", "porian rw": "porian"}
FAMILIES |= {"porian owt2": "porian"}
WORSE_SHARE, WORSE_POINTS = 0.15, 0.0025
POWERS, SHARES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0), (0.0, 0.1, 0.25, 0.5, 1.0)
LOWEST_ERROR, REFUTED = 2e-3, 3.0
LEAST_SIZES = 4  # of one budget, for a parabola through them
ONE_BUDGET = 0.2  # in ln C: sizes are rungs, and C follows the batches
RESAMPLINGS = 4000
DEFAULT, PLAIN = "default", "chinchilla"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Runs that are fitted and runs that are forecast; `family` is what is left out as one."""

    name: str
    family: str
    fitted: RunTable
    test: RunTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Misses:
    """Data of a case for a rule of weighting: each member's held-out score (inf: none) and its
    ln forecast − ln measured of every test run, shape (members, k); NaN if it takes no part."""

    case: Case
    score: FloatArray
    test: FloatArray


def list_cases(asked: argparse.Namespace) -> Iterator[Case]:
    for name, table in load(asked.tables).items() if asked.tables else ():
        flops = list_flops(table)
        test = select_rows(table, np.flatnonzero(flops >= np.quantile(flops, 0.9)))
        for quantile in QUANTILES:
            below = np.flatnonzero(flops <= np.quantile(flops, quantile))
            yield Case(
                name=f"{name} q{100 * quantile:.0f}",
                family=FAMILIES.get(name, name),
                fitted=sort_rows(select_rows(table, below)),
                test=test,
            )
    for folder in asked.results:
        yield from read_folder(folder)
    for path in asked.sweeps:
        for text, rows in pd.read_csv(path).groupby("text", sort=True):
            parts = [convert(rows[rows.role == role]) for role in ("grid", "far")]
            yield Case(name=str(text), family=str(text), fitted=sort_rows(parts[0]), test=parts[1])


def read_folder(folder: Path) -> Iterator[Case]:
    """A results folder's grid, and the runs of its registered forecasts."""
    table, stored = read_runs(folder)
    assert stored is not None
    done = [
        (one.registered.forecast.params, float(one.registered.forecast.run.tokens), one.measured)
        for one in review_forecasts(stored).outcomes
        if one.measured is not None
    ]
    if done:
        params, tokens, loss = np.array(done).T
        flops = tokens * table.cost.flops_per_token(params)
        test = make_table(params, tokens, loss=loss, flops=flops)
        yield Case(name=folder.name, family=folder.name, fitted=sort_rows(table), test=test)


def judge_case(case: Case, name: str, draws: int) -> dict[str, float] | None:
    """Forecasts of a case by the default or by one member; None if there are none."""
    table, family = case.fitted, None
    if name != DEFAULT:
        member = next(one for one in ENSEMBLE.members if one.name == name)
        family = member.family.name
        keep = table.tokens >= member.min_ratio * table.params
        table = select_rows(table, np.flatnonzero(keep))
    try:
        fit = fit_runs(table, approach="parametric", family=family, bootstrap=draws)
        return judge(fit, case.test) | judge_size(fit, case.test)
    except ScalingError:
        return None


def judge_size(fit: Fit, test: RunTable) -> dict[str, float]:
    """N* of a fit against a parabola in ln N through the losses of one budget: the error of ln N*,
    whether its interval holds the lowest point, and how far above it the recommended N lies."""
    flops = list_flops(test)
    if len(test) < LEAST_SIZES or np.ptp(np.log(flops)) > ONE_BUDGET:
        return {}
    curve = np.polynomial.Polynomial.fit(np.log(test.params), np.log(test.loss), 2).convert()
    best = float(-0.5 * curve.coef[1] / curve.coef[2])
    if curve.coef[2] <= 0.0 or not np.log(test.params).min() < best < np.log(test.params).max():
        return {}
    answer = allocate(fit, float(np.exp(np.log(flops).mean())), far=True, anyway=True)
    interval = answer.params_interval
    assert interval is not None
    return {
        "size": float(np.log(answer.params) - best),
        "regret": float(curve(np.log(answer.params)) - curve(best)),
        "size_inside": float(interval.low <= np.exp(best) <= interval.high),
    }


def summarise(
    name: str,
    found: dict[str, dict[str, float]],
    base: dict[str, dict[str, float]],
    families: dict[str, str],
) -> str:
    """The line over all cases, against those of Chinchilla's law; figures and families by case."""
    common = [case for case in found if case in base]
    ratio = np.array([np.log(found[one]["error"] / base[one]["error"]) for one in common])
    worse = [
        one
        for one in common
        if found[one]["error"] - base[one]["error"]
        > max(WORSE_SHARE * base[one]["error"], WORSE_POINTS)
    ]
    error, width = (np.median([found[one][key] for one in common]) for key in ("error", "width"))
    score, inside = (np.mean([found[one][key] for one in common]) for key in ("score", "coverage"))
    upper = limit(ratio, [families[one] for one in common])
    sizes = [found[one] for one in common if "regret" in found[one]]
    size = ""
    if sizes:
        regret, held = (np.mean([one[key] for one in sizes]) for key in ("regret", "size_inside"))
        size = f", regret of N* {regret:.2%} and inside {held:.0%} of {len(sizes)}"
    return (
        f"{name:14s} {len(common)} cases: error over Chinchilla's {np.exp(ratio.mean()):.3f} "
        f"(upper 90 % {upper:.3f}), median error {error:.2%}, mean coverage {inside:.0%}, mean "
        f"score {score:.3f}, median width {width:.3f}, worse: {', '.join(worse) or 'none'}{size}"
    )


def describe_size(found: dict[str, float]) -> str:
    if "regret" not in found:
        return ""
    held = "inside" if found["size_inside"] else "outside"
    return f" N* {np.expm1(found['size']):+.0%}, {held}, regret {found['regret']:.2%}"


def limit(ratio: FloatArray, families: list[str]) -> float:
    """Upper 90 % limit of the geometric mean, families resampled."""
    rng = np.random.default_rng(0)
    parts = [ratio[[one == name for one in families]] for name in sorted(set(families))]
    means = [
        np.concatenate([parts[at] for at in rng.integers(len(parts), size=len(parts))]).mean()
        for _ in range(RESAMPLINGS)
    ]
    return float(np.exp(np.quantile(means, 0.9)))


def measure_misses(case: Case) -> Misses:
    """Members' scores in the windows of a case, and their misses of its test runs."""
    table, test = case.fitted, case.test
    delta = choose_delta(estimate_replicate_sigma(table))
    fitted = [fit_member(table, member, delta=delta) for member in ENSEMBLE.members]
    fitted = [None if one is None or one.fit.vanished else one for one in fitted]
    windows = open_windows(table, tuple(one is not None for one in fitted), delta=delta)
    score = np.full(len(fitted), np.inf)
    missed = np.full((len(fitted), len(test)), np.nan)
    for at, (one, misses) in enumerate(zip(fitted, list_misses(table, windows), strict=True)):
        if one is None:
            continue
        loss = one.member.family.loss(one.fit.coefficients, test.params, test.tokens)
        missed[at] = np.log(loss / test.loss)
        if windows and all(miss is not None for miss in misses):
            errors = [max(np.mean(np.abs(miss)), LOWEST_ERROR) for miss in misses]
            score[at] = np.exp(np.mean(np.log(errors)))
    return Misses(case=case, score=score, test=missed)


def combine(one: Misses, power: float, share: float) -> FloatArray:
    """The ensemble's ln forecast − ln measured of the test runs under a rule of weighting."""
    scored = np.isfinite(one.score)
    if not scored.any():
        return one.test[0]
    weight = (one.score / one.score.min()) ** -power
    stands = one.score <= REFUTED * one.score.min()
    weight = (1.0 - share) * weight / weight.sum() + share * stands / stands.sum()
    return np.asarray(weight[scored] @ one.test[scored], dtype=np.float64)


def derive(cases: list[Case]) -> None:
    known = [measure_misses(case) for case in cases]
    known = [one for one in known if np.isfinite(one.test[0]).all()]
    rules = [(power, share) for power in POWERS for share in SHARES]
    families = [one.case.family for one in known]

    def find_error(miss: FloatArray) -> float:
        return float(np.mean(np.abs(np.expm1(miss))))

    ratio = np.array(
        [
            [np.log(find_error(combine(one, *rule)) / find_error(one.test[0])) for one in known]
            for rule in rules
        ]
    )
    nested = np.empty(len(known))
    for family in sorted(set(families)):
        out = np.array([one == family for one in families])
        best = int(np.argmin(ratio[:, ~out].mean(axis=1)))
        nested[out] = ratio[best, out]
        print(
            f"without {family:14s} power {rules[best][0]:g}, shared {rules[best][1]:g}: "
            f"{np.exp(ratio[best, ~out].mean()):.3f} there, {np.exp(nested[out].mean()):.3f} on it"
        )
    best = int(np.argmin(ratio.mean(axis=1)))
    print(
        f"nested {np.exp(nested.mean()):.3f} of Chinchilla's error, upper 90 % "
        f"{limit(nested, families):.3f}; on all: power {rules[best][0]:g}, shared "
        f"{rules[best][1]:g}, {np.exp(ratio[best].mean()):.3f}"
    )
    for rule, row in zip(rules, ratio, strict=True):
        print(f"  power {rule[0]:g}, shared {rule[1]:<4g} {np.exp(row.mean()):.3f}")
    rates, signs = [], []
    for one in known:
        bias = float(combine(one, *rules[best]).mean())
        reach = np.log10(list_flops(one.case.test).mean() / list_flops(one.case.fitted).max())
        if reach > 0.0 and abs(bias) / np.sqrt(reach) > LEAST_RATE:
            rates.append(np.log(abs(bias) / np.sqrt(reach)))
            signs.append(bias > 0.0)
    print(
        f"model error: {len(rates)} of {len(known)} forecasts miss by more than {LEAST_RATE:g} per "
        f"root decade; median rate {np.exp(np.mean(rates)):.3f}, spread {np.std(rates):.2f}, "
        f"{np.mean(signs):.0%} of them over-predict"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=Path)
    parser.add_argument("--results", type=Path, nargs="*", default=[])
    parser.add_argument("--sweeps", type=Path, nargs="*", default=[])
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument(
        "--default-only", action="store_true", help="and Chinchilla's law beside it"
    )
    parser.add_argument("--derive", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ScalingWarning)
    cases = [one for one in list_cases(asked) if find_design_problem(one.fitted) is None]
    if asked.derive:
        derive(cases)
        return
    names = [DEFAULT, *(one.name for one in ENSEMBLE.members)]
    if asked.default_only:
        names = [DEFAULT, PLAIN]
    families = {case.name: case.family for case in cases}
    every: dict[str, dict[str, dict[str, float]]] = {name: {} for name in names}
    for case in cases:
        for name in names:
            found = judge_case(case, name, asked.draws)
            if found is None:
                print(f"{case.name:16s} {name:14s} no fit", flush=True)
                continue
            every[name][case.name] = found
            print(
                f"{case.name:16s} {name:14s} error {found['error']:7.2%} "
                f"bias {found['bias']:+7.2%} inside {found['coverage']:4.0%} "
                f"width {found['width']:.3f} score {found['score']:.3f}{describe_size(found)}",
                flush=True,
            )
    for name in names:
        print(summarise(name, every[name], every[PLAIN], families))


if __name__ == "__main__":
    main()
