"""From a results folder or a table to its abilities."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.errors import NoFitError, TableError, UsageError
from scaling.fitting.abilities.names import (
    LOSS,
    AbilityNames,
    list_abilities,
    name_companions,
)
from scaling.ledger.contents import holds_sweep
from scaling.sweep.corpus_sources import SOURCES, load_function
from scaling.sweep.probes import PROBES, AskedProbe, ProbeCurve
from scaling.tables.reading import read_table
from scaling.tables.run_table import RunTable
from scaling.workflow.stored import StoredSweep, read_runs

if TYPE_CHECKING:
    from scaling.fitting.abilities.ability import Ability
    from scaling.fitting.abilities.scores import Scores


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


def read_abilities(
    source: Path,
    how: Mapping[str, Any],
    *,
    sharp: str | None = None,
    smooth: str | None = None,
    null: str | None = None,
) -> tuple[RunTable, StoredSweep | None, tuple[AbilityNames, ...]]:
    """Read the runs of a folder or a table, and choose the abilities to judge.

    Args:
        source: The folder or the table.
        how: Arguments of `read_table`; a folder ignores them.
        sharp, smooth, null: As for `find_abilities`.

    Raises:
        UsageError: The ability of a table is not named, or a companion without its ability.
        NoFitError: The folder has no ability.
        TableError: The table is wrong; the message names every problem.
    """
    if sharp is None and (smooth is not None or null is not None):
        raise UsageError("--smooth and --null stand beside an ability: name it by --sharp.")
    if not holds_sweep(source) and not source.is_dir():
        if sharp is None:
            raise UsageError(
                f"{source} is a table: say which column is the ability (--sharp), and what stands "
                "beside it (--smooth, --null)."
            )
        names = AbilityNames(sharp, smooth or LOSS, null)
        asked = dict.fromkeys(one for one in (sharp, names.smooth, null) if one and one != LOSS)
        return read_table(source, metrics=tuple(asked), **how), None, (names,)
    given = {key: one for key, one in how.items() if key != "count"}
    table, stored = read_runs(source, **given)
    return table, stored, name_abilities(table, sharp=sharp, smooth=smooth, null=null)


def name_abilities(
    table: RunTable, *, sharp: str | None = None, smooth: str | None = None, null: str | None = None
) -> tuple[AbilityNames, ...]:
    """Choose the abilities to judge from the metrics of runs; see `read_abilities`.

    Raises:
        NoFitError: They have none.
    """
    here = {one.name for one in table.metrics}
    if sharp is not None:
        known = name_companions(sharp, here)
        return (AbilityNames(sharp, smooth or known.smooth, null or known.null),)
    found = list_abilities(table)
    if not found:
        has = ", ".join(sorted(here)) or "none"
        raise NoFitError(
            f"{table.source}: no metric is a share with a bound; the runs have {has}. Name "
            'abilities under "evaluate" in the sweep file and run it again.'
        )
    return found


def judge_abilities(
    table: RunTable,
    names: tuple[AbilityNames, ...],
    *,
    stored: StoredSweep | None = None,
    chance: float | None = None,
    bound: float | None = None,
    threshold: float | None = None,
) -> tuple[Ability, ...]:
    """Judge each ability of some runs.

    Args:
        table: The runs with their metrics.
        names: Names of the abilities.
        stored: The sweep of the runs; None for a table.
        chance, bound, threshold: As for `find_abilities`.

    Raises:
        TableError: A metric is missing or out of its range; names every problem of every ability.
    """
    from scaling.fitting.abilities.ability import judge_ability
    from scaling.fitting.abilities.scores import gather_scores

    gathered: list[Scores] = []
    problems: list[str] = []
    for one in names:
        guessed = find_chance(stored, one.sharp) if chance is None else chance
        try:
            gathered.append(
                gather_scores(table, one, chance=guessed, ceiling=bound, threshold=threshold)
            )
        except TableError as error:
            problems += error.problems
    if problems:
        raise TableError(problems)
    curves = {} if stored is None else read_curves(stored, table)
    return tuple(judge_ability(one, curves=curves) for one in gathered)


def judge_stored(stored: StoredSweep, table: RunTable) -> tuple[Ability, ...]:
    """The abilities of a sweep that its page shows; those that cannot be judged are left out."""
    from scaling.fitting.abilities.scores import gather_scores

    known: list[AbilityNames] = []
    for one in list_abilities(table):
        try:
            gather_scores(table, one, chance=find_chance(stored, one.sharp))
        except TableError:  # e.g. no run of this plan states it; `scaling abilities` says why
            continue
        known.append(one)
    return judge_abilities(table, tuple(known), stored=stored) if known else ()


def find_chance(stored: StoredSweep | None, sharp: str) -> float:
    """Score of guessing, as stated by the source of the sweep's corpus; 0 if the source states
    none, or if guessing scores nothing."""
    probe = PROBES.get(sharp)
    if stored is None or probe is None or not probe.guessed:
        return 0.0
    source = SOURCES.get(stored.spec.corpus.source)
    if source is None or not source.chance:
        return 0.0
    asked = (one for one in stored.spec.evaluate if one.probe.name == sharp)
    options = next(asked, AskedProbe(probe)).options
    return float(load_function(source.chance)(options, stored.spec.corpus))


def read_curves(stored: StoredSweep, table: RunTable) -> dict[str, dict[str, ProbeCurve]]:
    """Read the curves behind the values of probes, by probe and run of a table."""
    from scaling.workflow.probed import read_values

    found: dict[str, dict[str, ProbeCurve]] = {}
    for run, values in read_values(stored, table).items():
        for name, one in values.items():
            if one.curve is not None:
                found.setdefault(name, {})[run] = one.curve
    return found
