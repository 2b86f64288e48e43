"""CostModel: training FLOPs per token as a function of N, the curve a frontier is minimised along.

    C = κ(N) · N · D,   κ(N) interpolated linearly in log N, constant beyond its ends.

Three kinds, one form: `6ND` (κ = 6), `ladder` (the exact FLOPs of this project's shapes), `table`
(κ of the rows of a foreign table that state C, or of the models that a sweep file lists).

On the ladder κ is smoothed: depth and width step one at a time, so κ of neighbouring rungs
alternates by up to ±15 % at the smallest widths, and a frontier minimised along the saw's teeth
would jump between them. A local-linear kernel of width ln 2 in log N takes its place; the widest
deviation from an exact rung is kept in `max_deviation` and said with an answer. The FLOPs of a
*buildable* shape are always the exact ones.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scaling.sweep.counting import (
    FLOPS_PER_PARAM_TOKEN,
    CountConvention,
    count_flops_per_token,
    count_params,
)
from scaling.sweep.shapes import ModelShape
from scaling.units import FloatArray

CostModelName = Literal["6ND", "ladder", "ladder_without_head", "table"]

_KNOTS_PER_DECADE = 20
_SMOOTHING_WIDTH = math.log(2.0)  # one doubling of N, i.e. two to three rungs of the ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class CostModel:
    """FLOPs per token as a function of N.

    Attributes:
        name: Which accounting this is.
        log_params: Knots, ascending log N; empty for 6ND.
        log_kappa: log of FLOPs per parameter and token at the knots.
        max_deviation: Largest |κ / κ_exact − 1| over what the knots were made from.
    """

    name: CostModelName
    log_params: tuple[float, ...] = ()
    log_kappa: tuple[float, ...] = ()
    max_deviation: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Its values, for a digest."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def flops_per_token(self, params: FloatArray) -> FloatArray:
        """Training FLOPs per token for models of `params` parameters (any shape)."""
        params = np.asarray(params, dtype=np.float64)
        if not self.log_params:
            return FLOPS_PER_PARAM_TOKEN * params
        kappa = np.exp(np.interp(np.log(params), self.log_params, self.log_kappa))
        return np.asarray(kappa * params, dtype=np.float64)


SIX_ND = CostModel(name="6ND")


def make_ladder_cost(
    rungs: tuple[ModelShape, ...], convention: CountConvention, *, head_flops: bool = True
) -> CostModel:
    """The smoothed cost of the ladder, N counted by `convention`.

    Args:
        rungs: Shapes in ascending N; their range should cover every N that will be asked for,
            beyond it κ is constant.
        convention: How N is counted.
        head_flops: Whether the head's products count.
    """
    params = np.array([count_params(rung, convention) for rung in rungs], dtype=np.float64)
    counted = [count_flops_per_token(rung, head_flops=head_flops) for rung in rungs]
    per_token = np.array(counted, dtype=np.float64)
    name: CostModelName = "ladder" if head_flops else "ladder_without_head"
    return _smooth(name, np.log(params), np.log(per_token / params))


def make_table_cost(params: FloatArray, tokens: FloatArray, flops: FloatArray) -> CostModel:
    """The cost model of a table whose rows state C; κ averaged (geometrically) per N.

    Args:
        params: N, shape (n,).
        tokens: D, shape (n,).
        flops: C [FLOPs], shape (n,), all finite and positive.
    """
    log_params, where = np.unique(np.log(params), return_inverse=True)
    log_kappa = np.log(flops) - np.log(params) - np.log(tokens)
    mean = np.bincount(where, weights=log_kappa) / np.bincount(where)
    if np.ptp(mean) < 1e-3:  # κ is constant up to rounding: keep it exact and flat
        flat = float(np.mean(mean))
        knots = (float(log_params[0]), float(log_params[-1]))
        return CostModel(name="table", log_params=knots, log_kappa=(flat, flat))
    return _smooth("table", log_params, mean)


def make_models_cost(models: tuple[ModelShape, ...]) -> CostModel:
    """The cost of models that a sweep file lists: 6ND where it says nothing else."""
    params = np.array([count_params(one, "matmul") for one in models], dtype=np.float64)
    per_token = np.array([count_flops_per_token(one) for one in models], dtype=np.float64)
    if np.array_equal(per_token, FLOPS_PER_PARAM_TOKEN * params):
        return SIX_ND
    return make_table_cost(params, np.ones_like(params), per_token)


def _smooth(name: CostModelName, log_params: FloatArray, log_kappa: FloatArray) -> CostModel:
    span = float(log_params[-1] - log_params[0])
    count = max(2, math.ceil(span / math.log(10.0) * _KNOTS_PER_DECADE))
    knots = np.linspace(log_params[0], log_params[-1], count)
    smooth = np.array([_local_line(at, log_params, log_kappa) for at in knots])
    deviation = np.expm1(np.abs(np.interp(log_params, knots, smooth) - log_kappa))
    return CostModel(
        name=name,
        log_params=tuple(float(x) for x in knots),
        log_kappa=tuple(float(x) for x in smooth),
        max_deviation=float(np.max(deviation)),
    )


def _local_line(at: float, x: FloatArray, y: FloatArray) -> float:
    """Value at `at` of the line through (x, y) weighted by a Gaussian around `at`."""
    weight = np.exp(-0.5 * ((x - at) / _SMOOTHING_WIDTH) ** 2)
    total = np.sum(weight)
    centre, level = np.sum(weight * x) / total, np.sum(weight * y) / total
    spread = np.sum(weight * (x - centre) ** 2)
    slope = np.sum(weight * (x - centre) * (y - level)) / spread if spread > 1e-12 else 0.0
    return float(level + slope * (at - centre))
