"""Analyse the runs of a sweep on a closed world, or on biased people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.data import biased_people, closed_world
from scaling.data.people import STATEMENT
from scaling.errors import NoFitError, UsageError
from scaling.report.beyond import ProbedRun
from scaling.workflow.probed import list_probed
from scaling.workflow.stored import StoredSweep, tabulate_sweep

if TYPE_CHECKING:
    from scaling.fitting.bias import Bias
    from scaling.fitting.knowledge import Knowledge
    from scaling.sweep.corpus_spec import CorpusSpec

_NEVER = 1.0  # exposures; the bin below it holds facts that were never read


def say_stored(stored: StoredSweep) -> tuple[str, ...]:
    """List the findings for a sweep's page; empty for another corpus or without such probes."""
    from scaling.words import bias, knowledge

    try:
        if stored.spec.corpus.source == closed_world.NAME:
            return tuple(knowledge.list_sentences(judge_world(stored)))
        if stored.spec.corpus.source == biased_people.NAME:
            return tuple(bias.list_sentences(judge_people(stored)))
    except NoFitError:
        pass
    return ()


def judge_world(stored: StoredSweep) -> Knowledge:
    """Analyse what the runs of a sweep know of their closed world.

    Raises:
        UsageError: The corpus is not a closed world.
        NoFitError: No finished run has a value of such a probe.
    """
    from scaling.fitting.knowledge import KnowingRun, World, judge_knowledge

    corpus = _check_source(stored, closed_world.NAME)
    people, attributes, values = corpus.people, corpus.attributes, corpus.values
    assert people is not None
    assert attributes is not None
    assert values is not None
    facts = people * attributes
    runs = [
        KnowingRun(
            params=one.params,
            tokens=one.tokens,
            exposures=one.tokens / (STATEMENT * facts),
            **_strip(one, "closed_world_"),
            curve=_read_curve(one, "closed_world_error"),
        )
        for one in _list_runs(stored, "closed_world_")
    ]
    bits = closed_world.count_bits(people, attributes, values)
    return judge_knowledge(World(facts=facts, values=values, bits=bits), runs)


def judge_people(stored: StoredSweep) -> Bias:
    """Analyse how far the runs of a sweep amplify the stereotypes of their text.

    Raises:
        UsageError: The corpus has no such people.
        NoFitError: No finished run has a value of such a probe.
    """
    from scaling.fitting.bias import BiasedRun, judge_bias

    _check_source(stored, biased_people.NAME)
    runs = [
        BiasedRun(
            params=one.params,
            tokens=one.tokens,
            **_strip(one, "bias_"),
            skews=_read_curve(one, "bias_argmax", least=0.0),
            counter=_read_curve(one, "bias_counter_error"),
            typical=_read_curve(one, "bias_typical_error"),
        )
        for one in _list_runs(stored, "bias_")
    ]
    return judge_bias(runs, tabulate_sweep(stored))


def _check_source(stored: StoredSweep, name: str) -> CorpusSpec:
    corpus = stored.spec.corpus
    if not stored.spec.has_corpus or corpus.source != name:
        has = corpus.source if stored.spec.has_corpus else "its trainer's own"
        raise UsageError(
            f"{stored.folder}: its corpus is {has}, not {name}.\n"
            f"Name the results of a sweep whose corpus.source is {name}."
        )
    return corpus


def _list_runs(stored: StoredSweep, prefix: str) -> list[ProbedRun]:
    """List the fitted runs that have a value of a probe with this prefix."""
    runs = [
        one
        for one in list_probed(stored).runs
        if any(name.startswith(prefix) for name in one.values)
    ]
    if not runs:
        raise NoFitError(
            f"{stored.folder}: no finished run has a value of a probe {prefix}…. Name them under "
            '"evaluate" in the sweep file and run it again.'
        )
    return runs


def _strip(run: ProbedRun, prefix: str) -> dict[str, dict[str, float]]:
    """The values of probes with a prefix and their standard errors, by their names without it."""
    own = {name.removeprefix(prefix): one for name, one in run.values.items()
           if name.startswith(prefix)}  # fmt: skip
    errors = {name: one.standard_error for name, one in own.items()}
    return {
        "values": {name: one.value for name, one in own.items()},
        "errors": {name: error for name, error in errors.items() if error is not None},
    }


def _read_curve(
    run: ProbedRun, name: str, *, least: float = _NEVER
) -> tuple[tuple[float, float], ...]:
    value = run.values.get(name)
    if value is None or value.curve is None:
        return ()
    pairs = zip(value.curve.x, value.curve.y, strict=True)
    return tuple((x, y) for x, y in pairs if x >= least)
