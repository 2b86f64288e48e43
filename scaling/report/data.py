"""The data that a page is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scaling.allocation import Allocation
from scaling.fitting.fitted import Fit
from scaling.ledger.forecasts import ForecastRecord
from scaling.ledger.results import RunResult
from scaling.report.beyond import Beyond
from scaling.report.sensitivity import Variant
from scaling.sweep.cells import Plan
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.counting import CountConvention
from scaling.sweep.families.listed import LISTED
from scaling.tables.facts import TableFacts
from scaling.tables.filters import FilterEffect
from scaling.tables.run_table import RunTable
from scaling.units.losses import NATS, LossScale

if TYPE_CHECKING:
    from scaling.compare.exponents import RecipeComparison
    from scaling.compare.vocabularies import VocabularyComparison
    from scaling.fitting.abilities.ability import Ability
    from scaling.fitting.backtest import Backtest
    from scaling.fitting.transfer.judging import Transfer
    from scaling.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """The table of runs behind a report without a sweep.

    Attributes:
        rows: Every row that was read.
        facts: How the file was understood.
    """

    rows: RunTable
    facts: TableFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything a report shows.

    Attributes:
        name: Name of the sweep, or of the table.
        sweep_yaml: Text of the sweep file; empty for a table.
        spec: The same, parsed; None for a table.
        command: What rebuilds the report, ready to paste.
        plan: Cells, rejected cells, warnings; None for a table.
        facts: Facts of the corpus; None for a table.
        results: Results by run_id; runs outside the plan are listed as such.
        failures: run_id -> cause, of planned runs without a result.
        damaged: Sentences about stored results that are not what was written.
        curves: run_id -> (tokens, training loss [nats/token]) points.
        fit: Fit of the plan's finished runs.
        table: Those runs, without what filters left out, N counted as the fit counts.
        allocations: One per forecast budget that has an answer.
        allocations_by_count: The first forecast budget's answer under each way of counting N.
        versions: Software -> version of the process that renders; the runs' are in `results`.
        created: Time of creation, as printed.
        filters: Declared rules that left runs out, and what each did.
        left_out: Names of those runs; figures do not show them.
        unfiltered: Point fit of all runs; None without filters.
        backtest: Forecasts of held-out runs by several laws; None if not asked for.
        forecasts: Forecasts registered before runs were trained; None without any.
        source: The results folder, as a command line names it.
        options: Words of a command line that ask `fit` and `allocate` the same question.
        variants: The first answer under other methods, laws and choices of runs.
        csv: Every result as CSV; empty if there is none.
        vocabulary: The file's tokenizers compared; None if it names one, or only one is finished.
        recipes: The file's recipes compared; None likewise.
        beyond: Quantities measured beside the loss, and families compared; None without any.
        abilities: The sweep's abilities, judged.
        transfer: What the starts of its file save, each against from scratch.
        origin: The table of runs behind the report; None for a sweep.
        scale: The unit of losses on the page; values here are in nats.
    """

    name: str
    sweep_yaml: str = ""
    spec: SweepSpec | None = None
    command: str
    plan: Plan | None = None
    facts: CorpusFacts | None = None
    results: Mapping[str, RunResult] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    curves: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    fit: Fit
    table: RunTable
    allocations: tuple[Allocation, ...]
    allocations_by_count: Mapping[CountConvention, Allocation | None] = field(default_factory=dict)
    versions: Mapping[str, str]
    created: str
    filters: tuple[FilterEffect, ...] = ()
    left_out: tuple[str, ...] = ()
    unfiltered: Fit | None = None
    backtest: Backtest | None = None
    forecasts: ForecastRecord | None = None
    source: str = ""
    options: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    csv: str = ""
    vocabulary: VocabularyComparison | None = None
    recipes: RecipeComparison | None = None
    beyond: Beyond | None = None
    abilities: tuple[Ability, ...] = ()
    transfer: tuple[Transfer, ...] = ()
    origin: TableSource | None = None
    scale: LossScale = NATS

    def reword(self) -> ReportData:
        """The data with every sentence in its unit of losses."""
        return dataclasses.replace(
            self,
            fit=self.fit.reword(self.scale),
            allocations=tuple(one.reword(self.scale) for one in self.allocations),
        )

    def get_plan(self) -> Plan:
        """The plan of a sweep's report."""
        assert self.plan is not None
        return self.plan

    @property
    def is_listed(self) -> bool:
        """True if its models are listed in the sweep file, each with a single stated N."""
        return self.spec is not None and self.spec.family == LISTED.name

    def get_spec(self) -> SweepSpec:
        """The sweep file of a sweep's report."""
        assert self.spec is not None
        return self.spec

    def get_facts(self) -> CorpusFacts:
        """The corpus of a sweep's report."""
        assert self.facts is not None
        return self.facts
