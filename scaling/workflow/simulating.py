"""What a sweep will be able to say: design/ joined to files and folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.design.changes import Change, find_halving, try_changes
from scaling.design.expectation import Expectation, simulate_design, tabulate_expected
from scaling.design.prior import PriorLaw, read_prior, scale_published_law
from scaling.errors import UsageError
from scaling.sweep.cells import Plan
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.cost_model import CostModel
from scaling.sweep.grids import IsoflopGrid, PriorSpec
from scaling.sweep.own_ladder import make_sweep_cost
from scaling.sweep.spec import SweepSpec
from scaling.units.stages import stage
from scaling.workflow.fits import FitOptions, fit_table
from scaling.workflow.preparing import Sweep
from scaling.workflow.stored import read_runs

# Without a forecast budget: this many times the largest run.
_FORECAST = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What a sweep will be able to say, and what would let it say more.

    Attributes:
        expectation: What the sweep as it is will be able to say.
        changes: Tried, with their effect at `changed_for` [FLOPs].
    """

    expectation: Expectation
    changes: tuple[Change, ...]
    changed_for: float

    def to_contract(self) -> dict[str, Any]:
        """`simulation` in the JSON of `scaling plan --simulate`."""
        expected, prior = self.expectation, self.expectation.prior
        halving = {what: find_halving(self.changes, what) for what in ("params", "loss")}
        return {
            "prior": {
                "family": prior.family,
                "params": dict(zip(prior.law.param_names, prior.coefficients, strict=True)),
                "source": prior.source,
                "noise": prior.sigma,
                "noise_source": prior.noise_source,
            },
            "draws": expected.draws,
            "answered": expected.answered,
            "level": expected.level,
            "answers": [answer.to_contract() for answer in expected.answers],
            "gates": expected.gates,
            "changes": [change.to_contract() for change in self.changes],
            "changed_for": self.changed_for,
            "halving": {
                what: None if one is None else one.to_contract() for what, one in halving.items()
            },
        }


def simulate_sweep(
    sweep: Sweep, *, prior_law: Path | None = None, noise: float | None = None, level: float = 0.9
) -> Simulation:
    """Draw a sweep's losses from a prior law and fit them, many times.

    Args:
        sweep: The planned sweep, as `prepare_sweep` returns it.
        prior_law: Results folder whose fit is believed; None: a published law.
        noise: Standard deviation of ln loss of one run; None: as the prior's runs show it.
        level: Probability with which each interval should hold the truth.

    Returns:
        Expected intervals of the sweep's forecasts, failed checks, and what changes would do.

    Raises:
        UsageError, NoFitError: The prior has no law or no noise to draw from.
    """
    facts = sweep.corpus.facts
    cost = make_sweep_cost(sweep.spec, facts, "matmul")
    prior = find_prior(sweep.spec, facts, cost, sweep.plan, source=prior_law, noise=noise)
    table = tabulate_expected(sweep.plan.cells, prior, facts=facts, cost=cost)
    budgets = list_forecasts(sweep.spec, sweep.plan)
    with stage(f"simulating the sweep: fitting losses drawn for its {len(table)} runs"):
        expected = simulate_design(table, prior, flops=budgets, level=level)
    with stage("simulating changes of the sweep"):
        changes = try_changes(
            sweep.spec,
            prior,
            facts=facts,
            cost=cost,
            flops=budgets[-1],
            discrepancy=expected.discrepancy,
            level=level,
        )
    return Simulation(expectation=expected, changes=changes, changed_for=budgets[-1])


def find_prior(
    spec: SweepSpec,
    facts: CorpusFacts,
    cost: CostModel,
    plan: Plan,
    *,
    source: Path | None,
    noise: float | None,
) -> PriorLaw:
    """What is believed of a sweep's losses.

    Raises:
        UsageError, NoFitError: The source has no law or no noise to draw from.
    """
    if source is None:
        if not facts.is_known:
            raise UsageError(
                "nothing is known of the data of your own trainer, so that no law can be assumed "
                "for it.\nRun the sweep, and ask its results folder."
            )
        expected = spec.grid.prior if isinstance(spec.grid, IsoflopGrid) else PriorSpec()
        costs = [cell.run.flops for cell in plan.cells]
        middle = (min(costs) * max(costs)) ** 0.5
        return scale_published_law(
            params=expected.expect_params(middle),
            flops=middle,
            cost=cost,
            unigram_entropy=facts.unigram_entropy,
            sigma=noise,
        )
    if not source.is_dir():
        raise UsageError(
            f"{source}: a prior law is that of a results folder, whose N and FLOPs are counted as "
            "the sweep counts them."
        )
    table, stored = read_runs(source)
    fit = fit_table(table, stored, FitOptions())
    return read_prior(fit, sigma=noise, answering=True)


def list_forecasts(spec: SweepSpec, plan: Plan) -> tuple[float, ...]:
    """Budgets the sweep answers for, ascending; ten times its largest run where it names none."""
    if spec.forecast:
        return tuple(sorted(spec.forecast))
    return (_FORECAST * max(cell.run.flops for cell in plan.cells),)
