"""What to change in a sweep so that it can say more, and what that costs.

A fixed set of changes is tried, each up to `MOST` times: another budget above, another below, two
more sizes per budget, every cell with another seed, a wider span (×1.5). A changed sweep is planned
like the sweep itself, so that runs that cannot be trained are not counted. Its interval is that of
`allocate` on refits of its losses with redrawn noise. These refits start at the law they were drawn
from and are not bootstrapped: this is quick, and the unchanged sweep is treated alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.allocation import Allocation, allocate
from scaling.design.expectation import tabulate_expected
from scaling.design.prior import PriorLaw
from scaling.errors import NoFitError, SpecError
from scaling.fitting.bootstrap import draw_around
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Discrepancy
from scaling.fitting.parametric import DEFAULT_DELTA, HUBER_EFFICIENCY, fit_parametric
from scaling.laws.chinchilla import CHINCHILLA
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.cost_model import CostModel
from scaling.sweep.grids import IsoflopGrid
from scaling.sweep.plan import plan_sweep
from scaling.sweep.runspec import RunSpec
from scaling.sweep.spec import SweepSpec
from scaling.tables.run_table import RunTable, sort_rows

MOST = 3
_DRAWS = 300
_WIDER = 1.5
_MORE_SIZES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a sweep, and its effect.

    Attributes:
        name: What is changed, for people.
        times: How many times the change is applied.
        extra_flops: Training FLOPs of the runs that it adds.
        extra_runs: How many runs it adds.
        params_ratio, loss_ratio: Width of the interval of N* and of the loss, over that of the
            sweep as it is.
    """

    name: str
    times: int
    extra_flops: int
    extra_runs: int
    params_ratio: float
    loss_ratio: float

    def to_contract(self) -> dict[str, Any]:
        """Return an entry of `changes` in the JSON of `scaling plan --simulate`."""
        return dataclasses.asdict(self)


def try_changes(
    spec: SweepSpec,
    prior: PriorLaw,
    *,
    facts: CorpusFacts,
    cost: CostModel,
    flops: float,
    discrepancy: Discrepancy,
    level: float = 0.9,
) -> tuple[Change, ...]:
    """Try every change, in the order of this file, fewest times first.

    Args:
        spec: The sweep as it is.
        prior: What losses are drawn from.
        facts: Facts of its corpus.
        cost: FLOPs per token of its ladder.
        flops: Budget to answer for.
        discrepancy: Model error beyond the data, the same for every design.
        level: Probability of each interval.

    Returns:
        The changes whose design has an answer; none if the sweep as it is has no answer.
    """
    cells = plan_sweep(spec, facts).cells
    before = {cell.run.run_id: cell.run for cell in cells}

    def measure(table: RunTable) -> tuple[float, float] | None:
        answer = _answer(table, prior, flops, discrepancy, level)
        return None if answer is None else _list_widths(answer)

    own = measure(tabulate_expected(cells, prior, facts=facts, cost=cost))
    if own is None:
        return ()
    changes = []
    for name, times, changed in list_changes(spec):
        try:
            planned = plan_sweep(changed, facts, recorded=before.values()).cells
        except SpecError:
            continue
        added: dict[str, RunSpec] = {
            cell.run.run_id: cell.run for cell in planned if cell.run.run_id not in before
        }
        widths = measure(tabulate_expected(planned, prior, facts=facts, cost=cost))
        if added and widths is not None:
            changes.append(
                Change(
                    name=name,
                    times=times,
                    extra_flops=sum(run.flops for run in added.values()),
                    extra_runs=len(added),
                    params_ratio=widths[0] / own[0],
                    loss_ratio=widths[1] / own[1],
                )
            )
    return tuple(changes)


def list_changes(spec: SweepSpec) -> Iterator[tuple[str, int, SweepSpec]]:
    """Yield (name, times, changed sweep); a grid without budgets only gets further seeds."""
    for times in range(1, MOST + 1):
        free = [seed for seed in range(times + len(spec.seeds)) if seed not in spec.seeds]
        seeds = (*spec.seeds, *free[:times])
        yield "every cell with another seed", times, spec.model_copy(update={"seeds": seeds})
    grid = spec.grid
    if not isinstance(grid, IsoflopGrid):
        return
    budgets = sorted(grid.budgets)
    step = 2.0
    if len(budgets) > 1:
        step = (budgets[-1] / budgets[0]) ** (1.0 / (len(budgets) - 1))
    for times in range(1, MOST + 1):
        powers = [step**at for at in range(1, times + 1)]
        above = tuple(_round(budgets[-1] * power) for power in powers)
        below = tuple(_round(budgets[0] / power) for power in powers)
        for name, update in (
            ("another budget above", {"budgets": (*grid.budgets, *above)}),
            ("another budget below", {"budgets": (*grid.budgets, *below)}),
            ("two more sizes per budget", {"sizes": grid.sizes + _MORE_SIZES * times}),
            ("a span ×1.5 wider", {"span": grid.span * _WIDER**times}),
        ):
            yield name, times, spec.model_copy(update={"grid": grid.model_copy(update=update)})


def find_halving(changes: Sequence[Change], quantity: str) -> Change | None:
    """The cheapest change that halves the interval; None if none does.

    Args:
        quantity: `params` or `loss`.
    """
    halving = [one for one in changes if getattr(one, f"{quantity}_ratio") <= 0.5]
    return min(halving, key=lambda one: one.extra_flops, default=None)


def _answer(
    table: RunTable, prior: PriorLaw, flops: float, discrepancy: Discrepancy, level: float
) -> Allocation | None:
    """Answer of `allocate` for a design; None if the design carries no law."""
    delta = max(DEFAULT_DELTA, HUBER_EFFICIENCY * prior.sigma)
    fit = fit_runs(
        table,
        approach="parametric",
        family=CHINCHILLA.name,
        huber_delta=delta,
        bootstrap=None,
        level=level,
    )
    if fit.status == "failed":
        return None
    point = fit_parametric(sort_rows(table), CHINCHILLA, delta=delta)
    drawn = draw_around(point, sigma=prior.sigma, count=_DRAWS, seed=0)
    draws = tuple(map(tuple, drawn.coefficients.tolist()))
    believed = dataclasses.replace(fit, draws=draws, discrepancy=discrepancy)
    try:
        return allocate(believed, flops, far=True, anyway=True)
    except NoFitError:
        return None


def _list_widths(answer: Allocation) -> tuple[float, float] | None:
    """ln high − ln low of N* and of the loss."""
    params, loss = answer.params_interval, answer.loss_interval
    if params is None or loss is None:
        return None
    return math.log(params.high / params.low), math.log(loss.high / loss.low)


def _round(flops: float) -> float:
    return float(f"{flops:.3g}")
