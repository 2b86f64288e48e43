"""Which grid cells are trained again with another seed, to measure the noise.

A sweep asks for k replicates, spread evenly over its grid. An even spread moves when the grid
grows, and no rule that sees only the sweep file could have k of them and never drop one: a sweep of
one cell has all k there, so every cell of a larger sweep would have to keep k. Therefore the runs
that the ledger already has are an input:

    1. a recorded run of a planned cell with a seed that the sweep does not list is already a
       replicate; it stays, whatever its outcome (first k in order of run_id, if there are more);
    2. replicates missing from k come from the even spread of k over the current grid, in order of
       run_id.

Hence, as long as budgets, sizes, cells, seeds and replicates are only added to, no recorded run
leaves the plan, and the plan does not depend on how many of its own runs are recorded. Replicates
that were planned but never trained may move. A new grid without recorded runs is spread evenly. A
run is recorded if it has an intact result; one that was set aside counts as never trained.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence

from scaling.sweep.runspec import RunSpec


def choose_replicates(
    cells: Sequence[RunSpec], count: int, *, seeds: Collection[int], recorded: Iterable[RunSpec]
) -> tuple[RunSpec, ...]:
    """Choose `count` runs that differ from one of `cells` only in the seed.

    Args:
        cells: One run of each grid cell, in the order of the grid; the seed does not matter.
        count: Number of replicates; beyond the number of cells, cells are taken several times.
        seeds: Seeds with which the whole grid is trained. Replicates use the smallest seeds from 1
            on that are not among them, so listing one more seed changes no other replicate.
        recorded: Runs that have a result.
    """
    if not count:
        return ()
    grid = {_without_seed(cell) for cell in cells}
    kept = {
        run.run_id: run for run in recorded if run.seed not in seeds and _without_seed(run) in grid
    }
    kept = dict(sorted(kept.items())[:count])
    spread = {run.run_id: run for run in _spread_evenly(cells, count, seeds)}
    missing = sorted(spread.keys() - kept.keys())[: count - len(kept)]
    return (*kept.values(), *(spread[run_id] for run_id in missing))


def _spread_evenly(
    cells: Sequence[RunSpec], count: int, seeds: Collection[int]
) -> Iterator[RunSpec]:
    """Yield `count` evenly spread replicates; each round over the cells has another seed."""
    used: Counter[RunSpec] = Counter()
    free = [seed for seed in range(1, count + len(seeds) + 1) if seed not in seeds]
    rounds, rest = divmod(count, len(cells))
    last = (int((index + 0.5) * len(cells) / rest) for index in range(rest))
    for index in itertools.chain(*[range(len(cells))] * rounds, last):
        cell = _without_seed(cells[index])
        yield dataclasses.replace(cell, seed=free[used[cell]])
        used[cell] += 1


def _without_seed(run: RunSpec) -> RunSpec:
    return dataclasses.replace(run, seed=0)
