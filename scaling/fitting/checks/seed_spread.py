"""Check that seed noise is equal in models of all sizes, as σ, δ and `lack_of_fit` assume.

    s²(N) = Σ (ln L − mean of the cell)² / Σ (seeds − 1),   over the replicated cells of a size N

The first test asks whether a size, or a set of the smallest sizes, is noisier than the rest:
F = s²(in) / s²(out). The second asks whether a size, or all together, are noisier than seeds of a
sound recipe: s²·ν / σ0² against χ² of ν degrees of freedom. Both are one-sided, with p times the
number of sets tested (Bonferroni). Levene's test needs no Gaussian noise but fails for cells with
two seeds, whose deviations are equal except for the sign.

Source: Snedecor and Cochran 1989, Statistical Methods, 8th ed., sec. 6.12 (F) and 5.11 (χ²).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import chdtrc, fdtrc

from scaling.fitting.fitted import Check, pass_if
from scaling.fitting.noise import find_replicates
from scaling.tables.run_table import RunTable
from scaling.units import BoolArray, FloatArray, format_count

# There are some thirty checks (see `residuals`); each of this check's two tests gets half.
MAX_CHANCE = 0.01
# Seeds of one cell differ by .1 to .7 % of the loss (checks/points.py, _RECIPE_SPREAD).
SOUND_NOISE = 0.007
# As in `lack_of_fit`.
_MIN_FREEDOM = 4
# Below this, seeds do not differ.
_NOISE_FREE = 1e-6


def check_seed_spread(table: RunTable) -> Check:
    """Check that no size, or set of the smallest, has more seed noise than the others, or too much.

    It assumes Gaussian noise within a size; docs/measurements/recipe-checks.md gives the rate of
    false alarms on other noise.
    """
    code = "seed_spread"
    if table.trajectory is not None:
        return pass_if(None, code, "Rows along one training run share its noise.", "")
    sizes, square, freedom = _pool_sizes(table)
    total = int(freedom.sum())
    if total < _MIN_FREEDOM:
        seen = f"Seeds give {total} degrees of freedom; {_MIN_FREEDOM} are needed."
        return pass_if(None, code, seen, "")
    if math.sqrt(float(square.sum()) / total) < _NOISE_FREE:
        return pass_if(None, code, "Replicates do not differ.", "")
    count = sizes.size
    order = np.arange(count)
    each = [order == at for at in range(count)]
    everything = np.ones(count, dtype=np.bool_)
    uneven, noisy = _find_surest(
        square, freedom, each + [order < k for k in range(2, count)] if count > 1 else []
    )
    large, wide = _find_surest(square, freedom, [*each, everything], sound=SOUND_NOISE)
    limit = MAX_CHANCE / 2.0
    assert wide is not None
    seen = (
        f"Seeds of one cell differ by {_pool(square, freedom, everything):.2%} (σ, {total} degrees "
        f"of freedom in {count} sizes)."
    )
    if noisy is not None:
        seen += (
            f" Noisiest beside the rest: N {_name(sizes[noisy])}, "
            f"{_pool(square, freedom, noisy):.2%} against {_pool(square, freedom, ~noisy):.2%}, "
            f"p = {uneven:.1g}."
        )
    seen += (
        f" Likeliest above {SOUND_NOISE:.1%}: N {_name(sizes[wide])}, "
        f"{_pool(square, freedom, wide):.2%}, p = {large:.1g} (thresholds {limit:g})."
    )
    advice = (
        "Give these sizes more seeds and fit their mean, or leave them out: their runs say less "
        "than their weight. Narrow models often differ so; a longer warmup calms them."
    )
    return pass_if(min(uneven, large) >= limit, code, seen, advice)


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
    deviation = ((log_loss - mean[member]) ** 2)[rows]
    square = np.bincount(at, weights=deviation, minlength=sizes.size).astype(np.float64)
    # A row of a cell with m seeds carries (m − 1)/m of a degree of freedom.
    share = (1.0 - 1.0 / count)[member][rows]
    freedom = np.rint(np.bincount(at, weights=share, minlength=sizes.size)).astype(np.float64)
    return sizes, square, freedom


def _find_surest(
    square: FloatArray,
    freedom: FloatArray,
    sets: Sequence[BoolArray],
    *,
    sound: float | None = None,
) -> tuple[float, BoolArray | None]:
    """(p, set) of the set of sizes whose noise most significantly exceeds `sound`, or that of the
    other sizes; p is 1 without sets."""
    best, found = 1.0, None
    for chosen in sets:
        inside = float(freedom[chosen].sum())
        if sound is not None:
            chance = float(chdtrc(inside, float(square[chosen].sum()) / sound**2))
        else:
            rest = max(_pool(square, freedom, ~chosen), _NOISE_FREE)
            ratio = (_pool(square, freedom, chosen) / rest) ** 2
            chance = float(fdtrc(inside, float(freedom[~chosen].sum()), ratio))
        if found is None or chance < best:
            best, found = chance, chosen
    return min(1.0, best * max(1, len(sets))), found


def _pool(square: FloatArray, freedom: FloatArray, chosen: BoolArray) -> float:
    return math.sqrt(float(square[chosen].sum() / freedom[chosen].sum()))


def _name(sizes: FloatArray) -> str:
    low, high = format_count(float(sizes[0])), format_count(float(sizes[-1]))
    return low if sizes.size == 1 else f"{low} … {high}"
