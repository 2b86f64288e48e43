"""RunResult: what one attempt measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scaling.errors import ScalingError
from scaling.ledger.signs import FailureCause
from scaling.sweep.runspec import RunSpec

RunStatus = Literal["finished", "diverged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What one attempt measured.

    Attributes:
        run: The RunSpec that was trained.
        attempt_id: Name of the attempt's folder under the run.
        status: `diverged` runs are counted and shown, never fitted.
        loss: Held-out cross-entropy over every validation window [nats/token]; None if diverged
            before any finite value was seen.
        loss_se: Standard error of `loss`, clustered by document [nats/token].
        bits_per_byte: The same loss in bits per byte of text.
        train_loss: Mean training loss over the last 5 % of the steps [nats/token].
        tokens, flops: Realised D and C (C as if trained from nothing).
        flops_spent: FLOPs this attempt really spent (less, where a checkpoint was resumed).
        unique_tokens, epochs: min(D, corpus) and D / corpus.
        seconds: Wall-clock time of training and evaluation in this attempt.
        finished_at: ISO 8601, UTC.
        reason: Why it counts as diverged; empty if finished.
        numerics: Fingerprint of what decides the last bits: torch, device, capability, threads,
            dtype.
        files: Every file of the attempt the result rests on -> its SHA-256.
        tokens_per_second: Over the steps this attempt took; evaluation is not in it.
        mfu: Model FLOP/s of those steps over the measured peak of the device's matrix products.
        grad_norm: Mean gradient norm before clipping over the last 5 % of the steps.
        clipped: Share of the steps whose gradient was clipped.
        clipped_after_warmup: The same of the steps after warmup: during it gradients are large in
            every run, and their share of a short run is large whatever comes later.
        versions: Software and processor it was computed with (`provenance.describe_versions`).

    The last six are None in results of older versions, and but for `versions` where an attempt
    took no step.
    """

    run: RunSpec
    attempt_id: str
    status: RunStatus
    loss: float | None
    loss_se: float | None
    bits_per_byte: float | None
    train_loss: float | None
    tokens: int
    flops: int
    flops_spent: int
    unique_tokens: int
    epochs: float
    seconds: float
    finished_at: str
    reason: str
    numerics: Mapping[str, str]
    files: Mapping[str, str]
    tokens_per_second: float | None = None
    mfu: float | None = None
    grad_norm: float | None = None
    clipped: float | None = None
    clipped_after_warmup: float | None = None
    versions: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain mapping of every field, readable back by `from_json`."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain: dict[str, Any] = {"numerics": dict(self.numerics), "files": dict(self.files)}
        plain["versions"] = None if self.versions is None else dict(self.versions)
        return content | plain | {"run": self.run.to_json(), "run_id": self.run.run_id}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RunResult:
        """The RunResult that `to_json` wrote.

        Raises:
            TypeError: A field is missing or unknown.
        """
        fields = dict(value)
        fields.pop("run_id")
        return RunResult(run=RunSpec.from_json(fields.pop("run")), **fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a trainer hands back to the attempt that commits it; the fields mean what they mean in
    RunResult. `files` names what the trainer left in the attempt's folder and the result rests
    on (relative to that folder). `tokens` and `flops` are None where they are those of the run."""

    status: RunStatus
    loss: float | None
    loss_se: float | None
    bits_per_byte: float | None
    train_loss: float | None
    flops_spent: int
    seconds: float
    reason: str
    numerics: Mapping[str, str]
    files: tuple[str, ...]
    unique_tokens: int
    epochs: float
    tokens_per_second: float | None = None
    mfu: float | None = None
    grad_norm: float | None = None
    clipped: float | None = None
    clipped_after_warmup: float | None = None
    tokens: int | None = None
    flops: int | None = None


class TrainerFault(ScalingError):
    """Somebody's own trainer broke its promise.

    Args:
        what: How, in a line: equal where the same happens again.
        tail: Last lines of its log, for failed.json.
        cause: Cause of the failure, as retries weigh it.
    """

    def __init__(self, what: str, *, tail: str = "", cause: FailureCause = "exception") -> None:
        super().__init__(what)
        self.cause: FailureCause = cause
        if tail:  # a note, not part of the message, which retries compare to recognise a failure
            self.add_note(f"Its log ends:\n{tail}")


class RunInterrupted(ScalingError):
    """A trainer was asked to stop, has left a checkpoint in its attempt's folder, and stops."""
