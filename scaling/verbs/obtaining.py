"""Shared parts of the verbs that answer: the fit of a folder or a table, and reports of damage."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.units import clean_line
from scaling.units.losses import METRIC
from scaling.verbs.options import make_filters, make_fit_options, read_how, read_metric
from scaling.verbs.output import dump_json

if TYPE_CHECKING:
    from scaling.fitting.fitted import Fit
    from scaling.ledger.contents import Contents
    from scaling.sweep.shapes import ModelShape
    from scaling.tables.run_table import RunTable
    from scaling.units.losses import LossScale
    from scaling.workflow.fits import FilteredFit
    from scaling.workflow.stored import StoredSweep


def obtain_fit(
    source: Path,
    options: dict[str, Any],
    *,
    compare: bool = False,
    contents: Contents | None = None,
) -> tuple[FilteredFit, StoredSweep | None]:
    """Fit a source by the options, and return its sweep too if it has one; prints the notes.
    `contents`: the folder's files, if they are read already."""
    from scaling.tables.rows import join_rejected
    from scaling.workflow.fits import fit_filtered
    from scaling.workflow.stored import read_runs

    scale, _ = settle_unit(source, options)
    table, stored = read_runs(source, contents=contents, **read_how(options))
    filters = make_filters(options)
    found = fit_filtered(table, stored, make_fit_options(options), filters, compare=compare)
    for note in (*found.fit.notes, *join_rejected(found.table.rejected)):
        click.echo(clean_line(f"note: {scale.reword(note)}"), err=True)
    return found, stored


def read_kept(path: Path, options: dict[str, Any]) -> tuple[RunTable, StoredSweep | None]:
    """Read the rows of a source that the filters keep."""
    from scaling.tables.filters import apply_filters
    from scaling.workflow.stored import read_runs

    table, stored = read_runs(path, **read_how(options))
    return apply_filters(table, make_filters(options))[0], stored


def obtain_answerer(
    source: Path, options: dict[str, Any]
) -> tuple[Fit, Iterable[ModelShape] | None, Callable[[], bool]]:
    """The fit that answers, the shapes that can be built, and a function that reports damage."""
    from scaling.ledger.contents import holds_sweep, read_contents

    if not holds_sweep(source):
        return obtain_fit(source, options)[0].fit, None, lambda: False
    from scaling.workflow.recall import recall_fit

    contents = read_contents(source)
    # The contents' fingerprint does not include probe values.
    by_loss = options.get("metric") is None
    known = recall_fit(contents, options) if by_loss else None
    if known is not None:
        fitted, rungs = known
        for note in fitted.notes:
            click.echo(clean_line(f"note: {note}"), err=True)
        return fitted, rungs, lambda: False
    from scaling.sweep.own_ladder import list_sweep_ladder
    from scaling.workflow.fits import note_found

    found, stored = obtain_fit(source, options, contents=contents)
    assert stored is not None  # the source is a folder
    if by_loss:
        note_found(found, stored, question=options)
    ladder = list_sweep_ladder(stored.spec, stored.facts)
    return found.fit, ladder, lambda: say_damage(stored)


def list_groups(
    source: Path, column: str, options: dict[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Each value of a column of a table, and the options that read only its rows.

    Raises:
        UsageError: The source is not a table.
        TableError: The table lacks the column.
    """
    from scaling.errors import UsageError
    from scaling.ledger.contents import holds_sweep
    from scaling.tables.cells import list_values

    if holds_sweep(source):
        raise UsageError(f"{source} is a results folder: --group-by is for tables.")
    where = read_how(options)["where"]
    values = list_values(source, column, where)
    return [
        (value, options | {"where": (*options["where"], f"{column}={value}")}) for value in values
    ]


@contextlib.contextmanager
def refusal_as_json(as_json: bool, describe: Callable[[str], dict[str, Any]]) -> Iterator[None]:
    """Print the reason as JSON for scripts too if there is no answer (exit 4)."""
    from scaling.errors import NoFitError

    try:
        yield
    except NoFitError as error:
        if as_json:
            click.echo(dump_json(describe(str(error))))
        raise


def describe_refusal(fitted: Fit, key: str, scale: LossScale, reason: str) -> dict[str, Any]:
    """The JSON of a fit that has no answer; `key`: that of the answers."""
    contract = fitted.to_contract(scale)
    kept = {name: contract[name] for name in ("status", "law", "checks")}
    return scale.to_contract() | kept | {"reason": scale.reword(reason), key: []}


def settle_unit(source: Path, options: dict[str, Any]) -> tuple[LossScale, dict[str, Any]]:
    """The unit of losses, and the options with the losses among them in nats.

    Raises:
        click.UsageError: Both a unit of losses and a metric in place of losses are asked for.
    """
    from scaling.laws.registry import rescale_name
    from scaling.ledger.contents import find_loss_scale

    if read_metric(options) is not None:
        return METRIC, options
    scale = find_loss_scale(source, options["loss_unit"])
    family = options.get("family")
    if family is None or scale.unit == "nats":
        return scale, options
    return scale, options | {"family": rescale_name(family, scale, into_nats=True)}


@contextlib.contextmanager
def wording(scale: LossScale) -> Iterator[None]:
    """Write losses in error messages in the unit of the question."""
    from scaling.errors import NoFitError, QueryError

    try:
        yield
    except (QueryError, NoFitError) as error:
        said = scale.reword(str(error))
        if said == str(error):
            raise
        raise type(error)(said) from error


@contextlib.contextmanager
def naming_units(fitted: Fit) -> Iterator[None]:
    """Add doubts about the table's units to the error of a question that cannot be answered, since
    they may be the reason."""
    from scaling.errors import QueryError

    try:
        yield
    except QueryError as error:
        for check in fitted.checks:
            if check.code == "implausible_units" and check.passed is False:
                raise QueryError(f"{error}\n{check.seen} {check.advice}") from error
        raise


def say_damage(stored: StoredSweep | None) -> bool:
    """Name the results that were left out because they are damaged."""
    damaged = stored.results.damaged if stored else ()
    for damage in damaged:
        click.echo(clean_line(f"left out, damaged: {damage.path}: {damage.what}"), err=True)
    return bool(damaged)
