"""The fit of a table or a results folder; in a folder it is stored and reused until data change."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling._version import __version__
from scaling.errors import IntegrityError, ScalingError, ScalingWarning
from scaling.files.sealed import canonical_json
from scaling.laws.registry import find_family, list_scored
from scaling.sweep.counting import CountConvention, count_params
from scaling.sweep.own_ladder import list_sweep_ladder
from scaling.sweep.shapes import NamedModel
from scaling.tables.filters import FilterEffect, Filters, apply_filters
from scaling.tables.run_table import RunTable, sort_rows
from scaling.units.losses import NATS, LossScale
from scaling.units.stages import stage
from scaling.workflow.stored import StoredSweep

if TYPE_CHECKING:
    from scaling.fitting.backtest import Backtest
    from scaling.fitting.fitted import AskedApproach, Fit, MeasuredRun
    from scaling.fitting.truncation import Truncation


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How to fit; the defaults are the command line's."""

    approach: AskedApproach = "all"
    count: CountConvention = "matmul"
    family: str | None = None  # None: the ensemble answers, with Chinchilla's law beside it
    huber_delta: float | None = None
    bootstrap: int | None = 1000
    level: float = 0.9
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FilteredFit:
    """A fit of the rows that declared filters keep.

    Attributes:
        fit: Fit of those rows.
        table: Those rows, with the effects in its notes.
        effects: Effect of each filter; empty without filters.
        unfiltered: Point fit of all rows; None without filters, or if not asked for.
        path: Path of the stored fit; None if it cannot be stored.
    """

    fit: Fit
    table: RunTable
    effects: tuple[FilterEffect, ...]
    unfiltered: Fit | None
    path: Path | None

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """The contract's JSON of `scaling fit`, with the effects of filters if there are any."""
        found = self.fit.to_contract(scale) | scale.to_contract()
        if not self.effects:
            return found
        whole = None if self.unfiltered is None else self.unfiltered.to_contract(scale)
        keys = ("status", "reason", "n", "law", "objective", "frontier")
        return found | {
            "filters": [effect.to_contract() for effect in self.effects],
            "unfiltered": None if whole is None else {key: whole[key] for key in keys},
        }


def backtest_table(
    table: RunTable, names: Sequence[str] = list_scored(), *, huber_delta: float | None = None
) -> Backtest:
    """Score laws by their forecasts of the table's most expensive, largest and longest runs.

    Raises:
        UsageError: A law is unknown.
    """
    from scaling.fitting.backtest import backtest_families
    from scaling.fitting.noise import estimate_replicate_sigma
    from scaling.fitting.parametric import choose_delta

    for name in names:
        find_family(name)
    delta = choose_delta(estimate_replicate_sigma(table), huber_delta)
    with stage(f"scoring {len(names)} laws by runs that they were not fitted to"):
        return backtest_families(sort_rows(table), tuple(names), delta=delta)


def truncate_table(table: RunTable, law: str, *, huber_delta: float | None = None) -> Truncation:
    """Score a law's forecasts of the table's most expensive runs from fewer and fewer others."""
    from scaling.fitting.noise import estimate_replicate_sigma
    from scaling.fitting.parametric import choose_delta
    from scaling.fitting.truncation import truncate_runs

    delta = choose_delta(estimate_replicate_sigma(table), huber_delta)
    with stage(f"forecasting by {law} from ever fewer runs"):
        return truncate_runs(sort_rows(table), law, delta=delta)


def fit_filtered(
    table: RunTable,
    stored: StoredSweep | None,
    options: FitOptions,
    filters: Filters,
    *,
    compare: bool = False,
) -> FilteredFit:
    """Fit the rows that the filters keep; with `compare` also make a point fit of all rows.

    Raises:
        UsageError: As for `apply_filters`.
    """
    kept, effects = apply_filters(table, filters)
    unfiltered = None
    if compare and effects:
        point = dataclasses.replace(options, bootstrap=None)
        unfiltered = fit_table(table, stored, point)
    fit, path = _find_or_fit(kept, stored, options)
    return FilteredFit(fit=fit, table=kept, effects=effects, unfiltered=unfiltered, path=path)


def fit_table(table: RunTable, stored: StoredSweep | None, options: FitOptions) -> Fit:
    """Fit a table; for a results folder the fit is stored, and read back until data change."""
    return _find_or_fit(table, stored, options)[0]


def _find_or_fit(
    table: RunTable, stored: StoredSweep | None, options: FitOptions
) -> tuple[Fit, Path | None]:
    """The fit, and where it is stored."""
    validated = () if stored is None else _list_validated(stored, table)
    path = None if stored is None else _name_fit(stored.folder, table, validated, options)
    if path is not None and path.parent.is_symlink():
        path = None  # a stranger's folder: nothing is read or written through it
    if path is not None and path.is_file():
        from scaling.fitting.store import read_fit

        try:
            return read_fit(path), path
        except IntegrityError as error:  # a stored fit can be remade from the runs
            warnings.warn(f"{error} It is made again.", ScalingWarning, stacklevel=2)
    refits = f", {options.bootstrap} refits" if options.bootstrap else ""
    with stage(f"fitting {len(table)} runs{refits}"):
        from scaling.fitting.every_approach import fit_runs

        fit = fit_runs(
            table,
            approach=options.approach,
            family=options.family,
            huber_delta=options.huber_delta,
            bootstrap=options.bootstrap,
            level=options.level,
            seed=options.seed,
        )
    fit = dataclasses.replace(fit, measured=(*fit.measured, *validated))
    if path is not None:
        from scaling.fitting.store import write_fit

        try:
            path.parent.mkdir(exist_ok=True)
            write_fit(path, fit)
        except (OSError, ScalingError):
            return fit, None  # a folder that cannot be written can still be read and fitted
    return fit, path


def note_found(found: FilteredFit, stored: StoredSweep, *, question: Mapping[str, Any]) -> None:
    """Leave a note by which `recall.recall_fit` finds this fit again, if it is reliable: the fit is
    stored and nothing is damaged.

    Args:
        found, stored: The fit and where it came from.
        question: Every option of the command line.
    """
    from scaling.workflow.recall import Note, note_fit

    fingerprint = stored.contents.fingerprint
    if found.path is None or fingerprint is None:
        return
    first, *others = list_sweep_ladder(stored.spec, stored.facts)
    note = Note(
        fit=found.path.name,
        table_digest=found.fit.table_digest,
        rung=first,
        layers=stored.spec.model.layers,
        listed=tuple(others) if isinstance(first, NamedModel) else (),
    )
    note_fit(stored.folder, fingerprint, question, note)


def _list_validated(stored: StoredSweep, table: RunTable) -> tuple[MeasuredRun, ...]:
    """Finished runs of the sweep's registered forecasts, which are in no fit."""
    from scaling.fitting.fitted import MeasuredRun

    if table.metric_facts is not None:  # measured runs state a loss, not another metric
        return ()
    found = []
    for cell in stored.plan.cells:
        result = stored.results.recorded.get(cell.run.run_id) if cell.role == "validation" else None
        if result is None or result.status != "finished" or result.loss is None:
            continue
        params = count_params(cell.run.shape, table.convention or "matmul")
        found.append(
            MeasuredRun(float(params), float(cell.run.tokens), float(cell.run.flops), result.loss)
        )
    return tuple(found)


def _name_fit(
    folder: Path, table: RunTable, validated: Sequence[MeasuredRun], options: FitOptions
) -> Path:
    """The path fits/<digest>.json; the digest covers the rows, the finished runs of forecasts, and
    the way they are fitted and written."""
    from scaling.fitting.store import FORMAT_VERSION

    how = [dataclasses.asdict(options), __version__, FORMAT_VERSION]
    key = canonical_json(
        [table.digest, table.notes, [dataclasses.astuple(one) for one in validated], how]
    )
    return folder / "fits" / f"{hashlib.sha256(key).hexdigest()[:16]}.json"
