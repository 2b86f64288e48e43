"""Coverage of N* by a parabola, a cubic and Akima's interpolation, in simulated sweeps.

    python benchmarks/minima.py [--sweeps 200] [--draws 200]

Losses are a known law's with Gaussian noise on ln loss. Laws: `even` (alpha .35, beta .30, the
tests' own) and `lopsided` (alpha .50, beta .25); costs: 6ND and the ladder's. Designs: budgets of
`sizes` models within x`span` either side of the optimum, or all `off` times too large. Ways: the
parabola through at most seven sizes (isoflop.py) with noise drawn as if sigma were known, and as a
t-distribution, as the fit does; a parabola and a cubic of its own through all sizes of each budget;
cubics of one skew (cubic.py); Akima. Noise is drawn around each curve with the spread of its
residuals, pooled over budgets. Printed for each: sweeps that gave a line; median bias of ln N* at
the budgets and at ten times the largest; share of the nominal 90 % intervals that hold N* of a
budget, a, and N* at ten times the largest; median widths; root mean square error of the last.
"""

import argparse
import itertools
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.interpolate import Akima1DInterpolator

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fitting"))
from known_law import NOISE, TRUTH

from scaling.fitting.budgets import group_budgets
from scaling.fitting.cubic import draw_minima
from scaling.fitting.isoflop import MIN_OPTIMA, choose_window, fit_power_line
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND, CostModel, make_ladder_cost
from scaling.sweep.ladder import list_ladder
from scaling.tables.run_table import RunTable, make_table
from scaling.units import FloatArray

LEVEL = (0.05, 0.95)
FAR = 10.0
# Both have N* = 1e4 at 3e10 FLOPs.
LAWS = {"even": TRUTH, "lopsided": np.array([0.6, 0.5 * 1e4**0.5, 1.0 * 5e5**0.25, 0.5, 0.25])}


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Five budgets between `ends` [FLOPs], `sizes` models each; sigma of ln loss."""

    sizes: int
    span: float
    sigma: float
    ends: tuple[float, float]
    off: float = 1.0


SMALL, WIDE = (3e10, 6.5e11), (1e11, 1e13)
DESIGNS = {
    "5x5 span 4": Design(sizes=5, span=4, sigma=NOISE, ends=SMALL),
    "5x7 span 4": Design(sizes=7, span=4, sigma=NOISE, ends=WIDE),
    "5x7 span 6": Design(sizes=7, span=6, sigma=NOISE, ends=WIDE),
    "5x7 span 8": Design(sizes=7, span=8, sigma=NOISE, ends=WIDE),
    "5x7 span 8, off x1.5": Design(sizes=7, span=8, sigma=NOISE, ends=WIDE, off=1.5),
    "5x7 span 8, .2 %": Design(sizes=7, span=8, sigma=0.002, ends=WIDE),
    "5x9 span 8, .2 %": Design(sizes=9, span=8, sigma=0.002, ends=WIDE),
    "5x11 span 8, .2 %": Design(sizes=11, span=8, sigma=0.002, ends=WIDE),
    "5x11 span 16, .2 %": Design(sizes=11, span=16, sigma=0.002, ends=WIDE),
    "5x11 span 8, off x2, .2 %": Design(sizes=11, span=8, sigma=0.002, ends=WIDE, off=2.0),
}
COSTS: dict[str, CostModel] = {
    "6ND": SIX_ND,
    "ladder": make_ladder_cost(list_ladder(256, 128, max_params=1e8), "matmul"),
}
WAYS = ("parabola", "parabola, t", "parabola, all", "cubics", "one skew", "akima")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """ln N* of each budget, shape (k,), NaN without one; its draws, shape (draws, k); their σ."""

    point: FloatArray
    draws: FloatArray
    sigma: float


def find_lowest(coefficients: FloatArray) -> FloatArray:
    """The local minimum of c0 + c1·x + c2·x² [+ c3·x³] for coefficients (..., 3 or 4); NaN without.

    x = −c1 / (c2 + √(c2² − 3·c1·c3)), the root of the slope at which the curve bends up."""
    c1, c2 = coefficients[..., 1], coefficients[..., 2]
    c3 = coefficients[..., 3] if coefficients.shape[-1] > 3 else np.zeros_like(c2)
    with np.errstate(divide="ignore", invalid="ignore"):
        lowest = -c1 / (c2 + np.sqrt(c2**2 - 3.0 * c1 * c3))
        bent = np.isfinite(lowest) & (2.0 * c2 + 6.0 * c3 * lowest > 0)
    return np.where(bent, lowest, np.nan)


def fit_polynomials(
    log_n: FloatArray, loss: FloatArray, degree: int, whole: bool, draws: int, t: bool,
    rng: np.random.Generator,
) -> Found:  # fmt: skip
    """A polynomial of each budget in ln N; log_n and loss are (budgets, sizes)."""
    parts, total, freedom = [], 0.0, 0
    for x, y in zip(log_n, loss, strict=True):
        lead = int(np.argmin(y))
        kept = np.isin(x, x if whole else choose_window(x, lead))
        centre = float(x[kept].mean())
        design = (x[kept] - centre)[:, None] ** np.arange(degree + 1)
        inverse = np.linalg.pinv(design)
        fitted = design @ (inverse @ y[kept])
        total += float(np.sum((y[kept] / fitted - 1.0) ** 2))
        freedom += y[kept].size - degree - 1
        parts.append((x[kept], centre, inverse, y[kept], fitted, 0 < lead < x.size - 1))
    sigma = np.sqrt(total / max(freedom, 1))
    spread = sigma * np.ones((draws, 1))
    if t:
        spread *= np.sqrt(freedom / rng.chisquare(freedom, size=(draws, 1)))
    point = np.full(len(parts), np.nan)
    drawn = np.full((draws, len(parts)), np.nan)
    for at, (x, centre, inverse, y, fitted, inside) in enumerate(parts):
        noise = spread * rng.standard_normal((draws, x.size)) * y
        losses = np.concatenate((y[None], fitted + noise))
        lowest = find_lowest(losses @ inverse.T) + centre
        lowest[~((lowest > x[0]) & (lowest < x[-1]))] = np.nan
        if inside:
            point[at], drawn[:, at] = lowest[0], lowest[1:]
    return Found(point=point, draws=drawn, sigma=float(sigma))


def fit_shared_skew(table: RunTable, draws: int, seed: int) -> Found:
    """Cubics of one skew, as cubic.py fits and draws them."""
    budgets = group_budgets(table)
    optima, drawn = draw_minima(table, budgets, table.cost, count=draws, seed=seed)
    point = np.full(len(budgets), np.nan)
    all_draws = np.full((draws, len(budgets)), np.nan)
    at = np.searchsorted([one.realised for one in budgets], optima.flops)
    point[at], all_draws[:, at] = np.log(optima.params), drawn
    return Found(point=point, draws=all_draws, sigma=np.nan)


def fit_akima(
    log_n: FloatArray, loss: FloatArray, sigma: float, draws: int, rng: np.random.Generator
) -> Found:
    """Interpolation through every size, as akima.py does; noise is drawn around the losses."""
    point = np.full(len(log_n), np.nan)
    drawn = np.full((draws, len(log_n)), np.nan)
    for at, (x, y) in enumerate(zip(log_n, loss, strict=True)):
        noise = sigma * rng.standard_normal((x.size, draws))
        curves = np.concatenate((np.log(y)[:, None], np.log(y)[:, None] + noise), axis=1)
        grid = np.interp(np.arange(25 * (x.size - 1) + 1) / 25.0, np.arange(x.size), x)
        lowest = grid[np.argmin(Akima1DInterpolator(x, curves, axis=0)(grid), axis=0)]
        lowest = np.where((lowest > x[0]) & (lowest < x[-1]), lowest, np.nan)
        if np.isfinite(lowest[0]):
            point[at], drawn[:, at] = lowest[0], lowest[1:]
    return Found(point=point, draws=drawn, sigma=sigma)


def judge(law: str, cost: CostModel, design: Design, draws: int, seed: int) -> FloatArray:
    """One sweep: for each of WAYS (line?, bias, bias at FAR, covered N*, a, far, widths of a and of
    far); shape (ways, 8)."""
    rng = np.random.default_rng(seed)
    flops = np.geomspace(*design.ends, 5)
    asked = np.append(flops, FAR * flops[-1])
    best, _ = find_frontier(CHINCHILLA, LAWS[law], flops=asked, cost=cost)
    truth = np.log(best)
    true_a = float(fit_power_line(np.log(flops), truth[:-1])[0])
    sizes = np.linspace(-1.0, 1.0, design.sizes) * np.log(design.span) + np.log(design.off)
    log_n = truth[:-1, None] + sizes
    params = np.exp(log_n)
    tokens = flops[:, None] / cost.flops_per_token(params)
    loss = CHINCHILLA.loss(LAWS[law], params, tokens)
    loss = loss * np.exp(design.sigma * rng.standard_normal(loss.shape))
    table = make_table(
        params.ravel(), tokens.ravel(), loss=loss.ravel(), cost=cost,
        budget=np.repeat(flops, design.sizes),
    )  # fmt: skip
    parabola = fit_polynomials(log_n, loss, 2, False, draws, False, rng)
    found = (
        parabola,
        fit_polynomials(log_n, loss, 2, False, draws, True, rng),
        fit_polynomials(log_n, loss, 2, True, draws, True, rng),
        fit_polynomials(log_n, loss, 3, True, draws, True, rng),
        fit_shared_skew(table, draws, seed),
        fit_akima(log_n, loss, parabola.sigma, draws, rng),
    )
    return np.array([score(one, np.log(flops), truth, true_a) for one in found])


def score(one: Found, log_c: FloatArray, truth: FloatArray, true_a: float) -> list[float]:
    there = np.isfinite(one.point)
    if there.sum() < MIN_OPTIMA:
        return [0.0, *[np.nan] * 7]
    log_far = log_c[-1] + np.log(FAR)
    a, level = fit_power_line(log_c[there], one.point[there])
    some = one.draws[:, there]
    known = np.isfinite(some)
    enough = known.sum(axis=1) >= MIN_OPTIMA
    weights = known[enough].astype(np.float64)
    slopes, levels = fit_power_line(log_c[there], np.where(known, some, 0.0)[enough], weights)
    low, high = np.nanquantile(some, LEVEL, axis=0)
    held = np.mean((low <= truth[:-1][there]) & (truth[:-1][there] <= high))
    ends_a = np.quantile(slopes, LEVEL)
    far = np.quantile(levels + slopes * log_far, LEVEL)
    return [
        1.0,
        float(np.mean(one.point[there] - truth[:-1][there])),
        float(level + a * log_far - truth[-1]),
        float(held),
        float(ends_a[0] <= true_a <= ends_a[1]),
        float(far[0] <= truth[-1] <= far[1]),
        float(np.ptp(ends_a)),
        float(np.ptp(far)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sweeps", type=int, default=200)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--laws", nargs="+", default=list(LAWS), choices=LAWS)
    parser.add_argument("--costs", nargs="+", default=list(COSTS), choices=COSTS)
    asked = parser.parse_args()
    for law, cost in itertools.product(asked.laws, asked.costs):
        for name, design in DESIGNS.items():
            print(f"{law}, {cost}, {name}, sigma {design.sigma:.2%}", flush=True)
            one = partial(judge, law, COSTS[cost], design, asked.draws)
            found = np.array([one(seed) for seed in range(asked.sweeps)])
            for way, values in zip(WAYS, found.transpose(1, 2, 0), strict=True):
                share = values[0].mean()
                bias, far_bias, *widths = np.nanmedian(values[[1, 2, 6, 7]], axis=1)
                covered = np.nanmean(values[3:6], axis=1)
                error = np.sqrt(np.nanmean(values[2] ** 2))
                print(
                    f"  {way:13s} lines {share:4.0%}  bias {bias:+.3f}, far {far_bias:+.3f}  "
                    f"covered N* {covered[0]:.2f}, a {covered[1]:.2f}, far {covered[2]:.2f}  "
                    f"width a {widths[0]:.3f}, far {widths[1]:.2f}  rmse far {error:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
