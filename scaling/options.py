"""Options that several verbs share, and what they come to."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scaling.ledger.columns import OPTIONAL, REQUIRED

if TYPE_CHECKING:
    from scaling.ledger.filters import Filters
    from scaling.workflow import FitOptions

_F = TypeVar("_F", bound=Callable[..., Any])


class FiniteRange(click.FloatRange):
    """A range of numbers; click's own lets nan through, which is neither below nor above."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder in which results/ and reports/ lie.  [default: .]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable, to stdout.")
source_argument = click.argument("source", type=click.Path(path_type=Path), metavar="RESULTS|TABLE")
results_argument = click.argument("results", type=click.Path(path_type=Path), metavar="RESULTS")
family_option = click.option(
    "--family",
    default=None,
    help="Answer by one law alone: chinchilla, tied, over_training, no_floor, floor:VALUE, kaplan, "
    "droppo, coupled, farseer, compute, data_constrained.  [default: by an ensemble of laws "
    "weighted by held-out error, Chinchilla's law beside it]",
)
noise_option = click.option(
    "--noise",
    type=FiniteRange(0, 1, min_open=True),
    default=None,
    help="Standard deviation of ln loss of one run.  [default: of the runs of the prior]",
)
sweep_argument = click.argument("sweep_file", type=click.Path(path_type=Path), metavar="SWEEP.yaml")


def _describe_columns() -> str:
    needed, more = (", ".join(one.name for one in some) for some in (REQUIRED, OPTIONAL))
    return f"Needed: {needed}. Optional: {more} (README)."


def filter_options(function: _F) -> _F:
    """Which rows a fit leaves out."""
    options = [
        click.option(
            "--flops-range",
            default=None,
            metavar="LO:HI",
            help="Fit only rows with C from LO to HI [FLOP]; either may be left out.",
        ),
        click.option(
            "--first-epoch", is_flag=True, help="Fit only rows that saw no text twice (D <= U)."
        ),
        click.option(
            "--min-ratio",
            type=float,
            default=None,
            help="Fit only rows with at least so many tokens per parameter.",
        ),
        click.option(
            "--best-recipe",
            is_flag=True,
            help="Of each (N, D) fit only the lowest loss, with its learning rate's other seeds.",
        ),
    ]
    return _decorate(function, options)


def fit_options(function: _F) -> _F:
    """The options of every verb that fits."""
    options = [
        click.option(
            "--approach",
            type=click.Choice(["all", "parametric", "isoflop", "envelope"]),
            default="all",
            show_default=True,
            help="Which of Chinchilla's approaches answers; all: parametric, beside the others; "
            "envelope: only where points along runs compare (README, Points along runs).",
        ),
        family_option,
        click.option(
            "--count",
            type=click.Choice(["matmul", "total", "non_embedding"]),
            default="matmul",
            show_default=True,
            help="How N is counted (results folders; a table states its own N).",
        ),
        click.option(
            "--huber-delta",
            type=float,
            default=None,
            help="On log loss.  [default: 1e-3; own sweeps: 1.345 sigma of the replicates]",
        ),
        click.option(
            "--bootstrap",
            type=click.IntRange(2, 100_000),
            default=1000,
            show_default=True,
            help="Refits behind the intervals.",
        ),
        click.option("--no-bootstrap", is_flag=True, help="No intervals."),
        click.option(
            "--level",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            default=0.9,
            show_default=True,
            help="Of every interval.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0, 2**32 - 1),
            default=0,
            show_default=True,
            help="Of the bootstrap.",
        ),
        click.option(
            "--columns",
            default="",
            metavar="N=params,D=tokens,...",
            help=f"Names of a table's columns. {_describe_columns()}",
        ),
        click.option(
            "--loss-unit",
            type=click.Choice(["nats", "bits", "bpb"]),
            default="nats",
            show_default=True,
            help="Unit of a table's loss.",
        ),
        click.option(
            "--drop-bad", is_flag=True, help="Leave malformed rows out instead of ending."
        ),
        filter_options,
    ]
    return _decorate(function, options)


def _decorate(function: _F, options: Sequence[Callable[[Any], Any]]) -> _F:
    """The first option is listed first."""
    decorated: _F = functools.reduce(
        lambda wrapped, option: option(wrapped), reversed(options), function
    )
    return decorated


def make_filters(options: dict[str, Any]) -> Filters:
    """The declared filters among the options of a fit."""
    from scaling.ledger.filters import Filters

    return Filters(
        flops_range=_read_range(options["flops_range"]),
        first_epoch=options["first_epoch"],
        min_ratio=options["min_ratio"],
        best_recipe=options["best_recipe"],
    )


def list_given(options: dict[str, Any]) -> list[str]:
    """The words of a command line that say the same as `options`; what is not given is left out."""
    words = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    return words


def make_fit_options(options: dict[str, Any]) -> FitOptions:
    """How to fit, from the options of a fit."""
    from scaling.workflow import FitOptions

    return FitOptions(
        approach=options["approach"],
        family=options["family"],
        count=options["count"],
        huber_delta=options["huber_delta"],
        bootstrap=None if options["no_bootstrap"] else options["bootstrap"],
        level=options["level"],
        seed=options["seed"],
    )


def read_columns(text: str) -> dict[str, str]:
    """`N=params,D=tokens` as a mapping.

    Raises:
        click.UsageError: It is written otherwise, or names a column twice.
    """
    pairs = [pair.strip() for pair in text.split(",") if pair.strip()]
    if not all("=" in pair for pair in pairs):
        raise click.UsageError(f"--columns {text!r}: write N=params,D=tokens,loss=val_loss.")
    named = [(name.strip(), column.strip()) for name, column in (p.split("=", 1) for p in pairs)]
    doubled = {name for name, _ in named if [one for one, _ in named].count(name) > 1}
    if doubled:
        raise click.UsageError(f"--columns {text!r}: {', '.join(sorted(doubled))} is given twice.")
    return dict(named)


def _read_range(text: str | None) -> tuple[float | None, float | None] | None:
    if text is None:
        return None
    try:
        low, high = (float(end) if end.strip() else None for end in text.split(":"))
    except ValueError:
        raise click.UsageError(
            f"--flops-range {text!r}: write 1e18:1e21, 1e18: or :1e21."
        ) from None
    return low, high
