"""Link from the smooth score to the sharp one: a logistic with a fitted Box-Cox exponent.

    y = c + (u − c) / (1 + e^η),    η = (v(s) − v(s½)) / w,    v(s) = (s^λ − 1)/λ, ln s for λ = 0

Chance c and ceiling u are given. With λ = 1, the published link, a model with zero loss scores
below the ceiling; with λ = 0 it reaches the ceiling. Independent token errors, and powers of that
curve, lie between the two. All three coefficients maximise one quasi-likelihood (`logistic`). A
share of many questions varies far less than a single trial, so few runs determine λ well.

Draws of the link include two errors. Runs are resampled within each cell, and λ is perturbed at
random, because no measured curve has one exact λ (for independent errors, λ changes along it).

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

# Range of λ. It extends beyond 0 and 1, so that the search can approach both from either side.
_RANGE = (-1.0, 3.0)
# Standard deviation of the perturbation of λ. With it, 90 % intervals hold 90 % of the measured
# scores where exact match is a power of independent errors (benchmarks/abilities.py), and more
# where the link itself is true.
_MODEL_ERROR = 0.1
# A step of 1 in λ changes forecasts by up to .2 (benchmarks/abilities.py), so this one by .002.
_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A fitted link.

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
        """s½; NaN if the curve does not cross one half."""
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
        """Sharp score at a smooth score."""
        odds = self.intercept - self.slope * bend(np.asarray(smooth), self.exponent)
        return np.asarray(self.chance + self.range * np.exp(-np.logaddexp(0.0, -odds)))


class LinkFit:
    """Fits the link to runs, and draws refits.

    Args:
        scores: Source of chance and ceiling.
        smooth, score: Smooth and sharp score of each run, shape (n,); smooth is positive.
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
        """Refit to runs resampled within each cell, with λ perturbed."""
        rows = np.concatenate([rng.choice(own, own.size) for own in self._cells])
        return self._fit(rows, _MODEL_ERROR * float(rng.standard_normal()))

    def _fit(self, rows: IntArray, moved: float = 0.0) -> Link:
        """Maximum-likelihood link of some rows, with λ shifted by `moved` and the rest refitted."""
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
    """Box-Cox transform v(s); ln s for an exponent of 0."""
    if exponent == 0.0:
        return np.asarray(np.log(smooth))
    return np.asarray((smooth**exponent - 1.0) / exponent)
