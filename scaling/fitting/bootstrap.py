"""Draws of the law's coefficients and of both frontiers, as other runs of the same kind would give.

Law: clusters (the `group` of a row if given, else the run that it is a point of, else its (N, D)
configuration) are drawn with replacement and enter as integer weights, all refits as one batch from
the point fit. Not stratified by budget: simulated at nominal 90 %, one decade out, plain weights
cover N* / loss in .89 / .89 of 5×5 grids and .91 / .85 of 5×7 grids at δ = 1.345·σ; random positive
weights, which never drop a cell, cover .82 / .84 and .88 / .82. Below 20 clusters many draws hold
fewer than eight distinct cells, and noise is drawn instead: Gaussian on ln loss, standard deviation
of the residuals with n − p degrees of freedom and a χ² draw of it (a t-distribution); if groups are
given, it is split into a part that the rows of a group share and a part that they do not. Above
20,000 clusters draws come from the bootstrap's limit, the normal distribution with the sandwich
covariance.

Frontier of Approach 2: dropping a cell of five would leave no parabola, so noise is drawn there
too, around each accepted parabola; a draw's curve counts only if it bends up and its vertex lies
inside, as for the data.

Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 6 and 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scaling.fitting.identification import estimate_covariance, measure_scale
from scaling.fitting.isoflop import Curve, draw_lines
from scaling.fitting.noise import estimate_common, find_shared, list_clusters
from scaling.fitting.parametric import ParametricFit
from scaling.fitting.solver import Solutions, Task, solve
from scaling.sweep.cost_model import CostModel
from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray

MIN_CLUSTERS = 20
MAX_CLUSTERS = 20_000
# Elements of one block of weights: 4000 draws of 240 clusters take four blocks of 2 MiB.
_BLOCK = 250_000
_STEP = 3e-3  # ln loss at which a response is measured: small, but far above rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """Loss that the runs of a draw lose together, which no resampling shows: ln loss of run i in
    draw b lies Σ_k amounts[b, k] · shares[k, i] too high.

    Attributes:
        amounts: Shape (b, k).
        shares: Shape (k, n).
    """

    amounts: FloatArray
    shares: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """Bootstrap draws of a law.

    Attributes:
        theta: Optimiser's coordinates, one row each, shape (b, p).
        coefficients: Parameters of the law, shape (b, p).
        method: `clusters`, `noise` or `normal`.
        failed: Refits left out because they did not converge.
    """

    theta: FloatArray
    coefficients: FloatArray
    method: str
    failed: int


def draw_laws(
    table: RunTable,
    fit: ParametricFit,
    *,
    count: int,
    seed: int,
    weights: FloatArray | None = None,
    excess: Excess | None = None,
) -> Draws:
    """Refit the law to resamplings of the table.

    Args:
        table: Rows in the fit's order.
        fit: Its optimum.
        count: Draws.
        seed: Seeds the generator.
        weights: How often each row was drawn, shape (count, n), if clusters are drawn at all;
            None: drawn here.
        excess: What each draw's runs lose together, and is taken off them; None: nothing.
    """
    rng = np.random.default_rng(seed)
    cluster = list_clusters(table)
    clusters = int(cluster.max()) + 1
    if clusters > MAX_CLUSTERS:
        return _make_draws(fit, _draw_normal(fit, cluster, count, rng, excess), "normal", 0)
    method = "clusters" if clusters >= MIN_CLUSTERS else "noise"
    freedom = max(1, fit.residuals.size - fit.theta.size)
    block = max(1, _BLOCK // len(table))
    parts, failed = [], 0
    for low in range(0, count, block):
        size = min(block, count - low)
        starts = np.repeat(fit.theta[None], size, axis=0)
        target, drawn = fit.task.target, None
        if method == "noise":
            named = None if find_shared(table) is None else cluster
            noise = _draw_noise(fit.residuals, freedom, named, size, rng)
            target = target + fit.residuals + noise
        elif weights is None:
            drawn = draw_counts(clusters, size, rng)[:, cluster]
        else:
            drawn = weights[low : low + size]
        if excess is not None:
            target = target - excess.amounts[low : low + size] @ excess.shares
        solved = _refit(replace(fit.task, target=target), starts, drawn)
        parts.append(solved.theta[solved.converged])
        failed += int(np.sum(~solved.converged))
    return _make_draws(fit, np.concatenate(parts), method, failed)


def draw_together(
    fits: Sequence[ParametricFit], cluster: IntArray, *, count: int, seed: int
) -> list[FloatArray]:
    """Refit several laws, each to its own table, under the same resamplings of clusters; below
    20 clusters under the same noise, of which a cluster has the same part in all tables.

    Args:
        fits: Fits of the tables, rows in their order.
        cluster: Cluster of each row, all tables one after the other (`join_clusters`).
        count: Draws.
        seed: Seeds the generator.

    Returns:
        Parameters of each law, shape (≤ count, p). Equal rows belong to one draw; draws in which a
        refit did not converge are left out.
    """
    rng = np.random.default_rng(seed)
    ends = np.cumsum([fit.residuals.size for fit in fits])[:-1]
    clusters = int(cluster.max()) + 1
    residuals = np.concatenate([fit.residuals for fit in fits])
    freedom = max(1, residuals.size - sum(fit.theta.size for fit in fits))
    parts: list[list[FloatArray]] = [[] for _ in fits]
    block = max(1, _BLOCK // cluster.size)
    for low in range(0, count, block):
        size = min(block, count - low)
        starts = [np.repeat(fit.theta[None], size, axis=0) for fit in fits]
        if clusters >= MIN_CLUSTERS:
            weights = np.split(draw_counts(clusters, size, rng)[:, cluster], ends, axis=1)
            solved = [
                _refit(fit.task, start, own)
                for fit, start, own in zip(fits, starts, weights, strict=True)
            ]
        else:
            noise = np.split(_draw_noise(residuals, freedom, cluster, size, rng), ends, axis=1)
            solved = [
                _refit(replace(fit.task, target=fit.task.target + fit.residuals + own), start, None)
                for fit, start, own in zip(fits, starts, noise, strict=True)
            ]
        kept = np.logical_and.reduce([one.converged for one in solved])
        for part, fit, one in zip(parts, fits, solved, strict=True):
            part.append(fit.task.family.to_coefficients(one.theta[kept], fit.task.axes))
    return [np.concatenate(part) for part in parts]


def _make_draws(fit: ParametricFit, theta: FloatArray, method: str, failed: int) -> Draws:
    coefficients = fit.task.family.to_coefficients(theta, fit.task.axes)
    return Draws(theta=theta, coefficients=coefficients, method=method, failed=failed)


def draw_minima(
    curves: tuple[Curve, ...],
    cost: CostModel,
    *,
    sigma: float,
    freedom: int | None = None,
    count: int,
    seed: int,
) -> FloatArray:
    """Redraw the noise of every accepted parabola and refit the frontier of Approach 2.

    Args:
        curves: Every budget's parabola.
        cost: FLOPs per token.
        sigma: Standard deviation of ln loss of one run.
        freedom: Degrees of freedom that sigma was estimated with: each draw has its own sigma,
            which makes its noise a t-distribution. None: sigma is known.
        count: Draws.
        seed: Seeds the generator.

    Returns:
        (a, ln k_n, b, ln k_d) of the draws that keep three minima, shape (≤ count, 4).
    """
    rng = np.random.default_rng(seed)
    accepted = [curve for curve in curves if not curve.rejection]
    spread = np.full((count, 1), sigma)
    if freedom is not None:
        spread *= np.sqrt(freedom / rng.chisquare(freedom, size=(count, 1)))
    log_params = np.full((count, len(accepted)), np.nan)
    for at, curve in enumerate(accepted):
        design = np.stack((np.ones_like(curve.x), curve.x, curve.x**2), axis=1)
        noise = spread * rng.standard_normal((count, curve.x.size)) * curve.loss
        fitted = design @ np.linalg.lstsq(design, curve.loss, rcond=None)[0]
        drawn = (fitted + noise) @ np.linalg.pinv(design).T
        with np.errstate(divide="ignore", invalid="ignore"):
            vertex = -drawn[:, 1] / (2.0 * drawn[:, 2])
        valid = (drawn[:, 2] > 0) & (vertex > curve.x.min()) & (vertex < curve.x.max())
        log_params[valid, at] = vertex[valid] + curve.centre
    log_c = np.log(np.array([curve.budget.realised for curve in accepted]))
    return draw_lines(log_c, log_params, cost)


def draw_around(fit: ParametricFit, *, sigma: float, count: int, seed: int) -> Draws:
    """Refit the law to `count` redraws of Gaussian noise around it, to see what a design can tell.

    Args:
        fit: Fit of the design's losses without noise.
        sigma: Standard deviation of ln loss of one run.
        count: Draws.
        seed: Seeds the generator.
    """
    rng = np.random.default_rng(seed)
    expected = fit.task.target + fit.residuals
    target = expected + sigma * rng.standard_normal((count, expected.size))
    task = replace(fit.task, target=target)
    solved = _refit(task, np.repeat(fit.theta[None], count, axis=0), None)
    failed = int(np.sum(~solved.converged))
    return _make_draws(fit, solved.theta[solved.converged], "noise", failed)


def draw_noise(table: RunTable, fit: ParametricFit, *, count: int, seed: int) -> FloatArray:
    """Draw noise of ln loss like that of the fit's residuals, shape (count, n)."""
    rng = np.random.default_rng(seed)
    freedom = max(1, fit.residuals.size - fit.theta.size)
    named = None if find_shared(table) is None else list_clusters(table)
    return _draw_noise(fit.residuals, freedom, named, count, rng)


def refit_around(fit: ParametricFit, noise: FloatArray) -> FloatArray:
    """Coefficients refitted to the fit's own curve with each noise, shape (count, n) to (count, p);
    NaN where a refit did not converge."""
    task = replace(fit.task, target=fit.task.target + fit.residuals + noise)
    solved = _refit(task, np.repeat(fit.theta[None], len(noise), axis=0), None)
    coefficients = fit.task.family.to_coefficients(solved.theta, fit.task.axes)
    return np.where(solved.converged[:, None], coefficients, np.nan)


def _refit(task: Task, starts: FloatArray, weights: FloatArray | None) -> Solutions:
    """Solve every member from its start; solve those that stall again, coming down in δ."""
    solved = solve(task, starts, weights=weights)
    (stalled,) = np.nonzero(~solved.converged)
    if not stalled.size:
        return solved
    again = task if task.target.ndim == 1 else replace(task, target=task.target[stalled])
    some = None if weights is None else weights[stalled]
    second = solve(again, starts[stalled], weights=some, continuation=True)
    theta, converged = solved.theta.copy(), solved.converged.copy()
    theta[stalled], converged[stalled] = second.theta, second.converged
    return replace(solved, theta=theta, converged=converged)


def draw_counts(clusters: int, size: int, rng: np.random.Generator) -> FloatArray:
    """How often each cluster is drawn in `clusters` draws with replacement: (size, clusters)."""
    drawn = rng.integers(0, clusters, size=(size, clusters))
    drawn += np.arange(size)[:, None] * clusters
    counts = np.bincount(drawn.ravel(), minlength=size * clusters)
    return counts.reshape(size, clusters).astype(np.float64)


def _draw_noise(
    residuals: FloatArray,
    freedom: int,
    cluster: IntArray | None,
    size: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw noise of ln loss, shape (size, n): one part for each row and, if clusters are given, one
    for each cluster, in the proportion that the residuals show."""
    total = np.sum(residuals**2) / freedom
    common = 0.0 if cluster is None else estimate_common(residuals, cluster)
    spread = np.sqrt(freedom / rng.chisquare(freedom, size=(size, 1)))  # t-distributed
    noise = np.sqrt(total * (1.0 - common)) * rng.standard_normal((size, residuals.size))
    if cluster is not None and common > 0.0:
        shared = rng.standard_normal((size, int(cluster.max()) + 1))[:, cluster]
        noise += np.sqrt(total * common) * shared
    return np.asarray(spread * noise, dtype=np.float64)


def _draw_normal(
    fit: ParametricFit,
    cluster: IntArray,
    count: int,
    rng: np.random.Generator,
    excess: Excess | None,
) -> FloatArray:
    """Draw theta from the normal limit, clipped to the bounds."""
    family = fit.task.family
    values, vectors = np.linalg.eigh(estimate_clustered_covariance(fit, cluster))
    spread = vectors * np.sqrt(np.maximum(values, 0.0))
    theta = fit.theta + rng.standard_normal((count, fit.theta.size)) @ spread.T
    if excess is not None:
        theta += excess.amounts @ _respond(fit, excess.shares)
    clipped: FloatArray = np.clip(theta, family.lower, family.upper)
    return clipped


def _respond(fit: ParametricFit, shares: FloatArray) -> FloatArray:
    """Change of theta per unit of ln loss taken off the runs in these shares, (k, n) to (k, p)."""
    starts = np.repeat(fit.theta[None], len(shares), axis=0)
    corrected = replace(fit.task, target=fit.task.target - _STEP * shares)
    response: FloatArray = (solve(corrected, starts).theta - fit.theta) / _STEP
    return response


def estimate_clustered_covariance(fit: ParametricFit, cluster: IntArray) -> FloatArray:
    """H⁻¹ S H⁻¹ of theta, S summed over clusters, shape (p, p)."""
    delta = fit.task.delta
    psi = np.clip(fit.residuals, -delta, delta)
    scores = np.stack([np.bincount(cluster, weights=row * psi) for row in fit.gradient])
    bread = estimate_covariance(fit)
    scale = np.sum(psi**2) / psi.size
    # bread = scale/slope²·(JᵀJ)⁻¹; the sandwich needs (slope·JᵀJ)⁻¹ S (slope·JᵀJ)⁻¹.
    _, slope = measure_scale(fit)
    inverse = bread * slope / scale
    root = inverse @ scores
    covariance: FloatArray = root @ root.T
    return covariance
