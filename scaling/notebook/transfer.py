"""`scaling.find_transfer`: the answer of `scaling transfer` in Python."""

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
    """Compare each sweep that starts from trained weights with the one from scratch.

    Args:
        folders: Results folders, one of them from scratch. A single folder stands for all folders
            of its sweep file.
        draws: Number of draws of seed noise, for intervals.
        level: Level of the intervals.
        seed: Seed of the draws.

    Returns:
        One comparison per sweep that starts from other runs: effective data transferred, its law,
        the sign of the difference of losses, and the losses at equal compute.

    Raises:
        UsageError: The folders are not arms of one comparison.
        NoFitError: The folders share no cells.
    """
    return judge_folders([Path(one) for one in folders], draws=draws, level=level, seed=seed)
