"""How noisy runs are: between seeds of one cell, and around a law."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling.tables.run_table import RunTable
from scaling.units import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

# Standard deviation of a Gaussian / its median absolute value.
_MAD = 1.4826
# With fewer degrees of freedom σ̂ is uncertain by more than a factor of 2 (χ² at 90 %).
_MIN_FREEDOM = 2
_MIN_GROUPS = 3


def list_cells(table: RunTable) -> IntArray:
    """The (N, D) configuration of each row, as an index. Shape (n,)."""
    pairs = np.stack((table.params, table.tokens), axis=1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].ravel()


def list_clusters(table: RunTable) -> IntArray:
    """The bootstrap cluster of each row: its group where given, else the run that it is a point of,
    else its (N, D) configuration."""
    named = find_shared(table)
    if named is None:
        return list_cells(table)
    return np.unique(np.array(named), return_inverse=True)[1].ravel()


def find_shared(table: RunTable) -> tuple[str, ...] | None:
    """Names of what shares noise: groups, else training runs; None where neither is stated."""
    return table.group if table.group is not None else table.trajectory


def join_clusters(first: RunTable, second: RunTable) -> IntArray:
    """The bootstrap cluster of each row of two tables, one after the other: what is a cluster in a
    table stays one, and clusters that hold the same (N, D), or have one group's name, are joined.
    Runs of one cell with one seed share initialisation and data, hence noise; draws that take a
    cluster in both tables or in neither let it cancel, and cost nothing where it is not shared.

    Returns:
        Shape (n1 + n2,); two tables without a common cell share no cluster.
    """
    own = list_clusters(first)
    links = [np.concatenate((own, list_clusters(second) + own.max() + 1))]
    cells = [np.stack((one.params, one.tokens), axis=1) for one in (first, second)]
    links.append(np.unique(np.concatenate(cells), axis=0, return_inverse=True)[1].ravel())
    if first.group is not None and second.group is not None:
        names = np.array(first.group + second.group)
        links.append(np.unique(names, return_inverse=True)[1].ravel())
    joined = np.arange(len(first) + len(second))
    while True:  # every row takes the lowest label it is linked to, until none changes
        before = joined
        for link in links:
            lowest = np.full(int(link.max()) + 1, joined.size)
            np.minimum.at(lowest, link, joined)
            joined = lowest[link]
        if np.array_equal(joined, before):
            return np.unique(joined, return_inverse=True)[1].ravel()


def find_replicates(table: RunTable) -> tuple[IntArray, BoolArray]:
    """Which rows are seeds of one (N, D) trained alike, on as many unique tokens.

    Returns:
        (member, several): the configuration of each row, shape (n,); of each configuration,
        whether it has several runs of different seeds (a repeated seed is no replicate).
    """
    keys = np.stack((table.params, table.tokens), axis=1)
    for column in (table.learning_rate, table.unique_tokens, table.batch_tokens):
        if column is not None:  # rows without a value count as equal
            stated = np.where(np.isfinite(column), column, 0.0)
            keys = np.concatenate((keys, stated[:, None]), axis=1)
    member = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(member)
    if table.seed is None:
        return member, np.zeros(count.size, dtype=np.bool_)
    seeds = np.unique(np.stack((member, table.seed), axis=1), axis=0)[:, 0]
    several = np.bincount(seeds.astype(np.int64), minlength=count.size) == count
    return member, several & (count > 1)


def estimate_replicate_sigma(table: RunTable) -> float | None:
    """Pooled standard deviation of ln loss between seeds of one (N, D) trained alike.

    Returns:
        None without seeds, or where fewer than two degrees of freedom speak of it.
    """
    member, several = find_replicates(table)
    count = np.bincount(member)
    freedom = int((count[several] - 1).sum())
    if freedom < _MIN_FREEDOM:
        return None
    log_loss = np.log(table.loss)
    mean = np.bincount(member, weights=log_loss) / count
    deviation = (log_loss - mean[member]) ** 2
    return float(np.sqrt(deviation[several[member]].sum() / freedom))


def estimate_evaluation_error(table: RunTable, sigma: float | None) -> float | None:
    """What all runs share of the error of their evaluation, as a standard deviation of ln loss:
    other documents of the same kind would move every loss together by as much, and no residual
    shows it.

    A run's stated error is mostly the choice of documents. What its residual could hold of it,
    σ² at most, is counted there already; the rest is common to runs on the same windows.

    Args:
        table: With or without `loss_se` [nats/token].
        sigma: Standard deviation of log residuals; None: no law was fitted.

    Returns:
        None where the table states no errors.
    """
    if table.loss_se is None or not np.isfinite(table.loss_se).any():
        return None
    error = float(np.nanmedian(table.loss_se / table.loss))
    return float(np.sqrt(max(0.0, error**2 - (sigma or 0.0) ** 2)))


def estimate_residual_sigma(residuals: FloatArray, coefficients: int) -> float:
    """Robust standard deviation of log residuals, degrees of freedom corrected."""
    size = residuals.size
    spare = max(1, size - coefficients)
    return float(_MAD * np.median(np.abs(residuals)) * np.sqrt(size / spare))


def estimate_common(residuals: FloatArray, group: IntArray) -> float:
    """Share of the variance that rows of a group have in common, by analysis of variance
    (Searle, Casella & McCulloch 1992, Variance Components, ch. 3); 0 with fewer than three
    groups, which show nothing of what differs between groups."""
    counts = np.bincount(group).astype(np.float64)
    groups, rows = counts.size, residuals.size
    if groups < _MIN_GROUPS or rows == groups:
        return 0.0
    means = np.bincount(group, weights=residuals) / counts
    within = np.sum((residuals - means[group]) ** 2) / (rows - groups)
    between = np.sum(counts * (means - residuals.mean()) ** 2) / (groups - 1)
    typical = (rows - np.sum(counts**2) / rows) / (groups - 1)
    shared = max(0.0, (between - within) / typical)
    return float(shared / (shared + within)) if shared > 0.0 else 0.0


def measure_design_effect(residuals: FloatArray, group: IntArray) -> float:
    """By how much noise that rows of a group share makes variances larger: 1 + (m − 1)·ρ, m the
    rows of a row's group on average, ρ the share. Source: Kish 1965, Survey Sampling, sec. 5.4."""
    counts = np.bincount(group).astype(np.float64)
    rows = np.sum(counts**2) / residuals.size
    return float(1.0 + (rows - 1.0) * estimate_common(residuals, group))
