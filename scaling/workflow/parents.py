"""From the key `initialise` to the runs that others start from, and their weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.data.shards import find_prepared, open_tokenizer
from scaling.errors import SpecError
from scaling.ledger.commit import Ledger
from scaling.ledger.contents import holds_sweep
from scaling.ledger.documents import WEIGHTS_FILE
from scaling.ledger.parents import store_parents
from scaling.ledger.results import RunResult
from scaling.sweep.corpus_facts import CorpusFacts, decide_seq_len
from scaling.sweep.parents import Parent
from scaling.sweep.tokenizer_names import BYTES, NO_TOKENIZER
from scaling.units import name_some
from scaling.units.stages import stage

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec


@stage("looking for the runs to start from")
def find_parents(spec: SweepSpec, facts: CorpusFacts, *, root: Path) -> tuple[Parent, ...]:
    """Every run that those of a sweep may start from; none where it does not ask for that.

    Args:
        spec: The sweep.
        facts: Its corpus.
        root: Where results/ lies.

    Raises:
        SpecError: There is no such folder or run, or none of its runs can be started from; every
            reason is named, with what to do.
    """
    if spec.initialise.source is None:
        return ()
    folder = root / spec.initialise.source
    if not holds_sweep(folder):
        raise SpecError(
            [f'{folder} is not a results folder. Name one that "scaling run" wrote, or run that '
             "sweep first."]
        )  # fmt: skip
    ledger = Ledger.open(folder)
    results = {
        run_id: one
        for run_id, one in ledger.read_results(check="result").results.items()
        if one.status == "finished" and run_id.startswith(spec.initialise.run or "")
    }
    problems = list(_list_problems(spec, facts, ledger, results, cache=root / "results" / ".cache"))
    if problems:
        raise SpecError([f"{folder}: {one}" for one in problems])
    earlier = {one.weights: one.flops for one in ledger.corpus.parents}
    return tuple(
        Parent(
            run=one.run,
            weights=one.files[WEIGHTS_FILE],
            loss=one.loss or 0.0,
            flops=one.flops + earlier.get(one.run.parent or "", 0),
        )
        for one in results.values()
        if _locate_weights(ledger, one).is_file()
    )


def keep_parents(
    spec: SweepSpec, parents: Sequence[Parent], wanted: Collection[str], ledger: Ledger, root: Path
) -> None:
    """Take the weights that runs start from into their own results folder.

    Args:
        spec, root: As for `find_parents`.
        parents: What it found.
        wanted: SHA-256 of those that planned runs start from.
        ledger: The results folder of the sweep.

    Raises:
        EnvironmentFault: The disk is full or read-only.
        IntegrityError: Weights are not what they were when their run finished.
    """
    if spec.initialise.source is None:
        return
    source = Ledger.open(root / spec.initialise.source)
    results = source.read_results(check="result").results
    files = [
        (one.weights, _locate_weights(source, results[one.run.run_id]))
        for one in parents
        if one.weights in wanted
    ]
    store_parents(ledger.folder, parents, files)


def _locate_weights(ledger: Ledger, result: RunResult) -> Path:
    """Where a run's weights lie, if it kept any and they are here."""
    return ledger.attempt_folder(result.run.run_id, result.attempt_id) / WEIGHTS_FILE


def _list_problems(
    spec: SweepSpec,
    facts: CorpusFacts,
    ledger: Ledger,
    results: Mapping[str, RunResult],
    *,
    cache: Path,
) -> Iterator[str]:
    """Why no run of a folder can be started from."""
    asked = spec.initialise.run
    if not results or (asked and len(results) > 1):
        many = "several finished runs begin" if results else "no finished run begins"
        said = f"{many} with {asked}" if asked else "no run is finished"
        yield f'{said}. "scaling status {ledger.folder}" lists them.'
        return
    if any(one.run.own is not None for one in results.values()):
        yield "its runs are those of your own trainer, whose models are not known here."
        return
    runs = [one.run for one in results.values()]
    families = {one.shape.family for one in runs}
    if spec.family not in families:
        yield (
            f"its models are of family {name_some(sorted(families))}, not {spec.family}. Set "
            "model.family."
        )
    contexts, seq_len = {one.shape.seq_len for one in runs}, decide_seq_len(spec, facts)
    if seq_len not in contexts:
        known = name_some([str(one) for one in sorted(contexts)])
        yield f"its context is {known} tokens, not {seq_len}. Set model.seq_len."
    if wrong := _find_other_tokens(facts, ledger.corpus, cache / "corpora"):
        yield wrong
    kept = [one for one in results.values() if WEIGHTS_FILE in one.files]
    if not kept:
        yield (
            "its runs kept no weights. Set keep_weights: true in its sweep file and run it again, "
            "under another name."
        )
    elif not any(_locate_weights(ledger, one).is_file() for one in kept):
        yield "its weights are not here. Copy them from where it was trained, or train it again."


def _find_other_tokens(here: CorpusFacts, there: CorpusFacts, cache: Path) -> str:
    """Why ids mean something else in another corpus; empty if they do not."""
    if here.tokenizer != there.tokenizer:
        return (
            f"its tokenizer is {there.tokenizer}, not {here.tokenizer}. Set corpus.tokenizer, or "
            "start from a sweep with this one."
        )
    if here.vocab_size != there.vocab_size:
        return f"its vocabulary has {there.vocab_size} tokens, not {here.vocab_size}."
    if here.tokenizer in (BYTES, NO_TOKENIZER) or here.digest == there.digest:
        return ""
    stored = [find_prepared(cache, one.digest) for one in (here, there)]
    if None in stored:
        return 'its prepared corpus is not here, nor what its ids mean. "scaling plan" prepares it.'
    mine, other = (open_tokenizer(one).to_json() for one in stored if one is not None)
    if mine != other:
        return (
            f"its {there.tokenizer} was trained on other text, so that ids mean something else. "
            "Use bytes in both sweeps."
        )
    return ""
