"""The verb few-shot: what examples in the context are worth."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.verbs.exits import DAMAGED, NO_USABLE_FIT
from scaling.verbs.obtaining import refusal_as_json, say_damage
from scaling.verbs.options import json_option
from scaling.verbs.output import dump_json


@click.command("few-shot")
@click.argument(
    "results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS..."
)
@json_option
def few_shot(results: tuple[Path, ...], as_json: bool) -> int:
    """\b
    scaling few-shot results/few-shot
    scaling few-shot results/few-shot-diversity-chains-* --json

    What examples in the context are worth, by N and D, and the size from which models learn from
    them like the best predictor. With several folders, one per number of training chains: how many
    chains it takes before a model infers instead of remembering. Exit code 4: nothing can be
    fitted.
    """
    from scaling.fitting.few_shot.judged import FewShot
    from scaling.terminal.few_shot import format_few_shot
    from scaling.workflow.few_shot import judge_few_shot
    from scaling.workflow.stored import open_results

    folders = [open_results(one) for one in results]
    with refusal_as_json(as_json, lambda reason: FewShot(reason=reason).to_contract()):
        found = judge_few_shot(folders)
    click.echo(dump_json(found.to_contract()) if as_json else format_few_shot(found))
    damaged = [say_damage(one) for one in folders]  # prints every damaged result
    if any(damaged):
        return DAMAGED
    return 0 if found.fitted else NO_USABLE_FIT
