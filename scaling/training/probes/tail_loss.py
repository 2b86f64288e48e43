"""tail_loss: the held-out loss at positions where the context is nearly full.

The mean over the last `share` of each validation window, with the error of `evaluate` (clustered
by document). The loss itself is the mean over every position, so a model that uses long contexts
well gains less in it than here.
"""

from __future__ import annotations

import math

from scaling.training.evaluate import evaluate_losses
from scaling.training.probing import TrainedRun


def measure_tail_loss(trained: TrainedRun) -> tuple[float, float | None]:
    """Loss [nats/token] over the last positions of the held-out windows, and its standard error."""
    seq_len = trained.run.shape.seq_len
    tail = min(seq_len, max(1, round(float(trained.options["share"]) * seq_len)))
    found = evaluate_losses(
        trained.measure_losses,
        trained.shards,
        seq_len=seq_len,
        first=seq_len - tail,
        after_batch=trained.look_up,
    )
    return found.loss, found.loss_se if math.isfinite(found.loss_se) else None
