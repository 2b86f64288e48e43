"""The verbs knowledge and bias."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.units import clean_text
from scaling.verbs.completing import complete_run
from scaling.verbs.exits import DAMAGED
from scaling.verbs.obtaining import say_damage
from scaling.verbs.options import json_option, results_argument
from scaling.verbs.output import dump_json


@click.command()
@results_argument
@json_option
def knowledge(results: Path, as_json: bool) -> int:
    """\b
    scaling knowledge results/closed-world
    scaling knowledge results/closed-world-capacity --json

    Knowledge and hallucination on a closed world: errors by bits per (parameter × exposure),
    capacity, and how often generated statements are not facts, with its lower bound.
    Exit code 4: no run has a value of such a probe.
    """
    from scaling.terminal.knowledge import format_knowledge
    from scaling.workflow.knowledge import judge_world
    from scaling.workflow.stored import open_results

    stored = open_results(results)
    found = judge_world(stored)
    if as_json:
        click.echo(dump_json(found.to_contract(str(results))))
    else:
        click.echo(format_knowledge(found))
    return DAMAGED if say_damage(stored) else 0


@click.command()
@results_argument
@click.option("--pairs", type=click.Path(path_type=Path), metavar="FILE",
              help="Score these pairs of sentences instead. Each line is a JSON object with first, "
              "second and differs, the text of each where they differ.")  # fmt: skip
@click.option("--run", "run_id", shell_complete=complete_run,
              help="The run that scores --pairs; the first characters of its run_id are enough.  "
              "[default: the finished run with the lowest loss]")  # fmt: skip
@json_option
def bias(results: Path, pairs: Path | None, run_id: str | None, as_json: bool) -> int:
    """\b
    scaling bias results/bias
    scaling bias results/quickstart --pairs pairs.jsonl --run 0123 --json

    How far models amplify a stereotype of their training text, and how much of that is arithmetic.
    With --pairs: which sentence of each of your own pairs a run finds more likely.
    """
    if pairs is not None:
        from scaling.terminal.knowledge import format_pairs
        from scaling.workflow.pairs import score_pairs

        scored = score_pairs(results, pairs, run=run_id)
        if as_json:
            click.echo(dump_json(scored.to_contract(str(results))))
        else:
            click.echo(clean_text(format_pairs(scored)))
        return 0
    if run_id is not None:
        raise click.UsageError(
            "--run says which run scores --pairs: add --pairs FILE, or leave --run out."
        )
    from scaling.terminal.knowledge import format_bias
    from scaling.workflow.knowledge import judge_people
    from scaling.workflow.stored import open_results

    stored = open_results(results)
    people = judge_people(stored)
    if as_json:
        click.echo(dump_json(people.to_contract(str(results))))
    else:
        click.echo(format_bias(people))
    return DAMAGED if say_damage(stored) else 0
