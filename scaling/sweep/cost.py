"""What a plan costs: FLOPs, memory and disk by arithmetic, time and money from seconds per run,
which a measured throughput gives, or a datasheet (`target.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scaling.sweep.counting import count_total_params
from scaling.sweep.families.registry import family_of
from scaling.sweep.makespan import Estimate, find_makespan
from scaling.sweep.runspec import RunSpec
from scaling.sweep.trunks import count_spent_flops

_FLOAT_BYTES = 4
# Weights, gradients and AdamW's two moments, in float32.
_COPIES_OF_PARAMS = 4
_LOGITS_COPIES = 3  # logits, log-softmax, gradient
# Evaluation batch: 8192 tokens of 256 logits take 8 MB, and larger ones are no faster on a CPU.
_EVALUATED_TOKENS, _EVALUATED_LOGITS = 8192, 8192 * 256
_PROCESS_BYTES = 550 * 2**20  # a worker that has imported torch (measured: 544 MiB)
# A run's curve (100 rows of 120 bytes), log and result.
_RECORD_BYTES = 24 * 2**10
_CHECKPOINTS = 2  # a run keeps its last two; each holds weights and both moments


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTotals:
    """Sums over the runs that a plan would train.

    Attributes:
        runs: How many.
        flops: Training FLOPs, as if each from nothing.
        flops_spent: FLOPs that are computed, where runs of one model share a trunk.
        tokens: Training tokens.
        peak_bytes: Largest memory of one run.
    """

    runs: int
    flops: int
    flops_spent: int
    tokens: int
    peak_bytes: int


def sum_costs(runs: Iterable[RunSpec], *, share_trunks: bool = False) -> PlanTotals:
    """Totals over distinct runs."""
    distinct = {run.run_id: run for run in runs}.values()
    flops = sum(run.flops for run in distinct)
    return PlanTotals(
        runs=len(distinct),
        flops=flops,
        flops_spent=sum(count_spent_flops(distinct).values()) if share_trunks else flops,
        tokens=sum(run.tokens for run in distinct),
        peak_bytes=max((estimate_memory(run) for run in distinct), default=0),
    )


def count_evaluated_windows(vocab_size: int, seq_len: int) -> int:
    """Held-out windows of one forward pass: fewer where a large vocabulary makes logits many."""
    return max(1, min(_EVALUATED_TOKENS, _EVALUATED_LOGITS // vocab_size) // seq_len)


def estimate_memory(run: RunSpec) -> int:
    """Bytes one training process needs, rounded up; float32 throughout. 0 for a trainer of one's
    own, of which nothing is known."""
    if run.own is not None:
        return 0
    shape, tokens = run.shape, run.recipe.batch_sequences * run.shape.seq_len
    activations = family_of(shape).activation_bytes(
        shape, tokens, device="cpu", precision="float32"
    )
    evaluated = count_evaluated_windows(shape.vocab_size, shape.seq_len) * shape.seq_len
    logits = max(tokens, evaluated) * shape.vocab_size * _LOGITS_COPIES
    floats = _COPIES_OF_PARAMS * count_total_params(shape) + logits
    return _PROCESS_BYTES + activations + _FLOAT_BYTES * floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTime:
    """What is left of a plan, on so many slots.

    Attributes:
        slots: Runs at the same time.
        runs: To be trained.
        flops: That will be computed; less than the sum of theirs where a trunk is shared.
        seconds: Sum over the runs, each from the start.
        makespan_seconds: From the first start to the last end.
        critical_path_seconds: That of the longest run, its trunk included: the makespan if there
            were a slot for every run.
        price: Price of the machine for that long; None where no price per hour is given.
    """

    slots: int
    runs: int
    flops: int
    seconds: float
    makespan_seconds: float
    critical_path_seconds: float
    price: float | None


def estimate_time(
    runs: Iterable[RunSpec],
    estimate: Estimate,
    *,
    slots: int,
    share_trunks: bool = False,
    price_per_hour: float | None = None,
) -> PlanTime:
    """How long runs take.

    Args:
        runs: What is to be trained; a run named twice is trained once.
        estimate: Seconds of a run that starts from a step.
        slots: Runs at the same time.
        share_trunks: Whether runs with the same prefix train it once.
        price_per_hour: Price per hour of the machine, whatever the currency.
    """
    distinct = tuple({run.run_id: run for run in runs}.values())
    makespan, critical = (
        find_makespan(distinct, estimate, slots=count, share_trunks=share_trunks)
        for count in (slots, max(1, len(distinct)))
    )
    return PlanTime(
        slots=slots,
        runs=len(distinct),
        flops=sum_costs(distinct, share_trunks=share_trunks).flops_spent,
        seconds=sum(estimate(run, 0) for run in distinct),
        makespan_seconds=makespan,
        critical_path_seconds=critical,
        price=None if price_per_hour is None else price_per_hour * makespan / 3600.0,
    )


def estimate_disk(runs: Iterable[RunSpec], *, keep_weights: bool, slots: int) -> int:
    """Bytes that runs leave, and the checkpoints of the `slots` largest while they are trained."""
    distinct = {run.run_id: run for run in runs}.values()
    weights = [_FLOAT_BYTES * count_total_params(run.shape) for run in distinct]
    kept = sum(weights) if keep_weights else 0
    passing = 3 * _CHECKPOINTS * sum(sorted(weights, reverse=True)[:slots])
    return kept + passing + _RECORD_BYTES * len(weights)
