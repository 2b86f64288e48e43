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
from scaling.ledger.documents import CURVE_LIMIT_BYTES
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.training.held_out import HELD_OUT_FILE
from scaling.training.probing import TrainedRun


def measure_best(trained: TrainedRun) -> Measured:
    """The lowest loss, and the loss by tokens seen [nats/token].

    Raises:
        IntegrityError: The curve is not what was written.
        UsageError: The run was trained before it was asked for.
    """
    stated = trained.result.files.get(HELD_OUT_FILE)
    if stated is None:
        raise UsageError(
            'it was asked for after the run was trained. "scaling retry" and "scaling run" train it '
            "again."
        )
    if digest_file(trained.folder, HELD_OUT_FILE, limit=CURVE_LIMIT_BYTES) != stated:
        raise IntegrityError(f"{HELD_OUT_FILE} was changed or torn")
    content = read_plain(trained.folder, HELD_OUT_FILE, limit=CURVE_LIMIT_BYTES)
    rows = [json.loads(line) for line in content.splitlines()]
    best = min(float(row["loss"]) for row in rows)
    later = [row for row in rows if row["tokens"]]  # the axis is logarithmic
    curve = ProbeCurve(
        x_label="tokens seen",
        y_label="held-out loss [nats/token]",
        x=tuple(float(row["tokens"]) for row in later),
        y=tuple(float(row["loss"]) for row in later),
    )
    return best, trained.result.loss_se if best == rows[-1]["loss"] else None, curve
