"""Validity checks of the points and the design: what is fitted, before how it fits.

Each is a Check: a code, whether it passed (None: could not be evaluated), what was seen in a
sentence with its numbers, and what to do. tests/fitting/test_every_check.py lists the codes.
"""

from __future__ import annotations

import math

import numpy as np

from scaling.fitting.budgets import Budget, list_flops
from scaling.fitting.fitted import Check, pass_if
from scaling.fitting.isoflop import Curve
from scaling.fitting.noise import find_replicates, list_cells
from scaling.laws.family import LawFamily
from scaling.tables.reading import judge_table
from scaling.tables.run_table import RunTable
from scaling.tables.trajectories import read_schedule
from scaling.units import FloatArray, IntArray, format_count, format_flops

# Five for the coefficients, and five more to see whether they fit.
MIN_CELLS = 10
# With fewer, an interval of a coefficient means little (ours; the quickstart has 25 cells for
# five).
CELLS_A_COEFFICIENT = 3
# A line through three budgets leaves one residual.
ENOUGH_BUDGETS = 4
# An exponent needs three points of its own term: with two, any exponent fits.
_MIN_LEVELS = 3
# Runs whose ln D follows from ln N within 5 % lie on one line: a single ratio or a single budget.
_LINE_SPREAD = 0.05
# Seeds differ by .1–.7 %; runs of one cell that differ by five times that had different recipes.
_RECIPE_SPREAD = 0.03
_CENTRE_OFFSET = 0.5
# A diverged run may be logged with a loss of thousands; beyond this ratio its square swamps the
# others in double precision.
_MAX_LOSS_RATIO = 1e6


def find_design_problem(table: RunTable, coefficients: int = 5) -> str | None:
    """Why no law of N and D with so many coefficients can follow from these runs, with the remedy;
    None if one can."""
    wanted = 2 * coefficients
    total = len(table) + len(table.diverged)
    if len(table) == 0:
        seen = f"all {total} runs diverged" if total else "there are no runs"
        return f"No run is usable: {seen}. {_advise_diverged(table)}"
    cells = int(list_cells(table).max()) + 1
    if cells < wanted:
        what = f"{len(table)} of {total} runs are usable, in {cells} distinct (N, D)"
        return (
            f"{what}; a law of {coefficients} parameters needs at least {wanted}. "
            f"Add model sizes and token counts."
        )
    for letter, values, noun in (
        ("N", table.params, "model sizes"),
        ("D", table.tokens, "token counts"),
    ):
        levels = _count_levels(values)
        if levels < _MIN_LEVELS:
            return (
                f"The runs have {levels} distinct {letter}; its exponent needs at least "
                f"{_MIN_LEVELS} and is not determined. Add {noun}."
            )
    if np.ptp(np.log(table.loss)) > math.log(_MAX_LOSS_RATIO):
        facts = table.metric_facts
        what, kind = ("Losses", "cross-entropies") if facts is None else (facts.symbol, "values")
        return (
            f"{what} span {table.loss.min():.3g} … {table.loss.max():.3g} nats/token; these are no "
            f"{kind} of one task. Correct or leave out the odd rows."
        )
    slope, spread = _measure_line(table)
    if spread < _LINE_SPREAD:
        if abs(slope - 1.0) < 0.1:
            seen = f"one ratio, D/N = {np.median(table.tokens / table.params):.3g}"
        elif abs(slope + 1.0) < 0.1:
            seen = f"one budget, C = {format_flops(float(np.median(list_flops(table))))}"
        else:
            seen = f"one line, D ∝ N^{slope:.2f}"
        return (
            f"All runs lie on {seen}; the parts of N and of D cannot be told apart. "
            f"Add runs with other D at the same N."
        )
    return None


def find_law_problem(table: RunTable, family: LawFamily) -> str | None:
    """Why this law cannot follow from these runs. One without a frontier may lie on a line."""
    unique = table.unique_tokens
    if family.needs_repeats and (unique is None or not np.any(unique < 0.99 * table.tokens)):
        return (
            f"No run repeats its data (D above U), so the law {family.name} has nothing to fit. "
            f"State unique tokens in a column U, or ask for another family."
        )
    if family.has_frontier:
        return find_design_problem(table, len(family.param_names))
    budgets = np.unique(np.round(np.log(table.params) + np.log(table.tokens), 2)).size
    wanted = 2 * len(family.param_names)
    if budgets >= wanted:
        return None
    return (
        f"The runs have {budgets} distinct N·D; the law {family.name} needs {wanted}. Add budgets."
    )


def check_points(table: RunTable, coefficients: int = 5) -> tuple[Check, ...]:
    """Checks of the rows there are, for a law of so many parameters."""
    return (
        _check_cells(table, coefficients),
        _check_diverged(table),
        _check_duplicates(table),
        _check_recipes(table),
        _check_repeats(table),
        _check_units(table),
    )


def check_trajectories(table: RunTable) -> tuple[Check, ...]:
    """Whether points along runs compare with finished runs; no check where each row is a run."""
    if table.trajectory is None:
        return ()
    schedule, problem = read_schedule(table)
    seen = f"{len(table)} rows are points along {len(set(table.trajectory))} training runs"
    if schedule is None:
        advice = "Keep the last row of each run only, or state what the schedule is."
        return (pass_if(False, "mid_run_points", f"{seen}. {problem}.", advice),)
    what = {
        "cooldown": "each the end of a decay of its own",
        "constant": "none of them decayed",
    }[schedule]
    sure = "Checks of the law that count rows (not_identified, design_imprecise) are too sure."
    return (pass_if(True, "mid_run_points", f"{seen}, {what}. {sure}", ""),)


def check_curves(budgets: tuple[Budget, ...], curves: tuple[Curve, ...]) -> tuple[Check, ...]:
    """Checks of the IsoFLOP curves; not evaluated where the table has none."""
    return (
        _check_budgets(budgets, curves),
        _check_minima(curves),
        _check_bend(curves),
        _check_centre(curves),
    )


def _count_levels(values: FloatArray) -> int:
    """Distinct values, those within 1 % of a level's lowest counted with it; at most three."""
    logs = np.sort(np.log(values))
    count, at = 0, 0
    while at < logs.size and count < _MIN_LEVELS:
        at = int(np.searchsorted(logs, logs[at] + 0.01, side="right"))
        count += 1
    return count


def _measure_line(table: RunTable) -> tuple[float, float]:
    """Slope of ln D on ln N along their main axis, and the spread across it."""
    logs = np.stack((np.log(table.params), np.log(table.tokens)))
    values, vectors = np.linalg.eigh(np.cov(logs, bias=True))
    along = vectors[:, 1]
    slope = float(along[1] / along[0]) if along[0] != 0 else float("inf")
    return slope, float(np.sqrt(max(values[0], 0.0)))


def _check_cells(table: RunTable, coefficients: int) -> Check:
    cells = int(list_cells(table).max()) + 1 if len(table) else 0
    return pass_if(
        cells >= CELLS_A_COEFFICIENT * coefficients,
        "too_few_cells",
        f"{len(table)} runs in {cells} distinct (N, D); the law has {coefficients} parameters.",
        f"Have at least {CELLS_A_COEFFICIENT * coefficients} distinct (N, D); below "
        f"{2 * coefficients} nothing is fitted.",
    )


def _check_diverged(table: RunTable) -> Check:
    if table.metric_facts is not None:
        seen = f"Runs diverge by their loss; of {table.metric_facts.name} that is not judged."
        return pass_if(None, "diverged_cells", seen, "")
    lost, total = len(table.diverged), len(table) + len(table.diverged)
    seen = f"{lost} of {total} runs diverged and are not fitted" if lost else "No run diverged"
    if table.stopped:
        seen += (
            f"; {len(table.stopped)} of them by an older rule, which took runs that were merely "
            "short for diverged ones"
        )
    return pass_if(lost == 0, "diverged_cells", f"{seen}.", _advise_diverged(table))


def _advise_diverged(table: RunTable) -> str:
    lower = "Lower the learning rate or clip harder; missing corners of a grid bend its law."
    if not table.diverged:
        return "Add runs."
    if not table.stopped:
        return lower
    renew = (
        '"scaling retry --diverged RESULTS" and "scaling run" train them to the end: without them '
        "the mean of a cell is biased."
    )
    return renew if len(table.stopped) == len(table.diverged) else f"{renew} {lower}"


def _list_data_cells(table: RunTable) -> IntArray:
    """The (N, D) of each row, and its unique tokens where stated: epochs make another run."""
    cells = list_cells(table)
    if table.unique_tokens is None:
        return cells
    # NaN counts as one value.
    unique = np.unique(table.unique_tokens, return_inverse=True)[1].ravel()
    return np.unique(np.stack((cells, unique)), axis=1, return_inverse=True)[1].ravel()


def _check_duplicates(table: RunTable) -> Check:
    if len(table) == 0:
        return pass_if(None, "duplicate_cells", "There are no runs.", "")
    cells = _list_data_cells(table)
    if table.seed is not None:  # seeds of one cell are replicates, not duplicates
        pairs = np.stack((cells, table.seed), axis=1)
        cells = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(cells)
    repeated = int(np.sum(count - 1))
    what = "(N, D)" if table.seed is None else "(N, D, seed)"
    seen = f"{repeated} of {len(table)} rows repeat the {what} of another; all are kept."
    return pass_if(
        repeated == 0,
        "duplicate_cells",
        seen if repeated else f"No two rows share their {what}.",
        "Are they replicates (give seeds in a seed column), several recipes, or doubled rows?",
    )


def _check_recipes(table: RunTable) -> Check:
    code = "several_recipes_per_cell"
    advice = "Keep the best of each cell, or fit recipes (or corpora) apart: mixing moves the law."
    if len(table) == 0:
        return pass_if(None, code, "There are no runs.", "")
    cells = _list_data_cells(table)
    cells_total = int(cells.max()) + 1
    named = "(N, D)"
    if table.learning_rate is not None:
        known = np.isfinite(table.learning_rate)
        pairs = np.stack((cells[known], table.learning_rate[known]), axis=1)
        rates = np.bincount(np.unique(pairs, axis=0)[:, 0].astype(np.int64), minlength=cells_total)
        several = int(np.sum(rates > 1))
        if several:
            seen = f"{several} of {cells_total} (N, D) were trained with several learning rates."
            return pass_if(False, code, seen, advice)
        named = "(N, D) and learning rate"
    spread = _measure_spread(table, cells)
    if spread is None:
        return pass_if(True, code, f"No two runs share their {named}, seeds aside.", "")
    seen = f"Losses of runs that share their {named} differ by up to {spread:.1%}."
    return pass_if(spread <= _RECIPE_SPREAD, code, seen, advice)


def _measure_spread(table: RunTable, cells: IntArray) -> float | None:
    """Largest relative range of loss in one cell; None where every repeat is a stated seed, whose
    spread is noise (3.6 % between two seeds in the reference sweep)."""
    member, seeds = find_replicates(table)
    odd = ~seeds[member]
    size = int(cells.max()) + 1
    if np.bincount(cells[odd], minlength=size).max() <= 1:
        return None
    log_loss = np.log(table.loss)
    high, low = np.full(size, -np.inf), np.full(size, np.inf)
    np.maximum.at(high, cells[odd], log_loss[odd])
    np.minimum.at(low, cells[odd], log_loss[odd])
    return float(np.expm1(min((high - low).max(), 700.0)))


def _check_repeats(table: RunTable) -> Check:
    code = "repeated_data"
    if table.unique_tokens is None or not np.isfinite(table.unique_tokens).any():
        return pass_if(None, code, "The table does not state unique tokens (column U).", "")
    with np.errstate(invalid="ignore"):
        epochs = table.tokens / table.unique_tokens
    epochs = epochs[np.isfinite(epochs)]
    many = int(np.sum(epochs > 1.0 + 1e-6))
    worst = float(epochs.max())
    # Muennighoff et al. 2023, arXiv:2305.16264: up to 4 epochs cost little, then value decays.
    advice = "Repeated tokens are worth less than new ones; fit runs of at most one epoch apart."
    if worst > 4.0:
        advice = "Above 4 epochs this law does not hold: leave those runs out."
    seen = "No run repeated data."
    if many:
        most = format_count(worst)
        seen = f"{many} of {epochs.size} runs repeated data, up to {most} epochs."
    return pass_if(many == 0, code, seen, advice)


def _check_units(table: RunTable) -> Check:
    doubts = judge_table(table)
    seen = " ".join(doubt.seen for doubt in doubts)
    remedy = " ".join(doubt.remedy for doubt in doubts)
    good = "N, D, loss and C lie where those of models do."
    if table.metric_facts is not None:
        name = table.metric_facts.name
        good = f"N, D and C lie where those of models do; {name} is no cross-entropy: not judged."
    return pass_if(not doubts, "implausible_units", seen or good, remedy)


def _check_budgets(budgets: tuple[Budget, ...], curves: tuple[Curve, ...]) -> Check:
    usable = sum(not curve.rejection for curve in curves)
    code = "too_few_budgets"
    if not budgets:
        seen = "No budget has three model sizes: the runs form no IsoFLOP curves."
        return pass_if(None, code, seen, "")
    seen = f"{usable} of {len(budgets)} budgets have a usable minimum."
    advice = f"Have at least {ENOUGH_BUDGETS} with an interior minimum, over two decades of C."
    return pass_if(usable >= ENOUGH_BUDGETS, code, seen, advice)


def _check_minima(curves: tuple[Curve, ...]) -> Check:
    code = "interior_minimum"
    judged = [curve for curve in curves if curve.rejection != "drift"]
    if not judged:
        return pass_if(None, code, "There are no IsoFLOP curves.", "")
    bad = [curve.sentence for curve in judged if curve.rejection == "edge"]
    seen = f"{len(bad)} of {len(judged)} IsoFLOP curves have their minimum at an edge."
    advice = "Widen the range of sizes on that side; the curve is left out of Approach 2."
    return pass_if(not bad, code, " ".join([seen, *bad]), advice)


def _check_bend(curves: tuple[Curve, ...]) -> Check:
    code = "positive_curvature"
    judged = [curve for curve in curves if curve.rejection != "drift"]
    if not judged:
        return pass_if(None, code, "There are no IsoFLOP curves.", "")
    bad = [curve.sentence for curve in judged if curve.rejection == "concave"]
    seen = f"{len(judged) - len(bad)} of {len(judged)} IsoFLOP curves bend up."
    advice = "Noise or an uneven recipe hides the minimum; the curve is left out of Approach 2."
    return pass_if(not bad, code, " ".join([seen, *bad]), advice)


def _check_centre(curves: tuple[Curve, ...]) -> Check:
    code = "off_centre_grid"
    offsets = [curve.offset for curve in curves if not curve.rejection and curve.offset is not None]
    if not offsets:
        return pass_if(None, code, "No IsoFLOP curve has a usable minimum.", "")
    mean = float(np.mean(offsets))
    side = "large" if mean > 0 else "small"
    seen = (
        f"On average the minimum lies {abs(mean):.0%} of the way from the middle to the {side} end "
        f"of its parabola's sizes."
    )
    more = "smaller" if side == "small" else "larger"
    advice = (
        f"Move the grid towards {more} models: with few sizes on one side, noise moves N* most."
    )
    return pass_if(abs(mean) <= _CENTRE_OFFSET, code, seen, advice)
