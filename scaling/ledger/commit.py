"""Ledger: every attempt of a sweep, and the protocol by which one attempt of each run counts.

    results/<sweep>/
      sweep.yaml  sweep.json         what was asked last; name and corpus, fixed for good
      .lock  .lock-holder            one driver at a time; who it is
      term                           the driver's generation; a worker of an older term stops
      runs/<run_id>/
        attempts/<term>-<n>-<uuid8>/     written only by that attempt
        result.json                      linked once, by the winning attempt, which keeps its own
      index/runs.csv                 derived from the results

An attempt commits by flushing the files its result rests on, writing the sealed result into its
own folder and linking it to `result.json`. The link is exclusive, so of any number of racing
attempts (retries, orphans of a dead driver, a second driver) exactly one result counts; the
others learn whose. Whether a run is finished follows from these files and is never stored.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from scaling.errors import EnvironmentFault, IntegrityError, UsageError
from scaling.files import faults
from scaling.files.durable import (
    blaming_machine,
    digest_file,
    link_exclusively,
    make_folder,
    read_document,
    read_plain,
    refuse_links,
    sync_folder,
    write_durably,
)
from scaling.files.sealed import build_value, open_document, seal_document
from scaling.ledger.documents import (
    ATTEMPT_NAME,
    CURVE_LIMIT_BYTES,
    CURVE_SUFFIX,
    RESULT_FILE,
    RESULT_LIMIT_BYTES,
    RUN_NAME,
    WEIGHTS_FILE,
    read_result,
)
from scaling.ledger.found import Check, Damage, StoredResults
from scaling.ledger.parents import add_parents
from scaling.ledger.results import Measurement, RunResult
from scaling.ledger.sealing import flush_files, make_result, seal_result
from scaling.ledger.signs import (
    FAILURE_FILE,
    HEARTBEAT_FILE,
    Failure,
    FailureCause,
    Heartbeat,
    describe_failure,
)
from scaling.ledger.trainer_code import add_code
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.runspec import RunSpec

_SMALL_FILE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Ledger:
    """A results folder. Make one with `Ledger.create` (to write) or `Ledger.open` (to read)."""

    folder: Path
    name: str
    corpus: CorpusFacts

    @staticmethod
    def create(folder: Path, *, name: str, corpus: CorpusFacts, sweep_yaml: str) -> Ledger:
        """Open the ledger in `folder`, or make one; `sweep.yaml` is replaced if it changed.

        Raises:
            UsageError: The folder holds runs on another corpus.
            EnvironmentFault: It cannot be written, or its file system has no hard links.
            IntegrityError: `sweep.json` is damaged, or something else is in the place of a folder.
        """
        make_folder(folder / "runs")
        if not (folder / "sweep.json").exists():
            _check_links(folder)
            identity = {"name": name, "corpus": corpus.to_json()}
            write_durably(folder / "sweep.json", seal_document(identity))
            faults.reach("sweep.named")
        ledger = Ledger.open(folder)
        if ledger.corpus.digest != corpus.digest:
            raise UsageError(
                f"{folder} holds runs on the corpus {ledger.corpus.digest[:12]}, the sweep is now "
                f"on {corpus.digest[:12]}: one fit cannot mix them. "
                "Give the sweep another name, or move that folder away."
            )
        text = sweep_yaml.encode("utf-8")
        with blaming_machine(folder):
            path = folder / "sweep.yaml"
            if not os.path.lexists(path) or ledger.read_sweep() != sweep_yaml:
                write_durably(path, text)
                faults.reach("sweep.stated")
        return ledger

    @staticmethod
    def open(folder: Path) -> Ledger:
        """Open the ledger in `folder` without changing it.

        Raises:
            UsageError: There is none.
            IntegrityError: `sweep.json` is damaged.
        """
        try:
            if folder.exists() and not folder.is_dir():  # e.g. a file or a pipe
                raise NotADirectoryError(folder)
            document = read_document(folder, "sweep.json", limit=_SMALL_FILE_BYTES)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{folder} is not a results folder (it has no sweep.json). "
                'Name the folder "scaling run" wrote, such as results/quickstart.'
            ) from error
        except IntegrityError as error:
            raise IntegrityError(f"{folder}: {error}. Restore it from a copy.") from error
        try:
            return _read_identity(folder, document)
        except IntegrityError as error:
            raise IntegrityError(
                f"{folder}/sweep.json: {error}. Restore it from a copy."
            ) from error

    def read_sweep(self) -> str:
        """The sweep file as it was last run.

        Raises:
            IntegrityError: Missing, not a plain file, not UTF-8, or absurdly large.
        """
        try:
            return read_plain(self.folder, "sweep.yaml", limit=_SMALL_FILE_BYTES).decode("utf-8")
        except FileNotFoundError as error:
            raise IntegrityError(f"{self.folder} has no sweep.yaml. Restore it.") from error
        except IntegrityError as error:
            raise IntegrityError(f"{self.folder}: {error}. Restore it.") from error
        except UnicodeDecodeError as error:
            raise IntegrityError(f"{self.folder}/sweep.yaml is not UTF-8. Restore it.") from error

    # --- one driver at a time -----------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the sweep for one driver; the kernel releases the lock when the process dies.

        Raises:
            LockedError: At once, naming who holds it.
            EnvironmentFault: The folder cannot be written or does not support locks.
        """
        from scaling.ledger.locking import hold_folder

        with hold_folder(self.folder):
            yield

    def read_term(self) -> int:
        """Number of the newest driver; 0 before the first.

        Raises:
            IntegrityError: There is a folder, a link or a pipe in its place.
        """
        try:
            text = read_plain(self.folder, "term", limit=_SMALL_FILE_BYTES)
        except FileNotFoundError:
            text = b""
        except IntegrityError as error:
            raise IntegrityError(f"{self.folder}: {error}. Move it away.") from error
        if re.fullmatch(rb"[0-9]{1,8}\n?", text):
            return int(text)
        # Lost, damaged or too large: recover the term from the attempts' names, because it must
        # never decrease.
        named = (name for run_id in self._run_ids() for name in self.list_attempts(run_id))
        return max((_attempt_order(name)[0] for name in named), default=0)

    def advance_term(self) -> int:
        """Begin a new term: attempts of every older term stop at their next look (≤ 0.2 s).

        A driver begins a term when it starts, and ends it by beginning another.
        """
        term = self.read_term() + 1
        write_durably(self.folder / "term", f"{term}\n".encode())
        faults.reach("term.advanced")
        return term

    # --- attempts -----------------------------------------------------------------------------

    def name_attempt(self, run_id: str, *, term: int) -> str:
        """Return a name that no attempt of this run has had."""
        return f"{term}-{len(self.list_attempts(run_id)) + 1}-{uuid.uuid4().hex[:8]}"

    def attempt_folder(self, run_id: str, attempt_id: str) -> Path:
        """The folder of an attempt, which only that attempt writes to."""
        assert RUN_NAME.fullmatch(run_id), run_id
        assert ATTEMPT_NAME.fullmatch(attempt_id), attempt_id
        return self.folder / "runs" / run_id / "attempts" / attempt_id

    def create_attempt(self, run_id: str, attempt_id: str) -> Path:
        """Make the folder of an attempt.

        Raises:
            EnvironmentFault: The disk is full or read-only.
        """
        path = self.attempt_folder(run_id, attempt_id)
        refuse_links(self.folder, f"runs/{run_id}/attempts")
        with blaming_machine(path):
            for folder in (path.parent.parent, path.parent):  # never the results folder itself
                folder.mkdir(exist_ok=True)
            path.mkdir()
            for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
                sync_folder(folder)
        faults.reach("attempt.created")
        return path

    def list_runs(self) -> tuple[str, ...]:
        """Runs that have a folder, finished or not, in order of name; links are ignored."""
        return tuple(self._run_ids())

    def list_attempts(self, run_id: str) -> tuple[str, ...]:
        """Attempts of a run, newest first."""
        folder = self.folder / "runs" / run_id / "attempts"
        try:
            refuse_links(self.folder, f"runs/{run_id}/attempts")
            names = [
                entry.name
                for entry in os.scandir(folder)
                if ATTEMPT_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
        except (FileNotFoundError, NotADirectoryError, IntegrityError):
            return ()
        return tuple(sorted(names, key=_attempt_order, reverse=True))

    # --- committing ---------------------------------------------------------------------------

    def commit(self, run: RunSpec, attempt_id: str, measured: Measurement) -> RunResult:
        """Make an attempt's measurement the result of its run, if it is the first.

        Returns:
            The result that counts: this attempt's, or the winner's.

        Raises:
            IntegrityError: The measurement would not be read back as intact (not finite, a file
                missing), or the result that counts is damaged.
            EnvironmentFault: The disk is full, read-only or has no hard links.
        """
        run_id = run.run_id
        attempt = self.attempt_folder(run_id, attempt_id)
        with blaming_machine(attempt):
            files = flush_files(attempt, measured.files)
            faults.reach("commit.digested")
            result = make_result(run, attempt_id, measured, files)
            sealed = seal_result(result)
            source = attempt / f"{RESULT_FILE}.tmp"
            source.unlink(missing_ok=True)
            with open(source, "xb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            faults.reach("commit.written")
            target = attempt.parent.parent / RESULT_FILE
            won = link_exclusively(source, target)
            faults.reach("commit.linked")
            if won:  # by this second name `verify` notices if the first is lost
                os.replace(source, attempt / RESULT_FILE)
            else:
                source.unlink()
            faults.reach("commit.cleaned")
        if won:
            return result
        winner = self.find_result(run_id)
        assert winner is not None
        return winner

    def fail(self, run_id: str, attempt_id: str, error: BaseException, cause: FailureCause) -> None:
        """Leave `failed.json` with the cause and the end of the traceback, if the disk allows."""
        failure = describe_failure(error, attempt_id=attempt_id, cause=cause)
        path = self.attempt_folder(run_id, attempt_id) / FAILURE_FILE
        with contextlib.suppress(OSError, EnvironmentFault):  # a full disk may be what failed it
            write_durably(path, json.dumps(dataclasses.asdict(failure), indent=1).encode())
        faults.reach("failure.written")

    def read_failure(self, run_id: str, attempt_id: str) -> Failure | None:
        """Why an attempt failed; None if not recorded (it runs, was killed, or committed)."""
        failure = self._read_sign(Failure, run_id, attempt_id, FAILURE_FILE)
        return failure if isinstance(failure, Failure) else None

    def beat(self, run_id: str, attempt_id: str, heartbeat: Heartbeat) -> None:
        """Replace an attempt's heartbeat; it may be lost, so a full disk is not reported here."""
        path = self.attempt_folder(run_id, attempt_id) / HEARTBEAT_FILE
        document = json.dumps(dataclasses.asdict(heartbeat))
        with contextlib.suppress(OSError, EnvironmentFault):
            write_durably(path, document.encode(), sync=False)
        faults.reach("heartbeat.written")

    def stop_beating(self, run_id: str, attempt_id: str) -> None:
        """Remove the heartbeat of an attempt that has ended."""
        with contextlib.suppress(OSError):
            (self.attempt_folder(run_id, attempt_id) / HEARTBEAT_FILE).unlink(missing_ok=True)

    def read_heartbeat(self, run_id: str, attempt_id: str) -> Heartbeat | None:
        """Last heartbeat of an attempt; None if there is none."""
        heartbeat = self._read_sign(Heartbeat, run_id, attempt_id, HEARTBEAT_FILE)
        return heartbeat if isinstance(heartbeat, Heartbeat) else None

    def _read_sign(self, kind: type[Any], run_id: str, attempt_id: str, name: str) -> object:
        relative = f"runs/{run_id}/attempts/{attempt_id}/{name}"
        try:
            document = read_document(self.folder, relative, limit=_SMALL_FILE_BYTES)
            return build_value(kind, document, name)
        except (OSError, IntegrityError):
            return None

    # --- reading ------------------------------------------------------------------------------

    def has_result(self, run_id: str) -> bool:
        """Return whether a run has a result, intact or not, without reading it."""
        return os.path.lexists(self.folder / "runs" / run_id / RESULT_FILE)

    def find_result(self, run_id: str, *, check: Check = "result") -> RunResult | None:
        """The result of a run; None if it has none yet.

        Raises:
            IntegrityError: It has one, and it is damaged.
        """
        try:
            result, _ = self._load_result(run_id)
        except FileNotFoundError:
            return None
        self._check_files(run_id, result, check)
        return result

    def find_sealed(self, run_id: str) -> tuple[RunResult, str] | None:
        """The result of a run with its digest, its curve checked; None if it has none yet.

        Raises:
            IntegrityError: It has one, and it is damaged.
        """
        if not RUN_NAME.fullmatch(run_id):
            return None
        try:
            result, digest = self._load_result(run_id)
        except FileNotFoundError:
            return None
        self._check_files(run_id, result, "curves")
        return result, digest

    def read_results(self, *, check: Check = "curves") -> StoredResults:
        """Read every result of the ledger, intact ones apart from damaged ones.

        Args:
            check: Which files to hash beside the results themselves.
        """
        results: dict[str, RunResult] = {}
        recorded: dict[str, RunResult] = {}
        digests: dict[str, str] = {}
        damaged: list[Damage] = []
        for run_id in self._run_ids(damaged):
            path = f"runs/{run_id}/{RESULT_FILE}"
            try:
                recorded[run_id], digest = self._load_result(run_id)
                self._check_files(run_id, recorded[run_id], check)
                results[run_id], digests[run_id] = recorded[run_id], digest
            except FileNotFoundError:
                continue
            except IntegrityError as error:
                damaged.append(Damage(path=path, what=str(error), run_id=run_id))
            except OSError as error:
                damaged.append(Damage(path=path, what=f"cannot be read: {error}", run_id=run_id))
        return StoredResults(
            results=MappingProxyType(results),
            digests=MappingProxyType(digests),
            damaged=tuple(damaged),
            recorded=MappingProxyType(recorded),
        )

    def set_aside(self, run_id: str) -> Path:
        """Set the result of a run aside, so that it is trained again; nothing is deleted: the file
        stays in its folder under another name.

        Raises:
            UsageError: The run has no result.
            IntegrityError: Its folder is a link.
        """
        folder = self.folder / "runs" / run_id
        aside = folder / f"aside-{uuid.uuid4().hex[:8]}.json"
        if not RUN_NAME.fullmatch(run_id) or not os.path.lexists(folder / RESULT_FILE):
            raise UsageError(f"{self.folder}: run {run_id[:40]!r} has no result to set aside.")
        refuse_links(self.folder, f"runs/{run_id}")
        with blaming_machine(folder):
            for attempt_id in self.list_attempts(run_id):
                own = self.attempt_folder(run_id, attempt_id) / RESULT_FILE
                if os.path.lexists(own):
                    os.rename(own, own.with_name(aside.name))
            os.rename(folder / RESULT_FILE, aside)
            if os.path.lexists(folder / "probes"):  # they were measured on that result
                os.rename(folder / "probes", aside.with_name(f"{aside.stem}-probes"))
            faults.reach("result.set_aside")
            sync_folder(folder)
        return aside

    def find_own_result(self, run_id: str, attempt_id: str) -> str | None:
        """Digest of the result by which an attempt once won its run, from the attempt's own copy;
        None if it did not win or its copy is damaged."""
        relative = f"runs/{run_id}/attempts/{attempt_id}/{RESULT_FILE}"
        try:
            document = read_document(self.folder, relative, limit=RESULT_LIMIT_BYTES)
            return read_result(document, run_id)[1]
        except (OSError, IntegrityError):
            return None

    def find_kept(self, run_id: str) -> str | None:
        """The attempt that won a run whose result is missing, and kept a copy of it."""
        if os.path.lexists(self.folder / "runs" / run_id / RESULT_FILE):
            return None
        attempts = self.list_attempts(run_id)
        return next((one for one in attempts if self.find_own_result(run_id, one)), None)

    def restore(self, run_id: str, attempt_id: str) -> None:
        """Restore a run's result from the copy that an attempt kept, unless the run has one."""
        own = self.attempt_folder(run_id, attempt_id) / RESULT_FILE
        link_exclusively(own, own.parent.parent.parent / RESULT_FILE)
        faults.reach("result.restored")

    def _load_result(self, run_id: str) -> tuple[RunResult, str]:
        path = f"runs/{run_id}/{RESULT_FILE}"
        document = read_document(self.folder, path, limit=RESULT_LIMIT_BYTES)
        return read_result(document, run_id)

    def _check_files(self, run_id: str, result: RunResult, check: Check) -> None:
        """Raise IntegrityError if a file that the result rests on has changed."""
        if check == "result":
            return
        for name, stated in result.files.items():
            if check == "curves" and not name.endswith(CURVE_SUFFIX):
                continue
            path = f"runs/{run_id}/attempts/{result.attempt_id}/{name}"
            try:
                limit = CURVE_LIMIT_BYTES if name.endswith(CURVE_SUFFIX) else None
                found = digest_file(self.folder, path, limit=limit)
            except FileNotFoundError as error:
                if name == WEIGHTS_FILE:  # a copy may lack them; no number depends on them
                    continue
                raise IntegrityError(f"it rests on {path}, which is missing") from error
            if found != stated:
                raise IntegrityError(f"it rests on {path}, which was changed or torn")

    def _run_ids(self, damaged: list[Damage] | None = None) -> Iterator[str]:
        """Yield run folders in order of name; anything else there goes to `damaged`."""
        runs = self.folder / "runs"
        if runs.is_symlink() or not runs.is_dir():
            if damaged is not None:
                damaged.append(Damage(path="runs", what="is missing or a link", run_id=None))
            return
        for entry in sorted(os.scandir(runs), key=lambda entry: entry.name):
            if entry.name.startswith("."):  # left by file managers and network file systems
                continue
            if RUN_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield entry.name
            elif damaged is not None:
                what = "is a link" if entry.is_symlink() else "is not the folder of a run"
                damaged.append(Damage(path=f"runs/{entry.name[:100]}", what=what, run_id=None))


def _read_identity(folder: Path, document: Mapping[str, Any]) -> Ledger:
    body, _ = open_document(document)
    if body.keys() != {"name", "corpus"} or not isinstance(body["name"], str):
        raise IntegrityError("fields missing or unknown")
    corpus = add_code(build_value(CorpusFacts, body["corpus"], "corpus"), folder)
    return Ledger(folder=folder, name=body["name"], corpus=add_parents(corpus, folder))


def _check_links(folder: Path) -> None:
    """Verify before hours of training that results can be committed here."""
    probe = folder / f".probe-{uuid.uuid4().hex[:8]}"
    linked = probe.with_suffix(".linked")
    try:
        with blaming_machine(folder):
            probe.write_bytes(b"")
            link_exclusively(probe, linked)
    finally:
        for path in (probe, linked):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _attempt_order(name: str) -> tuple[int, int, str]:
    term, number, unique = name.split("-")
    return int(term), int(number), unique
