"""Content of a page beside the loss: probes with their laws, families of one file compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.errors import NoFitError, UsageError
from scaling.report.beyond import Beyond, ProbedSweep
from scaling.workflow.abilities import find_chance
from scaling.workflow.metric_laws import judge_metrics
from scaling.workflow.probed import list_probed
from scaling.workflow.siblings import compare_families
from scaling.workflow.stored import StoredSweep, tabulate_sweep

if TYPE_CHECKING:
    from scaling.compare.multiplier import Comparison


def gather_beyond(
    stored: StoredSweep, siblings: Sequence[StoredSweep], said: tuple[str, ...] = ()
) -> Beyond | None:
    """Gather what was measured beside the loss; None if nothing was measured or compared.

    Args:
        stored: The sweep.
        siblings: The sweeps of its file, including itself.
        said: What it comes to, in sentences.
    """
    families = bool(stored.whole.families)
    if not families and not stored.spec.evaluate:
        return None
    shown = [one for one in (siblings if families else (stored,)) if one.results.results]
    sweeps = tuple(one for one in map(_judge_probed, shown) if one.runs)
    if not sweeps:
        return None
    compared: tuple[Comparison, ...] = ()
    refused = ""
    if len(shown) > 1:
        try:
            compared = tuple(compare_families(shown))
        except (NoFitError, UsageError) as error:
            refused = str(error)
    asked = [one.probe.name for one in stored.spec.evaluate]
    guessed = [one.probe.name for one in stored.spec.evaluate if one.probe.guessed]
    runs = [run for sweep in sweeps for run in sweep.runs]
    lost = {name: sum(name not in run.values for run in runs) for name in asked}
    return Beyond(
        sweeps=sweeps,
        compared=compared,
        refused=refused,
        lost={name: count for name, count in lost.items() if count},
        said=said,
        chances={name: find_chance(stored, name) for name in guessed},
        starts=bool(stored.whole.starts),
    )


def _judge_probed(stored: StoredSweep) -> ProbedSweep:
    """The fitted runs of a sweep with their values, and the law of each probe."""
    table = tabulate_sweep(stored)
    laws = {one.name: one for one in judge_metrics(table, stored)}
    return dataclasses.replace(list_probed(stored, table), laws=laws)
