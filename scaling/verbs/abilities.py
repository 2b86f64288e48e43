"""The verb that asks what scale buys beyond the loss: abilities."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from scaling.units import clean_line
from scaling.verbs.exits import DAMAGED, NO_USABLE_FIT
from scaling.verbs.obtaining import refusal_as_json, say_damage
from scaling.verbs.options import (
    FiniteRange,
    json_option,
    read_how,
    reading_options,
    source_argument,
)
from scaling.verbs.output import dump_json


@click.command()
@source_argument
@click.option(
    "--sharp",
    metavar="NAME",
    help="The ability: a share such as exact match.  [default: every one of the folder]",
)
@click.option(
    "--smooth",
    metavar="NAME",
    help="The smooth score beside it, lower is better in a table.  [default: the answers' loss "
    "where it was measured, else the loss]",
)
@click.option(
    "--null",
    metavar="NAME",
    help="What it would be if tokens erred independently.  [default: answer_null, of a folder]",
)
@click.option(
    "--chance",
    type=FiniteRange(min=0),
    help="Score of guessing.  [default: as the corpus tells, else 0]",
)
@click.option(
    "--bound",
    type=FiniteRange(min=0, min_open=True),
    help="What no model can pass.  [default: the probe's, else 1]",
)
@click.option(
    "--threshold",
    type=FiniteRange(min=0, min_open=True),
    help="A run succeeds from this score on.  [default: 0.9 of the bound]",
)
@reading_options
@json_option
def abilities(
    source: Path,
    sharp: str | None,
    smooth: str | None,
    null: str | None,
    chance: float | None,
    bound: float | None,
    threshold: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling abilities results/addition
    scaling abilities runs.csv --sharp exact --smooth answer_loss --chance 0.1 --json

    Whether an ability emerges, or its metric makes it look so: success over seeds, the score beside
    what independent errors give, and the two largest sizes forecast from the smaller where that is
    possible. Exit code 4: nothing can be fitted.
    """
    from scaling.fitting.abilities.ability import write_contract
    from scaling.terminal.abilities import format_ability
    from scaling.workflow.abilities import judge_abilities, read_abilities

    how = read_how(options | {"count": "matmul"})
    how.pop("metric")
    if options["loss_unit"] != "nats" and source.is_dir():
        raise click.UsageError("--loss-unit says how a table is read; a folder is in nats.")
    with refusal_as_json(as_json, partial(write_contract, (), str(source))):
        table, stored, names = read_abilities(source, how, sharp=sharp, smooth=smooth, null=null)
    judged = judge_abilities(
        table, names, stored=stored, chance=chance, bound=bound, threshold=threshold
    )
    for note in table.notes:
        click.echo(clean_line(f"note: {note}"), err=True)
    if as_json:
        click.echo(dump_json(write_contract(judged, str(source))))
    else:
        click.echo("\n\n".join(map(format_ability, judged)))
    if say_damage(stored):
        return DAMAGED
    return 0 if any(one.fitted for one in judged) else NO_USABLE_FIT
