"""The verb that says what to train next: suggest."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from scaling.units import clean_line
from scaling.verbs.exits import DAMAGED
from scaling.verbs.obtaining import say_damage
from scaling.verbs.options import (
    FLOPS,
    json_option,
    noise_option,
    read_how,
    reading_options,
    root_option,
)
from scaling.verbs.output import dump_json


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="RESULTS|SWEEP.yaml|TABLE")
@click.option("--spend", type=FLOPS, required=True, help="FLOPs to spend at most.")
@click.option("--forecast", type=FLOPS, required=True, help="Budget C whose loss is forecast.")
@noise_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the sweep there instead of to standard output.",
)
@root_option
@reading_options
@json_option
def suggest(
    source: Path,
    spend: float,
    forecast: float,
    noise: float | None,
    output: Path | None,
    root: Path,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling suggest results/quickstart --spend 4e11 --forecast 2e12 --output next.yaml
    scaling suggest sweeps/quickstart.yaml --spend 2e12 --forecast 2e12

    The cells that most reduce the forecast's expected error, as a sweep that `scaling run` takes:
    of a results folder the same sweep with more cells, of a sweep file one with these cells alone.
    Of a table of runs: their N, D and C.
    """
    from scaling.errors import UsageError
    from scaling.ledger.contents import holds_sweep
    from scaling.terminal.plan import format_suggestion
    from scaling.workflow.stored import open_results
    from scaling.workflow.suggesting import suggest_cells, write_sweep

    if output is not None and output.exists():
        raise UsageError(f"{output} is there already; name another file.")
    if source.suffix.lower() not in (".yaml", ".yml") and not holds_sweep(source):
        return _suggest_beside(source, spend, forecast, noise, options, as_json=as_json)
    stored = open_results(source) if holds_sweep(source) else None
    found = suggest_cells(stored or source, spend=spend, forecast=forecast, root=root, noise=noise)
    words = [f"--spend={spend:g}", f"--forecast={forecast:g}"]
    text = write_sweep(found, question=shlex.join(["scaling", "suggest", str(source), *words]))
    click.echo(format_suggestion(found.to_contract()), err=True)
    if as_json:
        click.echo(dump_json(found.to_contract()))
    elif output is None:
        click.echo(text, nl=False)
    if output is not None:
        output.write_text(text, encoding="utf-8")
        asked = ["scaling", "forecast", str(root / "results" / found.spec.name)]
        click.echo(
            f"train them:\n  {shlex.join(['scaling', 'run', str(output)])}\n"
            f"and forecast by the runs near:\n  "
            f"{shlex.join([*asked, '--flops', f'{forecast:g}', '--near'])}",
            err=True,
        )
    # Damaged results were left out of the law behind the suggestion.
    return DAMAGED if say_damage(stored) else 0


def _suggest_beside(
    table: Path,
    spend: float,
    forecast: float,
    noise: float | None,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> int:
    from scaling.terminal.plan import format_suggestion
    from scaling.workflow.stored import read_runs
    from scaling.workflow.suggesting import suggest_beside

    runs, _ = read_runs(table, **read_how(options | {"count": "matmul"}))
    for note in runs.notes:
        click.echo(clean_line(f"note: {note}"), err=True)
    found = suggest_beside(runs, spend=spend, forecast=forecast, noise=noise).to_contract()
    if as_json:
        click.echo(dump_json(found))
        return 0
    click.echo(format_suggestion(found), err=True)
    click.echo("N,D,C")
    for cell in found["cells"]:
        click.echo(f"{cell['params']:.4g},{cell['tokens']:.4g},{cell['flops']:.4g}")
    return 0
