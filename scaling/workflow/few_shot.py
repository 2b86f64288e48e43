"""Read the few-shot probes of results folders and fit their laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.errors import NoFitError, UsageError
from scaling.fitting.abilities.names import AbilityNames
from scaling.workflow.abilities import judge_abilities
from scaling.workflow.probed import read_values
from scaling.workflow.stored import StoredSweep, tabulate_sweep

if TYPE_CHECKING:
    from scaling.fitting.few_shot.judged import FewShot, ShotSweep
    from scaling.fitting.few_shot.runs import ShotRun
    from scaling.tables.run_table import RunTable

PHASE, EXCESS = "few_shot_phase", "few_shot"


def judge_few_shot(folders: Sequence[StoredSweep]) -> FewShot:
    """Fit each folder's laws, and the diversity boundary of several folders.

    Args:
        folders: The folders; several must differ only in corpus.chains.

    Raises:
        NoFitError: No run has the value of a few-shot probe.
        UsageError: The folders differ in more than corpus.chains, or two have the same chains.
    """
    from scaling.fitting.few_shot.boundary import find_boundary
    from scaling.fitting.few_shot.judged import FewShot

    if len(folders) > 1:
        _refuse_strangers(folders)
    tables = [tabulate_sweep(one) for one in folders]
    runs = [gather_shot_runs(*both) for both in zip(folders, tables, strict=True)]
    measured = [one for some in runs for one in some if one.phase is not None or one.regret]
    if not measured:
        raise NoFitError(
            f"{', '.join(str(one.folder) for one in folders)}: no run has a value of {PHASE} or "
            f"few_shot_regret.\nAdd these probes to evaluate in the sweep file and run it again."
        )
    sweeps = [_judge_sweep(*each) for each in zip(folders, tables, runs, strict=True)]
    boundary = find_boundary(_take_longest(runs)) if len(folders) > 1 else None
    return FewShot(sweeps=tuple(sweeps), boundary=boundary)


def gather_shot_runs(stored: StoredSweep, table: RunTable) -> list[ShotRun]:
    """List the fitted runs of a folder with their few-shot measurements."""
    from scaling.fitting.few_shot.runs import ShotRun

    found = []
    for at, newest in enumerate(read_values(stored, table).values()):
        value = {probe: one.value for probe, one in newest.items()}
        curve = {probe: one.curve for probe, one in newest.items()}
        found.append(
            ShotRun(
                params=float(table.params[at]),
                tokens=float(table.tokens[at]),
                chains=stored.spec.corpus.chains[0],
                phase=value.get(PHASE),
                excess=value.get(EXCESS),
                seen=value.get("few_shot_seen"),
                regret=curve.get("few_shot_regret"),
                bound=curve.get("few_shot_regret_bayes"),
            )
        )
    return found


def _judge_sweep(stored: StoredSweep, table: RunTable, runs: list[ShotRun]) -> ShotSweep:
    from scaling.fitting.few_shot.judged import ShotSweep
    from scaling.fitting.few_shot.shots import describe_shots

    here = {one.name for one in table.metrics}
    phase = None
    if PHASE in here:
        names = AbilityNames(PHASE, EXCESS if EXCESS in here else "loss")
        (phase,) = judge_abilities(table, (names,), stored=stored)
    cells, trends = describe_shots(runs)
    return ShotSweep(
        name=stored.spec.name,
        chains=stored.spec.corpus.chains[0],
        cells=cells,
        trends=trends,
        phase=phase,
    )


def _take_longest(runs: Sequence[Sequence[ShotRun]]) -> list[ShotRun]:
    """Keep the runs on the most tokens at each N."""
    every = [one for some in runs for one in some]
    longest = {n: max(one.tokens for one in every if one.params == n) for n in
               {one.params for one in every}}  # fmt: skip
    return [one for one in every if one.tokens == longest[one.params]]


def _refuse_strangers(folders: Sequence[StoredSweep]) -> None:
    kept = {"source", "states", "tokens", "seed"}
    kinds = {
        (one.spec.corpus.model_dump_json(include=kept), one.spec.model.model_dump_json())
        for one in folders
    }
    chains = [one.spec.corpus.chains[0] for one in folders]
    if len(kinds) > 1 or len(set(chains)) < len(chains):
        raise UsageError(
            f"{', '.join(one.folder.name for one in folders)}: folders are compared by "
            "corpus.chains and must have the same corpus and model otherwise.\nName the folders of "
            "one sweep file that lists several numbers of chains, or a single folder."
        )


def say_few_shot(stored: StoredSweep, siblings: Sequence[StoredSweep]) -> tuple[str, ...]:
    """List the page's sentences about few-shot learning; none if it was not measured."""
    from scaling.fitting.few_shot.boundary import find_boundary
    from scaling.fitting.few_shot.shots import describe_shots
    from scaling.words.abilities import upper_first
    from scaling.words.few_shot import say_boundary, say_largest, say_phase

    if PHASE not in {one.probe.name for one in stored.spec.evaluate}:
        return ()
    runs = gather_shot_runs(stored, tabulate_sweep(stored))
    if not any(one.phase is not None for one in runs):
        return ()
    cells, _ = describe_shots(runs)
    said = [say_phase(cells), say_largest(cells)]
    if len(stored.whole.corpus.chains) > 1 and len(siblings) > 1:
        every = [gather_shot_runs(one, tabulate_sweep(one)) for one in siblings]
        said.append(upper_first(f"{say_boundary(find_boundary(_take_longest(every)))}."))
    return tuple(filter(None, said))
