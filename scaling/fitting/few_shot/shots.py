"""The value of k examples: a power law in k of the excess loss over the known source.

    regret(k) = e + a · (1 + k/k₀)^−c      per run, by least squares of relative errors, e ≥ 0
    c = c_0 + c_N ln N + c_D ln D          and the same for ln a, over the runs that infer

e is the part that no number of examples removes. k₀, the number of examples that the prior
knowledge is worth, is a property of the source; it comes from the law of the best predictor
(e = 0), which is also the control. For chains with s states the best predictor's regret tends to
s(s−1) / 2k, so its c is about 1; a plain k^−c would bend where k is near k₀. A cell's interval is
Student's over its seeds; those of slopes and forecasts come from least squares over runs. The
largest N is forecast from the smaller ones. Source of the form: power laws in shots, Arora et al.
2024, arXiv:2410.16531; k₀ is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import stdtrit

from scaling.files.contract import to_contract, write_fields
from scaling.fitting.cell_forecast import CellForecast
from scaling.fitting.few_shot.runs import ShotRun
from scaling.fitting.fitted import Interval
from scaling.fitting.intervals import find_mean_interval
from scaling.sweep.probes import ProbeCurve
from scaling.units import FloatArray

LEVEL = 0.9
FEWEST_POINTS = 6  # per curve: twice the number of coefficients
FEWEST_SIZES = 3  # sizes that infer; a slope through two cannot misfit
# Share of a curve's maximum by which it must fall: a flatter one does not determine c.
LEAST_FALL = 0.5
_EXPONENTS, _STARTS = (0.02, 20.0), (1e-2, 1e4)  # search ranges; a c or k₀ at an end is rejected


@dataclass(frozen=True, slots=True)
class ShotLaw:
    """Coefficients of regret(k) = e + a · (1 + k/k₀)^−c: e, a [nats/token], c and k₀."""

    floor: float
    scale: float
    exponent: float
    start: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotCell:
    """The law at one (N, D): means over seeds (geometric for a), and Student's interval of c.

    Attributes:
        params, tokens, runs: N, D and the number of seeds.
        fitted: Runs with a law, whose curve falls far enough.
        inferring, remembering: Runs that infer, and runs that remember their training sources.
        excess: Excess loss over the best predictor [nats/token].
        floor, scale, exponent: e, a [nats/token] and c; None if no run has a law.
        interval: Interval of c; None with fewer than two runs.
        start, bound_exponent: The best predictor's k₀ and c.
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
            "c_interval": to_contract(self.interval),
            "c_of_best_predictor": self.bound_exponent,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How c or ln a changes with ln N and ln D, among the runs that infer.

    Attributes:
        quantity: `c` or `ln a`.
        slopes: Slope and interval by variable (N, D); a variable that does not vary has none.
        runs: Number of runs fitted.
        reason: The reason there are no slopes; empty if there are some.
        forecasts: c or ln a at the largest N and each D, from the smaller sizes.
        refused: The reason there are no forecasts.
    """

    quantity: str
    slopes: dict[str, tuple[float, Interval]] = field(default_factory=dict)
    runs: int
    reason: str
    forecasts: tuple[CellForecast, ...] = ()
    refused: str

    def to_contract(self) -> dict[str, Any]:
        slopes = {
            name: {"value": value, "interval": interval.to_contract()}
            for name, (value, interval) in self.slopes.items()
        }
        return {**write_fields(self, runs="n"), "slopes": slopes}


def fit_bound(curve: ProbeCurve | None) -> ShotLaw | None:
    """Fit the best predictor's law, with e = 0; None if its curve has none (see `fit_shots`)."""
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
    """Fit the law of one curve with the best predictor's k₀; None without a k₀, or if the curve is
    too short, falls too little, or has its best c at an end of the range."""
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
    """Return (e, a) at given (ln k₀, ln c), and the sum of squared relative errors of y; e ≥ 0, and
    e = 0 unless it is free."""
    start, exponent = np.exp(np.clip(theta, -20.0, 20.0))
    u, v = 1.0 / y, np.exp(-exponent * np.log1p(x / start)) / y
    e, a = 0.0, float(v.sum() / (v @ v))
    if free:
        uu, uv, vv = u @ u, u @ v, v @ v
        e = float((vv * u.sum() - uv * v.sum()) / (uu * vv - uv * uv))
        e, a = (e, float((v.sum() - e * uv) / vv)) if e > 0.0 else (0.0, a)
    return (e, a), float(np.sum((e * u + a * v - 1.0) ** 2))


def describe_shots(runs: Sequence[ShotRun]) -> tuple[tuple[ShotCell, ...], tuple[Trend, ...]]:
    """Fit the law of each (N, D), ascending, and the trends of c and ln a."""
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
        interval=find_mean_interval(exponents, LEVEL),
        start=_mean([one.start for one in best]),
        bound_exponent=_mean([one.exponent for one in best]),
    )


def _find_trend(quantity: str, rows: FloatArray) -> Trend:
    """Fit the trend of rows (N, D, value)."""
    sizes = np.unique(rows[:, 0])
    if max(sizes.size, np.unique(rows[:, 1]).size) < FEWEST_SIZES:
        reason = (
            f"{sizes.size} N and {np.unique(rows[:, 1]).size} D have runs that infer with a law; "
            f"{FEWEST_SIZES} N or D are needed"
        )
        return Trend(quantity=quantity, runs=len(rows), reason=reason, refused=reason)
    fit = _Line(rows)
    forecasts: tuple[CellForecast, ...] = ()
    refused = ""
    below = rows[rows[:, 0] < sizes[-1]]
    if sizes.size <= FEWEST_SIZES:
        refused = (
            f"{sizes.size} model sizes infer; {FEWEST_SIZES + 1} are needed: {FEWEST_SIZES} to "
            "fit, one to forecast"
        )
    elif _Line(below).free < 1:
        refused = "too few runs below the largest model size"
    else:
        forecasts = _forecast(_Line(below), rows[rows[:, 0] == sizes[-1]])
    return Trend(
        quantity=quantity, slopes=fit.list_slopes(), runs=len(rows),
        reason="" if fit.free > 0 else "too few runs", forecasts=forecasts, refused=refused,
    )  # fmt: skip


def _forecast(line: _Line, rows: FloatArray) -> tuple[CellForecast, ...]:
    found = []
    for tokens in np.unique(rows[:, 1]):
        own = rows[rows[:, 1] == tokens]
        said, interval = line.predict(own[0, 0], tokens, runs=len(own))
        found.append(
            CellForecast(
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
    """Least squares of a value on ln N and ln D, each if it varies."""

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
        """Predict the mean over that many runs."""
        row = self._design(np.log([[params, tokens]]))[0]
        half = self.student * math.sqrt(self.variance * (1.0 / runs + row @ self.inverse @ row))
        said = float(row @ self.beta)
        return said, Interval(low=said - half, high=said + half, level=LEVEL)

    def _design(self, logs: FloatArray) -> FloatArray:
        centred = (logs - self.centre)[:, self.varied]
        return np.concatenate((np.ones((len(logs), 1)), centred), axis=1)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
