"""Whether seed noise is alike in models of all sizes: what σ, δ and `lack_of_fit` suppose.

    s²(N) = Σ (ln L − mean of the cell)² / Σ (seeds − 1),   over the replicated cells of a size N

Each size, and each set of the smallest sizes, is held against the rest: F = s²(in) / s²(out), one
sided. Levene's test, which asks for no Gaussian, has nothing to work on where cells have two seeds:
their deviations are equal but for the sign.

Source: F test of two variances, Snedecor and Cochran 1989, Statistical Methods, 8th ed., sec. 6.12.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import fdtrc

from scaling.fitting.checks import pass_if
from scaling.fitting.noise import find_replicates
from scaling.fitting.result import Check
from scaling.ledger.tables import RunTable
from scaling.units import FloatArray, format_count

# Some thirty checks are read together (residual_checks).
MAX_CHANCE = 0.01
# Two seeds 3 % apart, which is what other recipes do (checks.py, _RECIPE_SPREAD), and as much as an
# IsoFLOP curve bends within ×3 in N (budgets.py): such runs do not tell where its minimum lies.
MAX_SEED_NOISE = 0.03 / math.sqrt(2.0)
# As `lack_of_fit`.
_MIN_FREEDOM = 4
# Below this, seeds do not differ.
_NOISE_FREE = 1e-6


def check_seed_spread(table: RunTable) -> Check:
    """Whether a size, or the smallest sizes, have more seed noise than the others, or too much.

    p of the F tests is multiplied by their number (Bonferroni). It supposes Gaussian noise within a
    size: false alarms on other noise stand in DECISIONS.md, "Checks of the recipe".
    """
    code = "seed_spread"
    if table.trajectory is not None:
        return pass_if(None, code, "Rows along one training run share its noise.", "")
    sizes, square, freedom = _pool_sizes(table)
    total = int(freedom.sum())
    if total < _MIN_FREEDOM:
        seen = f"Seeds give {total} degrees of freedom; {_MIN_FREEDOM} are needed."
        return pass_if(None, code, seen, "")
    sigma = np.sqrt(square / freedom)
    pooled = math.sqrt(float(square.sum()) / total)
    if pooled < _NOISE_FREE:
        return pass_if(None, code, "Replicates do not differ.", "")
    chance, noisy = _find_noisy(square, freedom)
    wide = sigma > MAX_SEED_NOISE
    seen = (
        f"Seeds of one cell differ by {pooled:.2%} (σ, {total} degrees of freedom in {sizes.size} "
        f"sizes)"
    )
    if noisy is None:
        seen += "; one size has replicates, so sizes are not compared"
    else:
        inside = math.sqrt(float(square[noisy].sum() / freedom[noisy].sum()))
        outside = math.sqrt(float(square[~noisy].sum() / freedom[~noisy].sum()))
        seen += (
            f"; most by size with N {_name(sizes[noisy])}: {inside:.2%} against {outside:.2%}, "
            f"p = {chance:.1g} (threshold {MAX_CHANCE:g})"
        )
    if wide.any():
        named = zip(sizes[wide].tolist(), sigma[wide].tolist(), strict=True)
        shown = ", ".join(f"{format_count(size)} ({noise:.1%})" for size, noise in named)
        seen += f"; above {MAX_SEED_NOISE:.1%} with N {shown}"
    fired = chance < MAX_CHANCE or bool(wide.any())
    advice = (
        "Give these sizes more seeds and fit their mean, or leave them out: they have more noise "
        "than the weight of their runs says. Narrow models often do; a longer warmup calms them."
    )
    return pass_if(not fired, code, f"{seen}.", advice)


def _pool_sizes(table: RunTable) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N, sum of squares of ln loss around cells, degrees of freedom) of each replicated size."""
    if not len(table):
        return np.empty(0), np.empty(0), np.empty(0)
    member, several = find_replicates(table)
    count = np.bincount(member)
    log_loss = np.log(table.loss)
    mean = np.bincount(member, weights=log_loss) / count
    rows = several[member]
    sizes, at = np.unique(table.params[rows], return_inverse=True)
    square = np.bincount(at, weights=((log_loss - mean[member]) ** 2)[rows], minlength=sizes.size)
    # A row of a cell with m seeds carries (m − 1)/m of a degree of freedom.
    share = (1.0 - 1.0 / count)[member][rows]
    freedom = np.rint(np.bincount(at, weights=share, minlength=sizes.size))
    return sizes, square, freedom


def _find_noisy(
    square: FloatArray, freedom: FloatArray
) -> tuple[float, np.ndarray[tuple[int], np.dtype[np.bool_]] | None]:
    """(p, sizes) of the set whose noise stands out most: each size alone, or the k smallest."""
    count = square.size
    order = np.arange(count)
    sets = [order == at for at in range(count)] + [order < k for k in range(2, count)]
    best, noisy = 1.0, None
    for chosen in sets if count > 1 else []:
        inside = float(square[chosen].sum() / freedom[chosen].sum())
        outside = float(square[~chosen].sum() / freedom[~chosen].sum())
        ratio = inside / max(outside, _NOISE_FREE**2)
        chance = float(fdtrc(freedom[chosen].sum(), freedom[~chosen].sum(), ratio))
        if noisy is None or chance < best:
            best, noisy = chance, chosen
    return min(1.0, best * len(sets)), noisy


def _name(sizes: FloatArray) -> str:
    low, high = format_count(float(sizes[0])), format_count(float(sizes[-1]))
    return low if sizes.size == 1 else f"{low} … {high}"
