"""Points along training runs: which rows of a table are several points of one run.

A column `run` names the training run of each row. Rows of one run share its noise, and compare like
finished runs only if the learning rate does not make the difference, as `schedule` may state:

    cooldown   each row is the end of its own decay, branched from the run's constant phase
    constant   the rate never decays: every loss is undecayed, and so are conclusions from them

Under any other schedule a point in the middle is not the loss that a shorter run would have reached
(Hoffmann et al. 2022, arXiv:2203.15556, sec. 3.1 and appendix B; Hägele et al. 2024,
arXiv:2405.18392).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeGuard

import numpy as np

from scaling.tables.opening import RUN_COLUMNS
from scaling.tables.rows import LONGEST_NAME
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray, name_some

Schedule = Literal["constant", "cooldown"]

_NAMES_SHOWN = 3


def find_trajectories(
    names: Sequence[str] | None, params: FloatArray, tokens: FloatArray, notes: list[str]
) -> tuple[str, ...] | None:
    """The training run of each row, if some run has several points; a row that names none is its
    own run.

    Args:
        names: The column `run`; None without one.
        params, tokens: N and D of the rows, shape (n,).
        notes: List to which notes for the reader are appended.

    Returns:
        None if each run has one row, or one D (duplicates), or if a name has several N.
    """
    if names is None or not any(names):
        return None
    pairs = zip(names, params.tolist(), tokens.tolist(), strict=True)
    named = [name or f"(N = {size:g}, D = {seen!r})" for name, size, seen in pairs]
    member = np.unique(np.array(named), return_inverse=True)[1].ravel()
    runs = int(member.max()) + 1
    points = np.unique(np.stack((member, tokens)), axis=1)[0].astype(np.int64)
    if np.bincount(points, minlength=runs).max() < 2:
        return None
    sizes = np.unique(np.stack((member, params)), axis=1)[0].astype(np.int64)
    several = np.bincount(sizes, minlength=runs) > 1
    if several.any():
        mixed = sorted({named[at] for at in np.flatnonzero(several[member])})
        shown = name_some(mixed, _NAMES_SHOWN)
        notes.append(
            f"run: {len(mixed)} names stand for rows of several N ({shown}): the column names no "
            "training runs and is not used"
        )
        return None
    if not all(names):
        blank = sum(not name for name in names)
        notes.append(f"{blank} rows state no run: each is a run of its own")
    return tuple(named)


def recognise_runs(
    texts: Mapping[str, Sequence[str]], params: FloatArray, tokens: FloatArray, notes: list[str]
) -> Sequence[str] | None:
    """The column that names training runs without being declared: for most of its values there are
    several rows of one N, each with another D. None if there is none.

    Args:
        texts: Candidate columns by their names (`opening.RUN_COLUMNS`).
        params, tokens: N and D of the rows, shape (n,).
        notes: List to which a note on the recognised column is appended.
    """
    for column in RUN_COLUMNS:
        names = texts.get(column)
        if names is None or not all(names) or max(map(len, names)) > LONGEST_NAME:
            continue
        member = np.unique(np.array(names), return_inverse=True)[1].ravel()
        rows = np.bincount(member)
        sizes = _count_levels(member, params)
        points = _count_levels(member, tokens)
        if sizes.max() == 1 and np.all(points == rows) and np.sum(rows > 1) > rows.size / 2:
            notes.append(f"{column} names training runs of which the rows are points "
                         f"({rows.size} runs, {rows.sum()} rows): it is read as the column run; "
                         f"--last-of-run keeps the end of each")  # fmt: skip
            return names
    return None


def _count_levels(member: IntArray, values: FloatArray) -> IntArray:
    """Number of distinct values of each member."""
    pairs = np.unique(np.stack((member, values)), axis=1)[0].astype(np.int64)
    return np.asarray(np.bincount(pairs), dtype=np.int64)


def read_schedule(table: RunTable) -> tuple[Schedule | None, str]:
    """(schedule that the table states, why its points do not compare or "").

    The second is empty if the points of runs compare; if there are no points, both say so.
    """
    if table.trajectory is None:
        return None, (
            "Each row is a finished run of its own, and a curve under a decaying learning rate is "
            "not what a shorter run would have reached. Where points along runs compare, name the "
            "training run of each row in a column run"
        )
    said = sorted({one.lower() for one in table.schedule or ("",)})
    if said == [""] or table.schedule is None:
        return None, (
            "The table does not state a schedule. In a column schedule, write constant where "
            "the rate decays nowhere, or cooldown where each row is the end of a decay of its own"
        )
    (first, *others) = said
    if others or not _is_known(first):
        shown = name_some([one or "nothing" for one in said], _NAMES_SHOWN)
        return None, (
            f"The column schedule says {shown}; points of runs compare where every row says "
            f"constant, or every row cooldown. A point in the middle of a decaying schedule is not "
            f"what a shorter run would have reached"
        )
    decay = table.decay_steps
    if decay is not None and first == "constant" and bool(np.any(decay > 0)):
        return None, (
            f"The schedule is said to be constant, yet {int(np.sum(decay > 0))} rows have "
            f"decay_steps above 0. Correct one of the two columns"
        )
    if decay is not None and first == "cooldown" and bool(np.any(decay == 0)):
        return None, (
            f"Each row is said to end a cooldown, yet {int(np.sum(decay == 0))} rows have "
            f"decay_steps 0. Correct one of the two columns"
        )
    return first, ""


def _is_known(word: str) -> TypeGuard[Schedule]:
    return word in ("constant", "cooldown")
