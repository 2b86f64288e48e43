"""How a run ended, in the words of the programs that keep such tables.

Letter case, spaces, hyphens and a prefix such as `TrialState.` do not count.

Sources: docs.wandb.ai/models/runs/run-states; mlflow/entities/run_status.py; ray/tune/experiment/
trial.py; optuna/trial/_state.py; man sacct, JOB STATE CODES; clearml/backend_api/services (tasks,
TaskStatusEnum); docs.neptune.ai, sys/state.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tracker:
    """The words of one program.

    Attributes:
        name: Name of the program.
        finished: A run with such a word reached its end.
        unfinished: It did not, or not yet.
        unclear: The word says neither; such rows are kept, and a note names them.
    """

    name: str
    finished: tuple[str, ...]
    unfinished: tuple[str, ...]
    unclear: tuple[str, ...] = ()


TRACKERS = (
    Tracker("W&B", ("finished",),
            ("running", "crashed", "failed", "killed", "pending", "preempting", "preempted")),
    Tracker("MLflow", ("FINISHED",), ("RUNNING", "SCHEDULED", "FAILED", "KILLED")),
    Tracker("Ray Tune", ("TERMINATED",), ("PENDING", "RUNNING", "PAUSED", "RESTORING", "ERROR")),
    Tracker("Optuna", ("COMPLETE",), ("RUNNING", "WAITING", "PRUNED", "FAIL")),
    Tracker("Slurm", ("COMPLETED", "CD"),
            ("BOOT_FAIL", "CANCELLED", "CONFIGURING", "COMPLETING", "DEADLINE", "FAILED",
             "NODE_FAIL", "OUT_OF_MEMORY", "PENDING", "PREEMPTED", "RUNNING", "RESIZING",
             "REVOKED", "REQUEUED", "STOPPED", "SUSPENDED", "TIMEOUT",
             "BF", "CA", "CF", "CG", "DL", "F", "NF", "OOM", "PD", "PR", "R", "RS", "RV", "RQ",
             "ST", "S", "TO")),
    Tracker("ClearML", ("completed", "published", "closed"),
            ("created", "queued", "in_progress", "stopped", "aborted", "failed", "draft"),
            ("publishing",)),
    Tracker("Neptune", (), ("Active",), ("Inactive",)),
    Tracker("Kubernetes", ("Succeeded", "Completed"),
            ("Pending", "Running", "Failed", "Error", "Evicted", "OOMKilled",
             "CrashLoopBackOff")),
    Tracker("SageMaker", ("Completed",), ("InProgress", "Stopping", "Stopped", "Failed")),
    Tracker("scaling", ("finished",), ("diverged", "cancelled", "failed")),
)  # fmt: skip

# Names of the column that holds the state, in lower case.
STATE_COLUMNS = (
    "state", "status", "info.status", "run_state", "run_status", "run state", "run status",
    "sys/state", "job_state", "jobstate", "job state", "trial_state", "trial_status",
    "attributes.status", "info.state", "st", "phase", "job_status", "job status",
    "trainingjobstatus",
)  # fmt: skip
# Boolean columns: true means that the run did not finish.
FLAG_COLUMNS = ("sys/failed", "failed", "crashed", "is_failed", "is_crashed")
_TRUE, _FALSE = ("true", "yes", "1", "1.0"), ("false", "no", "0", "0.0", "")


def fold_word(word: str) -> str:
    """The word as words are compared: `TrialState.COMPLETE`, `CANCELLED by 1000` and `In Progress`
    are complete, cancelled and in_progress; `OUT_OF_ME+`, which sacct cuts, is out_of_memory."""
    folded = re.sub(r"[\s-]+", "_", word.strip().rsplit(".", 1)[-1].lower())
    if folded.startswith("cancelled_by"):
        return "cancelled"
    start = folded.rstrip("+")
    if start in (folded, ""):
        return start
    words = (one.lower() for tracker in TRACKERS for one in tracker.finished + tracker.unfinished)
    return next((one for one in words if one.startswith(start)), start)


FINISHED = frozenset(fold_word(word) for one in TRACKERS for word in one.finished)
UNFINISHED = frozenset(fold_word(word) for one in TRACKERS for word in one.unfinished)


def is_state_column(name: str) -> bool:
    """Whether a column of this name usually says how runs ended."""
    return name.strip().lower() in STATE_COLUMNS or is_flag_column(name)


def is_flag_column(name: str) -> bool:
    """Whether it does so by true or false."""
    return name.strip().lower() in FLAG_COLUMNS


def find_state_column(names: Sequence[str]) -> str | None:
    """The column that says how runs ended: the first by words, which say more than true and false,
    else the first by those; None without any."""
    found = [name for name in names if is_state_column(name)]
    return min(found, key=is_flag_column, default=None)


@dataclass(frozen=True, slots=True)
class StateRule:
    """Which rows count by how their run ended.

    Attributes:
        column: Column of the file; None: the first of the usual names, if there is one.
        accepted: Words of rows that count, folded; None: those that no tracker calls unfinished.
        any: Every row counts, whatever its word.
    """

    column: str | None = None
    accepted: frozenset[str] | None = None
    any: bool = False


USUAL = StateRule()


def read_state_rule(text: str | None) -> StateRule:
    """`--state`: nothing, `any`, or `COLUMN=word,word`.

    Raises:
        ValueError: It is written otherwise.
    """
    if text is None:
        return USUAL
    if text.strip().lower() == "any":
        return StateRule(any=True)
    column, mark, words = text.partition("=")
    accepted = frozenset(fold_word(word) for word in words.split(",") if word.strip())
    if not (mark and column.strip() and accepted):
        raise ValueError(f"{text!r}: write COLUMN=word,word (the words of rows that count), or any")
    return StateRule(column=column.strip(), accepted=accepted)


@dataclass(slots=True)
class StateTally:
    """The words of a column, counted as rows are judged."""

    column: str
    rule: StateRule
    kept: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def judge(self, cell: str) -> bool:
        """Whether a row with this word counts."""
        word = fold_word(cell)
        if self.rule.accepted is not None:
            return word in self.rule.accepted
        return self.rule.any or not self._says_unfinished(word)

    def _says_unfinished(self, word: str) -> bool:
        return word in (_TRUE if is_flag_column(self.column) else UNFINISHED)

    def _is_known(self, word: str) -> bool:
        if is_flag_column(self.column):
            return word in _TRUE + _FALSE
        return word in FINISHED

    def count(self, cell: str, *, counts: bool) -> None:
        """Note the word of a row."""
        (self.kept if counts else self.left)[cell.strip()] += 1

    def list_notes(self) -> list[str]:
        """What a reader should know of the rows that were kept, and of those left out by rule."""
        notes = []
        if self.rule.accepted is not None and self.left:
            total = self.kept.total() + self.left.total()
            notes.append(f"{self.column}: {self.left.total()} of {total} rows left out by --state "
                         f"({count_words(self.left)})")  # fmt: skip
        if self.rule.any:
            odd = Counter(
                {w: n for w, n in self.kept.items() if self._says_unfinished(fold_word(w))}
            )
            if odd:
                notes.append(f"{self.column}: {odd.total()} rows of runs that did not finish are "
                             f"kept by --state any ({count_words(odd)})")  # fmt: skip
        strange = [word for word in self.kept if word and not self._is_known(fold_word(word))]
        if self.rule == USUAL and strange:
            shown = ", ".join(repr(word) for word in sorted(strange)[:5])
            some = "are no states" if len(strange) > 1 else "is no state"
            notes.append(f"{self.column}: {shown} {some} of a run that is known here; such rows "
                         f"are kept. Say which count: --state {self.column}=WORD,...")  # fmt: skip
        return notes


def count_words(words: Counter[str]) -> str:
    """`ERROR 7, PENDING 4`, the most frequent first."""
    shown = [f"{word or 'empty'} {count}" for word, count in words.most_common(6)]
    return ", ".join(shown) + (", …" if len(words) > 6 else "")


def describe_unfinished(tally: StateTally) -> str:
    """One problem for all rows whose run did not finish."""
    total = tally.kept.total() + tally.left.total()
    done = sorted({word for word in tally.kept if word}) or ["finished"]
    return (
        f"{tally.column}: {tally.left.total()} of {total} runs did not finish "
        f"({count_words(tally.left)}); leave them out with --drop-bad, or say which rows count: "
        f"--state {tally.column}={','.join(done[:3])}, or --state any"
    )
