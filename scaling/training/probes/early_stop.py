"""The lowest held-out loss during training: what early stopping would have reached.

The trainer recorded the curve (`training/held_out.py`). Its minimum is chosen on the same held-out
text that it is measured on, as in any early stopping. The learning rate decays only at a run's
end, so an earlier minimum lies above the loss of a run planned to end there. To measure that loss,
train several D.
"""

from __future__ import annotations

import json

from scaling.errors import IntegrityError, UsageError
from scaling.files.durable import digest_file, read_plain
from scaling.sweep.probes import Measured
from scaling.training.held_out import HELD_OUT_FILE
from scaling.training.probing import TrainedRun, draw_curve

_LIMIT_BYTES = 100_000


def measure_best(trained: TrainedRun) -> Measured:
    """Return the lowest loss, and the curve of the loss by tokens seen [nats/token].

    Raises:
        IntegrityError: The curve has changed since it was written.
        UsageError: The run was trained before the probe was asked for.
    """
    stated = trained.result.files.get(HELD_OUT_FILE)
    if stated is None:
        raise UsageError(
            "the run was trained before this probe was asked for. "
            'Train it again: "scaling retry", then "scaling run".'
        )
    if digest_file(trained.folder, HELD_OUT_FILE, limit=_LIMIT_BYTES) != stated:
        raise IntegrityError(f"{HELD_OUT_FILE} was changed or torn")
    found = json.loads(read_plain(trained.folder, HELD_OUT_FILE, limit=_LIMIT_BYTES))
    tokens, losses = found["tokens"], found["loss"]
    best, first = min(losses), int(tokens[0] == 0)  # 0 has no place on a logarithmic axis
    axes = "tokens seen", "held-out loss [nats/token]"
    curve = draw_curve(axes, tokens[first:], losses[first:])
    return best, trained.result.loss_se if best == losses[-1] else None, curve
