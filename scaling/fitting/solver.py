"""The optimiser's core: many Huber fits of one law at once, by damped Newton in plain numpy.

    F(θ; w) = Σ_i w_i ρ_δ(r_i),   r_i = ln L_θ(N_i, D_i) − ln loss_i
    ρ_δ(r) = r²/2 within ±δ, δ(|r| − δ/2) beyond
    ∇F = Σ w ψ g,   ∇²F = Σ w (ρ'' − ψ) g gᵀ + Σ w ψ ∇²L/L,   g = ∇L/L

Every member of a batch has its own start, weights (bootstrap replicates are weights, never copied
rows), targets and frozen coordinates; finished members leave the batch. Batches are sized so that
their arrays fit a core's cache. The objective is divided by n·δ² wherever its size matters, so that
no tolerance depends on units. An active set enforces the bounds.

Source: Huber 1964, doi:10.1214/aoms/1177703732; damping after Levenberg and Marquardt; the
objective is that of Hoffmann et al. 2022, arXiv:2203.15556, sec. D.2, summed, not averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.laws.family import Axes, LawFamily
from scaling.units import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

# A valley that the runs do not determine takes hundreds of steps along its floor.
MAX_ITERATIONS = 1000
# Projected gradient / (n·δ), the mean of ψ/δ · g, which is at most about one: at 1e-7 ln L moves by
# about 1e-7·δ. For tiny δ the floor is the spacing of doubles in r (1e-15) over δ.
GRADIENT_TOLERANCE = 1e-7
_SPACING = 2e-14
# A Newton step that would lower F by less than this share of it (or of n·δ², where F vanishes on
# noise-free data) is lost in double precision.
_DECREMENT_SHARE = 1e-13
_DECREMENT_FLOOR = 1e-24
# Elements of one (K, n) array of a batch: six to eight such arrays fit in 1 MiB of L2 cache.
_BATCH_ELEMENTS = 16_384
_MAX_DAMPING = 1e12
# A continuation in δ starts at the size of the residuals; each stage is a third to a tenth of the
# last.
_CONTINUATION_FACTOR = 0.2
# Tolerance of a stage: 1e-4 left 2 of 3 starts stuck at δ = 1e-7 on 245 points.
_STAGE_SHARE = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A fitting task: a law, the rows and the Huber threshold.

    Attributes:
        family: The law.
        axes: Coordinates of the rows, shape (n,).
        target: ln loss − axes.centre[2], shape (n,), or (K, n) if members differ.
        delta: Huber's threshold on log residuals.
    """

    family: LawFamily
    axes: Axes
    target: FloatArray
    delta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Solutions:
    """Solutions of K members.

    Attributes:
        theta: Shape (K, p).
        objective: F, summed, shape (K,).
        gradient_norm: Largest projected gradient component over n·δ, shape (K,).
        converged: Gradient norm within tolerance, shape (K,).
    """

    theta: FloatArray
    objective: FloatArray
    gradient_norm: FloatArray
    converged: BoolArray


def make_task(
    family: LawFamily,
    params: FloatArray,
    *,
    tokens: FloatArray,
    loss: FloatArray,
    delta: float,
    unique_tokens: FloatArray | None = None,
    group: IntArray | None = None,
) -> Task:
    """The task of fitting rows (N, D, loss [nats/token]), each of shape (n,), all positive;
    U NaN where a row does not state it (every token unique)."""
    logs = (np.log(params), np.log(tokens), np.log(loss))
    centre = (float(logs[0].mean()), float(logs[1].mean()), float(logs[2].mean()))
    log_unique = None
    if unique_tokens is not None:
        log_unique = np.log(np.where(np.isfinite(unique_tokens), unique_tokens, tokens))
    axes = Axes(
        x=logs[0] - centre[0],
        y=logs[1] - centre[1],
        centre=centre,
        log_unique=log_unique,
        group=group,
    )
    return Task(family=family, axes=axes, target=logs[2] - centre[2], delta=delta)


def huber(residual: FloatArray, delta: float) -> FloatArray:
    """ρ_δ of log residuals, any shape."""
    size = np.abs(residual)
    inner = np.minimum(size, delta)
    return inner * (size - 0.5 * inner)


def solve(
    task: Task,
    starts: FloatArray,
    *,
    weights: FloatArray | None = None,
    frozen: BoolArray | None = None,
    continuation: bool = False,
) -> Solutions:
    """Minimise F from every start.

    Args:
        task: Rows, law and δ.
        starts: θ, shape (K, p), clipped to the bounds.
        weights: Shape (K, n) or (n,); None: all one.
        frozen: Coordinates to hold at their start, shape (K, p) or (p,); None: none.
        continuation: Lower δ in stages from the scale of the starts' residuals. Needed if δ is
            far below them: F is then nearly polyhedral and Newton steps are short.

    Returns:
        One solution per start, in order.
    """
    family = task.family
    theta = np.clip(np.array(starts, dtype=np.float64), family.lower, family.upper)
    held = np.broadcast_to(np.asarray(False if frozen is None else frozen), theta.shape)
    rows = task.axes.x.size
    weight = None if weights is None else np.broadcast_to(weights, (len(theta), rows))
    shared_target = task.target.ndim == 1
    step = max(1, _BATCH_ELEMENTS // rows)
    parts = []
    for low in range(0, len(theta), step):
        part = slice(low, low + step)
        state = _State(
            theta=theta[part],
            weight=None if weight is None else weight[part],
            target=task.target if shared_target else task.target[part],
            held=held[part],
        )
        for delta in _list_stages(task, state) if continuation else (task.delta,):
            solved = _newton(task, state, delta, final=delta == task.delta)
            state = _State(solved.theta, state.weight, state.target, state.held)
        parts.append(solved)
    if len(parts) == 1:
        return parts[0]
    return Solutions(
        theta=np.concatenate([one.theta for one in parts]),
        objective=np.concatenate([one.objective for one in parts]),
        gradient_norm=np.concatenate([one.gradient_norm for one in parts]),
        converged=np.concatenate([one.converged for one in parts]),
    )


@dataclass(frozen=True, slots=True)
class _State:
    """The members of one batch."""

    theta: FloatArray
    weight: FloatArray | None
    target: FloatArray
    held: BoolArray

    def take(self, members: BoolArray | NDArray[np.intp]) -> _State:
        return _State(
            self.theta[members],
            None if self.weight is None else self.weight[members],
            self.target if self.target.ndim == 1 else self.target[members],
            self.held[members],
        )


@dataclass(slots=True)
class _Local:
    """F, its projected gradient and the Hessian at the members' θ; overwritten in place."""

    objective: FloatArray
    gradient: FloatArray
    hessian: FloatArray
    scale: FloatArray
    free: BoolArray

    def put(self, where: BoolArray, other: _Local) -> None:
        for name in ("objective", "gradient", "hessian", "scale", "free"):
            getattr(self, name)[where] = getattr(other, name)[where]

    def take(self, members: BoolArray) -> _Local:
        return _Local(
            self.objective[members],
            self.gradient[members],
            self.hessian[members],
            self.scale[members],
            self.free[members],
        )


def _list_stages(task: Task, state: _State) -> tuple[float, ...]:
    """Values of δ from the residuals' scale at the starts down to the task's δ."""
    log_loss, _ = task.family.log_loss(state.theta, task.axes)
    delta = float(np.median(np.abs(log_loss - state.target)))
    stages = []
    while delta > task.delta / _CONTINUATION_FACTOR**0.5:
        stages.append(delta)
        delta *= _CONTINUATION_FACTOR
    return (*stages, task.delta)


def _newton(task: Task, state: _State, delta: float, *, final: bool) -> Solutions:
    """Damped Newton from the members' θ until each has converged or cannot improve."""
    family, count = task.family, len(state.theta)
    lower, upper = family.lower, family.upper
    size = task.axes.x.size if state.weight is None else state.weight.sum(axis=1)
    norm = np.broadcast_to(np.asarray(size, dtype=np.float64) * delta, (count,))
    result = Solutions(
        theta=state.theta.copy(),
        objective=np.empty(count),
        gradient_norm=np.empty(count),
        converged=np.zeros(count, dtype=np.bool_),
    )
    tolerance = max(GRADIENT_TOLERANCE, _SPACING / delta)
    members = np.arange(count)
    theta, damping = state.theta, np.zeros(count)
    here = _evaluate(task, state, theta, delta)
    for iteration in range(MAX_ITERATIONS):
        step, decrement = _find_step(here, damping)
        steepness = np.max(np.abs(here.gradient), axis=1) / norm
        floor = _DECREMENT_FLOOR * norm * delta
        promised = np.abs(decrement) <= _DECREMENT_SHARE * here.objective + floor
        done = (promised & (steepness <= tolerance)) | (damping > _MAX_DAMPING)
        done |= iteration == MAX_ITERATIONS - 1
        if not final:
            done |= (np.abs(decrement) <= _STAGE_SHARE * here.objective) & (damping <= 1.0)
        if done.any():
            which = members[done]
            result.theta[which], result.objective[which] = theta[done], here.objective[done]
            result.gradient_norm[which] = steepness[done]
            result.converged[which] = steepness[done] <= tolerance
            if done.all():
                break
            keep = ~done
            members, theta, damping, norm = members[keep], theta[keep], damping[keep], norm[keep]
            step, decrement = step[keep], decrement[keep]
            state, here = state.take(keep), here.take(keep)
        trial = np.clip(theta + step, lower, upper)
        there = _evaluate(task, state, trial, delta)
        better = there.objective <= here.objective + 1e-15 * np.abs(here.objective)
        better &= decrement > 0
        if better.all():
            theta, here = trial, there
        else:
            theta = np.where(better[:, None], trial, theta)
            here.put(better, there)
        raised = np.maximum(damping * 4.0, 1e-3)
        lowered = np.where(damping > 1e-6, damping * 0.2, 0.0)
        damping = np.where(better, lowered, raised)
    return result


def _evaluate(task: Task, state: _State, theta: FloatArray, delta: float) -> _Local:
    """F, projected gradient and Hessian of every member."""
    family = task.family
    residual, slope = family.log_loss(theta, task.axes)
    residual -= state.target
    psi = np.clip(residual, -delta, delta)
    rho = psi * (residual - 0.5 * psi)
    inside = (psi == residual).astype(np.float64)
    if state.weight is not None:
        rho *= state.weight
        inside *= state.weight
        psi *= state.weight
    gradient = (slope @ psi[:, :, None])[:, :, 0]
    inside -= psi
    hessian = (slope * inside[:, None, :]) @ slope.transpose(0, 2, 1)
    inside += psi
    # Marquardt's scale: the Gauss-Newton diagonal, positive even where F curves down. Rows beyond
    # δ enter with δ/|r|, as in reweighted least squares, or it would vanish for a poor start.
    reach = np.abs(psi) / np.maximum(np.abs(residual), delta)
    np.maximum(reach, inside, out=reach)
    scale = ((slope * slope) @ reach[:, :, None])[:, :, 0]
    hessian += family.curvature(theta, slope, psi, task.axes)
    free = ~state.held
    free &= ~((theta <= family.lower) & (gradient > 0))
    free &= ~((theta >= family.upper) & (gradient < 0))
    return _Local(rho.sum(axis=1), np.where(free, gradient, 0.0), hessian, scale, free)


def _find_step(here: _Local, damping: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The damped Newton step on the free coordinates, and its predicted decrease."""
    size = here.gradient.shape[1]
    scale = here.scale + 1e-12 * here.scale.max(axis=1, keepdims=True) + 1e-300
    root = np.sqrt(scale)
    matrix = here.hessian / (root[:, :, None] * root[:, None, :])
    both = here.free[:, :, None] & here.free[:, None, :]
    matrix = np.where(both, matrix, 0.0)
    diagonal = np.arange(size)
    matrix[:, diagonal, diagonal] += np.where(here.free, damping[:, None], 1.0)
    # 1e-14: below the rounding of the matrix; keeps an exactly singular one solvable.
    matrix[:, diagonal, diagonal] += 1e-14
    right = here.gradient / root
    try:
        step = np.linalg.solve(matrix, -right[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:  # one singular member must not fail the batch
        step = (np.linalg.pinv(matrix) @ -right[:, :, None])[:, :, 0]
    decrement = -0.5 * np.einsum("kp,kp->k", step, right)
    return step / root, decrement
