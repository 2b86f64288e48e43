"""Find the runs that a sweep starts from (its key `initialise`), and keep their weights.

The parent's folder is read again by every call, so that a better parent is noticed. If it is gone,
or its weights are, the sweep's own results folder serves: it keeps copies of what it started from.
"""

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
    """Find every run that a sweep may start from; none if it starts from scratch.

    Args:
        spec: The sweep.
        facts: Its corpus.
        root: The folder that holds results/.

    Raises:
        SpecError: There is no such folder, or none of its runs can be started from (names every
            reason), and the sweep's own results folder keeps no parents either.
    """
    if spec.initialise.source is None:
        return ()
    folder = root / spec.initialise.source
    if not holds_sweep(folder):
        if kept := _read_kept(spec, root):
            return kept
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
    here = [one for one in results.values() if _locate_weights(ledger, one).is_file()]
    if not here and not problems and (kept := _read_kept(spec, root)):
        return kept
    if not here and any(WEIGHTS_FILE in one.files for one in results.values()):
        problems.append(
            "its weights are not here. Copy them from where it was trained, or train it again."
        )
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
        for one in here
    )


def check_starts(whole: SweepSpec, facts: CorpusFacts, *, root: Path) -> None:
    """Check every start of a sweep file, before the first of its sweeps is trained.

    Args:
        whole: The sweep file; without `starts` there is nothing to check.
        facts, root: As for `find_parents`.

    Raises:
        SpecError: Some start has no run to start from; names the problems of all starts.
    """
    from scaling.sweep.siblings import list_siblings

    problems: list[str] = []
    for one in list_siblings(whole) if whole.starts else ():
        try:
            find_parents(one, facts, root=root)
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)


def keep_parents(
    spec: SweepSpec, parents: Sequence[Parent], wanted: Collection[str], ledger: Ledger, root: Path
) -> None:
    """Copy the weights that runs start from into the sweep's own results folder.

    Args:
        spec, root: As for `find_parents`.
        parents: The value that it returned.
        wanted: SHA-256 of the weights that planned runs start from.
        ledger: The sweep's results folder.

    Raises:
        EnvironmentFault: The disk is full or read-only.
        IntegrityError: The weights have changed since their run finished.
    """
    if spec.initialise.source is None:
        return
    files = []
    if holds_sweep(root / spec.initialise.source):
        source = Ledger.open(root / spec.initialise.source)
        results = source.read_results(check="result").results
        files = [
            (one.weights, path)
            for one in parents
            if one.weights in wanted
            and one.run.run_id in results
            and (path := _locate_weights(source, results[one.run.run_id])).is_file()
        ]
    store_parents(ledger.folder, parents, files)


def _read_kept(spec: SweepSpec, root: Path) -> tuple[Parent, ...]:
    """The parents that the sweep's results folder keeps from an earlier call; none if there is no
    such folder, or if the sweep started from elsewhere then."""
    from scaling.sweep.reading import parse_sweep
    from scaling.sweep.siblings import select_sibling

    folder = root / "results" / spec.name
    if not holds_sweep(folder):
        return ()
    ledger = Ledger.open(folder)
    source = str(folder / "sweep.yaml")
    earlier = parse_sweep(ledger.read_sweep().encode("utf-8"), source=source)
    asked = select_sibling(earlier, spec.name, source=source).initialise
    return ledger.corpus.parents if asked == spec.initialise else ()


def _locate_weights(ledger: Ledger, result: RunResult) -> Path:
    """Return the path of a run's weights; the file is missing if they were not kept or copied."""
    return ledger.attempt_folder(result.run.run_id, result.attempt_id) / WEIGHTS_FILE


def _list_problems(
    spec: SweepSpec,
    facts: CorpusFacts,
    ledger: Ledger,
    results: Mapping[str, RunResult],
    *,
    cache: Path,
) -> Iterator[str]:
    """Yield the reasons why no run of a folder can be a parent."""
    asked = spec.initialise.run
    if not results or (asked and len(results) > 1):
        many = (
            "the ids of several finished runs begin" if results else "no finished run's id begins"
        )
        said = f"{many} with {asked}" if asked else "no run is finished"
        yield f'{said}. "scaling status {ledger.folder}" lists them.'
        return
    if any(one.run.own is not None for one in results.values()):
        yield "its runs were trained by your own trainer, so their models are unknown here."
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
            "its runs kept no weights. Set keep_weights: true in its sweep file and run it again "
            "under another name."
        )


def _find_other_tokens(here: CorpusFacts, there: CorpusFacts, cache: Path) -> str:
    """Say why token ids mean something else in the other corpus; empty if they do not."""
    if here.tokenizer != there.tokenizer:
        return (
            f"its tokenizer is {there.tokenizer}, not {here.tokenizer}. Set corpus.tokenizer, or "
            "start from a sweep with the same tokenizer."
        )
    if here.vocab_size != there.vocab_size:
        return f"its vocabulary has {there.vocab_size} tokens, not {here.vocab_size}."
    if here.tokenizer in (BYTES, NO_TOKENIZER) or here.digest == there.digest:
        return ""
    stored = [find_prepared(cache, one.digest) for one in (here, there)]
    if None in stored:
        return 'its prepared corpus, with its tokenizer, is not here. "scaling plan" prepares it.'
    mine, other = (open_tokenizer(one).to_json() for one in stored if one is not None)
    if mine != other:
        return (
            f"its {there.tokenizer} tokenizer was trained on other text, so its ids mean something "
            "else. Use bytes in both sweeps."
        )
    return ""
