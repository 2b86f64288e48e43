"""`scaling.fit` and `scaling.run_sweep`: the entry points for scripts and notebooks."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from scaling.errors import RunsFailedError, TableError, UsageError
from scaling.ledger.contents import find_loss_scale
from scaling.notebook.fitted import Fitted
from scaling.sweep.counting import CountConvention
from scaling.tables.filters import Filters
from scaling.tables.run_table import RunTable
from scaling.tables.states import USUAL, read_state_rule
from scaling.units.losses import LossUnit
from scaling.workflow.fits import FitOptions, fit_filtered
from scaling.workflow.stored import StoredSweep, read_runs

if TYPE_CHECKING:
    import pandas as pd

    from scaling.fitting.fitted import AskedApproach

    Source: TypeAlias = str | os.PathLike[str] | RunTable | pd.DataFrame

_FRAME = "DataFrame"  # stands for a file's path


def fit(
    source: Source,
    *,
    columns: Mapping[str, str] | None = None,
    loss_unit: LossUnit = "nats",
    drop_bad: bool = False,
    state: str | None = None,
    where: Mapping[str, str] | None = None,
    anyway: bool = False,
    filters: Filters | None = None,
    family: str | None = None,
    approach: AskedApproach = "all",
    count: CountConvention = "matmul",
    huber_delta: float | None = None,
    bootstrap: int | None = 1000,
    level: float = 0.9,
    seed: int = 0,
) -> Fitted:
    """Fit scaling laws to runs, as `scaling fit` does, with its checks and defaults.

    Args:
        source: A results folder, a table of runs (any file `scaling read` understands), a pandas
            DataFrame, or a RunTable.
        columns: Columns or expressions of a table for N, D, loss and the rest, as in
            {"N": "params", "D": "steps*batch_tokens"}.
        loss_unit: Unit of the table's losses and of every answer: "nats", "bits" (per token), "bpb"
            (bits per byte) or "ppl".
        drop_bad: Leave malformed rows out instead of refusing the table.
        state: Which rows count, by how their run ended, as in "status=done".
        where: Column -> value; only rows that match all of them are read.
        anyway: Read a table whose columns seem to hold several units.
        filters: Declared rules that leave runs out of the fit.
        family: Law that answers alone; None: the ensemble answers, Chinchilla's law beside it.
        approach: "parametric", "isoflop", "envelope" or "all".
        count: How N of a results folder is counted.
        huber_delta: Threshold on residuals of ln L; None: by the noise of repeated seeds.
        bootstrap: Number of draws; None: no intervals.
        level: Probability with which each interval should hold the truth.
        seed: Seed of the draws.

    Returns:
        The fit, with methods that answer, draw and tabulate.

    Raises:
        TableError: The table cannot be read; names every problem in it.
        UsageError: An option does not suit the source.
    """
    how: dict[str, Any] = {
        "columns": dict(columns or {}),
        "loss_unit": loss_unit,
        "drop_bad": drop_bad,
        "states": USUAL if state is None else _read_states(state),
        "where": tuple((where or {}).items()),
        "anyway": anyway,
    }
    stored: StoredSweep | None = None
    if isinstance(source, RunTable):
        if columns or where or drop_bad or state is not None or count != "matmul":
            raise UsageError("a RunTable is read already: leave out how a table is to be read.")
        table, scale = source, find_loss_scale(Path(source.source), loss_unit)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        table, stored = read_runs(path, count=count, **how)
        scale = find_loss_scale(path, loss_unit)
    else:
        table, scale = _read_frame(source, count, how), find_loss_scale(Path(_FRAME), loss_unit)
    options = FitOptions(
        approach=approach,
        count=count,
        family=family,
        huber_delta=huber_delta,
        bootstrap=bootstrap,
        level=level,
        seed=seed,
    )
    found = fit_filtered(table, stored, options, filters or Filters())
    return Fitted(fit=found.fit, table=found.table, stored=stored, scale=scale)


def run_sweep(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] = ".",
    executor: str = "ray",
    address: str | None = None,
) -> Fitted:
    """Train the missing runs of a sweep and fit it, as `scaling run` does; writes no page.

    Args:
        path: The sweep file of a single sweep (no list of tokenizers or recipes).
        root: Folder that contains results/.
        executor: "ray" (all cores) or "inline" (one run after another in this process).
        address: Address of a Ray cluster to join; None: Ray on this machine.

    Returns:
        The fit of all its finished runs.

    Raises:
        SpecError, UsageError: The file is not a sweep, or contains several.
        RunsFailedError: Some runs failed; finished runs are kept, and another call resumes.
    """
    from scaling.workflow.preparing import list_sweeps, prepare_sweep
    from scaling.workflow.training import open_ledger, train_sweep

    file, home = Path(path), Path(root)
    names = list_sweeps(file)
    if len(names) != 1:
        raise UsageError(
            f"{file} makes {len(names)} sweeps ({', '.join(names)}): run it on the command line, "
            "and fit each of its folders."
        )
    sweep = prepare_sweep(file, root=home, name=names[0], runs_here=address is None)
    ledger = open_ledger(sweep, root=home, retrain=False)
    outcome = train_sweep(sweep, ledger, executor=executor, address=address)
    if outcome.failed:
        told = "; ".join(f"{one.run_id} ({one.cause}): {one.message}" for one in outcome.failed)
        raise RunsFailedError(f"{len(outcome.failed)} runs failed: {told}")
    return fit(ledger.folder)


def _read_states(text: str) -> Any:
    try:
        return read_state_rule(text)
    except ValueError as error:
        raise UsageError(f"state {error}.") from None


def _read_frame(frame: pd.DataFrame, count: CountConvention, how: Mapping[str, Any]) -> RunTable:
    """Read a frame with the reader of files: the same columns, units, states and errors."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.csv"
        frame.to_csv(path, index=False)
        try:
            table, _ = read_runs(path, count=count, **how)
        except TableError as error:
            raise TableError(_rename(error.problems, path)) from None
    notes = tuple(_rename(table.notes, path))
    return dataclasses.replace(table, source=_FRAME, notes=notes)


def _rename(texts: Iterable[str], path: Path) -> list[str]:
    return [text.replace(str(path), _FRAME) for text in texts]
