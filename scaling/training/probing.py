"""The input of a probe: a finished run, its model with the kept weights, its corpus.

The model is built and its weights are read once for all probes of a run, when the first of them
needs it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scaling.data.batches import BatchOrder
from scaling.data.shards import Shards, open_tokenizer
from scaling.data.tokenizers import Tokenizer
from scaling.ledger.commit import Ledger
from scaling.ledger.parents import find_weights
from scaling.ledger.results import RunResult
from scaling.sweep.execution import Execution
from scaling.sweep.probe_demands import Option
from scaling.sweep.probes import ProbeCurve
from scaling.training.device import claim_device
from scaling.training.engines import build_engine
from scaling.training.engines.protocol import Engine
from scaling.training.trainer import open_corpus
from scaling.training.weights import load_weights, read_weights
from scaling.units import FloatArray, IntArray

_Made = TypeVar("_Made")


class TrainedRun:
    """A finished run, as its probes see it.

    Attributes:
        result, run: The run, and its result.
        options: Options of the probe that is being measured.
        look_up: To call now and then; raises if the attempt is asked to stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        result: RunResult,
        *,
        corpus: Path,
        look_up: Callable[[], None],
        execution: Execution,
    ) -> None:
        self.result, self.run, self.look_up = result, result.run, look_up
        self.options: Mapping[str, Option] = {}
        self._ledger, self._corpus = ledger, corpus
        self._execution = execution
        self._shared: dict[str, Any] = {}

    @property
    def folder(self) -> Path:
        """Folder of the attempt whose result counts."""
        return self._ledger.attempt_folder(self.run.run_id, self.result.attempt_id)

    @functools.cached_property
    def shards(self) -> Shards:
        """The prepared corpus: training and held-out tokens."""
        return open_corpus(self.run, self._corpus)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """What the corpus's ids mean; of a corpus of text."""
        return open_tokenizer(self._corpus)

    @property
    def model(self) -> nn.Module:
        """The trained model, on its device."""
        return self._engine.model

    def read_start(self) -> dict[str, Any] | None:
        """The weights that the run started from, by name and on the CPU; None if they were drawn.

        Raises:
            IntegrityError: The results folder does not hold them, or they have changed.
        """
        if self.run.parent is None:
            return None
        path = find_weights(self._ledger.folder, self.run.parent)
        return load_weights(path.parent, path.name, self.run.parent)

    def measure_losses(self, tokens: IntArray) -> FloatArray:
        """Loss of every predicted token [nats], shape (b, t), for ids of shape (b, t + 1)."""
        return self._engine.measure_losses(tokens)

    def share(self, key: str, make: Callable[[], _Made]) -> _Made:
        """What `make` returns, made once for all probes of this run that ask for `key`: generated
        text, say."""
        if key not in self._shared:
            self._shared[key] = make()
        made: _Made = self._shared[key]
        return made

    @functools.cached_property
    def _engine(self) -> Engine:
        device = claim_device(self._execution.gpus)
        engine = build_engine(self.run, precision=self._execution.precision, device=device)
        engine.model.load_state_dict(read_weights(self._ledger, self.result))
        engine.model.eval()
        return engine


def draw_curve(
    axes: tuple[str, str],
    x: Iterable[float],
    y: Iterable[float],
    errors: Iterable[float] | None = None,
    *,
    y_log: bool = False,
) -> ProbeCurve:
    """Make the curve that a value sums up.

    Args:
        axes: Labels of x and y, with units.
        x, y, errors, y_log: As in `ProbeCurve`.
    """
    return ProbeCurve(
        x_label=axes[0],
        y_label=axes[1],
        x=tuple(map(float, x)),
        y=tuple(map(float, y)),
        errors=None if errors is None else tuple(map(float, errors)),
        y_log=y_log,
    )


def average(each: FloatArray) -> tuple[float, float]:
    """Mean of independent values, shape (n,), and its standard error."""
    return float(each.mean()), float(each.std(ddof=1)) / math.sqrt(len(each))


def read_logits(
    trained: TrainedRun, ids: IntArray, *, at_once: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """What the model says of the next tokens, some texts at a time.

    Args:
        trained: The run.
        ids: Texts, shape (n, t + 1).
        at_once: Number of texts read together.

    Yields:
        The ids of some texts, and the logits after each but the last, shape (b, t, v), on the
        model's device.
    """
    device = next(trained.model.parameters()).device
    for first in range(0, len(ids), at_once):
        part = torch.from_numpy(ids[first : first + at_once]).to(device)
        with torch.inference_mode():
            logits = trained.model(part[:, :-1])
        yield part, logits
        trained.look_up()


def mark_read(trained: TrainedRun) -> NDArray[np.bool_]:
    """Mask of the training tokens that a run read, shape (tokens,)."""
    return _order_batches(trained).mark_read(trained.run.recipe.steps)


def count_read(trained: TrainedRun, length: int) -> IntArray:
    """How often a run read each example of the training stream whole, in one window.

    Args:
        trained: The run.
        length: Tokens of an example; the stream is a multiple of it.

    Returns:
        Shape (examples,).
    """
    starts = _order_batches(trained).list_starts(trained.run.recipe.steps)
    examples = len(trained.shards.train) // length
    ends = starts + trained.run.shape.seq_len + 1
    # Of each window the first example that begins in it, and the first that ends beyond it.
    change = np.bincount(-(-starts // length), minlength=examples + 1).astype(np.int64)
    change -= np.bincount(ends // length, minlength=examples + 1)
    return np.cumsum(change)[:examples]


def _order_batches(trained: TrainedRun) -> BatchOrder:
    return BatchOrder(
        trained.shards,
        seq_len=trained.run.shape.seq_len,
        batch_sequences=trained.run.recipe.batch_sequences,
        seed=trained.run.seed,
    )
