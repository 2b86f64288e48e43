"""Losses of other recipes at the corners of a table's grid."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """One run of the grid, and the losses of other recipes in its place.

    Attributes:
        run: Name of the row.
        params, tokens: Its N and D.
        loss: Its loss [nats/token].
        learning_rates, batches: (factor, loss) of each variation; the loss is None if it diverged.
    """

    run: str
    params: float
    tokens: float
    loss: float
    learning_rates: tuple[tuple[float, float | None], ...]
    batches: tuple[tuple[float, float | None], ...]
