"""The sharp score as a logistic of the smooth one, whose bend the runs choose.

    y = c + (u − c) / (1 + e^η),    η = (v(s) − v(s½)) / w,    v(s) = (s^λ − 1)/λ, ln s for λ = 0

with chance c and ceiling u given. λ = 1 is the published link, which gives a model without any loss
a score below the ceiling; λ = 0 gives it the ceiling. Between them lies what independent errors of
tokens give, and powers of it. All three coefficients maximise one quasi-likelihood (`logistic`):
shares of many questions vary far less than single trials would, so that few runs tell λ well.

Draws of the link show two errors: within each cell runs are drawn anew, and λ is moved at random,
because what is measured has no λ (that of independent errors changes along the curve).

Source: Box and Cox 1964, J. Royal Stat. Soc. B 26:211 (v); Bhagia et al. 2024, arXiv:2412.04403
(λ = 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from scaling.fitting.abilities.logistic import Trials, maximise
from scaling.fitting.abilities.scores import Scores
from scaling.units import FloatArray, IntArray

# Of λ: beyond 0 and 1, so that links there are come upon from both sides.
_RANGE = (-1.0, 3.0)
# Standard deviation by which draws move λ: 90 % intervals then hold .9 of what is measured where
# exact match is a power of independent errors (benchmarks/abilities.py); more in the family itself.
_MODEL_ERROR = 0.1
# Links one apart in λ forecast scores up to .2 apart (benchmarks/abilities.py): within .002.
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One curve of the family.

    Attributes:
        exponent: λ.
        intercept, slope: a and b of −η = a − b·v(s).
        chance, range: c, and u − c.
    """

    exponent: float
    intercept: float
    slope: float
    chance: float
    range: float

    @property
    def middle(self) -> float:
        """s½; NaN where no s gives one half."""
        at = self.intercept / self.slope
        if self.exponent == 0.0:
            return math.exp(at)
        base = 1.0 + self.exponent * at
        return float(base ** (1.0 / self.exponent)) if base > 0.0 else math.nan

    @property
    def width(self) -> float:
        """w, in the units of v."""
        return 1.0 / self.slope

    def __call__(self, smooth: FloatArray | float) -> FloatArray:
        """The sharp score at a smooth one."""
        odds = self.intercept - self.slope * bend(np.asarray(smooth), self.exponent)
        return np.asarray(self.chance + self.range * np.exp(-np.logaddexp(0.0, -odds)))


class LinkFit:
    """The link of some runs.

    Args:
        scores: Where chance and ceiling are.
        smooth, score: Of the runs, shape (n,), smooth positive.
        cell: Index of each run's cell, shape (n,).
    """

    def __init__(
        self, scores: Scores, smooth: FloatArray, score: FloatArray, cell: IntArray
    ) -> None:
        self._chance, self._range = scores.chance, scores.range
        self._share = np.clip((score - scores.chance) / scores.range, 0.0, 1.0)
        self._smooth = smooth
        self._cells = [np.flatnonzero(cell == at) for at in np.unique(cell)]
        self.best = self._fit(np.arange(smooth.size, dtype=np.int64))

    def draw(self, rng: np.random.Generator) -> Link:
        """The link of other such runs; see the module."""
        rows = np.concatenate([rng.choice(own, own.size) for own in self._cells])
        return self._fit(rows, _MODEL_ERROR * float(rng.standard_normal()))

    def _fit(self, rows: IntArray, moved: float = 0.0) -> Link:
        """The likeliest link of some runs; with λ moved from there, the likeliest of that λ."""
        smooth = self._smooth[rows]
        trials = Trials(self._share[rows], np.ones(rows.size))

        def fit_bent(exponent: float) -> tuple[float, Link]:
            along = bend(smooth, exponent)
            centre, scale = float(along.mean()), float(along.std()) or 1.0
            design = np.stack((np.ones(rows.size), (centre - along) / scale), axis=1)
            beta, likelihood = maximise(design, trials)
            slope = float(beta[1]) / scale
            link = Link(
                exponent=exponent,
                intercept=float(beta[0]) + slope * centre,
                slope=slope,
                chance=self._chance,
                range=self._range,
            )
            return likelihood, link

        found = minimize_scalar(
            lambda one: -fit_bent(float(one))[0],
            bounds=_RANGE,
            method="bounded",
            options={"xatol": _TOLERANCE},
        )
        return fit_bent(float(found.x) + moved)[1]


def bend(smooth: FloatArray, exponent: float) -> FloatArray:
    """v(s)."""
    if exponent == 0.0:
        return np.asarray(np.log(smooth))
    return np.asarray((smooth**exponent - 1.0) / exponent)
