"""The verb that writes a first sweep file: init."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.errors import ScalingError, SpecError, UsageError
from scaling.units import clean_line, format_seconds
from scaling.verbs.options import FLOPS, FiniteRange, root_option

if TYPE_CHECKING:
    from scaling.sweep.draft import Wish

_STDLIB = "python-stdlib"
# From here on every cell of a draft has the 200 steps a run needs (at 2e12 FLOPs in all one cell
# has fewer, and 17 of 41 have fewer than 1000; at 4e12 none and 10; at 8e12 none and 3).
_LEAST_BUDGET = 1.5e10
_ANY_FLOPS = 2e11  # for a draft of which only the name and text are checked


@click.command()
@click.argument("name", required=False)
@click.option(
    "--text",
    multiple=True,
    metavar="PATH",
    help="Text or .jsonl files, folders or globs; again for more.  [default: the source code of "
    "Python's standard library]",
)
@click.option(
    "--minutes",
    type=FiniteRange(0, min_open=True),
    help="Train for so long on this machine, whose speed is measured where it is not known.",
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
@root_option
def init(
    name: str | None,
    text: tuple[str, ...],
    minutes: float | None,
    run_flops: float | None,
    total_flops: float | None,
    forecast: float | None,
    output: Path | None,
    force: bool,
    root: Path,
) -> None:
    """\b
    scaling init mine --minutes 10
    scaling init mine --text corpus/ --total-flops 5e12 --forecast 1e13

    Write a commented sweep file. The text is read and the cells are planned first, so that no run
    reads it twice or needs more memory than this machine has. On a terminal "scaling init" alone
    asks four questions.
    """
    from scaling.files.durable import write_durably
    from scaling.sweep.draft import Wish
    from scaling.sweep.grids import IsoflopGrid
    from scaling.units import format_flops
    from scaling.workflow.drafting import draft_planned

    unsaid = minutes is None and run_flops is None and total_flops is None
    if sys.stdin.isatty() and (name is None or unsaid):
        asked = _ask(name, text, total_flops, forecast, unsaid=unsaid)
        name, text, total_flops, forecast = asked
    path = output or Path("sweeps") / f"{Path(name or '').name}.yaml"
    problems = []
    if name is None:
        problems.append('Which name? Say it first: "scaling init NAME --minutes 10".')
    elif path.exists() and not force:
        problems.append(f"{path} is there already. Choose another name, or replace it: --force.")
    wish = Wish(
        name=name or "mine",
        paths=_find_paths(text, path.parent, problems),
        run_flops=run_flops,
        total_flops=total_flops,
        forecast=forecast,
    )
    problems += _find_problems(wish, minutes)
    if problems:
        raise UsageError("\n".join(problems))
    schema = "schema.json" if (path.parent / "schema.json").is_file() else None
    with _making(path.parent):  # the corpus paths are relative to it
        drafted = draft_planned(wish, path=path, root=root, minutes=minutes, schema=schema)
    for line in drafted.sweep.plan.warnings:
        click.echo(clean_line(f"warning: {line}"), err=True)
    write_durably(path, drafted.text.encode("utf-8"))
    click.echo(str(path))
    grid = drafted.sweep.spec.grid
    least = min(grid.budgets) if isinstance(grid, IsoflopGrid) else _LEAST_BUDGET
    if least < _LEAST_BUDGET:
        click.echo(
            f"note: {format_flops(least)} FLOPs, the smallest budget, make few optimiser steps: "
            "models that would take fewer than 200 are left out, below 1000 they are noisy. From "
            "--total-flops 4e12 on none is left out.",
            err=True,
        )
    if drafted.seconds is not None:
        took = format_seconds(drafted.seconds)
        click.echo(f"planned to train for {took} on this machine", err=True)
    click.echo(f"next:\n  scaling plan {path}\n  scaling run {path}", err=True)


@contextlib.contextmanager
def _making(folder: Path) -> Iterator[None]:
    """Make a folder that is there while the block works, and stays if it succeeds."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except ScalingError:
        if made:
            folder.rmdir()
        raise


def _find_problems(wish: Wish, minutes: float | None) -> list[str]:
    """What is wrong with the name and the numbers, before any text is read."""
    from scaling.sweep.draft import draft_sweep, list_problems
    from scaling.sweep.reading import parse_sweep

    if minutes is None:
        problems = list_problems(wish)
    elif wish.run_flops is not None or wish.total_flops is not None:
        problems = ["--minutes decides the compute: leave --run-flops and --total-flops out."]
    else:
        problems = list_problems(dataclasses.replace(wish, run_flops=_ANY_FLOPS))
    anyhow = dataclasses.replace(wish, run_flops=_ANY_FLOPS, total_flops=None, forecast=None)
    try:  # errors that only the sweep file's reader finds, e.g. in the name
        parse_sweep(draft_sweep(anyhow).encode("utf-8"), source="the sweep")
    except SpecError as error:
        problems += [line.partition(": ")[2] for line in str(error).splitlines()]
    return problems


def _ask(
    name: str | None,
    text: tuple[str, ...],
    total_flops: float | None,
    forecast: float | None,
    *,
    unsaid: bool,
) -> tuple[str, tuple[str, ...], float | None, float | None]:
    """What was not said, asked on standard error; `unsaid`: the compute is among it."""
    if not text:
        said = click.prompt("Which text (files or a folder)", default=_STDLIB, err=True)
        text = () if said == _STDLIB else (said,)
    if unsaid:
        words = "How many FLOPs for the whole sweep (4e12: minutes on a laptop)"
        total_flops = click.prompt(words, default="4e12", type=FLOPS, err=True)
    if forecast is None:
        words = "Which budget to answer for, in FLOPs (0: ten times the largest trained)"
        forecast = click.prompt(words, default="0", type=FLOPS, err=True) or None
    if name is None:
        name = click.prompt("Which name", default="mine", err=True)
    return str(name), text, total_flops, forecast


def _find_paths(text: tuple[str, ...], folder: Path, problems: list[str]) -> tuple[str, ...]:
    """Paths as a file in `folder` names them; those at which there is nothing are problems."""
    found = []
    for one in text:
        if one == _STDLIB:
            continue
        if not any(mark in one for mark in "*?[") and not Path(one).exists():
            problems.append(f"--text {one}: there is nothing. Name text files, a folder or a glob.")
        found.append(os.path.relpath(one, folder))
    return tuple(found)
