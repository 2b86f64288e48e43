"""What a design can be expected to tell: its losses are drawn from a prior law and fitted.

    losses ~ law · exp(σ·noise)   →   fit_runs   →   allocate   →   interval, checks     many times

The expected interval is the median, over the draws, of the intervals that `allocate` would print,
centred on the prior's own answer. Reported beside it: how often the intervals hold that answer, and
how often each check fails. Losses drawn from a law show neither how wrong the law is beyond the
data nor the error of the held-out set, so the draws' intervals take both from the prior's own runs
if there are any.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.allocation import Allocation, allocate
from scaling.design.prior import PriorLaw
from scaling.errors import NoFitError
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Discrepancy, Fit, Interval, finite_or_none
from scaling.laws.frontier import find_frontier
from scaling.ledger.sweep_table import name_configuration
from scaling.sweep.cells import Cell
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.cost_model import CostModel
from scaling.sweep.counting import count_params
from scaling.sweep.runspec import RunSpec
from scaling.tables.run_table import RunTable, make_table
from scaling.units import FloatArray

# 20 draws give a check's pass rate to ±.11 and a median width to a few percent, at 1 to 2 s each.
DRAWS = 20
_BOOTSTRAP = 100
_QUANTITIES = ("params", "tokens", "loss")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAnswer:
    """What the design is expected to tell about one budget.

    Attributes:
        flops: The budget.
        params, tokens, loss: The prior law's own answer.
        intervals: Expected interval by quantity; None if no draw had one.
        held: Share of the draws whose interval holds the answer, by quantity.
        widths: Median of ln high − ln low, by quantity; None if no draw had an interval.
    """

    flops: float
    params: float
    tokens: float
    loss: float
    intervals: dict[str, Interval | None]
    held: dict[str, float | None]
    widths: dict[str, float | None]

    def to_contract(self) -> dict[str, Any]:
        """Return an entry of `answers` in the JSON of `scaling plan --simulate`."""
        return {
            **{name: getattr(self, name) for name in ("flops", *_QUANTITIES)},
            "intervals": {
                name: None if one is None else one.to_contract()
                for name, one in self.intervals.items()
            },
            "held": self.held,
            "log_widths": {name: finite_or_none(one) for name, one in self.widths.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a design can be expected to tell.

    Attributes:
        prior: The prior law.
        draws: How often the losses were drawn.
        answered: Share of the draws that gave a usable fit.
        level: Probability of each interval.
        answers: One for each budget asked for.
        gates: Share of the draws in which a check fails, by code; checks that never fail are left
            out.
        discrepancy: Model error beyond the data as measured by the fits, pooled.
    """

    prior: PriorLaw
    draws: int
    answered: float
    level: float
    answers: tuple[ExpectedAnswer, ...]
    gates: dict[str, float]
    discrepancy: Discrepancy


def tabulate_expected(
    cells: Sequence[Cell], prior: PriorLaw, *, facts: CorpusFacts, cost: CostModel
) -> RunTable:
    """The table that a plan's finished runs would make without noise.

    Args:
        cells: The plan's cells; brackets enter no fit, and a run named twice counts once.
        prior: Law that gives the losses; N counted as `matmul`.
        facts: Facts of the corpus.
        cost: FLOPs per token of the sweep's ladder.
    """
    distinct: dict[str, Cell] = {}
    for cell in cells:
        if cell.role != "bracket":
            distinct.setdefault(cell.run.run_id, cell)
    planned = list(distinct.values())
    runs = [cell.run for cell in planned]
    params = np.array([count_params(run.shape, "matmul") for run in runs], dtype=np.float64)
    tokens = np.array([run.tokens for run in runs], dtype=np.float64)
    budgets = np.array([np.nan if c.budget is None else c.budget for c in planned])
    return make_table(
        params,
        tokens,
        loss=prior.law.loss(prior.letters, params, tokens),
        flops=np.array([run.flops for run in runs], dtype=np.float64),
        budget=budgets if np.isfinite(budgets).any() else None,
        unique_tokens=np.minimum(
            tokens, [run.unique_tokens or facts.train_tokens or np.inf for run in runs]
        ),
        seed=np.array([run.seed for run in runs], dtype=np.int64),
        group=[name_configuration(run) for run in runs],
        **(_list_recipes(runs) if all(run.has_recipe for run in runs) else {}),
        convention="matmul",
        cost=cost,
        overlap=facts.overlap if facts.is_known else None,
        source="<expected>",
    )


def _list_recipes(runs: Sequence[RunSpec]) -> dict[str, Any]:
    """The columns that the recipe decides."""
    columns = {
        "learning_rate": [run.recipe.learning_rate for run in runs],
        "batch_tokens": [run.recipe.batch_sequences * run.shape.seq_len for run in runs],
        "steps": [run.recipe.steps for run in runs],
        "warmup_steps": [run.recipe.warmup_steps for run in runs],
        "decay_steps": [run.recipe.decay_steps for run in runs],
    }
    return {name: np.array(values, dtype=np.float64) for name, values in columns.items()}


def simulate_design(
    table: RunTable,
    prior: PriorLaw,
    *,
    flops: Sequence[float],
    level: float = 0.9,
    seed: int = 0,
    draws: int = DRAWS,
) -> Expectation:
    """Draw the losses of a design and fit them, `draws` times.

    Args:
        table: The design with noise-free losses, from `tabulate_expected`.
        prior: Law and noise that losses are drawn from.
        flops: Budgets to answer for [FLOPs].
        level: Probability of each interval.
        seed: Seeds the draws.
        draws: Number of draws.
    """
    rng = np.random.default_rng(seed)
    truth = find_truth(prior, flops, table.cost)
    fits = []
    for at in range(draws):
        noise = np.exp(prior.sigma * rng.standard_normal(len(table)))
        drawn = table.replace(loss=table.loss * noise)
        fits.append(_believe(fit_runs(drawn, bootstrap=_BOOTSTRAP, level=level, seed=at), prior))
    asked = [[_ask(fit, one) for one in flops] for fit in fits]
    usable = sum(all(one is not None for one in row) for row in asked)
    failing = Counter(check.code for fit in fits for check in fit.checks if check.passed is False)
    return Expectation(
        prior=prior,
        draws=draws,
        answered=usable / draws,
        level=level,
        answers=tuple(
            _expect(budget, [float(one[at]) for one in truth], [row[at] for row in asked])
            for at, budget in enumerate(flops)
        ),
        gates={code: count / draws for code, count in failing.most_common()},
        discrepancy=pool_discrepancies(fits),
    )


def find_truth(
    prior: PriorLaw, flops: Sequence[float] | FloatArray, cost: CostModel
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The prior law's own (N*, D*, loss) of each budget."""
    params, tokens = find_frontier(prior.law, prior.letters, flops=np.array(flops), cost=cost)
    return params, tokens, prior.law.loss(prior.letters, params, tokens)


def pool_discrepancies(fits: Sequence[Fit]) -> Discrepancy:
    """Pool the rates of model error of several fits into one distribution."""
    found = [fit.discrepancy for fit in fits if fit.discrepancy]
    rates = sorted(rate for one in found for rate in one.rates)
    below = float(np.mean([one.below for one in found])) if found else 0.5
    return Discrepancy(rates=tuple(rates) or (0.0,), below=below, windows=())


def _believe(fit: Fit, prior: PriorLaw) -> Fit:
    """The fit of a draw, with the errors that only the prior's runs can show."""
    return dataclasses.replace(
        fit,
        evaluation_error=prior.evaluation_error or fit.evaluation_error,
        discrepancy=prior.discrepancy or fit.discrepancy,
    )


def _ask(fit: Fit, flops: float) -> Allocation | None:
    """The answer at a budget; None if the fit has none."""
    try:
        return allocate(fit, flops, approach="parametric", far=True)
    except NoFitError:
        return None


def _expect(
    flops: float, truth: Sequence[float], answers: Sequence[Allocation | None]
) -> ExpectedAnswer:
    intervals: dict[str, Interval | None] = {}
    held: dict[str, float | None] = {}
    widths: dict[str, float | None] = {}
    for name, true in zip(_QUANTITIES, truth, strict=True):
        found = [
            (interval, float(getattr(answer, name)))
            for answer in answers
            if answer is not None and (interval := getattr(answer, f"{name}_interval")) is not None
        ]
        intervals[name], held[name], widths[name] = None, None, None
        if found:
            low = float(np.median([interval.low / answer for interval, answer in found]))
            high = float(np.median([interval.high / answer for interval, answer in found]))
            level = found[0][0].level
            intervals[name] = Interval(low=true * low, high=true * high, level=level)
            held[name] = float(np.mean([one.low <= true <= one.high for one, _ in found]))
            widths[name] = float(np.median([np.log(one.high / one.low) for one, _ in found]))
    return ExpectedAnswer(
        flops=flops,
        params=truth[0],
        tokens=truth[1],
        loss=truth[2],
        intervals=intervals,
        held=held,
        widths=widths,
    )
