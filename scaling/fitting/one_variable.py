"""Laws of one variable, for tables that hold no more: loss against compute, size or data.

    L(x) = E + A / x^α        [nats/token],  x = C, N or D

E and α are fitted or given; E = 0 is a law without a floor. The objective is Huber's on ln L, as
for laws of two variables. Intervals come from refits of L(x)·exp(σ·noise), where σ is that of the
residuals with their degrees of freedom; without any there is no interval. Such a law cannot split a
budget, and holds for runs that chose what it does not state as the table's did.

Two recipes with the same E and α differ by a factor of x alone, (A₁/A₂)^(1/α): their speed-up.

Source: Henighan et al. 2020, arXiv:2010.14701, eq. 1.1; Kaplan et al. 2020, arXiv:2001.08361,
eq. 1.1-1.3 (without a floor).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import least_squares

from scaling.errors import NoFitError, QueryError
from scaling.fitting.fitted import MAX_DECADES
from scaling.fitting.intervals import find_interval
from scaling.units import FloatArray, format_flops
from scaling.units.losses import NATS, LossScale

Variable = Literal["C", "N", "D"]
DELTA = 1e-3  # Huber's threshold on ln L; Hoffmann et al. 2022, appendix D.2
MAX_EXPONENT = 3.0  # published ones are below .6
_STARTS = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
_TOLERANCE = 1e-14
_FEWEST_DRAWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveLaw:
    """E + A/x^α of each recipe; A of shape (recipes,), E and α shared."""

    floor: float
    scale: tuple[float, ...]
    exponent: float

    def loss(self, x: FloatArray | float, recipe: int = 0) -> FloatArray:
        """L(x) [nats/token]."""
        return np.asarray(self.floor + self.scale[recipe] * np.asarray(x) ** -self.exponent)

    def list_letters(self, scale: LossScale = NATS) -> dict[str, float]:
        """E, A and α; E and A in a unit, which is not a perplexity."""
        floor, first = scale.to(self.floor), scale.to(self.scale[0])
        return {"E": floor, "A": first, "alpha": self.exponent}


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveForecast:
    """The loss [nats/token] at one x, the interval of a new run (None without a noise), and the
    decades from there to the data."""

    at: float
    loss: float
    level: float
    interval: tuple[float, float] | None
    extrapolation_decades: float

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """JSON of the same; losses in a unit."""
        ends = None if self.interval is None else [scale.to(end) for end in self.interval]
        return dataclasses.asdict(self) | {"loss": scale.to(self.loss), "interval": ends}


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveFit:
    """A law of one variable fitted to one table, or to two with shared E and α.

    Attributes:
        variable: What x is.
        law: The optimum.
        free: Which of `floor` and `exponent` were fitted.
        draws: Refits with other noise; empty where nothing is left to tell the noise by.
        sigma: Standard deviation of ln L around the law; None without degrees of freedom.
        objective: Sum of Huber's function.
        covered: Lowest and highest x of all tables.
        runs: How many runs each table has.
        level: Probability of each interval.
    """

    variable: Variable
    law: CurveLaw
    free: tuple[str, ...]
    draws: tuple[CurveLaw, ...]
    sigma: float | None
    objective: float
    covered: tuple[float, float]
    runs: tuple[int, ...]
    level: float

    def find_interval(self, values: Sequence[float] | FloatArray) -> tuple[float, float] | None:
        """Central interval of what every draw gives."""
        if len(values) < _FEWEST_DRAWS:
            return None
        ends = find_interval(np.asarray(values), self.level)
        return ends.low, ends.high

    def forecast(self, x: float, *, far: bool = False) -> CurveForecast:
        """The loss at x with the interval of a new run, and how far x lies beyond the data.

        Raises:
            QueryError: x is not positive and finite, or more than three decades away without `far`.
        """
        if not (math.isfinite(x) and x > 0):
            raise QueryError(f"--at {x}: ask for a positive, finite number.")
        low, high = self.covered
        decades = max(0.0, math.log10(x / high), math.log10(low / x))
        if decades > MAX_DECADES and not far:
            raise QueryError(
                f"{self.variable} = {format_flops(x)} lies {decades:.1f} decades beyond the data "
                f"({format_flops(low)} … {format_flops(high)}). Add runs, or insist with --far."
            )
        rng = np.random.default_rng(1)
        noise = np.exp((self.sigma or 0.0) * rng.standard_normal(len(self.draws)))
        drawn = [float(one.loss(x)) * e for one, e in zip(self.draws, noise, strict=True)]
        return CurveForecast(
            at=x,
            loss=float(self.law.loss(x)),
            level=self.level,
            interval=self.find_interval(drawn),
            extrapolation_decades=decades,
        )

    def speed_up(self) -> tuple[float, tuple[float, float] | None]:
        """How many times less of x the second recipe needs for the first's loss."""
        return _find_speed_up(self.law), self.find_interval(
            [_find_speed_up(one) for one in self.draws]
        )

    def find_scale(self, scale: LossScale) -> LossScale:
        """The unit of the letters: that of losses, or nats where it is a perplexity."""
        return NATS if scale.factor is None else scale

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """The law as JSON; a second recipe's A beside the first's."""
        own = self.find_scale(scale)
        params = self.law.list_letters(own)
        drawn = [one.list_letters(own) for one in self.draws]
        intervals = {name: self.find_interval([one[name] for one in drawn]) for name in params}
        second = {} if len(self.law.scale) < 2 else {"A_second": own.to(self.law.scale[1])}
        return {
            **scale.to_contract(),
            "status": "converged",
            "variable": self.variable,
            "n": sum(self.runs),
            "law": {"equation": f"E + A/{self.variable}^alpha", "params": params | second,
                    "intervals": intervals, "fitted": ["A", *self.free],
                    **({} if scale.unit == "nats" else {"loss_unit": own.unit})},
            "level": self.level,
            "objective": {"name": "huber_log", "delta": DELTA, "sum": self.objective},
            "sigma": self.sigma,
            "range": list(self.covered),
        }  # fmt: skip


def fit_curve(
    x: Sequence[FloatArray],
    loss: Sequence[FloatArray],
    *,
    variable: Variable,
    floor: float | None = None,
    exponent: float | None = None,
    bootstrap: int | None = 1000,
    level: float = 0.9,
    seed: int = 0,
) -> CurveFit:
    """Fit L(x) = E + A/x^α to one table, or to two whose E and α are shared.

    Args:
        x, loss: Variable and loss of each table, positive, shape (n,); loss in nats/token.
        variable: What x is.
        floor: E [nats/token], 0 for none; None: fitted.
        exponent: α; None: fitted.
        bootstrap: Refits behind the intervals; None: no intervals.
        level, seed: Probability of the intervals; seed of their draws.

    Raises:
        NoFitError: Fewer points, or distinct x, than the law has coefficients.
        QueryError: E or α is out of its range.
    """
    lowest = min(float(one.min()) for one in loss)
    if floor is not None and not 0 <= floor < lowest:
        raise QueryError(
            f"--floor: E is {floor:.6g} nats/token; it is at least 0 and below the lowest loss, "
            f"{lowest:.6g} nats/token."
        )
    if exponent is not None and not 0 < exponent <= MAX_EXPONENT:
        raise QueryError(f"--exponent {exponent:g}: above 0, at most {MAX_EXPONENT:g}.")
    free = (*(("E",) if floor is None else ()), *(("alpha",) if exponent is None else ()))
    points, count = np.concatenate(list(x)), len(x) + len(free)
    distinct = np.unique(points).size
    if points.size < count or distinct < 1 + len(free):
        raise NoFitError(
            f"{points.size} runs at {distinct} distinct {variable}; the law has {count} "
            f"coefficients. Add runs, or hold E or α: --floor VALUE, --exponent VALUE."
        )
    task = _Task(tuple(x), floor, exponent, lowest)
    target = np.log(np.concatenate(list(loss)))
    best = min((task.solve(target, task.start(target, one)) for one in _STARTS),
               key=lambda found: found[1])  # fmt: skip
    theta, objective = best
    freedom = points.size - count
    residual = task.residual(theta, target)
    sigma = math.sqrt(float(residual @ residual) / freedom) if freedom > 0 else None
    draws: list[CurveLaw] = []
    if bootstrap and sigma is not None:
        rng = np.random.default_rng(seed)
        fitted = target + residual
        for _ in range(bootstrap):
            drawn = fitted + sigma * rng.standard_normal(target.size)
            draws.append(task.make_law(task.solve(drawn, theta)[0]))
    return CurveFit(
        variable=variable,
        law=task.make_law(theta),
        free=free,
        draws=tuple(draws),
        sigma=sigma,
        objective=objective,
        covered=(float(points.min()), float(points.max())),
        runs=tuple(one.size for one in x),
        level=level,
    )


def _find_speed_up(law: CurveLaw) -> float:
    first, second = law.scale
    return float((first / second) ** (1.0 / law.exponent))


class _Task:
    """θ = (ln a of each table, E, α as far as they are free); a is A at the centre of ln x, where
    it and α are hardly correlated."""

    def __init__(
        self,
        x: tuple[FloatArray, ...],
        floor: float | None,
        exponent: float | None,
        lowest: float,
    ) -> None:
        logs = [np.log(one) for one in x]
        self.centre = float(np.mean(np.concatenate(logs)))
        self.logs = np.concatenate(logs) - self.centre
        self.table = np.repeat(np.arange(len(x)), [one.size for one in x])
        self.floor, self.exponent, self.lowest = floor, exponent, lowest
        self.count = len(x)

    def start(self, target: FloatArray, exponent: float) -> FloatArray:
        """A start whose floor is half of the lowest loss."""
        floor = 0.5 * self.lowest if self.floor is None else self.floor
        alpha = exponent if self.exponent is None else self.exponent
        above = np.log(np.maximum(np.exp(target) - floor, 1e-6)) + alpha * self.logs
        scales = [float(np.mean(above[self.table == at])) for at in range(self.count)]
        return np.array([*scales, *([floor] if self.floor is None else []),
                         *([alpha] if self.exponent is None else [])])  # fmt: skip

    def solve(self, target: FloatArray, start: FloatArray) -> tuple[FloatArray, float]:
        """(θ, objective) of the optimum near a start."""
        low = [-60.0] * self.count + ([0.0] if self.floor is None else [])
        high = [60.0] * self.count + ([1.5 * self.lowest] if self.floor is None else [])
        if self.exponent is None:
            low, high = [*low, 1e-4], [*high, MAX_EXPONENT]
        start = np.clip(start, np.array(low) + 1e-9, np.array(high) - 1e-9)
        found = least_squares(
            self.residual, start, args=(target,), bounds=(low, high), loss="huber", f_scale=DELTA,
            x_scale="jac", xtol=_TOLERANCE, ftol=_TOLERANCE, gtol=_TOLERANCE, max_nfev=400,
        )  # fmt: skip
        return np.asarray(found.x), float(found.cost)

    def residual(self, theta: FloatArray, target: FloatArray) -> FloatArray:
        """ln L(x) - ln loss, shape (n,)."""
        floor, alpha = self._split(theta)
        scale = np.exp(theta[self.table])
        return np.asarray(np.log(floor + scale * np.exp(-alpha * self.logs)) - target)

    def make_law(self, theta: FloatArray) -> CurveLaw:
        floor, alpha = self._split(theta)
        scale = np.exp(theta[: self.count] + alpha * self.centre)
        return CurveLaw(floor=floor, scale=tuple(map(float, scale)), exponent=alpha)

    def _split(self, theta: FloatArray) -> tuple[float, float]:
        rest = list(theta[self.count :])
        floor = float(rest.pop(0)) if self.floor is None else self.floor
        return floor, float(rest[0]) if self.exponent is None else self.exponent
