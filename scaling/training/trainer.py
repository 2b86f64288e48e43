"""train_run: trains one run by its RunSpec. No setting is decided here.

The state of a run after `step` steps is (weights, optimiser, metric rows); data order and
initialisation are functions of the seed. A resumed run is therefore the same run.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scaling.data.batches import BatchOrder, take_part
from scaling.data.shards import Shards, open_shards
from scaling.files.durable import write_durably
from scaling.ledger.results import Measurement, RunInterrupted
from scaling.ledger.trunk_cache import TrunkCache
from scaling.sweep.counting import count_flops_per_token
from scaling.sweep.execution import Execution
from scaling.sweep.families.registry import family_of
from scaling.sweep.runspec import RunSpec
from scaling.sweep.trunks import find_branch_step
from scaling.training.checkpoint import (
    load_newest_checkpoint,
    pack_state,
    save_checkpoint,
    unpack_state,
)
from scaling.training.device import claim_device, describe_device
from scaling.training.divergence import find_rise, has_exploded
from scaling.training.engines import build_engine
from scaling.training.engines.cuda import earns_compilation
from scaling.training.engines.protocol import Engine
from scaling.training.evaluate import Evaluation, evaluate_losses
from scaling.training.held_out import HELD_OUT_FILE, HeldOutCurve
from scaling.training.peak import find_peak
from scaling.training.schedule import learning_rate_multiplier
from scaling.training.weights import load_weights
from scaling.units import FloatArray, Precision, bits_per_byte

CHECKPOINT_SECONDS = 30.0  # at most lost to a kill; a checkpoint of a small model takes 10 ms
_REPORT_SECONDS = 1.0
_CURVE_POINTS = 100


def train_run(
    run: RunSpec,
    *,
    corpus: Path,
    attempt: Path,
    resume: Sequence[Path],
    execution: Execution,
    should_stop: Callable[[], bool],
    report: Callable[[int, float | None], None],
    trunk: TrunkCache | None = None,
    cache: Path | None = None,
    parent: Path | None = None,
) -> Measurement:
    """Train, evaluate and measure one run.

    Args:
        run: The run to train.
        corpus: Folder of the prepared corpus; its digest must be the run's.
        attempt: Folder this attempt may write to.
        resume: Folders of earlier attempts of this run; their best intact checkpoint is used.
        execution: How to compute it.
        should_stop: Polled between steps, and between batches of the evaluation.
        report: Called with (tokens done, latest training loss) about once a second, and after
            each batch of the evaluation.
        trunk: States that runs with the same prefix share; used and added to.
        cache: results/.cache, where the rate of the device's matrix products is kept.
        parent: File of the weights that the run starts from, if its RunSpec names any.

    Raises:
        RunInterrupted: `should_stop` returned True; a checkpoint was written first.
        IntegrityError: The corpus is not what was prepared, or the parent's weights have changed.
        EnvironmentFault: A share of a GPU was asked for, and there is no GPU.
    """
    started = time.monotonic()
    device = claim_device(execution.gpus)
    precision, micro_batch = execution.precision, execution.micro_batch
    shards = open_corpus(run, corpus)
    peak = find_peak(device, precision, cache=cache, measure=execution.gpus in (None, 1))
    compiled = device != "cpu" and peak is not None and earns_compilation(run, peak)
    engine = build_engine(
        run, sequences=micro_batch, precision=precision, device=device, compiled=compiled
    )
    training = _Training(run, shards, attempt, trunk, execution, engine, should_stop, report)
    training.restore(_find_state(run, resume, trunk), parent)
    first_step = training.step
    reason = training.advance()
    evaluation = None
    if not reason:
        evaluation = training.evaluate()
        if not math.isfinite(evaluation.loss):
            reason, evaluation = "the held-out loss is not finite", None
        elif evaluation.loss > shards.facts.unigram_entropy:
            reason = training.describe_rise(evaluation.loss)
    open_corpus(run, corpus)  # verify again: the result would include an edit since the start
    files = ["metrics.jsonl"]
    if evaluation is not None:
        positions = {"unit": "nats/token", "loss": evaluation.by_position}
        write_durably(attempt / "positions.json", json.dumps(positions).encode())
        files.append("positions.json")
    if execution.halvings:
        training.held_out.write(attempt, tokens_per_step=run.tokens // run.recipe.steps)
        files.append(HELD_OUT_FILE)
    speed = training.describe_speed(peak)
    write_durably(attempt / "speed.json", json.dumps(speed).encode())
    files.append("speed.json")
    if execution.keep_weights:
        buffer = io.BytesIO()
        weights = training.engine.model.state_dict()
        torch.save({name: tensor.cpu() for name, tensor in weights.items()}, buffer)
        write_durably(attempt / "weights.pt", buffer.getvalue())
        files.append("weights.pt")
    per_step = run.recipe.batch_sequences * run.shape.seq_len * count_flops_per_token(run.shape)
    return _measure(
        training,
        evaluation,
        reason=reason,
        flops_spent=(training.step - first_step) * per_step,
        seconds=time.monotonic() - started,
        files=tuple(files),
        numerics=describe_device(device)
        | {
            "torch": torch.__version__,
            "dtype": _describe_dtype(run, precision),
            "engine": engine.name + (", compiled" if compiled else ""),
            "micro_batch": "batch" if micro_batch is None else str(micro_batch),
        },
        peak=peak,
    )


def _describe_dtype(run: RunSpec, precision: Precision) -> str:
    if precision == "float32":
        return "float32"
    return f"float32, {family_of(run.shape).halved} in bfloat16"


def open_corpus(run: RunSpec, corpus: Path) -> Shards:
    """Open the corpus of a run, cut to the text that the run may see.

    Raises:
        ValueError: The folder holds another corpus.
        IntegrityError: The corpus is not what was prepared.
    """
    shards = open_shards(corpus)
    if shards.facts.digest != run.data_digest:
        raise ValueError(f"run {run.run_id} is for corpus {run.data_digest}, not {corpus}")
    return shards if run.unique_tokens is None else take_part(shards, run.unique_tokens)


def _find_state(
    run: RunSpec, resume: Sequence[Path], trunk: TrunkCache | None
) -> dict[str, Any] | None:
    """Find the state with the most steps: an earlier attempt's, or the trunk's before cooldown."""
    states = [load_newest_checkpoint(resume)]
    if trunk is not None:
        content = trunk.find_newest(find_branch_step(run))
        states.append(None if content is None else unpack_state(content))
    return max((state for state in states if state), key=lambda state: state["step"], default=None)


class _Training:
    """The state of one run, and its loop.

    Losses and gradient norms of every step are part of the state, and are copied from the device
    once per metric row. Rows follow from them, so that a resumed run writes the rows it would have
    written, and a run that starts from a trunk writes its own.
    """

    def __init__(
        self,
        run: RunSpec,
        shards: Shards,
        attempt: Path,
        trunk: TrunkCache | None,
        execution: Execution,
        engine: Engine,
        should_stop: Callable[[], bool],
        report: Callable[[int, float | None], None],
    ) -> None:
        self._should_stop, self._report_to = should_stop, report
        self._micro_batch = execution.micro_batch or run.recipe.batch_sequences
        self.run, self.shards, self.attempt = run, shards, attempt
        self._trunk = trunk
        saved = trunk.save_at if trunk is not None else ()
        self._save_trunk_at = {step for step in saved if step <= find_branch_step(run)}
        self.held_out = HeldOutCurve(run.recipe.steps, execution.halvings)
        self.engine = engine
        self.step = 0
        self.rows: list[dict[str, float]] = []
        self._losses = torch.zeros(run.recipe.steps)
        self._norms = torch.zeros(run.recipe.steps)
        self._pending: list[tuple[Tensor | float, Tensor | float]] = []  # still on the device
        self._trained: list[tuple[int, float]] = []  # steps taken here and their seconds, by row
        self._batches = BatchOrder(
            shards,
            seq_len=run.shape.seq_len,
            batch_sequences=run.recipe.batch_sequences,
            seed=run.seed,
        )

    def restore(self, state: dict[str, Any] | None, parent: Path | None) -> None:
        """Continue from `state`, or start from the weights in file `parent`, or from scratch."""
        if state is None and self.run.parent is not None:
            assert parent is not None, self.run.run_id
            weights = load_weights(parent.parent, parent.name, self.run.parent)
            self.engine.model.load_state_dict(weights)
        if state is not None:
            self.engine.model.load_state_dict(state["model"])
            self.engine.optimizer.adamw.load_state_dict(state["optimizer"])
            self.step = state["step"]
            self._losses[: self.step] = state["losses"]
            self._norms[: self.step] = state["norms"]
            self.held_out.losses = dict(state.get("held_out", {}))
        write_durably(self.attempt / "metrics.jsonl", b"")

    def save(self) -> None:
        """Write a checkpoint of the state."""
        save_checkpoint(self.attempt, self._get_state(), step=self.step)

    def _get_state(self) -> dict[str, Any]:
        self._collect()
        return {
            "model": self.engine.model.state_dict(),
            "optimizer": self.engine.optimizer.adamw.state_dict(),
            "step": self.step,
            "losses": self._losses[: self.step].clone(),  # a view would save the whole tensor
            "norms": self._norms[: self.step].clone(),
            "held_out": dict(self.held_out.losses),
        }

    def advance(self) -> str:
        """Train to the end; returns why the run diverged, or an empty string.

        Raises:
            RunInterrupted: `should_stop` said so; a checkpoint was written first.
        """
        saved = reported = now = time.monotonic()
        for first, end in self._list_rows():
            before, begun = self.step, now
            while self.step < end:
                if self.held_out.is_due(self.step):
                    at = time.monotonic()
                    self.evaluate()
                    begun += time.monotonic() - at  # no time of a step
                self._pending.append(self._take_step())
                self.step += 1
                if self._trunk is not None and self.step in self._save_trunk_at:
                    self._trunk.store(self.step, pack_state(self._get_state()))
                if self.step < self.run.recipe.steps and self._should_stop():
                    self.save()
                    raise RunInterrupted(f"run {self.run.run_id} stopped at step {self.step}")
                now = time.monotonic()
                if now - saved > CHECKPOINT_SECONDS:
                    self.save()
                    saved = now
                if now - reported > _REPORT_SECONDS:
                    self._report()
                    reported = now
            self._collect()
            now = time.monotonic()
            self._trained.append((self.step - before, now - begun))
            if reason := self._end_row(first, end):
                return reason
        return ""

    def _report(self) -> None:
        latest = self.rows[-1].get("loss") if self.rows else None
        self._report_to(self._count_tokens(self.step), latest)

    def _look_up(self) -> None:
        """Between batches of the evaluation: write a heartbeat, and stop if asked to."""
        self._report()
        if self._should_stop():
            self.save()
            raise RunInterrupted(f"run {self.run.run_id} stopped while it was evaluated")

    def evaluate(self) -> Evaluation:
        """The held-out loss now; it is kept where it is finite.

        Raises:
            RunInterrupted: `should_stop` said so; a checkpoint was written first.
        """
        found = evaluate_losses(
            self.engine.measure_losses,
            self.shards,
            seq_len=self.run.shape.seq_len,
            after_batch=self._look_up,
        )
        if math.isfinite(found.loss):
            self.held_out.losses[self.step] = found.loss
        return found

    def _collect(self) -> None:
        """Copy losses and norms of the latest steps from the device, the only wait in a row."""
        if not self._pending:
            return
        first = self.step - len(self._pending)
        losses, norms = (_gather(values) for values in zip(*self._pending, strict=True))
        self._losses[first : self.step], self._norms[first : self.step] = losses, norms
        self._pending.clear()

    def measure_rate(self) -> float | None:
        """Tokens per second over the steps taken here; None without any."""
        steps, seconds = (sum(column) for column in zip(*self._trained, strict=True))
        return self._count_tokens(steps) / seconds if steps and seconds > 0 else None

    def describe_speed(self, peak: float | None) -> dict[str, Any]:
        """Content of `speed.json`: a value for each row of the curve, null if the row was not
        trained here. Wall-clock time differs between attempts and is kept out of the curve."""
        rates = [
            self._count_tokens(steps) / seconds if steps and seconds > 0 else None
            for steps, seconds in self._trained
        ]
        return {
            "tokens_per_second": [None if rate is None else round(rate, 1) for rate in rates],
            "mfu": [_find_mfu(self.run, rate, peak) for rate in rates],
            "peak_flops_per_second": peak,
        }

    def _list_rows(self) -> list[tuple[int, int]]:
        """(first step, end) of each metric row of the run."""
        steps = self.run.recipe.steps
        count = min(_CURVE_POINTS, steps)
        ends = [round(index * steps / count) for index in range(count + 1)]
        return list(itertools.pairwise(ends))

    def _take_step(self) -> tuple[Tensor | float, Tensor | float]:
        """One optimiser step; returns its loss and gradient norm, still on the device."""
        batch = self._batches.read_batch(self.step)
        loss: Tensor | float = 0.0
        for first in range(0, len(batch), self._micro_batch):
            part = batch[first : first + self._micro_batch]
            share = len(part) / len(batch)
            loss = loss + share * self.engine.add_gradient(part, share)
        norm = self.engine.update(learning_rate_multiplier(self.step, self.run.recipe))
        return loss, norm

    def _count_tokens(self, step: int) -> int:
        return step * self.run.recipe.batch_sequences * self.run.shape.seq_len

    def _end_row(self, first: int, end: int) -> str:
        """Record a row; returns why the run diverged, or an empty string."""
        norms = self._norms[first:end]
        values = {
            "step": end,
            "tokens": self._count_tokens(end),
            "loss": float(self._losses[first:end].mean()),
            "grad_norm": float(norms.mean()),
            "clipped": float((norms > self.run.recipe.clip_norm).float().mean()),
        }
        # NaN has no JSON form; a value that is not finite is absent from its row.
        row = {name: value for name, value in values.items() if math.isfinite(value)}
        self.rows.append(row)
        with (self.attempt / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        return self._find_divergence(end)

    def _find_divergence(self, step: int) -> str:
        loss = self.rows[-1].get("loss")
        if loss is None:
            return f"the training loss is not finite by step {step}"
        recipe = self.run.recipe
        if step >= recipe.steps - recipe.decay_steps and has_exploded(self._read_losses()):
            return (
                f"the training loss went to {float(self._losses[:step].max()):.4g} nats/token and "
                f"is {loss:.4g} by step {step}: no better than before its first step, "
                f"{float(self._losses[0]):.4g}; {self._describe_entropy()}"
            )
        return ""

    def describe_rise(self, held_out: float) -> str:
        """Say why a run that ended above the unigram entropy diverged; empty if it never rose and
        merely learnt too little."""
        rise = find_rise(self._read_losses())
        if rise is None:
            return ""
        return (
            f"the training loss rose from {rise[0]:.4g} to {rise[1]:.4g} nats/token, and the "
            f"held-out loss ended at {held_out:.4g}; {self._describe_entropy()}"
        )

    def _describe_entropy(self) -> str:
        entropy = self.shards.facts.unigram_entropy
        return f"the unigram entropy is {entropy:.4g}: knowing only how often each token occurs"

    def measure_clipping(self) -> float | None:
        """Share of the steps after warmup whose gradient was clipped; None without such steps."""
        norms = self._norms[self.run.recipe.warmup_steps : self.step]
        if not len(norms):
            return None
        return float((norms > self.run.recipe.clip_norm).double().mean())

    def _read_losses(self) -> FloatArray:
        losses: FloatArray = self._losses[: self.step].double().numpy()
        return losses


def _gather(values: Sequence[Tensor | float]) -> Tensor:
    """Gather scalars of one kind into a vector on the CPU."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    return torch.stack(tensors).cpu() if tensors else torch.tensor(values)


def _measure(
    training: _Training,
    evaluation: Evaluation | None,
    *,
    reason: str,
    flops_spent: int,
    seconds: float,
    files: tuple[str, ...],
    numerics: dict[str, str],
    peak: float | None,
) -> Measurement:
    run, facts, rows = training.run, training.shards.facts, training.rows
    rate, last = training.measure_rate(), rows[-max(1, len(rows) // 20) :]
    se = evaluation.loss_se if evaluation else math.nan
    return Measurement(
        status="diverged" if reason else "finished",
        loss=evaluation.loss if evaluation else None,
        loss_se=se if math.isfinite(se) else None,
        bits_per_byte=bits_per_byte(
            evaluation.loss, tokens=facts.validation_tokens, bytes_=facts.validation_bytes
        )
        if evaluation
        else None,
        train_loss=_average(last, "loss"),
        flops_spent=flops_spent,
        seconds=seconds,
        reason=reason,
        numerics=numerics,
        files=files,
        unique_tokens=min(run.tokens, facts.train_tokens),
        epochs=run.tokens / facts.train_tokens,
        tokens_per_second=rate,
        mfu=_find_mfu(run, rate, peak),
        grad_norm=_average(last, "grad_norm"),
        clipped=_average(rows, "clipped"),
        clipped_after_warmup=training.measure_clipping(),
    )


def _find_mfu(run: RunSpec, rate: float | None, peak: float | None) -> float | None:
    """Model FLOP/s at `rate` tokens per second over the peak; None if either is unknown."""
    if rate is None or peak is None:
        return None
    return round(rate * count_flops_per_token(run.shape) / peak, 5)


def _average(rows: Sequence[Mapping[str, float]], name: str) -> float | None:
    """Mean over the rows that state it (a value that is not finite is absent from its row)."""
    values = [row[name] for row in rows if name in row]
    return sum(values) / len(values) if values else None
