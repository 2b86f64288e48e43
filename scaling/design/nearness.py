"""A forecast by the runs near it: Chinchilla's law, each run weighted by how far it lies away.

A run at x is believed to measure ln L(x) with variance

    σ² + τ²·(|ln N − ln N_t| + |ln D − ln D_t|) / ln 10

where σ is the noise of a run, t the place of the forecast and τ the rate of model error, in ln L
per root decade of compute (a decade of N or of D counts as two of compute;
fitting/discrepancy.py). Far runs still say how losses bend, near ones how high they lie. So
weighted, with Huber's loss and with a prior on both exponents,

    ln α, ln β ~ Normal(ln .35, .3),

the law is fitted on a grid of exponents: at each node E, A and B follow linearly, none negative.
The forecast is the mean over nodes by their posterior weight; no single law is behind it, and no
split of a budget follows from it.

Chosen on seven public tables (benchmarks/suggest.py; decision 0080), where it forecasts
better than an unweighted fit from the same runs, many or few. Errors are taken as independent: with
their covariance along the way to the forecast (a Brownian motion) the nearest run alone decides,
and noise with it.

Source: iteratively reweighted least squares, Holland & Welsch 1977,
doi:10.1080/03610927708827533; exponents of public fits, Besiroglu et al. 2024, arXiv:2404.10102.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from scaling.fitting.fitted import Fit, Interval
from scaling.fitting.parametric import HUBER_EFFICIENCY
from scaling.units import FloatArray

# Model error rate of Chinchilla's law on public tables (fitting/discrepancy.py).
DEFAULT_RATE = 0.05
# Prior median of both exponents and spread of their logarithms: published ones lie in .2 … .6.
EXPONENT, EXPONENT_SPREAD = 0.35, 0.3
_NODES, _REACH = 33, 4.0  # nodes per exponent, and how many spreads they reach
_REWEIGHTINGS = 8
_RIDGE = 1e-9  # relative to the trace: runs at one point make the three columns collinear
_LEAST_LOSS = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class NearForecast:
    """What runs say of the loss at one place.

    Attributes:
        loss: [nats/token].
        new_run: Interval of the loss of one run there.
    """

    loss: float
    new_run: Interval


def measure_rate(fit: Fit) -> float:
    """Root mean square of the rates of model error that a fit's runs show; without, that of public
    tables."""
    if fit.discrepancy is None:
        return DEFAULT_RATE
    return float(np.sqrt(np.mean(np.square(fit.discrepancy.rates))))


def find_variance(
    x: FloatArray, y: FloatArray, *, at: tuple[float, float], sigma: float, rate: float
) -> FloatArray:
    """Variance of ln loss of runs at ln N = x, ln D = y as seen from a forecast, shape (n,)."""
    away = np.abs(x - at[0]) + np.abs(y - at[1])
    return np.asarray(sigma**2 + rate**2 * away / math.log(10.0), dtype=np.float64)


def forecast_nearby(
    params: FloatArray,
    tokens: FloatArray,
    loss: FloatArray,
    *,
    at: tuple[float, float],
    sigma: float,
    rate: float,
    level: float = 0.9,
) -> NearForecast:
    """The loss of a run of N parameters on D tokens, by the runs there are.

    Args:
        params, tokens, loss: N, D and loss of the runs [nats/token], shape (n,); a thousand of
            them take some 100 MB for a moment.
        at: (N, D) of the forecast.
        sigma: Noise of ln loss of one run, positive.
        rate: Model error of ln loss per root decade of compute.
        level: Probability of the interval.
    """
    mean, spread = _forecast(
        params, tokens, loss, np.array([at[0]]), np.array([at[1]]), sigma=sigma, rate=rate
    )
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * math.hypot(float(spread[0]), sigma)
    centre = float(mean[0])
    ends = math.exp(centre - reach), math.exp(centre + reach)
    return NearForecast(
        loss=math.exp(centre), new_run=Interval(low=ends[0], high=ends[1], level=level)
    )


def forecast_nearby_each(
    params: FloatArray,
    tokens: FloatArray,
    loss: FloatArray,
    *,
    at: tuple[FloatArray, FloatArray],
    sigma: float,
    rate: float,
) -> FloatArray:
    """Losses at several places (N, D), each of shape (t,), by runs weighted by how far they lie
    from the middle of those places [nats/token]."""
    mean, _ = _forecast(params, tokens, loss, at[0], at[1], sigma=sigma, rate=rate)
    return np.asarray(np.exp(mean), dtype=np.float64)


def _forecast(
    params: FloatArray,
    tokens: FloatArray,
    loss: FloatArray,
    wanted_params: FloatArray,
    wanted_tokens: FloatArray,
    *,
    sigma: float,
    rate: float,
) -> tuple[FloatArray, FloatArray]:
    """(mean, standard deviation) of ln loss at each place."""
    x, y = np.log(params), np.log(tokens)
    goals_x, goals_y = np.log(wanted_params), np.log(wanted_tokens)
    middle = float(goals_x.mean()), float(goals_y.mean())
    variance = find_variance(x, y, at=middle, sigma=sigma, rate=rate)
    alpha, beta, log_prior = _list_nodes()
    columns = _list_columns(alpha, beta, x - middle[0], y - middle[1]) / loss[:, None]
    weight = np.broadcast_to(1.0 / variance, columns.shape[:2])
    threshold = HUBER_EFFICIENCY
    for _ in range(_REWEIGHTINGS):
        parts, inverse = _solve(columns, weight)
        # L/loss − 1 is ln L − ln loss to first order.
        missed = (np.einsum("knp,kp->kn", columns, parts) - 1.0) / np.sqrt(variance)
        size = np.maximum(np.abs(missed), _LEAST_LOSS)
        weight = np.minimum(1.0, threshold / size) / variance
    objective = np.where(size <= threshold, size**2 / 2.0, threshold * (size - threshold / 2.0))
    posterior = log_prior - objective.sum(axis=1)
    share = np.exp(posterior - posterior.max())
    share /= share.sum()
    goals = _list_columns(alpha, beta, goals_x - middle[0], goals_y - middle[1])
    value = np.maximum(np.einsum("ktp,kp->kt", goals, parts), _LEAST_LOSS)
    own = np.einsum("ktp,kpq,ktq->kt", goals, inverse, goals) / value**2
    mean = share @ np.log(value)
    spread = np.sqrt(share @ (own + (np.log(value) - mean) ** 2))
    return mean, spread


def _list_nodes() -> tuple[FloatArray, FloatArray, FloatArray]:
    """alpha, beta and the logarithm of the prior at every node, each of shape (k,)."""
    steps = np.linspace(-_REACH, _REACH, _NODES)
    exponents = EXPONENT * np.exp(EXPONENT_SPREAD * steps)
    alpha, beta = (grid.ravel() for grid in np.meshgrid(exponents, exponents, indexing="ij"))
    log_prior = -0.5 * (steps[:, None] ** 2 + steps[None, :] ** 2)
    return alpha, beta, log_prior.ravel()


def _list_columns(alpha: FloatArray, beta: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """What E, A and B are multiplied by at each place, the two scaled to 1 where x = y = 0; shape
    (k, n, 3)."""
    ones = np.ones((alpha.size, x.size))
    return np.stack((ones, np.exp(-alpha[:, None] * x), np.exp(-beta[:, None] * y)), axis=2)


def _solve(columns: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Non-negative least squares of 1 on three columns at every node, by trying each of the seven
    sets that may be positive: (parts (k, 3), their covariance (k, 3, 3), zero where held at 0)."""
    weighted = columns * weight[:, :, None]
    square = np.einsum("knp,knq->kpq", weighted, columns)
    right = weighted.sum(axis=1)
    total = weight.sum(axis=1)
    nodes = len(columns)
    parts, covariance = np.zeros((nodes, 3)), np.zeros((nodes, 3, 3))
    best = np.full(nodes, np.inf)
    for active in itertools.product((False, True), repeat=3):
        rows = np.flatnonzero(active)
        if not rows.size:
            continue
        inner = square[:, rows[:, None], rows[None, :]]
        ridge = _RIDGE * np.trace(inner, axis1=1, axis2=2)
        inverse = np.linalg.inv(inner + ridge[:, None, None] * np.eye(rows.size))
        found = np.einsum("kpq,kq->kp", inverse, right[:, rows])
        left = total - np.einsum("kp,kp->k", found, right[:, rows])
        better = np.all(found >= 0.0, axis=1) & (left < best)
        best[better] = left[better]
        parts[better] = 0.0
        covariance[better] = 0.0
        at = np.flatnonzero(better)
        parts[at[:, None], rows[None, :]] = found[at]
        covariance[at[:, None, None], rows[None, :, None], rows[None, None, :]] = inverse[at]
    return parts, covariance
