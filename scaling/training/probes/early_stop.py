"""The loss that a run would have ended with had it stopped at the right time.

The curve is the one that the trainer left: the held-out loss on the way (`training/held_out.py`).
Its minimum is chosen on the text that it is measured on, as every early stop is. Rates do not
decay before a run's end, so a minimum on the way lies above what a run planned to end there would
reach; train several D to have that.
"""

from __future__ import annotations

import json

from scaling.errors import IntegrityError, UsageError
from scaling.files.durable import digest_file, read_plain
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.training.held_out import HELD_OUT_FILE
from scaling.training.probing import TrainedRun

_LIMIT_BYTES = 100_000


def measure_best(trained: TrainedRun) -> Measured:
    """The lowest loss, and the loss by tokens seen [nats/token].

    Raises:
        IntegrityError: The curve is not what was written.
        UsageError: The run was trained before it was asked for.
    """
    stated = trained.result.files.get(HELD_OUT_FILE)
    if stated is None:
        raise UsageError(
            "it was asked for after the run was trained. "
            '"scaling retry" and "scaling run" train it again.'
        )
    if digest_file(trained.folder, HELD_OUT_FILE, limit=_LIMIT_BYTES) != stated:
        raise IntegrityError(f"{HELD_OUT_FILE} was changed or torn")
    found = json.loads(read_plain(trained.folder, HELD_OUT_FILE, limit=_LIMIT_BYTES))
    tokens, losses = found["tokens"], found["loss"]
    best, first = min(losses), int(tokens[0] == 0)  # no place on a logarithmic axis
    curve = ProbeCurve(
        x_label="tokens seen",
        y_label="held-out loss [nats/token]",
        x=tuple(map(float, tokens[first:])),
        y=tuple(losses[first:]),
    )
    return best, trained.result.loss_se if best == losses[-1] else None, curve
