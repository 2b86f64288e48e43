"""A trainer that is a function: called in a process of its own, by the protocol of commands.

python -m scaling.training.own.function module:function
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

_STOPPED = 75  # EX_TEMPFAIL: stopped on request


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a function returns.

    Attributes:
        loss: Held-out loss per token, in `trainer.loss_unit`; not finite: the run diverged.
        tokens, params: D and N that were trained.
        loss_se: Standard error of `loss`.
        train_loss: Training loss of the last steps, if known.
        flops: C; None: by the sweep's count.
        probes: More quantities by name: a number, or {"value", "standard_error", "unit",
            "higher_is_better", "bound"}.
    """

    loss: float
    tokens: int
    params: int
    loss_se: float | None = None
    train_loss: float | None = None
    flops: int | None = None
    probes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class OwnRun:
    """What a function is given: every key of run.json as an attribute, folders as paths.

    Attributes:
        folder: Where checkpoints go.
        resume_folder: Where those of an earlier attempt lie; None: there are none.
        gpus, cpus: Reserved for it, on each node.
        node_rank: Which of `nodes` this is; what the first one returns is the measurement.
    """

    run_id: str
    model: str
    settings: dict[str, Any]
    params: int
    tokens: int
    seed: int
    budget: int
    batch_sequences: int | None
    sequence_length: int | None
    learning_rate: float | None
    recipe: dict[str, Any] | None
    folder: Path
    resume_folder: Path | None
    corpus: Path | None
    gpus: float
    cpus: int
    nodes: int
    node_rank: int

    def __init__(self, described: Mapping[str, Any]) -> None:
        folders = ("folder", "resume_folder", "corpus")
        for name, value in described.items():
            setattr(self, name, Path(value) if name in folders and value else value)
        self.node_rank = int(os.environ.get("NODE_RANK", "0"))
        self._stopping = False

    def report(self, step: int, tokens: int, loss: float) -> None:
        """A row of the curve, and a sign of life; on other nodes than the first, nothing."""
        if self.node_rank:
            return
        row = json.dumps({"step": int(step), "tokens": int(tokens), "loss": float(loss)})
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(row + "\n")

    def should_stop(self) -> bool:
        """Whether to write a checkpoint to `folder` and return None."""
        return self._stopping

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """What SIGTERM does."""
        self._stopping = True


def call_function(name: str) -> int:
    """Call `module:function` with the run of this process; its exit code."""
    described = json.loads(Path(os.environ["SCALING_RUN_FILE"]).read_text())
    run = OwnRun(described)
    signal.signal(signal.SIGTERM, run.stop)
    module, _, function = name.partition(":")
    sys.path.insert(0, os.getcwd())
    found = getattr(importlib.import_module(module), function)(run)
    if found is None and run.should_stop():
        return _STOPPED
    if run.node_rank:
        return 0
    if not isinstance(found, Measured):
        sys.stderr.write(f"{name} returned {type(found).__name__}, not scaling.Measured\n")
        return 1
    text = json.dumps({k: v for k, v in dataclasses.asdict(found).items() if v is not None})
    (run.folder / "measured.json").write_text(text)
    return 0


if __name__ == "__main__":
    # A trainer imports this module by name, and here it is __main__: use the imported copy.
    from scaling.training.own import function as _function

    sys.exit(_function.call_function(sys.argv[1]))
