"""Shell completion after Tab, by click's own mechanism (docs/how-to.md says how to turn it on).

Names come only from registries and from folder names, so Tab imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SUFFIXES = (".yaml", ".yml")


def complete_sweep(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete sweep files, and the folders on the way to one."""
    from click.shell_completion import CompletionItem

    typed = Path(begun)
    folder = typed if begun.endswith("/") or not begun else typed.parent
    found = []
    for path in sorted(folder.glob("*")):
        if path.name.startswith(".") or not str(path).startswith(begun.removeprefix("./")):
            continue
        if path.is_dir():
            found.append(CompletionItem(f"{path}/"))
        elif path.suffix.lower() in _SUFFIXES:
            found.append(CompletionItem(str(path)))
    return found


def complete_device(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete devices whose peak speed is known."""
    from scaling.allocation.datasheets import DEVICES

    return _offer(DEVICES, begun)


def complete_family(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete laws and the ensemble."""
    from scaling.laws.ensemble import ENSEMBLE
    from scaling.laws.registry import FAMILIES

    return _offer((ENSEMBLE.name, *FAMILIES), begun)


def complete_run(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Complete runs that have begun in the results folder named before, except those already
    named."""
    # After an option that still lacks its value, click has not parsed the arguments yet.
    folder = ctx.params.get("results") or next(map(Path, ctx.args), None)
    if folder is None or not (folder / "runs").is_dir():
        return []
    named = ctx.params.get(param.name or "") or ()
    begun_runs = sorted(path.name for path in (folder / "runs").iterdir() if path.is_dir())
    return _offer((one for one in begun_runs if one not in named), begun)


def _offer(names: Iterable[str], begun: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(name) for name in names if name.startswith(begun)]
