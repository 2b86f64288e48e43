"""Laws of any form: a subclass writes ln L / s once, in Jets, and states its coordinates."""

from __future__ import annotations

import numpy as np

from scaling.laws.family import Axes
from scaling.laws.jets import Jet, make_variables
from scaling.laws.numeric import NumericAnswers, give_up_lost
from scaling.units import FloatArray

# Elements of a batch of Hessians; larger batches are evaluated in parts.
_ELEMENTS = 4_000_000


class Formula(NumericAnswers):
    """A family given by `evaluate`, `basis`, `join`, `to_coefficients`, `to_theta` and `loss`.

    Attributes: As in LawFamily.
    """

    name: str
    equation: str
    param_names: tuple[str, ...]
    theta_names: tuple[str, ...]
    exponents: tuple[int, ...]
    search: FloatArray
    has_frontier = True
    rugged = True

    def evaluate(self, theta: list[Jet], axes: Axes) -> Jet:
        """ln L − centre[2] of each row, from the coordinates of theta."""
        raise NotImplementedError

    def log_loss(self, theta: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray]:
        rows, count = axes.x.size, len(self.param_names)
        value, gradient = np.empty((len(theta), rows)), np.empty((len(theta), count, rows))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for part in self._cut(theta, axes):
                jet = self.evaluate(make_variables(theta[part]), axes)
                value[part], gradient[part] = jet.value, jet.gradient
        give_up_lost(value, gradient)
        return value, gradient

    def curvature(
        self, theta: FloatArray, gradient: FloatArray, weight: FloatArray, axes: Axes
    ) -> FloatArray:
        """Curvature from ∇²L / L = ∇² ln L + g gᵀ; implements LawFamily."""
        result = (gradient * weight[:, None]) @ gradient.transpose(0, 2, 1)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for part in self._cut(theta, axes):
                jet = self.evaluate(make_variables(theta[part]), axes)
                result[part] += np.einsum("kpqn,kn->kpq", jet.hessian, weight[part])
        return np.asarray(np.nan_to_num(result, posinf=0.0, neginf=0.0), dtype=np.float64)

    def _cut(self, theta: FloatArray, axes: Axes) -> list[slice]:
        each = max(1, _ELEMENTS // (axes.x.size * len(self.param_names) ** 2))
        return [slice(low, low + each) for low in range(0, len(theta), each)]
