"""How diverse tokens per parameter must be, and whether `design_imprecise` sees where they are not.

    python benchmarks/ratios.py [--tables 60]

On a line of constant D/N the terms of L = E + A/N^α + B/D^β move together, the more so the closer
α and β (arXiv:2605.08541). Let t = ½·ln(N·D) and v = ln(D/N), both centred, h the share of the loss
that either term has, γ = (α + β)/2, n runs, σ of ln loss. At α = β the direction (δα, −δα) changes
L by h·L·γ·t·v·δα and a by −δα/(2γ), and (δln A, −δln A) changes L by h·L·γ·v·δln A and ln N* by
δln A/γ; E, A·B and γ change only what is even in v. So (derived here, from the Fisher information)

    SE(a) = σ / (2·γ²·h·√n·sd(t·v)),    SE(ln N*) = σ / (γ²·h·√n·sd(v))

Designs: 5 ratios D/N over a factor `spread` in all, along two decades of N·D: 5 sizes each at sigma
.64 % (25 runs), 20 at .2 % (100 runs). Printed for the tests' law and for one with α = β: the 90 %
width of a by the closed form; the median width that `design_imprecise` predicts from the fit; the
share of tables that it warns of or that are refused as one ratio; the 90 % range of a over tables;
the share of tables that pass with a off by more than .15, half of what the check promises.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fitting"))
from known_law import NOISE, TRUTH

from scaling.fitting.checks.fits import MAX_SLOPE_WIDTH
from scaling.fitting.checks.points import find_design_problem
from scaling.fitting.identification import identify
from scaling.fitting.parametric import HUBER_EFFICIENCY, estimate_exponent, fit_parametric
from scaling.laws.chinchilla import CHINCHILLA
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import make_table, sort_rows
from scaling.units import FloatArray

SPREADS = (1.0, 1.1, 1.3, 1.6, 2.0, 4.0, 16.0)
LAWS = {
    "tests'": TRUTH,
    "equal": np.array([0.6, 0.82 * 1e4**0.325, 0.82 * 5e5**0.325, 0.325, 0.325]),
}
QUANTILE = float(norm.ppf(0.95))


def design_rays(spread: float, runs: int) -> tuple[FloatArray, FloatArray]:
    """(N, D): five ratios around the best at 3e10 FLOPs, sizes along two decades of N·D."""
    middle = np.linspace(0.0, np.log(100.0), runs // 5) + np.log(5e9)
    v = np.log(50.0) + np.linspace(-0.5, 0.5, 5) * np.log(spread)
    sums, ratios = (grid.ravel() for grid in np.meshgrid(middle, v))
    return np.exp((sums - ratios) / 2.0), np.exp((sums + ratios) / 2.0)


def predict_width(law: FloatArray, params: FloatArray, tokens: FloatArray, sigma: float) -> float:
    """90 % width of a by the closed form."""
    t, v = 0.5 * np.log(params * tokens), np.log(tokens / params)
    t, v = t - t.mean(), v - v.mean()
    gamma = 0.5 * (law[3] + law[4])
    loss = CHINCHILLA.loss(law, params, tokens)
    share = float(np.mean((loss - law[0]) / (2.0 * loss)))
    spread = float(np.std(t * v)) * np.sqrt(params.size)
    return float(QUANTILE * sigma / (gamma**2 * share * spread)) if spread > 1e-9 else np.inf


def judge(
    law: FloatArray, spread: float, runs: int, sigma: float, seed: int
) -> tuple[float, float]:
    """a of one table and the width that the check predicts; inf where no law is fitted."""
    params, tokens = design_rays(spread, runs)
    noise = sigma * np.random.default_rng(seed).standard_normal(params.size)
    loss = CHINCHILLA.loss(law, params, tokens) * np.exp(noise)
    table = sort_rows(make_table(params, tokens, loss=loss))
    if find_design_problem(table) is not None:
        return np.nan, np.inf
    fit = fit_parametric(table, CHINCHILLA, delta=HUBER_EFFICIENCY * sigma)
    flops = 6.0 * params * tokens
    span = (float(flops.min()), float(flops.max()))
    if fit.vanished or not fit.converged:
        return np.nan, np.inf
    known = identify(fit, cost=SIX_ND, flops=span, level=0.9)
    slope = estimate_exponent(CHINCHILLA, fit.coefficients, SIX_ND, span)[0]
    return float(slope), known.slope_width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", type=int, default=60)
    asked = parser.parse_args()
    for name, law in LAWS.items():
        truth = law[4] / (law[3] + law[4])
        for runs, sigma in ((25, NOISE), (100, 0.002)):
            for spread in SPREADS:
                found = np.array(
                    [judge(law, spread, runs, sigma, seed) for seed in range(asked.tables)]
                )
                slope, width = found.T
                passed = width <= MAX_SLOPE_WIDTH
                ends = (
                    np.nanquantile(slope, [0.05, 0.95])
                    if np.isfinite(slope).any()
                    else [np.nan] * 2
                )
                print(
                    f"{name:7s} {runs:3d} runs, sigma {sigma:.2%}, D/N over x{spread:<4g} "
                    f"closed form {predict_width(law, *design_rays(spread, runs), sigma):6.3f}  "
                    f"check {np.median(width):6.3f}, fires {1 - passed.mean():4.0%}  "
                    f"a ranges over {ends[1] - ends[0]:5.3f}  "
                    f"passes and a is off {np.mean(passed & (np.abs(slope - truth) > 0.15)):4.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
