"""The verb that says what is understood of a table: read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.units import align_columns, clean_text
from scaling.verbs.options import column_options, json_option, read_how
from scaling.verbs.output import dump_json

if TYPE_CHECKING:
    from scaling.tables.facts import ColumnFacts, TableFacts


@click.command()
@click.argument("table", type=click.Path(path_type=Path), metavar="TABLE")
@column_options
@json_option
def read(table: Path, as_json: bool, **options: Any) -> int:
    """\b
    scaling read runs.csv
    scaling read runs.csv --columns N=size[M],D=steps*batch_tokens --json

    What is understood of a table, before anything is fitted: columns, units, states, rows, and what
    is missing.
    """
    from scaling.ledger.contents import holds_sweep
    from scaling.tables.cells import ReadOptions
    from scaling.tables.facts import describe_table

    if holds_sweep(table):
        raise click.UsageError(f"{table} is a results folder: scaling status shows what it holds.")
    how = read_how(options | {"count": "matmul", "anyway": False})
    asked = ReadOptions(
        columns=how["columns"], states=how["states"], where=how["where"], loss_unit=how["loss_unit"]
    )
    facts = describe_table(table, asked, loss_unit=how["loss_unit"])
    click.echo(dump_json(facts.to_contract()) if as_json else format_facts(facts))
    bad = facts.problems and not options["drop_bad"]
    return 2 if bad or not facts.rows else 0


def format_facts(facts: TableFacts) -> str:
    """The columns as a table, and a line for everything else."""
    head = ("column", "read from", "unit", "rows", "values")
    lines = [f"{facts.source}: {facts.rows} runs, {facts.cells} distinct (N, D)", ""]
    lines += align_columns([head, *(_format_column(one) for one in facts.columns)])
    groups = (("note", facts.notes), ("!", facts.doubts), ("problem", facts.problems))
    for word, said in groups:
        lines += [f"{word}: {one}" for one in said]
    lines += [f"not stated: {name} ({use})" for name, use in facts.missing]
    return clean_text("\n".join(lines))


def _format_column(one: ColumnFacts) -> tuple[str, ...]:
    shown = [f"{value:.4g}" if isinstance(value, float) else value for value in one.values]
    ends = " … " if one.values and isinstance(one.values[0], float) else ", "
    return (one.name, one.source, one.unit or "–", str(one.stated), ends.join(shown) or "–")
