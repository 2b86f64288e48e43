"""The compute-optimal frontier of a law on a cost model.

    N*(C), D*(C) = argmin L(N, D)   subject to   C = D · flops_per_token(N)

The curve is minimised numerically along the cost model; a closed form assumes C = 6ND, which
at this project's sizes overstates D* up to twice (docs/measurements/prototype.md).
"""

from __future__ import annotations

import math

import numpy as np

from scaling.laws.family import Law
from scaling.laws.searching import find_lowest
from scaling.sweep.cost_model import CostModel
from scaling.units import FloatArray

# Half-width of the search around the optimum for a constant κ: a transformer's κ falls from ~3 × to
# 1 × its limit, and N* ∝ κ^-a moves by less than that; a factor of 30 is ample.
_HALF_WIDTH = math.log(30.0)
# Each zoom is 16-fold, down to 2e-7 in ln N, where the minimum is flat to rounding.
_POINTS, _ZOOMS = (33, 33), 5


def find_frontier(
    family: Law, coefficients: FloatArray, *, flops: FloatArray, cost: CostModel
) -> tuple[FloatArray, FloatArray]:
    """Compute-optimal model size and data for each budget.

    Args:
        family: The law.
        coefficients: Its parameters, shape (..., p), loss in nats/token.
        flops: Budgets C [FLOPs], positive, broadcast against coefficients[..., 0].
        cost: FLOPs per token as a function of N.

    Returns:
        (params, tokens), each of the broadcast shape.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, eq. 4 (there with C = 6ND).
    """
    one = np.ones(1)
    kappa = float(cost.flops_per_token(one)[0])
    params = family.optimal_params(coefficients, flops, np.asarray(kappa))
    if len(set(cost.log_kappa)) <= 1:  # one κ for every N: the closed form is exact
        return params, flops / cost.flops_per_token(params)
    # Recentre with κ at the last answer; two rounds are enough, because κ falls slowly with N.
    for _ in range(2):
        kappa_there = cost.flops_per_token(params) / params
        params = family.optimal_params(coefficients, flops, kappa_there)
    wide, spent = coefficients[..., None, :], np.broadcast_to(flops, params.shape)[..., None]

    def loss_at(log_params: FloatArray) -> FloatArray:
        sizes = np.exp(log_params)
        return family.loss(wide, sizes, spent / cost.flops_per_token(sizes))

    log_params = find_lowest(
        loss_at, np.log(params), reach=_HALF_WIDTH, points=_POINTS, zooms=_ZOOMS
    )
    params = np.exp(log_params)
    return params, np.asarray(flops / cost.flops_per_token(params), dtype=np.float64)
