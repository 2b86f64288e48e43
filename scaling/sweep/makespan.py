"""How long a plan takes on so many slots: longest first, and no run before its trunk.

    Graham 1969, doi:10.1137/0117039: longest-first list scheduling ends within 4/3 of the best.

What the driver does (orchestration/trunk_schedule.py), played through: a free slot takes the
longest run that may start; a run of a trunk waits while another of it is on the way to a state that
it could start from.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from scaling.sweep.runspec import RunSpec
from scaling.sweep.trunks import find_branch_step, find_start, list_trunks, may_start

Estimate = Callable[[RunSpec, int], float]


def find_makespan(
    runs: Iterable[RunSpec], estimate: Estimate, *, slots: int, share_trunks: bool = False
) -> float:
    """Seconds from the first start to the last end.

    Args:
        runs: What is to be trained; a run named twice is trained once.
        estimate: Seconds of a run that starts from a step.
        slots: Runs at the same time, at least 1.
        share_trunks: Whether runs with the same prefix train it once.
    """
    waiting = list({run.run_id: run for run in runs}.values())
    waiting.sort(key=lambda run: (-estimate(run, 0), run.run_id))
    trunks = list_trunks(waiting) if share_trunks else {}
    trunk_of = {run.run_id: trunk for trunk in trunks.values() for run in trunk.runs}
    stored: dict[str, set[int]] = {prefix: set() for prefix in trunks}
    running: dict[str, dict[str, RunSpec]] = {prefix: {} for prefix in trunks}
    now, busy = 0.0, 0
    # (time, order, run, step): a state is stored after `step`; the run ends if it is None.
    events: list[tuple[float, int, RunSpec, int | None]] = []
    order = 0
    while waiting or events:
        for run in list(waiting) if busy < slots else ():
            if busy == slots:
                break
            trunk = trunk_of.get(run.run_id)
            start = 0
            if trunk is not None:
                if not may_start(run, stored[trunk.prefix], running[trunk.prefix].values()):
                    continue
                start = find_start(run, stored[trunk.prefix])
                running[trunk.prefix][run.run_id] = run
            waiting.remove(run)
            busy += 1
            seconds = estimate(run, start)
            passed = () if trunk is None else trunk.branch_steps
            for step in passed:
                if start < step <= find_branch_step(run):
                    share = (step - start) / (run.recipe.steps - start)
                    heapq.heappush(events, (now + share * seconds, order, run, step))
                    order += 1
            heapq.heappush(events, (now + seconds, order, run, None))
            order += 1
        now, _, run, passing = heapq.heappop(events)
        trunk = trunk_of.get(run.run_id)
        if passing is not None and trunk is not None:
            stored[trunk.prefix].add(passing)
            continue
        busy -= 1
        if trunk is not None:
            del running[trunk.prefix][run.run_id]
    return now
