"""The verb that says what to train next: suggest."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.options import FLOPS, json_option, noise_option, root_option
from scaling.text import dump_json
from scaling.verbs.exits import DAMAGED
from scaling.verbs.obtaining import say_damage


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="RESULTS|SWEEP.yaml")
@click.option("--spend", type=FLOPS, required=True, help="FLOPs to spend at most.")
@click.option("--forecast", type=FLOPS, required=True, help="Budget C whose loss is forecast.")
@noise_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Write the sweep there instead of to standard output.",
)
@root_option
@json_option
def suggest(
    source: Path,
    spend: float,
    forecast: float,
    noise: float | None,
    output: Path | None,
    root: Path,
    as_json: bool,
) -> int:
    """\b
    scaling suggest results/quickstart --spend 4e11 --forecast 2e12 --output next.yaml
    scaling suggest sweeps/quickstart.yaml --spend 2e12 --forecast 2e12

    The cells that most reduce the forecast's expected error, as a sweep that `scaling run` takes:
    of a results folder the same sweep with more cells, of a sweep file one with these cells alone.
    """
    from scaling.errors import UsageError
    from scaling.next_cells import suggest_cells, write_sweep
    from scaling.text_plan import format_suggestion
    from scaling.workflow import holds_sweep, open_results, quote_command

    if output is not None and output.exists():
        raise UsageError(f"{output} is there already; name another file.")
    found = suggest_cells(source, spend=spend, forecast=forecast, root=root, noise=noise)
    words = [f"--spend={spend:g}", f"--forecast={forecast:g}"]
    text = write_sweep(found, question=quote_command(["scaling", "suggest", str(source), *words]))
    click.echo(format_suggestion(found.to_contract()), err=True)
    if as_json:
        click.echo(dump_json(found.to_contract()))
    elif output is None:
        click.echo(text, nl=False)
    if output is not None:
        output.write_text(text, encoding="utf-8")
        asked = ["scaling", "forecast", str(root / "results" / found.spec.name)]
        click.echo(
            f"train them:\n  {quote_command(['scaling', 'run', str(output)])}\n"
            f"and forecast by the runs near:\n  "
            f"{quote_command([*asked, '--flops', f'{forecast:g}', '--near'])}",
            err=True,
        )
    # What is damaged was left out of the law that suggests.
    return DAMAGED if holds_sweep(source) and say_damage(open_results(source)) else 0
