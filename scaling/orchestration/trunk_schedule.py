"""The order in which runs may start, so that a shared trunk is trained once.

A run waits only while another run of its trunk is on the way to a state that it could start from.
If no run of the trunk is under way, it starts from the best stored state, or from nothing, and
later runs wait for it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path

from scaling.ledger.trunk_cache import TrunkCache
from scaling.sweep.runspec import RunSpec
from scaling.sweep.trunks import Trunk, count_spent_flops, find_start, list_trunks, may_start


class TrunkSchedule:
    """The trunks of a plan, and which of their runs are under way.

    Args:
        runs: Every planned run, finished ones too, since their stored states can be used.
        folder: The results folder; states are under `trunks/`.
    """

    def __init__(self, runs: Iterable[RunSpec], folder: Path) -> None:
        self._folder = folder.absolute() / "trunks"
        trunks = list_trunks(runs).values()
        self._trunk_of = {run.run_id: trunk for trunk in trunks for run in trunk.runs}
        self._running: dict[str, dict[str, RunSpec]] = {trunk.prefix: {} for trunk in trunks}

    def find_cache(self, run: RunSpec) -> TrunkCache | None:
        """The cache of the run's trunk; None for a run that shares nothing."""
        trunk = self._trunk_of.get(run.run_id)
        return None if trunk is None else self._open_cache(trunk)

    def find_start(self, run: RunSpec) -> int:
        """Number of steps that the run would not have to train if it began now."""
        cache = self.find_cache(run)
        return 0 if cache is None else find_start(run, cache.list_steps())

    def count_spent(self, runs: Iterable[RunSpec]) -> dict[str, int]:
        """FLOPs that each run would spend, given what is stored; by run_id."""
        if not self._trunk_of:
            return {run.run_id: run.flops for run in runs}
        trunks = {trunk.prefix: trunk for trunk in self._trunk_of.values()}
        stored = {prefix: self._open_cache(trunk).list_steps() for prefix, trunk in trunks.items()}
        return count_spent_flops(runs, stored)

    def may_start(self, run: RunSpec) -> bool:
        """Return whether no run under way would give a better state to start from."""
        trunk = self._trunk_of.get(run.run_id)
        if trunk is None or not self._running[trunk.prefix]:
            return True
        stored = set(self._open_cache(trunk).list_steps())
        return may_start(run, stored, self._running[trunk.prefix].values())

    def begin(self, run: RunSpec) -> None:
        """Note that the run is under way."""
        if trunk := self._trunk_of.get(run.run_id):
            self._running[trunk.prefix][run.run_id] = run

    def end(self, run: RunSpec) -> None:
        """Note that the run has ended, in whatever way."""
        if trunk := self._trunk_of.get(run.run_id):
            self._running[trunk.prefix].pop(run.run_id, None)

    def tidy(self, run: RunSpec, finished: Container[str]) -> None:
        """Once every run of a trunk is finished, keep only the last state, from which a longer
        horizon would start."""
        trunk = self._trunk_of.get(run.run_id)
        if trunk is not None and all(one.run_id in finished for one in trunk.runs):
            self._open_cache(trunk).keep_newest()

    def _open_cache(self, trunk: Trunk) -> TrunkCache:
        return TrunkCache(folder=self._folder / trunk.prefix, save_at=trunk.branch_steps)
