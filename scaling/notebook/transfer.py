"""`scaling.find_transfer`: what `scaling transfer` prints, as values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.workflow.transfer import judge_folders

if TYPE_CHECKING:
    from scaling.fitting.transfer.judging import Transfer


def find_transfer(
    *folders: str | os.PathLike[str], draws: int = 1000, level: float = 0.9, seed: int = 0
) -> tuple[Transfer, ...]:
    """What pre-training saves: each sweep that starts from trained weights against from scratch.

    Args:
        folders: Results folders, one of them from scratch; of one alone, all of its file.
        draws: Of seed noise, for intervals.
        level: Of intervals.
        seed: Seeds the draws.

    Returns:
        One for each sweep that starts from other runs: effective data transferred, its law, the
        sign of the difference of losses, and the losses at equal compute.

    Raises:
        UsageError: They are not arms of one comparison.
        NoFitError: They share no cells.
    """
    return judge_folders([Path(one) for one in folders], draws=draws, level=level, seed=seed)
