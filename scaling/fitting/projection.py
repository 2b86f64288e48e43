"""Variable projection: the exponents searched, everything else solved for.

With (α, β) fixed, L = E + A·N^−α + B·D^−β is linear in (E, A, B) ≥ 0. A reweighted least-squares
step on the log residuals is then a non-negative least-squares problem with three unknowns, solved
exactly for every node at once. A coarse grid seeds Newton's method; nested grids around the best
node, which use neither gradients nor Hessians of the exponents, confirm its answer. Beyond three
exponents a quasi-random set takes the coarse grid's place, and the nested grids thin out to the
fewest nodes that determine a quadratic (Powell 2002, doi:10.1007/s101070100290).

Source: Golub & Pereyra 1973, doi:10.1137/0710036; for this law arXiv:2603.22339.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np

from scaling.fitting.solver import Task, huber
from scaling.units import FloatArray

# Nodes per exponent, and blocks per exponent; Newton starts from the best node of each block.
_NODES = {1: 32, 2: 12, 3: 9}
_FEWEST_NODES = 7  # per axis, as coarse as a scan of many exponents
_BLOCKS = {1: 16, 2: 4, 3: 3}
_STARTS = 16
_RANDOM_NODES = 1024
_SEED_ROUNDS = 1  # enough to rank nodes
# Each level of the zoom continues the reweighting of the last.
_ZOOM_ROUNDS = 10
_LAST_ROUNDS = 20
_ZOOM_SHRINK = 0.4
_SETTLED = 1e-5  # stop after a round that gains less at every node
# In many dimensions few nodes cover little of a long valley: while the best node keeps moving, the
# lattice grows by this factor. Without it Farseer's law ended 5 % above its optimum on Epoch's 240
# points; with it 4e-5.
_STRIDE = 2.0
# Least share of the loss left to the columns, so that hopeless nodes still have a solution.
_LEAST_SHARE = 1e-9
# The zoom ends once a level gains less than a thousandth and the spacing in ln α and ln β is below
# 2e-3, a hundredth of what Epoch's 240 points resolve; on noise-free data it continues to 1e-9.
_FINE, _FINEST, _GAIN = 2e-3, 1e-9, 1e-3
_MAX_ZOOMS = 60


def scan_exponents(task: Task) -> tuple[FloatArray, FloatArray]:
    """Solve the linear part on a grid of exponents.

    Returns:
        (theta, objective): the best node of each block (16; 27 for three exponents), shapes (k, p)
            and (k,), best first.
    """
    low, high = np.log(task.family.search).T
    size = low.size
    if size not in _NODES:
        unit = _spread_points(_RANDOM_NODES, size)
        exponents = np.exp(low + unit * (high - low))
        linear, objective = project(task, exponents, rounds=_SEED_ROUNDS)
        nodes = np.argsort(objective, kind="stable")[:_STARTS]
        theta = task.family.join(exponents[nodes], linear[nodes], task.axes)
        return theta, objective[nodes]
    count, blocks = _NODES[size], _BLOCKS[size]
    axes = [np.geomspace(first, last, count) for first, last in task.family.search.tolist()]
    exponents = np.stack([one.ravel() for one in np.meshgrid(*axes, indexing="ij")], axis=1)
    linear, objective = project(task, exponents, rounds=_SEED_ROUNDS)
    index = np.meshgrid(*[np.arange(count) // (count // blocks)] * size, indexing="ij")
    block = np.ravel_multi_index([one.ravel() for one in index], (blocks,) * size)
    order = np.argsort(objective, kind="stable")
    _, best = np.unique(block[order], return_index=True)
    nodes = order[np.sort(best)]
    return task.family.join(exponents[nodes], linear[nodes], task.axes), objective[nodes]


def zoom_exponents(task: Task, start: FloatArray) -> tuple[FloatArray, float]:
    """Follow the profile of F over the exponents down to its minimum without derivatives.

    Args:
        task: Rows, law and δ.
        start: θ of a node near the minimum, shape (p,).

    Returns:
        (theta, objective) of the best point met.
    """
    which = list(task.family.exponents)
    family, size = task.family, len(which)
    low, high = np.log(family.lower[which]), np.log(family.upper[which])
    centre = np.log(start[which])
    lattice = _list_lattice(size)
    # The frame's columns are the lattice's axes in (ln α, ln β); it starts at half a scan's
    # spacing.
    step = (
        np.log(family.search[:, 1] / family.search[:, 0])
        / (_NODES.get(size, _FEWEST_NODES) - 1)
        / 2.0
    )
    frame = np.diag(step)
    linear, objective = project(task, start[None, which], rounds=_ZOOM_ROUNDS)
    best, weights = float(objective[0]), linear[0]
    guess = centre
    stride = 1.0 if size in _NODES else _STRIDE
    for _ in range(_MAX_ZOOMS):
        wanted = np.concatenate((centre + lattice @ frame.T, guess[None]))
        nodes = np.clip(wanted, low, high)
        linear, objective = project(task, np.exp(nodes), rounds=_ZOOM_ROUNDS, start=weights)
        lead = int(np.argmin(objective))
        gain = 1.0 - float(objective[lead]) / best if best > 0 else 0.0
        inside = lead == len(lattice) or np.max(np.abs(lattice[lead])) < np.max(lattice)
        offsets = np.linalg.solve(frame, (nodes - centre).T).T
        bottom, shape = _fit_bowl(offsets, objective)
        guess = centre + frame @ bottom
        if gain > 0:
            best, centre, weights = float(objective[lead]), nodes[lead], linear[lead]
        frame = frame @ shape * (_ZOOM_SHRINK if inside or gain <= 0 else stride)
        width = float(np.max(np.abs(frame)))
        if width < _FINEST or (width < _FINE and gain < _GAIN):
            break
    exponents = np.exp(centre)[None]
    linear, objective = project(task, exponents, rounds=_LAST_ROUNDS, start=weights)
    return family.join(exponents, linear, task.axes)[0], float(objective[0])


def _spread_points(count: int, size: int) -> FloatArray:
    """Points that fill the unit cube evenly: multiples of the powers of 1/g, modulo one, where
    g^(size + 1) = g + 1. A Kronecker sequence: Niederreiter 1992, Random Number Generation and
    Quasi-Monte Carlo Methods, ch. 3."""
    root = 2.0
    for _ in range(40):  # a contraction by 1/(size + 1) or better
        root = (1.0 + root) ** (1.0 / (size + 1))
    steps = root ** -np.arange(1.0, size + 1.0)
    points: FloatArray = (0.5 + np.arange(1, count + 1)[:, None] * steps) % 1.0
    return points


def _list_lattice(size: int) -> FloatArray:
    """Nodes around a centre: all of {−1, 0, 1}^q for few exponents; for many, just enough to see a
    quadratic: the centre, one step either way along each axis, and one along each pair of axes."""
    if size in _NODES:
        return np.array(list(product((-1.0, 0.0, 1.0), repeat=size)))
    unit = np.eye(size)
    pairs = [unit[row] + unit[column] for row, column in combinations(range(size), 2)]
    return np.concatenate((np.zeros((1, size)), unit, -unit, pairs))


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
    basis = task.family.basis(exponents, task.axes)
    columns, power, offset = basis.columns, basis.power, basis.offset
    if not columns.shape[1]:
        residual = np.log(offset) - task.target
        return np.empty((len(exponents), 0)), huber(residual, task.delta).sum(axis=1)
    size = np.max(columns, axis=2)  # scale to order one, or the Gram matrix loses digits
    columns /= size[:, :, None]
    if start is None:
        wanted = np.maximum(np.exp(task.target) - offset, 1e-3 * np.exp(task.target))
        design = columns / (wanted ** (1.0 / power))[:, None, :]
        linear = _solve_non_negative(design @ design.transpose(0, 2, 1), design.sum(axis=2))
    else:
        linear = start * size
    best = np.full(len(exponents), np.inf)
    kept = linear
    for turn in range(rounds + 1):
        model = np.maximum((linear[:, None, :] @ columns)[:, 0], 1e-100)
        residual = _log_model(model, power, offset) - task.target
        objective = huber(residual, task.delta).sum(axis=1)
        better = objective < best
        settled = turn > 0 and bool(np.all(objective > best * (1.0 - _SETTLED)))
        best = np.where(better, objective, best)
        kept = np.where(better[:, None], linear, kept)
        if turn == rounds or settled:
            break
        # ln L changes by design·change: solve for −residual under Huber's weights.
        weight = task.delta / np.maximum(np.abs(residual), task.delta)
        slope = power * _share(model, power, offset)
        design = columns * (slope / model)[:, None, :]
        weighted = design * weight[:, None, :]
        moment = (weighted @ (slope - residual)[:, :, None])[:, :, 0]
        linear = _solve_non_negative(weighted @ design.transpose(0, 2, 1), moment)
    return kept / size, best


def _log_model(model: FloatArray, power: FloatArray, offset: FloatArray) -> FloatArray:
    """ln(offset + model^power)."""
    logs = np.asarray(power * np.log(model), dtype=np.float64)
    return np.log(offset + np.exp(logs)) if offset.any() else logs


def _share(model: FloatArray, power: FloatArray, offset: FloatArray) -> FloatArray | float:
    """model^power / (offset + model^power), at least _LEAST_SHARE."""
    if not offset.any():
        return 1.0
    most = np.log(1.0 / _LEAST_SHARE)
    return 1.0 / (1.0 + offset * np.exp(np.minimum(-power * np.log(model), most)))


def _fit_bowl(offsets: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A quadratic through `values` at `offsets` (k, q): its lowest point, at most two nodes off,
    and the axes, of mean length one, along which it is round. The identity where it is no bowl."""
    size = offsets.shape[1]
    pairs = [(row, column) for row in range(size) for column in range(row, size)]
    terms = [np.ones(len(offsets)), *offsets.T]
    terms += [(0.5 if r == c else 1.0) * offsets[:, r] * offsets[:, c] for r, c in pairs]
    found = np.linalg.lstsq(np.stack(terms, axis=1), values, rcond=1e-10)[0]
    hessian = np.empty((size, size))
    for (row, column), value in zip(pairs, found[1 + size :], strict=True):
        hessian[row, column] = hessian[column, row] = value
    curvature, axes = np.linalg.eigh(hessian)
    if curvature[-1] <= 0:
        return np.zeros(size), np.eye(size)
    # Flat or concave directions become long axes.
    curvature = np.maximum(curvature, 1e-3 * curvature[-1])
    slope = found[1 : 1 + size]
    bottom = np.clip(-axes @ ((axes.T @ slope) / curvature), -2.0, 2.0)
    length = 1.0 / np.sqrt(curvature)
    mean = np.exp(np.mean(np.log(length)))
    length = np.clip(length / mean, 0.5, 2.0)  # limit each turn of the frame
    return bottom, axes * length


def _solve_non_negative(gram: FloatArray, moment: FloatArray) -> FloatArray:
    """argmin ½ cᵀGc − mᵀc over c ≥ 0 for (K, m, m) and (K, m): every support tried, m is small."""
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
            # The objective at this support's optimum.
            value = -0.5 * np.einsum("km,km->k", moment, linear)
            value = np.where(np.any(linear < 0, axis=1), np.inf, value)
            better = value < lowest
            lowest = np.where(better, value, lowest)
            chosen = np.where(better[:, None], linear, chosen)
    best[open_] = chosen
    return best


def _solve_support(gram: FloatArray, moment: FloatArray, support: tuple[int, ...]) -> FloatArray:
    # The full support is nearly always the answer; a slice avoids the copy.
    some = slice(None) if len(support) == moment.shape[1] else list(support)
    inner = gram[:, some][:, :, some].copy()
    index = np.arange(len(support))
    inner[:, index, index] *= 1.0 + 1e-13  # collinear columns (a tiny exponent) stay solvable
    result = np.zeros_like(moment)
    right = moment[:, some][:, :, None]
    try:
        result[:, some] = np.linalg.solve(inner, right)[:, :, 0]
    except np.linalg.LinAlgError:  # a column that vanishes at one node must not fail the others
        result[:, some] = (np.linalg.pinv(inner, hermitian=True) @ right)[:, :, 0]
    return result
