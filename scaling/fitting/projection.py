"""Variable projection: the exponents searched on a grid, everything else solved for.

With (α, β) fixed, L = E + A·N^−α + B·D^−β is linear in (E, A, B) ≥ 0. A reweighted least-squares
step on the log residuals is then a non-negative least-squares problem with three unknowns, solved
exactly for every node at once. A coarse grid seeds Newton's method; nested grids around the best
node, which use neither gradients nor Hessians of the exponents, confirm its answer.

Source: Golub & Pereyra 1973, doi:10.1137/0710036; for this law arXiv:2603.22339.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from scaling.fitting.solver import Task, huber
from scaling.units import FloatArray

_NODES = 12  # per exponent, in four blocks of three: 16 starts for Newton
_BLOCKS = 4
# Published exponents are .05 … .8; the grid reaches well past either end.
_LOWEST, _HIGHEST = 0.03, 2.0
_SEED_ROUNDS = 1  # enough to rank nodes
# Each level of the zoom reweights a little further from where the last one stopped.
_ZOOM_ROUNDS = 10
_LAST_ROUNDS = 20
_ZOOM_SHRINK = 0.4
# The zoom ends where a level gains less than a thousandth and the spacing of ln α, ln β is below
# 2e-3, a hundredth of what Epoch's 240 points resolve; on noise-free data it goes on to 1e-9.
_FINE, _FINEST, _GAIN = 2e-3, 1e-9, 1e-3
_MAX_ZOOMS = 60
_LATTICE = np.stack([g.ravel() for g in np.mgrid[-1:2, -1:2]], axis=1).astype(np.float64)


def scan_exponents(task: Task) -> tuple[FloatArray, FloatArray]:
    """Solve the linear part on a grid of exponents.

    Returns:
        (theta, objective): the best node of each block, shape (16, p) and (16,), best first.
    """
    axis = np.geomspace(_LOWEST, _HIGHEST, _NODES)
    first, second = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    exponents = np.stack((first, second), axis=1)
    linear, objective = project(task, exponents, rounds=_SEED_ROUNDS)
    per_block = _NODES // _BLOCKS
    index = np.arange(_NODES) // per_block
    block = (index[:, None] * _BLOCKS + index[None, :]).ravel()
    order = np.argsort(objective, kind="stable")
    _, best = np.unique(block[order], return_index=True)
    nodes = order[np.sort(best)]
    return task.family.join(exponents[nodes], linear[nodes]), objective[nodes]


def zoom_exponents(task: Task, start: FloatArray) -> tuple[FloatArray, float]:
    """Follow the profile of F over the exponents down to its minimum by nested grids.

    Args:
        task: Rows, law and δ.
        start: θ of a node near the minimum, shape (p,).

    Returns:
        (theta, objective) of the finest grid's best node.
    """
    family = task.family
    which = list(family.exponents)
    low, high = np.log(family.lower[which]), np.log(family.upper[which])
    centre = np.log(start[which])
    # Columns: the lattice's axes in (ln α, ln β); half a node of the scan to begin with.
    frame = np.eye(2) * (np.log(_HIGHEST / _LOWEST) / (_NODES - 1) / 2.0)
    linear, objective = project(task, start[None, which], rounds=_ZOOM_ROUNDS)
    best, weights = float(objective[0]), linear[0]
    guess = centre
    for _ in range(_MAX_ZOOMS):
        wanted = np.concatenate((centre + _LATTICE @ frame.T, guess[None]))
        nodes = np.clip(wanted, low, high)
        linear, objective = project(task, np.exp(nodes), rounds=_ZOOM_ROUNDS, start=weights)
        lead = int(np.argmin(objective))
        gain = 1.0 - float(objective[lead]) / best if best > 0 else 0.0
        inside = lead == len(_LATTICE) or np.max(np.abs(_LATTICE[lead])) < np.max(_LATTICE)
        offsets = np.linalg.solve(frame, (nodes - centre).T).T
        bottom, shape = _fit_bowl(offsets, objective)
        guess = centre + frame @ bottom
        if gain > 0:
            best, centre, weights = float(objective[lead]), nodes[lead], linear[lead]
        frame = frame @ shape * (_ZOOM_SHRINK if inside or gain <= 0 else 1.0)
        width = float(np.max(np.abs(frame)))
        if width < _FINEST or (width < _FINE and gain < _GAIN):
            break
    exponents = np.exp(centre)[None]
    linear, objective = project(task, exponents, rounds=_LAST_ROUNDS, start=weights)
    return family.join(exponents, linear)[0], float(objective[0])


def project(
    task: Task, exponents: FloatArray, *, rounds: int, start: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """The non-negative linear part at fixed exponents, by reweighted least squares.

    Args:
        task: Rows, law and δ; the target is shared, shape (n,).
        exponents: Shape (K, q).
        rounds: Reweighting steps.
        start: Linear part to reweight from, shape (m,); None: the least-squares solution of the
            relative residuals L/loss − 1.

    Returns:
        (linear, objective): shapes (K, m) and (K,), the best round of each node.
    """
    columns = task.family.basis(exponents, task.axes)
    size = np.max(columns, axis=2)  # columns of order one, or the Gram matrix loses digits
    columns /= size[:, :, None]
    if start is None:
        design = columns * np.exp(-task.target)
        linear = _solve_non_negative(design @ design.transpose(0, 2, 1), design.sum(axis=2))
    else:
        linear = start * size
    best = np.full(len(exponents), np.inf)
    kept = linear
    for turn in range(rounds + 1):
        model = np.maximum((linear[:, None, :] @ columns)[:, 0], 1e-300)
        residual = np.log(model) - task.target
        objective = huber(residual, task.delta).sum(axis=1)
        better = objective < best
        best = np.where(better, objective, best)
        kept = np.where(better[:, None], linear, kept)
        if turn == rounds:
            break
        # ln L moves by design·change: aim it at −residual, in Huber's weights.
        weight = task.delta / np.maximum(np.abs(residual), task.delta)
        design = columns / model[:, None, :]
        weighted = design * weight[:, None, :]
        moment = (weighted @ (1.0 - residual)[:, :, None])[:, :, 0]
        linear = _solve_non_negative(weighted @ design.transpose(0, 2, 1), moment)
    return kept / size, best


def _fit_bowl(offsets: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A quadratic through `values` at `offsets` (k, 2): its lowest point, at most two nodes off,
    and the axes, of mean length one, along which it is round. The identity where it is no bowl."""
    u, v = offsets.T
    terms = np.stack((np.ones_like(u), u, v, 0.5 * u * u, u * v, 0.5 * v * v), axis=1)
    found = np.linalg.lstsq(terms, values, rcond=1e-10)[0]
    hessian = np.array([[found[3], found[4]], [found[4], found[5]]])
    curvature, axes = np.linalg.eigh(hessian)
    if curvature[1] <= 0:
        return np.zeros(2), np.eye(2)
    curvature = np.maximum(curvature, 1e-3 * curvature[1])  # a trough, or a ridge seen as one
    bottom = np.clip(-axes @ ((axes.T @ found[1:3]) / curvature), -2.0, 2.0)
    length = 1.0 / np.sqrt(curvature)
    length = np.clip(length / np.sqrt(length[0] * length[1]), 0.5, 2.0)  # turn a little at a time
    return bottom, axes * length


def _solve_non_negative(gram: FloatArray, moment: FloatArray) -> FloatArray:
    """argmin ½ cᵀGc − mᵀc over c ≥ 0 for (K, m, m) and (K, m): every support tried, m is 3."""
    size = moment.shape[1]
    best = _solve_support(gram, moment, tuple(range(size)))
    (open_,) = np.nonzero(np.any(best < 0, axis=1))
    if not open_.size:
        return best
    gram, moment = gram[open_], moment[open_]
    lowest = np.full(open_.size, np.inf)
    chosen = np.zeros_like(moment)
    for count in range(1, size):
        for support in combinations(range(size), count):
            linear = _solve_support(gram, moment, support)
            value = -0.5 * np.einsum("km,km->k", moment, linear)  # at a support's optimum
            value = np.where(np.any(linear < 0, axis=1), np.inf, value)
            better = value < lowest
            lowest = np.where(better, value, lowest)
            chosen = np.where(better[:, None], linear, chosen)
    best[open_] = chosen
    return best


def _solve_support(gram: FloatArray, moment: FloatArray, support: tuple[int, ...]) -> FloatArray:
    some = list(support)
    inner = gram[:, some][:, :, some].copy()
    index = np.arange(len(some))
    inner[:, index, index] *= 1.0 + 1e-13  # collinear columns (a tiny exponent) stay solvable
    result = np.zeros_like(moment)
    result[:, some] = np.linalg.solve(inner, moment[:, some][:, :, None])[:, :, 0]
    return result
