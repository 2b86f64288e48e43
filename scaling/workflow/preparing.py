"""From a sweep file to a sweep that can run: its corpus on disk and its plan."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.errors import CorpusError, SpecError
from scaling.ledger.forecasts import read_forecasts
from scaling.sweep.cells import Plan
from scaling.sweep.corpus_facts import decide_seq_len
from scaling.sweep.plan import plan_sweep
from scaling.sweep.probe_demands import Ground
from scaling.sweep.trainer_files import digest_code, digest_files
from scaling.units.stages import stage
from scaling.workflow.devices import check_device
from scaling.workflow.parents import check_starts, find_parents
from scaling.workflow.stored import list_validations, read_results

if TYPE_CHECKING:
    from scaling.data.shards import PreparedCorpus
    from scaling.sweep.spec import SweepSpec


_MEMORY_SHARE = 0.8  # of the machine's; the rest is for Ray, the driver and the system


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep ready to run: its file, its corpus on disk, its plan."""

    path: Path
    text: str
    spec: SweepSpec
    corpus: PreparedCorpus
    plan: Plan


@stage("reading the sweep file")
def list_sweeps(path: Path) -> tuple[str, ...]:
    """Names of the sweeps that a file makes: one, or one for each tokenizer or recipe it names.

    Raises:
        SpecError: The file is wrong; the message names every problem.
    """
    from scaling.sweep.reading import load_sweep
    from scaling.sweep.siblings import list_siblings

    return tuple(one.name for one in list_siblings(load_sweep(path)))


@stage("planning the sweep")
def prepare_sweep(
    path: Path,
    *,
    root: Path,
    name: str | None = None,
    runs_here: bool = True,
    validate: bool = False,
) -> Sweep:
    """Read a sweep file, prepare its corpus (cached under root/results/.cache) and plan it.

    Args:
        path: The sweep file.
        root: Folder that contains results/.
        name: Name of one of the file's sweeps; None: the file makes only one.
        runs_here: Whether runs must fit into this machine's memory, and their share of its GPU's;
            those of a cluster are checked there.
        validate: Whether to plan the runs of the sweep's registered forecasts too.

    Returns:
        The sweep with its corpus and its plan; nothing is trained.

    Raises:
        UsageError: There is no forecast to validate, or an extra is not installed.
        SpecError: The file is wrong (names every problem), or no cell of it can be trained.
        CorpusError: The text cannot be read.
    """
    from scaling.data.sources import prepare_source
    from scaling.sweep.probe_spec import check_demands
    from scaling.sweep.reading import load_sweep
    from scaling.sweep.siblings import select_sibling

    whole = load_sweep(path)
    spec = select_sibling(whole, name, source=str(path))
    text = path.read_text(encoding="utf-8")
    base, cache = path.resolve().parent, root / "results" / ".cache" / "corpora"
    with _placing(text, path, ("corpus", "paths")):
        corpus = prepare_source(spec, base=base, cache=cache)
    with _placing(text, path, ("evaluate",)):
        check_demands(
            spec.evaluate,
            Ground(
                seq_len=decide_seq_len(spec, corpus.facts),
                vocab_size=corpus.facts.vocab_size,
                source=spec.corpus.source,
                tokenizer=corpus.facts.tokenizer,
                chains=spec.corpus.chains[0],
            ),
        )
    if spec.trainer is not None:
        code = digest_code(digest_files(spec.trainer.files, base))
        corpus = dataclasses.replace(corpus, facts=dataclasses.replace(corpus.facts, code=code))
    with _placing(text, path, ("starts",) if whole.starts else ("initialise",)):
        check_starts(whole, corpus.facts, root=root)
        parents = find_parents(spec, corpus.facts, root=root)
    corpus = dataclasses.replace(corpus, facts=dataclasses.replace(corpus.facts, parents=parents))
    folder = root / "results" / spec.name
    recorded = read_results(folder)
    forecasts = read_forecasts(folder)
    validations = list_validations(folder, forecasts, recorded.keys(), untrained=validate)
    with _placing(text, path, ("grid",)):
        plan = plan_sweep(
            spec,
            corpus.facts,
            memory_bytes=find_run_memory() if runs_here else None,
            recorded=[result.run for result in recorded.values()],
            validations=validations,
        )
    if runs_here:
        with _placing(text, path, ("resources", "memory_per_run")):
            _refuse_memory(spec.resources.memory_per_run)
    if runs_here and spec.trainer is None:
        with _placing(text, path, ("resources", "gpus_per_run")):
            plan = check_device(spec, plan)
    return Sweep(path=path, text=text, spec=spec, corpus=corpus, plan=plan)


@contextlib.contextmanager
def _placing(text: str, path: Path, keys: tuple[str, ...]) -> Iterator[None]:
    """Report problems found outside the sweep file at the key of the file that caused them."""
    from scaling.sweep.reading import name_place

    try:
        yield
    except (CorpusError, SpecError) as error:
        place = name_place(text, str(path), keys)
        raise SpecError([f"{place}: {line}" for line in str(error).splitlines()]) from error


def _refuse_memory(stated: float | None) -> None:
    """Refuse runs whose stated memory exceeds that of this machine [bytes]."""
    if stated is not None and stated > find_run_memory():
        raise SpecError(
            [
                f"{stated:.3g} bytes a run, and a run on this machine may use "
                f"{find_run_memory():.3g}. Join a cluster (--address), or price it by "
                '"scaling plan --target".'
            ]
        )


def find_run_memory() -> int:
    """Memory that one run on this machine may use [bytes]."""
    import psutil

    return int(_MEMORY_SHARE * psutil.virtual_memory().total)
