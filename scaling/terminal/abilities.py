"""Abilities as text for a terminal: at most twenty lines each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import align_columns, clean_text, format_count
from scaling.words.abilities import (
    FORECAST_COLUMNS,
    list_forecasts,
    say_flag,
    say_null,
    say_onsets,
    say_parts,
    say_seeds,
    say_success,
    say_verdict,
)

if TYPE_CHECKING:
    from scaling.fitting.abilities.ability import Ability

_FORECASTS_SHOWN = 6


def format_ability(ability: Ability) -> str:
    """The verdict, success over seeds, the flag, and what became of the forecasts."""
    names, cells = ability.names, ability.cells
    sizes = [one.params if ability.axis == "N" else one.tokens for one in cells]
    lines = [
        f"{names.sharp} beside {names.smooth}: {len(ability.runs)} runs, {len(set(sizes))} "
        f"{ability.axis} from {format_count(min(sizes))} to {format_count(max(sizes))}; chance "
        f"{ability.chance:g}, bound {ability.ceiling:g}",
        f"  {say_verdict(ability)}",
        f"  {say_success(ability.success)}",
        f"  {say_seeds(ability.success)}",
    ]
    if onset := say_onsets(ability.onsets):
        lines.append(f"  most seeds succeed from: {onset}")
    if parts := say_parts(ability):
        lines.append(f"  {parts}")
    if compared := say_null(ability):
        lines.append(f"  {compared}")
    lines.append(f"  {say_flag(ability)}")
    steps = ability.two_steps
    if steps is None:
        return clean_text("\n".join(lines))
    lines.append(
        f"  the largest sizes forecast from {steps.runs} smaller runs: {steps.equation}, then a "
        f"logistic (λ = {steps.link.exponent:.2f}); mean |error| {steps.error:.3f}"
    )
    rows = list_forecasts(ability)
    table = align_columns([FORECAST_COLUMNS, *rows[:_FORECASTS_SHOWN]])
    lines += [f"    {line}" for line in table]
    if len(rows) > _FORECASTS_SHOWN:
        lines.append(f"    {len(rows) - _FORECASTS_SHOWN} more: --json")
    return clean_text("\n".join(lines))
