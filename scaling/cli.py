"""The command line: turns verbs into calls and results into text, without logic of its own.

Answers go to standard output, everything else to standard error. Exit codes: 0 ok · 1 our bug ·
2 bad usage or spec · 3 finished, some runs failed · 4 no usable fit · 5 environment · 6 locked by
another driver · 7 integrity · 130/143 signals.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import NoReturn

import click

from scaling._version import __version__
from scaling.units import clean_text
from scaling.units.stages import show_stages
from scaling.verbs.abilities import abilities
from scaling.verbs.asking import allocate, backtest, compare, fit, predict
from scaling.verbs.exits import find_exit_code
from scaling.verbs.exporting import export
from scaling.verbs.few_shot import few_shot
from scaling.verbs.forecasting import forecast
from scaling.verbs.keeping import report, retry, verify
from scaling.verbs.knowing import bias, knowledge
from scaling.verbs.reading import read
from scaling.verbs.running import plan, run
from scaling.verbs.sampling import sample
from scaling.verbs.siblings import recipes, tokenizers, transfer
from scaling.verbs.starting import init
from scaling.verbs.streams import settle_streams
from scaling.verbs.submitting import submit
from scaling.verbs.suggesting import suggest
from scaling.verbs.watching import cancel, logs, status, track

_GROUPS: dict[str, tuple[click.Command, ...]] = {
    "Common": (init, plan, run, fit, allocate, report),
    "Ask": (
        *(read, predict, forecast, backtest, compare),
        *(tokenizers, recipes, transfer, abilities, few_shot),
        *(knowledge, bias, sample),
    ),
    "Train more, or elsewhere": (suggest, submit),
    "Watch and keep": (status, logs, cancel, retry, verify, track, export),
}


def main() -> NoReturn:
    """Entry point of the console script."""
    settle_streams()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    warnings.showwarning = _show_warning
    show_stages(_show_stage)
    sys.exit(find_exit_code(lambda: cli.main(standalone_mode=False)))


def _show_warning(message: Warning | str, *rest: object, **more: object) -> None:
    click.echo(clean_text(f"warning: {message}"), err=True)


def _show_stage(words: str) -> None:
    click.echo(clean_text(words), err=True)


class _Commands(click.Group):
    """Lists verbs in the order of their use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a verb; its line in the list is the first sentence below its examples."""
        _, _, words = (cmd.help or "").partition("\n\n")
        cmd.short_help = " ".join(words.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")
        super().add_command(cmd, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs in groups, the common ones first."""
        width = formatter.width - 6 - max(map(len, self.commands))
        for title, verbs in _GROUPS.items():
            rows = [(str(verb.name), verb.get_short_help_str(width)) for verb in verbs]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="scaling")
def cli() -> None:
    """\b
    scaling run sweeps/quickstart.yaml
    scaling allocate results/quickstart --flops 6e12

    How large a language model, and on how many tokens, for the compute you have: train a grid of
    small models, fit a scaling law, ask.
    """


for verb in (verb for verbs in _GROUPS.values() for verb in verbs):
    cli.add_command(verb)
