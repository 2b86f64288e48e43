"""Sentences and table rows about transfer, for the page and the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.units import format_count, format_flops, name_some
from scaling.words.abilities import upper_first
from scaling.words.plain import ABSENT, format_interval

if TYPE_CHECKING:
    from scaling.fitting.transfer.effective import SignChange, TransferCell
    from scaling.fitting.transfer.judging import Transfer

CELL_COLUMNS = ("N", "D_F", "from scratch", "fine-tuned", "worth D_T", "interval", "text ×")
COMPUTE_COLUMNS = (
    *("N", "D_F", "C with parent", "fine-tuned"),
    *("scratch, same D_F", "scratch, any D_F"),
)
_SIDES = {"": "", "above": "> ", "below": "< "}
_LETTERS = {"k": "k", "alpha": "α", "beta": "β"}


def say_verdict(found: Transfer) -> str:
    """Return the verdict as a sentence that names the clearest cell."""
    _, name = found.names
    if found.verdict == "unclear":
        return (
            f"{name}: no verdict. No cell has two seeds, so an effect cannot be told from seed "
            "noise."
        )
    if found.verdict == "none":
        return f"{name}: pre-training has no effect beyond seed noise."
    helps = [one for one in found.cells if one.sign < 0]
    hurts = [one for one in found.cells if one.sign > 0]
    said = []
    if helps:
        best = max(helps, key=lambda one: one.effective / one.data)
        said.append(
            f"pre-training saves target text in {len(helps)} of {len(found.cells)} cells, most at "
            f"{_name_cell(best)}, where it replaces {say_transferred(best)} tokens"
        )
    if hurts:
        worst = max(hurts, key=lambda one: one.difference or 0.0)
        lead = "it" if helps else "pre-training"
        said.append(
            f"{lead} hurts in {len(hurts)} cells, most at {_name_cell(worst)}: "
            f"{worst.difference or 0.0:+.3f} nats/token"
        )
    return f"{name}: {'; '.join(said)}."


def say_transferred(cell: TransferCell) -> str:
    """Format D_T, or its bound."""
    sign = {"above": "more than ", "below": "less than "}.get(cell.censored, "")
    return f"{sign}{_count(cell.transferred)}"


def list_cells(found: Transfer) -> list[tuple[str, ...]]:
    """List one row per (N, D_F)."""
    return [
        (
            format_count(one.params),
            format_count(one.data),
            ABSENT if one.scratch_loss is None else f"{one.scratch_loss:.4f}",
            f"{one.tuned.loss:.4f}",
            say_transferred(one),
            format_interval(one.transferred_interval, _count) or ABSENT,
            f"{_SIDES[one.censored]}{one.effective / one.data:.3g}",
        )
        for one in found.cells
    ]


def list_compute(found: Transfer) -> list[tuple[str, ...]]:
    """List one row per (N, D_F), with the losses at equal total compute."""
    return [
        (
            format_count(one.params),
            format_count(one.data),
            format_flops(one.flops) + (" *" if one.beyond else ""),
            f"{one.loss:.4f}",
            ABSENT if one.same_text is None else f"{one.same_text:.4f}",
            ABSENT if one.any_text is None else f"{one.any_text:.4f}",
        )
        for one in found.compute
    ]


def say_compute(found: Transfer) -> str:
    """Say how often fine-tuning has the lower loss at equal total compute."""
    rows = found.compute
    same = _count_wins([(one.loss, one.same_text) for one in rows])
    any_text = _count_wins([(one.loss, one.any_text) for one in rows])
    said = (
        "at equal total compute, the parent's included, fine-tuning has the lower loss in "
        f"{same} cells against runs on the same target text, and in {any_text} against runs on "
        "any amount of it"
    )
    beyond = sum(one.beyond for one in rows)
    if beyond:
        said += f" (* in {beyond}, no run from scratch spent that much compute)"
    return said


def say_law(found: Transfer) -> str:
    """Give the power law of D_T next to the published one, or the reason there is none."""
    from scaling.fitting.transfer.law import PUBLISHED  # here: it imports scipy

    law = found.law
    if law.reason:
        return f"D_T = k·D_F^α·N^β is not fitted: {law.reason}"
    told = []
    for name, value in law.values.items():
        ends = format_interval(law.intervals[name], lambda x: f"{x:.3g}")
        told.append(f"{_LETTERS[name]} {value:.3g} ({ends}; published {PUBLISHED[name]:.3g})")
    censored = law.above + law.below
    return f"D_T = k·D_F^α·N^β: {', '.join(told)}; {law.cells} cells, {censored} censored" + (
        f"; {law.left_out} left out, with neither a positive value nor a bound"
        if law.left_out
        else ""
    )


def say_change(change: SignChange) -> str:
    """Say where pre-training turns from help to harm at one N, or that it does not."""
    lead = f"N = {format_count(change.params)}: "
    if change.at is not None:
        ends = format_interval(change.interval, format_count)
        return f"{lead}from help to harm at D_F = {format_count(change.at)} ({ends})"
    sides = [
        f"{what} at D_F {name_some([format_count(one) for one in sizes])}"
        for what, sizes in (("helps", change.helps), ("hurts", change.hurts))
        if sizes
    ]
    return f"{lead}no sign change in the range; {', '.join(sides) or 'no cell has a sure sign'}"


def say_plane(found: Transfer) -> str:
    """Describe the plane fitted to the loss differences; empty if none was fitted."""
    plane = found.plane
    if plane is None:
        return ""
    said = (
        f"difference of losses: {plane.at_centre:+.4f} nats/token at N = "
        f"{format_count(plane.params)}, D_F = {format_count(plane.data)}; "
        f"{plane.per_data:+.4f} per e-fold of D_F, {plane.per_params:+.4f} per e-fold of N"
    )
    if plane.chance is not None and plane.chance < 0.01:
        said += f" (the plane does not fit: p = {plane.chance:.1g})"
    return said


def list_notes(found: Transfer) -> list[str]:
    """List the caveats."""
    notes = []
    if found.end_rates:
        notes.append(
            f"in {found.end_rates} cells the best learning rate is the lowest or highest tried: a "
            "better one may lie beyond"
        )
    if not (found.early_stop or found.several_passes):
        notes.append(
            "no early stopping: list several epochs (the best counts), or add loss_best to evaluate"
        )
    return notes


def list_sentences(found: Transfer) -> list[str]:
    """List what follows from the cells, then the caveats."""
    said = [say_law(found), *map(say_change, found.changes), say_plane(found), say_compute(found)]
    return [f"{upper_first(one)}." for one in [*said, *list_notes(found)] if one]


def _count_wins(pairs: Sequence[tuple[float, float | None]]) -> str:
    """Count the pairs whose first loss is lower, among pairs with two losses."""
    told = [(one, other) for one, other in pairs if other is not None]
    return f"{sum(one < other for one, other in told)} of {len(told)}"


def _name_cell(cell: TransferCell) -> str:
    return f"N = {format_count(cell.params)}, D_F = {format_count(cell.data)}"


def _count(value: float) -> str:
    if not math.isfinite(value):
        return "no upper end" if value > 0 else ABSENT
    return ("−" if value < 0 else "") + format_count(abs(value))
