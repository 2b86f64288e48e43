"""Options that several verbs share, and their conversion."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scaling.laws.registry import name_families
from scaling.tables.columns import OPTIONAL, REQUIRED
from scaling.units import clean_line
from scaling.units.numbers import NumberError, Quantity, has_foreign_digits, read_number
from scaling.verbs.completing import complete_family, complete_run, complete_sweep

if TYPE_CHECKING:
    from scaling.tables.filters import Filters
    from scaling.tables.metrics import AskedMetric
    from scaling.workflow.fits import FitOptions

_REFITS = 1000

_F = TypeVar("_F", bound=Callable[..., Any])


class _PlainDigits(click.ParamType[Any]):
    """Mixin that refuses digits of other scripts, which Python's own readers accept."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        _refuse_scripts(self, value, param, ctx)
        return super().convert(value, param, ctx)


def _refuse_scripts(
    kind: click.ParamType[Any], value: Any, param: click.Parameter | None, ctx: click.Context | None
) -> None:
    if isinstance(value, str) and has_foreign_digits(value):
        kind.fail(f"{value!r} has digits of another script; write them as 0 to 9.", param, ctx)


class Real(_PlainDigits, click.types.FloatParamType):
    """A number."""


class RealRange(_PlainDigits, click.FloatRange):
    """A number within a range."""


class WholeRange(_PlainDigits, click.IntRange):
    """A whole number within a range."""


class Amount(click.types.FloatParamType):
    """A number as people write it: 1e21, 10^21, 70M, 300B tokens; prints how it was understood."""

    name = "number"

    def __init__(self, of: Quantity = "") -> None:
        self.of = of

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        _refuse_scripts(self, value, param, ctx)
        try:
            return float(value)
        except ValueError:
            pass
        try:
            number = read_number(value, of=self.of)
        except NumberError as error:
            self.fail(f"{error}; write 70000000, 7e7, 70M or 10^21.", param, ctx)
        name = param.opts[0] if param is not None else self.of
        click.echo(
            clean_line(f"note: {name} {value} is {number:.10g} {self.of}".rstrip()), err=True
        )
        return number


FLOPS, TOKENS, PARAMS = Amount("FLOP"), Amount("tokens"), Amount("parameters")


class FiniteRange(RealRange):
    """A range of numbers; click's own accepts nan, which is neither below nor above."""

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
    shell_complete=complete_family,
    help=f"Answer by one law alone: {name_families()}.  [default: by an ensemble of laws weighted "
    "by held-out error, Chinchilla's law beside it]",
)
noise_option = click.option(
    "--noise",
    type=FiniteRange(0, 1, min_open=True),
    help="Standard deviation of ln loss of one run.  [default: of the runs of the prior]",
)
group_option = click.option(
    "--group-by",
    metavar="COLUMN",
    help="One law for each value of a column of the table, side by side.",
)
level_option = click.option(
    "--level",
    type=RealRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Probability of every interval.",
)
run_option = click.option(
    "--run",
    "run_id",
    shell_complete=complete_run,
    help="Which run; the beginning of its run_id is enough.  [default: the finished one of the "
    "lowest loss]",
)
sweep_argument = click.argument(
    "sweep_file",
    type=click.Path(path_type=Path),
    metavar="SWEEP.yaml",
    shell_complete=complete_sweep,
)


def _describe_columns() -> str:
    needed, more = (", ".join(one.name for one in some) for some in (REQUIRED, OPTIONAL))
    return f"Needed: {needed}. Optional: {more} (docs/tables.md)."


def join_options(*options: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """A decorator that adds these options; the first one is listed first."""

    def add(function: _F) -> _F:
        decorated: _F = functools.reduce(
            lambda wrapped, option: option(wrapped), reversed(options), function
        )
        return decorated

    return add


# How a table is read.
column_options = join_options(
    click.option(
        "--columns",
        default="",
        metavar="N=params,D=tokens,...",
        help="Names of a table's columns, or expressions of them: D=steps*batch_tokens, "
        f"C=gflops*1e9, N=size[M]; lr= leaves one out. {_describe_columns()}",
    ),
    click.option(
        "--loss-unit",
        type=click.Choice(["nats", "bits", "bpb", "ppl"]),
        default="nats",
        show_default=True,
        help="Unit of a table's loss; ppl: a perplexity.",
    ),
    click.option("--drop-bad", is_flag=True, help="Leave malformed rows out instead of ending."),
    click.option(
        "--state",
        metavar="COLUMN=WORD,...",
        help="Which rows of a table count by how their run ended; any: all.",
    ),
    click.option(
        "--where",
        multiple=True,
        metavar="COLUMN=VALUE",
        help="Read only rows of a table with this value; repeated: with all of them.",
    ),
)
# How a table is read to fit it.
reading_options = join_options(
    column_options,
    click.option(
        "--anyway",
        is_flag=True,
        help="Go on although a table's units look mixed, a fit did not converge, or data are "
        "repeated more often than its law can judge.",
    ),
)
# Filters, which leave rows out of a fit.
filter_options = join_options(
    click.option(
        "--flops-range",
        metavar="LO:HI",
        help="Fit only rows with C from LO to HI [FLOP]; either may be left out.",
    ),
    click.option(
        "--first-epoch", is_flag=True, help="Fit only rows that saw no text twice (D <= U)."
    ),
    click.option(
        "--min-ratio",
        type=Real(),
        help="Fit only rows with at least so many tokens per parameter.",
    ),
    click.option(
        "--best-recipe",
        is_flag=True,
        help="For each (N, D) fit only the lowest loss, with the other seeds of its recipe.",
    ),
    click.option(
        "--last-of-run",
        is_flag=True,
        help="For points along training runs fit only the end of each run.",
    ),
)
_count_option = click.option(
    "--count",
    type=click.Choice(["matmul", "total", "non_embedding"]),
    default="matmul",
    show_default=True,
    help="How N is counted (results folders and their exports; other tables state their own N).",
)
_delta_option = click.option(
    "--huber-delta",
    type=Real(),
    help="Huber's δ on log loss.  [default: 1.345 sigma of seeds of one (N, D), at least 1e-3; "
    "else 1e-3]",
)
# Reading and weighing runs, for verbs that choose the law themselves.
table_options = join_options(_count_option, _delta_option, reading_options, filter_options)
# Of every verb that fits one law and answers by it.
fit_options = join_options(
    click.option(
        "--approach",
        type=click.Choice(["all", "parametric", "isoflop", "envelope"]),
        default="all",
        show_default=True,
        help="Which of Chinchilla's approaches answers; all: parametric, beside the others; "
        "envelope: only where points along runs compare (docs/tables.md).",
    ),
    family_option,
    _count_option,
    _delta_option,
    click.option(
        "--bootstrap",
        type=WholeRange(2, 100_000),
        default=_REFITS,
        show_default=True,
        help="Refits behind the intervals.",
    ),
    click.option("--no-bootstrap", is_flag=True, help="No intervals."),
    level_option,
    click.option(
        "--seed",
        type=WholeRange(0, 2**32 - 1),
        default=0,
        show_default=True,
        help="Seed of the bootstrap.",
    ),
    reading_options,
    filter_options,
)
# A law of another quantity than the loss.
metric_options = join_options(
    click.option(
        "--metric",
        metavar="NAME",
        help="Fit this in place of the loss: a probe of the sweep, or a column of the table.",
    ),
    click.option(
        "--higher-is-better",
        is_flag=True,
        help="For --metric: fit ln(bound − metric). A probe knows its own direction.",
    ),
    click.option(
        "--bound",
        type=Real(),
        help="The metric's bound, which no model can pass: 1 for a share.",
    ),
)


def read_metric(options: dict[str, Any]) -> AskedMetric | None:
    """The metric that is asked for; None: the loss.

    Raises:
        click.UsageError: Options describe a metric but none is asked for, or ask for its unit.
    """
    from scaling.tables.metrics import AskedMetric

    higher, bound = options.get("higher_is_better", False), options.get("bound")
    name = options.get("metric")
    if name is None:
        if higher or bound is not None:
            raise click.UsageError(
                "--higher-is-better and --bound are options of --metric; name it."
            )
        return None
    if options["loss_unit"] != "nats":
        raise click.UsageError("--loss-unit is of the loss; leave it or --metric out.")
    if bound is not None and not math.isfinite(bound):
        raise click.UsageError(f"--bound {bound}: say a finite number.")
    return AskedMetric(name=name, higher_is_better=higher, bound=bound)


def read_how(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments for reading a table, as `workflow.read_runs` takes them.

    Raises:
        click.UsageError: An option is malformed.
    """
    from scaling.tables.states import read_state_rule

    pairs = []
    for text in options["where"]:
        column, mark, value = text.partition("=")
        if not mark or not column.strip():
            raise click.UsageError(f"--where {text!r}: write COLUMN=VALUE, as in data=c4.")
        pairs.append((column.strip(), value.strip()))
    try:
        states = read_state_rule(options["state"])
    except ValueError as error:
        raise click.UsageError(f"--state {error}.") from None
    return {
        **{name: options[name] for name in ("count", "loss_unit", "drop_bad", "anyway")},
        "columns": read_columns(options["columns"]),
        "states": states,
        "where": tuple(pairs),
        "metric": read_metric(options),
    }


def make_filters(options: dict[str, Any]) -> Filters:
    """The declared filters among the options of a fit."""
    from scaling.tables.filters import Filters

    same = ("first_epoch", "min_ratio", "best_recipe", "last_of_run")
    kept = {name: options[name] for name in same}
    return Filters(flops_range=_read_range(options["flops_range"]), **kept)


def list_given(options: dict[str, Any]) -> list[str]:
    """The words of a command line equivalent to `options`, without options that are not given."""
    return [
        word
        for name, value in options.items()
        if value is not None and value is not False
        for one in (value if isinstance(value, tuple) else (value,))  # a repeated option
        for word in (f"--{name.replace('_', '-')}", *([] if one is True else [str(one)]))
    ]


def count_refits(options: dict[str, Any]) -> int | None:
    """Number of refits behind the intervals; None: no intervals.

    Raises:
        click.UsageError: A number of refits and no intervals are both asked for.
    """
    if not options["no_bootstrap"]:
        return int(options["bootstrap"])
    if options["bootstrap"] != _REFITS:
        raise click.UsageError("--bootstrap and --no-bootstrap contradict each other; leave one.")
    return None


def make_fit_options(options: dict[str, Any]) -> FitOptions:
    """Make the FitOptions from the options of a fit."""
    from scaling.workflow.fits import FitOptions

    same = ("approach", "family", "count", "huber_delta", "level", "seed")
    return FitOptions(bootstrap=count_refits(options), **{name: options[name] for name in same})


def read_columns(text: str) -> dict[str, str]:
    """Read `N=params,D=tokens` as a mapping.

    Raises:
        click.UsageError: The text has another form, or names a column twice.
    """
    from scaling.tables.expressions import split_mapping

    pairs = split_mapping(text)
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
        low, high = (
            read_number(end, of="FLOP") if end.strip() else None for end in text.split(":")
        )
    except ValueError:
        raise click.UsageError(
            f"--flops-range {text!r}: write 1e18:1e21, 1e18: or :1e21."
        ) from None
    return low, high
