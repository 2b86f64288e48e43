"""Which runs share a prefix: a trunk at constant rate, from which cooldown branches start.

    warmup ── constant ──┬────────────┬──────────────────┬──── …      trunk, trained once
                         └ cooldown   └ cooldown         └ cooldown   one run each, ending at D

Two runs are the same up to the branch step of the shorter one (steps − decay_steps) where all but
the horizon is equal: shape, seed, data, every hyperparameter, warmup. A trunk is a cache of states
along that prefix, never a run: a run that starts from it is bit for bit the run from nothing, and
its run_id knows of no trunk.

With q the cooldown's share and k horizons D, r·D, …, one model costs, in units of 6·N·D, not
S = (rᵏ − 1)/(r − 1) but (1 − q)·rᵏ⁻¹ + q·S: for k = 6, r = 2, q = .2, 38.2 in place of 63.

Source: Hägele et al. 2024, arXiv:2405.18392, sec. 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from scaling.files.sealed import canonical_json
from scaling.sweep.runspec import RunSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """Runs that share a prefix.

    Attributes:
        prefix: 16 hex digits of what they share.
        runs: At least two, longest first.
        branch_steps: Where they leave it, ascending.
    """

    prefix: str
    runs: tuple[RunSpec, ...]
    branch_steps: tuple[int, ...]


def find_branch_step(run: RunSpec) -> int:
    """Steps of a run before its cooldown."""
    return run.recipe.steps - run.recipe.decay_steps


def name_prefix(run: RunSpec) -> str:
    """16 hex digits, the same exactly for runs that differ in their horizon alone."""
    content = run.to_json()
    content["recipe"] = {
        name: value
        for name, value in content["recipe"].items()
        if name not in ("steps", "decay_steps")
    }
    return hashlib.sha256(b"trunk" + canonical_json(content)).hexdigest()[:16]


def list_trunks(runs: Iterable[RunSpec]) -> dict[str, Trunk]:
    """The trunks of a plan by prefix; a run that shares none with another has none."""
    groups: dict[str, dict[str, RunSpec]] = {}
    for run in runs:
        if run.own is not None:  # the user's own trainer cannot share a trunk
            continue
        groups.setdefault(name_prefix(run), {})[run.run_id] = run
    trunks = {}
    for prefix, members in groups.items():
        if len(members) < 2:
            continue
        longest_first = sorted(members.values(), key=lambda run: (-run.recipe.steps, run.run_id))
        steps = tuple(sorted({find_branch_step(run) for run in longest_first}))
        trunks[prefix] = Trunk(prefix=prefix, runs=tuple(longest_first), branch_steps=steps)
    return trunks


def count_spent_flops(
    runs: Iterable[RunSpec], stored: Mapping[str, Iterable[int]] | None = None
) -> dict[str, int]:
    """FLOPs that each run adds when all are trained, longest first, by run_id.

    Args:
        runs: What is to be trained.
        stored: Steps whose state is already there, by prefix.
    """
    kept = {prefix: set(steps) for prefix, steps in (stored or {}).items()}
    spent = {}
    distinct = {run.run_id: run for run in runs}.values()
    shared = {run.run_id: trunk for trunk in list_trunks(distinct).values() for run in trunk.runs}
    for run in sorted(distinct, key=lambda run: (-run.recipe.steps, run.run_id)):
        start = find_start(run, kept.get(name_prefix(run), ()))
        spent[run.run_id] = run.flops * (run.recipe.steps - start) // run.recipe.steps
        if run.run_id in shared:
            trunk = shared[run.run_id]
            passed = {step for step in trunk.branch_steps if step <= find_branch_step(run)}
            kept.setdefault(trunk.prefix, set()).update(passed)
    return spent


def find_start(run: RunSpec, stored: Iterable[int]) -> int:
    """The step from which a run can start, of those whose state is stored; 0: from nothing."""
    return max((step for step in stored if step <= find_branch_step(run)), default=0)


def may_start(run: RunSpec, stored: Collection[int], running: Iterable[RunSpec]) -> bool:
    """Whether no run under way would bring a better state to start from.

    Args:
        run: Would begin now.
        stored: Steps of its trunk whose state is there.
        running: Runs of its trunk that are under way.
    """
    start = find_start(run, stored)
    meetings = {min(find_branch_step(run), find_branch_step(one)) for one in running}
    return all(step in stored or step <= start for step in meetings)
