"""Loss by position in the context, as a power law of the position.

    L(T) = a + b · T^−c        T = 1 … seq_len tokens read before the one that is predicted

a is the loss with unlimited context, b the excess at the first token, c how fast context is used
up. A recurrent network stops gaining once its state is full: its curve is flat from there, and c
tells little about it. The curve is the one that the trainer wrote after its evaluation, over every
held-out window; nothing is computed again.

Positions have weights 1/T, so that every doubling of the context counts equally, as in bins that
are even in ln T. For a given c, (a, b) is linear least squares; c is searched. Standard errors are
those of the linearised fit, from the scatter of the positions around it. Source of the form: Kaplan
et al. 2020, arXiv:2001.08361, appendix D.5.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from scaling.data.batches import list_validation_windows
from scaling.errors import IntegrityError
from scaling.files.durable import digest_file
from scaling.ledger.documents import WEIGHTS_FILE
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.training.probing import TrainedRun, draw_curve
from scaling.units import FloatArray

BoolArray: TypeAlias = NDArray[np.bool_]

POSITIONS_FILE = "positions.json"
_SLOWEST, _FASTEST = 0.02, 5.0  # range of exponents searched; outside, a curve is not a power law
_GRID, _HALVINGS = 60, 60
_BINS = 16  # points of a drawn curve
# Windows used to estimate the scatter: to 6 %, at a tenth of an evaluation's cost.
_WINDOWS, _AT_ONCE = 128, 16
_NEAR = 1.2  # positions within this factor are averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionLaw:
    """a, b [nats/token] and c, with standard errors; an error is None where c is at an end."""

    values: tuple[float, float, float]
    errors: tuple[float, float, float] | None


def fit_positions(losses: FloatArray) -> PositionLaw:
    """Fit the law to a curve, shape (seq_len,), of at least 8 positions [nats/token]."""
    position = np.arange(1, len(losses) + 1, dtype=np.float64)
    root = np.sqrt(1.0 / position)  # square roots of the weights
    solved = np.log(np.geomspace(_SLOWEST, _FASTEST, _GRID))
    misses = [_solve(losses, position, root, math.exp(one))[1] for one in solved]
    best = int(np.argmin(misses))
    low, high = solved[max(0, best - 1)], solved[min(_GRID - 1, best + 1)]
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(_HALVINGS):
        first, second = high - golden * (high - low), low + golden * (high - low)
        left, right = (_solve(losses, position, root, math.exp(one))[1] for one in (first, second))
        low, high = (low, second) if left < right else (first, high)
    c = math.exp(0.5 * (low + high))
    (a, b), _ = _solve(losses, position, root, c)
    if best in (0, _GRID - 1) or len(losses) <= 3:
        return PositionLaw(values=(a, b, c), errors=None)
    power = position**-c
    slopes = np.stack((np.ones_like(power), power, -b * power * np.log(position)), axis=1)
    weighted = slopes * root[:, None]
    # The weights are not inverse variances, hence the sandwich estimator.
    inverse = np.linalg.pinv(weighted.T @ weighted)
    residual = losses - (a + b * power)
    scatter = float(np.sum(residual**2)) / (len(losses) - 3)
    meat = (weighted * root[:, None]).T @ (weighted * root[:, None]) * scatter
    spread = np.sqrt(np.diag(inverse @ meat @ inverse))
    return PositionLaw(values=(a, b, c), errors=(*map(float, spread),))  # type: ignore[arg-type]


def measure_floor(trained: TrainedRun) -> tuple[float, float | None]:
    """Measure a, the loss with unlimited context [nats/token]."""
    return _measure(trained, 0)


def measure_rise(trained: TrainedRun) -> tuple[float, float | None]:
    """Measure b, the excess at the first token [nats/token]."""
    return _measure(trained, 1)


def measure_exponent(trained: TrainedRun) -> tuple[float, float | None]:
    """Measure c, the exponent."""
    return _measure(trained, 2)


def measure_context_gain(trained: TrainedRun) -> Measured:
    """Loss at position `early` minus that at `late` [nats/token], the value of the context between
    them; its standard error if weights were kept; and the curve. Each loss is the mean over the
    positions within a fifth of it. Source: the in-context learning score of Olsson et al. 2022,
    arXiv:2209.11895, with the opposite sign."""
    curve = _read_curve(trained)
    places = [_find_near(len(curve), float(trained.options[name])) for name in ("early", "late")]
    early, late = (float(curve[near].mean()) for near in places)
    return early - late, _measure_gain_error(trained, *places), draw_positions(curve)


def draw_positions(losses: FloatArray) -> ProbeCurve:
    """The curve in bins that are even in ln T, at the geometric mean of their positions."""
    position = np.arange(1, len(losses) + 1)
    edges = np.geomspace(1, len(losses) + 1, _BINS + 1)
    bins = [
        chosen for low, high in itertools.pairwise(edges)
        if len(chosen := np.flatnonzero((position >= low) & (position < high)))
    ]  # fmt: skip
    places = [np.exp(np.log(position[one]).mean()) for one in bins]
    means = [losses[one].mean() for one in bins]
    return draw_curve(("tokens of context", "loss [nats/token]"), places, means)


def _find_near(length: int, where: float) -> BoolArray:
    position = np.arange(1, length + 1)
    return np.asarray((position >= where / _NEAR) & (position <= where * _NEAR))


def _measure_gain_error(trained: TrainedRun, early: BoolArray, late: BoolArray) -> float | None:
    """Standard error of the gain from its scatter over windows: positions of one window share a
    text, so that the curve alone does not show it."""
    if WEIGHTS_FILE not in trained.result.files:
        return None
    starts, _ = list_validation_windows(trained.shards, seq_len=len(early))
    chosen = starts[np.linspace(0, len(starts) - 1, min(_WINDOWS, len(starts))).astype(np.int64)]
    gains = []
    for first in range(0, len(chosen), _AT_ONCE):
        where = chosen[first : first + _AT_ONCE, None] + np.arange(len(early) + 1)
        losses = trained.measure_losses(trained.shards.validation[where].astype(np.int64))
        gains.append(losses[:, early].mean(axis=1) - losses[:, late].mean(axis=1))
        trained.look_up()
    if len(chosen) < 2:
        return None
    return float(np.concatenate(gains).std(ddof=1)) / math.sqrt(len(starts))


def _measure(trained: TrainedRun, which: int) -> tuple[float, float | None]:
    law = trained.share("position law", lambda: fit_positions(_read_curve(trained)))
    return law.values[which], None if law.errors is None else law.errors[which]


def _read_curve(trained: TrainedRun) -> FloatArray:
    known = trained.result.files.get(POSITIONS_FILE)
    if known is None:
        raise IntegrityError(f"the trainer left no {POSITIONS_FILE}")
    if digest_file(trained.folder, POSITIONS_FILE) != known:
        raise IntegrityError(f"{POSITIONS_FILE} was changed or torn")
    content = json.loads((trained.folder / POSITIONS_FILE).read_bytes())
    return np.array(content["loss"], dtype=np.float64)


def _solve(
    losses: FloatArray, position: FloatArray, root: FloatArray, c: float
) -> tuple[tuple[float, float], float]:
    """((a, b), weighted squared misfit) for a given c."""
    design = np.stack((np.ones_like(position), position**-c), axis=1) * root[:, None]
    (a, b), *_ = np.linalg.lstsq(design, losses * root, rcond=None)
    miss = float(np.sum((design @ np.array([a, b]) - losses * root) ** 2))
    return (float(a), float(b)), miss
