"""All that a page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling.allocation import Allocation
from scaling.fitting.fitted import Fit
from scaling.ledger.forecasts import ForecastRecord
from scaling.ledger.results import RunResult
from scaling.report.sensitivity import Variant
from scaling.sweep.cells import Plan
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.counting import CountConvention
from scaling.tables.filters import FilterEffect
from scaling.tables.run_table import RunTable

if TYPE_CHECKING:
    from scaling.compare.exponents import RecipeComparison
    from scaling.compare.vocabularies import VocabularyComparison
    from scaling.fitting.backtest import Backtest
    from scaling.sweep.spec import SweepSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything a report shows.

    Attributes:
        name: Of the sweep.
        sweep_yaml: Text of the sweep file.
        spec: The same, parsed.
        command: What rebuilds the report, ready to paste.
        plan: Cells, rejected cells, warnings.
        facts: Of the corpus.
        results: By run_id; runs outside the plan are listed as such.
        failures: run_id -> cause, of planned runs without a result.
        damaged: Sentences about stored results that are not what was written.
        curves: run_id -> (tokens, training loss [nats/token]) points.
        fit: Of the plan's finished runs.
        table: Those runs, without what filters left out, N counted as the fit counts.
        allocations: One per forecast budget that has an answer.
        allocations_by_count: The first forecast budget's answer under each way of counting N.
        versions: Software -> version of the process that renders; the runs' are in `results`.
        created: When, as it is printed.
        filters: Declared rules that left runs out, and what each did.
        left_out: Names of those runs; figures do not show them.
        unfiltered: Point fit of all runs; None without filters.
        backtest: Forecasts of held-out runs by several laws; None where it was not asked for.
        forecasts: What was said of runs before they were trained; None where nothing was.
        source: The results folder, as a command line names it.
        options: Words of a command line that ask `fit` and `allocate` the same question.
        variants: The first answer under other methods, laws and choices of runs.
        csv: Every result as CSV; empty where there is none.
        vocabulary: The file's tokenizers compared; None where it names one, or only one is done.
        recipes: The file's recipes compared; None likewise.
    """

    name: str
    sweep_yaml: str
    spec: SweepSpec
    command: str
    plan: Plan
    facts: CorpusFacts
    results: Mapping[str, RunResult]
    failures: Mapping[str, str]
    damaged: tuple[str, ...]
    curves: Mapping[str, tuple[tuple[float, float], ...]]
    fit: Fit
    table: RunTable
    allocations: tuple[Allocation, ...]
    allocations_by_count: Mapping[CountConvention, Allocation | None]
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
