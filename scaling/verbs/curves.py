"""Laws of one variable on the command line: `fit --of` and `compare --of`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.units import align_columns, clean_line, format_count, format_flops
from scaling.units.numbers import has_foreign_digits
from scaling.verbs.obtaining import wording
from scaling.verbs.options import Amount, Real, count_refits, join_options, make_filters, read_how
from scaling.verbs.output import dump_json

if TYPE_CHECKING:
    from scaling.fitting.one_variable import CurveFit, CurveForecast
    from scaling.units import FloatArray
    from scaling.units.losses import LossScale

CURVE_NAMES = ("of", "at", "floor", "exponent")
# Options that only a fit of N and D takes, with their defaults.
_OF_TWO_VARIABLES = {
    "family": None, "approach": "all", "count": "matmul", "huber_delta": None, "anyway": False,
}  # fmt: skip


# A law of one variable in place of one of N and D.
curve_options = join_options(
    click.option(
        "--of",
        type=click.Choice(["C", "N", "D"]),
        help="Fit the loss against this alone, for tables that hold no more.",
    ),
    click.option("--at", type=Amount(), multiple=True, help="Forecast the loss there."),
    click.option("--floor", type=str, help="E of --of: a number, or none for no floor."),
    click.option("--exponent", type=Real(), help="alpha of --of, held."),
)


def refuse_ignored(said: dict[str, Any], unread: dict[str, Any]) -> None:
    """Refuse options that would change nothing.

    Args:
        said: The options of the curve.
        unread: Other options of the verb that a law of one variable does not use, and whether
            they are given.

    Raises:
        click.UsageError: Such an option is given.
    """
    if said["of"] is None:
        given = [name for name in CURVE_NAMES if said[name] not in (None, ())]
        if given:
            raise click.UsageError(
                f"--{given[0]} is of a law of one variable: say --of C, N or D, or leave it out."
            )
        return
    for name, value in unread.items():
        if value:
            raise click.UsageError(f"{name} does not go with --of; leave one out.")


def fit_one_variable(
    sources: Sequence[Path],
    said: dict[str, Any],
    options: dict[str, Any],
    scale: LossScale,
    *,
    far: bool = False,
) -> tuple[CurveFit, list[CurveForecast]]:
    """Fit the law that the options ask for to one table, or to two together, and forecast; prints
    the notes.

    Raises:
        click.UsageError: An option cannot be combined with a law of one variable.
    """
    from scaling.fitting.one_variable import fit_curve
    from scaling.tables.curve_table import read_curve

    if make_filters(options):
        raise click.UsageError("--of reads every row: choose them by --where or --state.")
    for name, usual in _OF_TWO_VARIABLES.items():
        if options[name] != usual:
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} is of laws of N and D; leave it or --of out.")
    how = read_how(options)
    del how["count"], how["anyway"], how["metric"]
    xs: list[FloatArray] = []
    losses: list[FloatArray] = []
    for source in sources:
        x, loss, notes = read_curve(source, said["of"], **how)
        xs.append(x)
        losses.append(loss)
        for note in notes:
            click.echo(clean_line(f"note: {note}"), err=True)
    with wording(scale):
        fitted = fit_curve(
            xs,
            losses,
            variable=said["of"],
            floor=_read_floor(said["floor"], scale),
            exponent=said["exponent"],
            bootstrap=count_refits(options),
            level=options["level"],
            seed=options["seed"],
        )
        return fitted, [fitted.forecast(x, far=far) for x in said["at"]]


def say_curve(
    fitted: CurveFit, forecasts: Sequence[CurveForecast], scale: LossScale, *, as_json: bool
) -> None:
    """Print a law of one variable and its forecasts."""
    if as_json:
        told = [one.to_contract(scale) for one in forecasts]
        click.echo(dump_json(fitted.to_contract(scale) | {"forecasts": told}))
    else:
        click.echo(_format_curve(fitted, forecasts, scale))


def say_speed_up(fitted: CurveFit, scale: LossScale, *, as_json: bool) -> None:
    """Print the factor by which the second table needs less x."""
    value, interval = fitted.speed_up()
    if as_json:
        whole = fitted.to_contract(scale)
        click.echo(dump_json(whole | {"speed_up": value, "interval": interval}))
        return
    click.echo(
        f"For the same loss B needs {1.0 / value:.3g} of A's {fitted.variable}: a speed-up of "
        f"{value:.4g}{_format_interval(interval, fitted.level)}\n{_format_curve(fitted, (), scale)}"
    )


def _read_floor(text: str | None, scale: LossScale) -> float | None:
    if text is None:
        return None
    if text.strip().lower() in ("none", "no"):
        return 0.0
    try:
        if has_foreign_digits(text):
            raise ValueError
        return scale.from_(float(text))
    except ValueError:
        raise click.UsageError(
            f"--floor {text!r}: write a loss in {scale.label}, or none."
        ) from None


def _format_curve(fitted: CurveFit, forecasts: Sequence[CurveForecast], scale: LossScale) -> str:
    contract = fitted.to_contract(scale)
    law, unit = contract["law"], scale.describe_law(fitted.find_scale(scale))
    low, high = fitted.covered
    show = format_flops if fitted.variable == "C" else format_count
    lines = [f"fit of {contract['n']} runs: L({fitted.variable}) = {law['equation']}   [{unit}]"]
    for name in fitted.law.list_letters():
        value = law["params"][name]
        held = "" if name in law["fitted"] else "   held"
        said = held or _format_interval(law["intervals"][name], fitted.level)
        lines.append(f"  {name:<6} {value:.5g}{said}")
    scatter = "not known" if fitted.sigma is None else f"{fitted.sigma:.2%}"
    lines.append(f"  {fitted.variable} from {show(low)} to {show(high)}; runs scatter by {scatter}")
    lines.append("  It cannot split a budget into N and D.")
    rows = [
        (
            f"at {fitted.variable} = {show(one.at)}:",
            f"{scale.to(one.loss):.4f} {scale.label}",
            _format_interval(one.to_contract(scale)["interval"], fitted.level).strip(),
            f"{one.extrapolation_decades:.2g} decades beyond" if one.extrapolation_decades
            else "inside the data",
        )
        for one in forecasts
    ]  # fmt: skip
    return "\n".join(lines + (align_columns(rows) if rows else []))


def _format_interval(interval: tuple[float, float] | None, level: float) -> str:
    return "" if interval is None else f"   {level:.0%}: {interval[0]:.4g} … {interval[1]:.4g}"
