"""The verb that writes a first sweep file: init."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from scaling.errors import UsageError
from scaling.verbs.options import FLOPS

_STDLIB = "python-stdlib"
# From here on no cell of a draft makes fewer than the 200 steps a run needs (at 2e12 FLOPs in all
# one does, and 17 of 41 make fewer than 1000; at 4e12 none and 10; at 8e12 none and 3).
_LEAST_BUDGET = 1.5e10


@click.command()
@click.argument("name", required=False)
@click.option(
    "--text",
    multiple=True,
    metavar="PATH",
    help="Text or .jsonl files, folders or globs; again for more.  [default: the source code of "
    "Python's standard library]",
)
@click.option("--run-flops", type=FLOPS, help="What the largest run may take [FLOP].")
@click.option("--total-flops", type=FLOPS, help="What the whole sweep may take [FLOP].")
@click.option("--forecast", type=FLOPS, help="Budget to answer for.  [default: 10 × the largest]")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file.  [default: sweeps/NAME.yaml]",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init(
    name: str | None,
    text: tuple[str, ...],
    run_flops: float | None,
    total_flops: float | None,
    forecast: float | None,
    output: Path | None,
    force: bool,
) -> None:
    """\b
    scaling init mine --total-flops 5e12
    scaling init mine --text corpus/ --run-flops 2e11 --forecast 1e13

    Write a commented sweep file. On a terminal "scaling init" alone asks four questions.
    """
    from scaling.files.durable import write_durably
    from scaling.sweep.draft import Wish, draft_sweep
    from scaling.sweep.grids import IsoflopGrid
    from scaling.sweep.reading import parse_sweep
    from scaling.units import format_flops

    if sys.stdin.isatty() and (name is None or (run_flops is None and total_flops is None)):
        name, text, run_flops, total_flops, forecast = _ask(
            name, text, run_flops, total_flops, forecast
        )
    if name is None:
        raise UsageError('Which name? Say it first: "scaling init NAME --total-flops 5e12".')
    path = output or Path("sweeps") / f"{Path(name).name}.yaml"
    if path.exists() and not force:
        raise UsageError(f"{path} is there already. Choose another name, or replace it: --force.")
    schema = "schema.json" if (path.parent / "schema.json").is_file() else None
    wish = Wish(
        name=name,
        paths=_find_paths(text, path.parent),
        run_flops=run_flops,
        total_flops=total_flops,
        forecast=forecast,
    )
    drafted = draft_sweep(wish, schema=schema).encode("utf-8")
    grid = parse_sweep(drafted, source=str(path)).grid
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, drafted)
    click.echo(str(path))
    least = min(grid.budgets) if isinstance(grid, IsoflopGrid) else _LEAST_BUDGET
    if least < _LEAST_BUDGET:
        click.echo(
            f"note: {format_flops(least)} FLOPs, the smallest budget, make few optimiser steps: "
            "models that would take fewer than 200 are left out, below 1000 they are noisy. From "
            "--total-flops 4e12 on none is left out.",
            err=True,
        )
    click.echo(f"next:\n  scaling plan {path}\n  scaling run {path}", err=True)


def _ask(
    name: str | None,
    text: tuple[str, ...],
    run_flops: float | None,
    total_flops: float | None,
    forecast: float | None,
) -> tuple[str, tuple[str, ...], float | None, float | None, float | None]:
    """What was not said, asked on standard error."""
    if not text:
        said = click.prompt("Which text (files or a folder)", default=_STDLIB, err=True)
        text = () if said == _STDLIB else (said,)
    if run_flops is None and total_flops is None:
        words = "How many FLOPs for the whole sweep (4e12: minutes on a laptop)"
        total_flops = click.prompt(words, default="4e12", type=FLOPS, err=True)
    if forecast is None:
        words = "Which budget to answer for, in FLOPs (0: ten times the largest trained)"
        forecast = click.prompt(words, default="0", type=FLOPS, err=True) or None
    if name is None:
        name = click.prompt("Which name", default="mine", err=True)
    return str(name), text, run_flops, total_flops, forecast


def _find_paths(text: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Paths as a file in `folder` names them.

    Raises:
        UsageError: There is nothing at one of them.
    """
    found = []
    for one in text:
        if one == _STDLIB:
            continue
        if not any(mark in one for mark in "*?[") and not Path(one).exists():
            raise UsageError(
                f"--text {one}: there is nothing. Name text files, a folder or a glob."
            )
        found.append(os.path.relpath(one, folder))
    return tuple(found)
