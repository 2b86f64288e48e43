"""`scaling.find_abilities`: the results of `scaling abilities` as values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.tables.run_table import RunTable
from scaling.workflow.abilities import judge_abilities, name_abilities, read_abilities

if TYPE_CHECKING:
    from scaling.fitting.abilities.ability import Ability


def find_abilities(
    source: str | os.PathLike[str] | RunTable,
    *,
    sharp: str | None = None,
    smooth: str | None = None,
    null: str | None = None,
    chance: float | None = None,
    bound: float | None = None,
    threshold: float | None = None,
    **how: Any,
) -> tuple[Ability, ...]:
    """Judge the abilities of some runs: do they emerge, or only appear to because of their metric?

    Args:
        source: A results folder, a table of runs, or a RunTable with metrics.
        sharp: Metric of the ability, a share; None: every ability of a folder or RunTable.
        smooth: Smooth score beside it; None: the answers' loss if it was measured, else the loss.
        null: The sharp score if tokens erred independently; None: the measured null.
        chance: Score of guessing; None: the corpus's chance level if known, else 0.
        bound: Highest score possible; None: the probe's, else 1.
        threshold: Score from which a run succeeds; None: .9 of the bound.
        how: How a table is read, as `read_table` takes it.

    Returns:
        A result for each ability: success over seeds, onsets, forecasts, predictability, verdict.

    Raises:
        NoFitError: There is no ability.
        TableError: A metric is missing or out of its range; names every problem of every ability.
        UsageError: A table does not say which column is the ability.
    """
    if isinstance(source, RunTable):
        table, stored = source, None
        names = name_abilities(source, sharp=sharp, smooth=smooth, null=null)
    else:
        table, stored, names = read_abilities(
            Path(source), how, sharp=sharp, smooth=smooth, null=null
        )
    return judge_abilities(
        table, names, stored=stored, chance=chance, bound=bound, threshold=threshold
    )
