"""What k examples are worth: the loss beyond knowing the source, a power of k, at every N and D.

    regret(k) = e + a · (1 + k/k₀)^−c      of each run, by least squares of relative errors, e ≥ 0
    c = c_0 + c_N ln N + c_D ln D          and ln a alike, over the runs that infer

e is what no number of examples takes away. k₀ is the source's: as many examples as what is known
without any is worth, from the law of the best predictor (e = 0), which is also the control. Of
chains with s states that one tends to s(s−1) / 2k, so that its c is about 1; a plain k^−c would
bend where k is near k₀. Intervals of a cell are Student's over its seeds, those of slopes and
forecasts of least squares over runs. The largest N is forecast from the smaller ones. Source of the
form: power laws in shots, Arora et al. 2024, arXiv:2410.16531; k₀ is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import stdtrit

from scaling.fitting.few_shot.runs import ShotRun
from scaling.fitting.fitted import Interval
from scaling.sweep.probes import ProbeCurve
from scaling.units import FloatArray

LEVEL = 0.9
FEWEST_POINTS = 6  # of a curve: twice the coefficients
FEWEST_SIZES = 3  # that infer, for a slope that a third can contradict
# Of a curve's first point: one that falls by less has no power of k to speak of.
LEAST_FALL = 0.5
_EXPONENTS, _STARTS = (0.02, 20.0), (1e-2, 1e4)  # ends of the search: a c or k₀ there is none


@dataclass(frozen=True, slots=True)
class ShotLaw:
    """e, a [nats/token], c and k₀ of regret(k) = e + a · (1 + k/k₀)^−c."""

    floor: float
    scale: float
    exponent: float
    start: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotCell:
    """The law of one (N, D): means over its seeds (a geometric), and Student's interval of c.

    Attributes:
        params, tokens, runs: N, D and seeds.
        fitted: Runs whose curve falls far enough to have a law.
        inferring, remembering: Runs that infer, and that remember their training sources instead.
        excess: Loss beyond the best predictor's [nats/token].
        floor, scale, exponent: e, a [nats/token] and c; None: no run has a law.
        interval: Of c; None: of fewer than two.
        start, bound_exponent: k₀ and c of the best predictor.
    """

    params: float
    tokens: float
    runs: int
    fitted: int
    inferring: int
    remembering: int
    excess: float | None
    floor: float | None
    scale: float | None
    exponent: float | None
    interval: Interval | None
    start: float | None
    bound_exponent: float | None

    def to_contract(self) -> dict[str, Any]:
        """JSON of the same."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            "runs": self.runs,
            "fitted": self.fitted,
            "inferring": self.inferring,
            "remembering": self.remembering,
            "excess": self.excess,
            "law": None
            if self.exponent is None
            else {"e": self.floor, "a": self.scale, "c": self.exponent, "k0": self.start},
            "c_interval": None if self.interval is None else self.interval.to_contract(),
            "c_of_best_predictor": self.bound_exponent,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotForecast:
    """c or ln a of the largest N at one D: forecast, and measured over its seeds."""

    params: float
    tokens: float
    runs: int
    forecast: float
    interval: Interval
    measured: float

    @property
    def inside(self) -> bool:
        return self.interval.low <= self.measured <= self.interval.high

    def to_contract(self) -> dict[str, Any]:
        """JSON of the same."""
        return {
            "params": self.params,
            "tokens": self.tokens,
            "runs": self.runs,
            "forecast": self.forecast,
            "interval": self.interval.to_contract(),
            "measured": self.measured,
            "inside": self.inside,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How c or ln a moves with ln N and ln D among runs that infer.

    Attributes:
        quantity: `c` or `ln a`.
        slopes: By variable (N, D), with its interval; none where it does not vary or nothing can
            be said.
        runs: How many it rests on.
        reason: Why there are no slopes; empty if there are.
        forecasts: Of the largest N from the smaller ones.
        refused: Why there are none.
    """

    quantity: str
    slopes: dict[str, tuple[float, Interval]]
    runs: int
    reason: str
    forecasts: tuple[ShotForecast, ...]
    refused: str

    def to_contract(self) -> dict[str, Any]:
        """JSON of the same."""
        return {
            "quantity": self.quantity,
            "slopes": {
                name: {"value": value, "interval": interval.to_contract()}
                for name, (value, interval) in self.slopes.items()
            },
            "n": self.runs,
            "reason": self.reason,
            "forecasts": [one.to_contract() for one in self.forecasts],
            "refused": self.refused,
        }


def fit_bound(curve: ProbeCurve | None) -> ShotLaw | None:
    """The law of the best predictor, with e = 0; None where there is none, as for `fit_shots`."""
    if curve is None or not _falls(curve):
        return None
    x, y = np.array(curve.x), np.array(curve.y)

    def lose(theta: FloatArray) -> float:
        return _solve(x, y, theta, free=False)[1]

    found = minimize(
        lose,
        [math.log(10.0), 0.0],
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-14, "maxiter": 2000},
    )
    start, exponent = np.exp(found.x)
    if not (_STARTS[0] < start < _STARTS[1] and _EXPONENTS[0] < exponent < _EXPONENTS[1]):
        return None
    (_, scale), _ = _solve(x, y, found.x, free=False)
    return ShotLaw(0.0, scale, float(exponent), float(start))


def fit_shots(curve: ProbeCurve | None, bound: ShotLaw | None) -> ShotLaw | None:
    """The law of one curve with the k₀ of the best predictor; None without that, or where the curve
    is too short, does not fall far enough to have a law, or c is at an end of its range."""
    if curve is None or bound is None or not _falls(curve):
        return None
    x, y, log = np.array(curve.x), np.array(curve.y), math.log(bound.start)

    def lose(c: float) -> float:
        return _solve(x, y, np.array([log, c]), free=True)[1]

    grid = np.log(np.geomspace(*_EXPONENTS, 60))
    best = int(np.argmin([lose(c) for c in grid]))
    if best in (0, len(grid) - 1):
        return None
    near = float(grid[best - 1]), float(grid[best + 1])
    found = minimize_scalar(lose, bounds=near, method="bounded", options={"xatol": 1e-9})
    (floor, scale), _ = _solve(x, y, np.array([log, found.x]), free=True)
    return ShotLaw(floor, scale, math.exp(found.x), bound.start)


def _falls(curve: ProbeCurve) -> bool:
    enough = len(curve.x) >= FEWEST_POINTS and min(curve.y) > 0.0
    return enough and curve.y[-1] <= (1.0 - LEAST_FALL) * max(curve.y)


def _solve(
    x: FloatArray, y: FloatArray, theta: FloatArray, *, free: bool
) -> tuple[tuple[float, float], float]:
    """(e, a) of given (ln k₀, ln c), and the sum of squares of y's relative errors; e is at least
    0, and 0 if it is not free."""
    start, exponent = np.exp(np.clip(theta, -20.0, 20.0))
    u, v = 1.0 / y, np.exp(-exponent * np.log1p(x / start)) / y
    e, a = 0.0, float(v.sum() / (v @ v))
    if free:
        uu, uv, vv = u @ u, u @ v, v @ v
        e = float((vv * u.sum() - uv * v.sum()) / (uu * vv - uv * uv))
        e, a = (e, float((v.sum() - e * uv) / vv)) if e > 0.0 else (0.0, a)
    return (e, a), float(np.sum((e * u + a * v - 1.0) ** 2))


def describe_shots(runs: Sequence[ShotRun]) -> tuple[tuple[ShotCell, ...], tuple[Trend, ...]]:
    """The laws of each (N, D), ascending, and how c and ln a move."""
    bounds = [fit_bound(one.bound) for one in runs]
    laws = [fit_shots(one.regret, bound) for one, bound in zip(runs, bounds, strict=True)]
    cells = []
    for n, d in sorted({(one.params, one.tokens) for one in runs}):
        rows = [at for at, one in enumerate(runs) if (one.params, one.tokens) == (n, d)]
        own = ([laws[at] for at in rows], [bounds[at] for at in rows])
        cells.append(_describe_cell([runs[at] for at in rows], *own))
    known = [
        (one.params, one.tokens, law)
        for one, law in zip(runs, laws, strict=True)
        if law is not None and one.infers
    ]
    reads: tuple[tuple[str, Callable[[ShotLaw], float]], ...] = (
        ("c", lambda law: law.exponent),
        ("ln a", lambda law: math.log(law.scale)),
    )
    trends = tuple(
        _find_trend(name, np.array([(n, d, read(law)) for n, d, law in known]).reshape(-1, 3))
        for name, read in reads
    )
    return tuple(cells), trends


def _describe_cell(
    runs: Sequence[ShotRun], laws: Sequence[ShotLaw | None], bounds: Sequence[ShotLaw | None]
) -> ShotCell:
    known = [one for one in laws if one is not None]
    best = [one for one in bounds if one is not None]
    exponents = np.array([one.exponent for one in known])
    excess = [one.excess for one in runs if one.excess is not None]
    return ShotCell(
        params=runs[0].params,
        tokens=runs[0].tokens,
        runs=len(runs),
        fitted=len(known),
        inferring=sum(one.infers for one in runs),
        remembering=sum(one.remembers for one in runs),
        excess=_mean(excess),
        floor=_mean([one.floor for one in known]),
        scale=math.exp(float(np.log([one.scale for one in known]).mean())) if known else None,
        exponent=_mean(exponents.tolist()),
        interval=_bound_mean(exponents),
        start=_mean([one.start for one in best]),
        bound_exponent=_mean([one.exponent for one in best]),
    )


def _find_trend(quantity: str, rows: FloatArray) -> Trend:
    """Of rows (N, D, value)."""
    sizes = np.unique(rows[:, 0])
    if max(sizes.size, np.unique(rows[:, 1]).size) < FEWEST_SIZES:
        reason = (
            f"{sizes.size} sizes and {np.unique(rows[:, 1]).size} D have runs that infer and a law;"
            f" {FEWEST_SIZES} of either are needed"
        )
        return Trend(
            quantity=quantity, slopes={}, runs=len(rows), reason=reason, forecasts=(),
            refused=reason,
        )  # fmt: skip
    fit = _Line(rows)
    forecasts: tuple[ShotForecast, ...] = ()
    refused = ""
    below = rows[rows[:, 0] < sizes[-1]]
    if sizes.size <= FEWEST_SIZES:
        refused = (
            f"{sizes.size} sizes infer; {FEWEST_SIZES + 1} are needed: {FEWEST_SIZES} to fit, one "
            "to forecast"
        )
    elif _Line(below).free < 1:
        refused = "too few runs below the largest size"
    else:
        forecasts = _forecast(_Line(below), rows[rows[:, 0] == sizes[-1]])
    return Trend(
        quantity=quantity, slopes=fit.list_slopes(), runs=len(rows),
        reason="" if fit.free > 0 else "too few runs", forecasts=forecasts, refused=refused,
    )  # fmt: skip


def _forecast(line: _Line, rows: FloatArray) -> tuple[ShotForecast, ...]:
    found = []
    for tokens in np.unique(rows[:, 1]):
        own = rows[rows[:, 1] == tokens]
        said, interval = line.predict(own[0, 0], tokens, runs=len(own))
        found.append(
            ShotForecast(
                params=float(own[0, 0]),
                tokens=float(tokens),
                runs=len(own),
                forecast=said,
                interval=interval,
                measured=float(own[:, 2].mean()),
            )
        )
    return tuple(found)


class _Line:
    """Least squares of a value on ln N and ln D, as far as they vary."""

    def __init__(self, rows: FloatArray) -> None:
        logs = np.log(rows[:, :2])
        self.varied = [at for at in (0, 1) if np.ptp(logs[:, at]) > 0.0]
        self.centre = logs.mean(axis=0)
        design = self._design(logs)
        self.beta, *_ = np.linalg.lstsq(design, rows[:, 2], rcond=None)
        self.free = len(rows) - design.shape[1]
        miss = rows[:, 2] - design @ self.beta
        self.variance = float(miss @ miss) / self.free if self.free > 0 else math.nan
        self.inverse = np.linalg.pinv(design.T @ design)
        self.student = float(stdtrit(self.free, 0.5 + 0.5 * LEVEL)) if self.free > 0 else math.nan

    def list_slopes(self) -> dict[str, tuple[float, Interval]]:
        if self.free < 1:
            return {}
        found = {}
        for at, variable in enumerate(self.varied, start=1):
            half = self.student * math.sqrt(self.variance * self.inverse[at, at])
            value = float(self.beta[at])
            interval = Interval(low=value - half, high=value + half, level=LEVEL)
            found["ND"[variable]] = (value, interval)
        return found

    def predict(self, params: float, tokens: float, *, runs: int) -> tuple[float, Interval]:
        """The mean of so many runs."""
        row = self._design(np.log([[params, tokens]]))[0]
        half = self.student * math.sqrt(self.variance * (1.0 / runs + row @ self.inverse @ row))
        said = float(row @ self.beta)
        return said, Interval(low=said - half, high=said + half, level=LEVEL)

    def _design(self, logs: FloatArray) -> FloatArray:
        centred = (logs - self.centre)[:, self.varied]
        return np.concatenate((np.ones((len(logs), 1)), centred), axis=1)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _bound_mean(values: FloatArray) -> Interval | None:
    if values.size < 2:
        return None
    half = float(stdtrit(values.size - 1, 0.5 + 0.5 * LEVEL)) * float(values.std(ddof=1))
    half /= math.sqrt(values.size)
    middle = float(values.mean())
    return Interval(low=middle - half, high=middle + half, level=LEVEL)
