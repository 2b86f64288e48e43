"""Attempts that run on several nodes: a placement group for each, and the workers of its others.

    group      one bundle a node, STRICT_SPREAD: all of them are reserved, or none
    bundle 0   the attempt, as on one node: it commits, and says when all is over
    bundle n   a worker that starts the trainer there and watches it (training/own/member.py)

What the workers tell each other is in ledger/team.py. Where one of the others dies without a word
this is seen here, and said for it, so that the first ends the run on all nodes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import signal
import time
from pathlib import Path
from typing import Any

from scaling.errors import ScalingError
from scaling.ledger.commit import Ledger
from scaling.ledger.team import NodeEnd, Team
from scaling.orchestration.attempt import AttemptOutcome, AttemptRequest, find_unseen, load_trainer
from scaling.orchestration.cluster import Need
from scaling.sweep.execution import OwnExecution
from scaling.sweep.runspec import RunSpec

_MEMBER = "scaling.training.own.member:join_run"
_LOOK_SECONDS = 2.0  # between two polls of the cluster's nodes; a call takes milliseconds
_END_SECONDS = 10.0  # after the grace period, for workers to report how their trainers ended
_DIED = NodeEnd(why="its worker died", cause="crash")
_LOST = NodeEnd(why="the node is gone", cause="preempted")


class RayTeam:
    """One attempt's reservation, and its workers on all nodes but the first.

    Args:
        ray: The module, connected.
        need: What each node gives.
        request: The attempt.
        selector: Which nodes may be taken, as Ray writes it; None: any.
    """

    def __init__(
        self, ray: Any, need: Need, request: AttemptRequest, selector: dict[str, str] | None
    ) -> None:
        self._ray, self._request = ray, request
        attempt = Ledger.open(Path(request.ledger)).attempt_folder(
            request.run_id, request.attempt_id
        )
        self._team = Team(attempt, need.nodes)
        self._groups = importlib.import_module("ray.util.placement_group")
        bundle = {"CPU": need.cpus, "GPU": need.gpus, "memory": need.memory}
        self._group = self._groups.placement_group(
            [{name: amount for name, amount in bundle.items() if amount}] * need.nodes,
            strategy="STRICT_SPREAD",
            bundle_label_selector=[selector] * need.nodes if selector else None,
        )
        self._nodes: dict[int, str] = {}
        self._looked = time.monotonic()
        self._deadline: float | None = None
        task = ray.remote(
            num_cpus=need.cpus, num_gpus=need.gpus or 0, memory=need.memory, max_retries=0,
            max_calls=1,
        )(execute_member)  # fmt: skip
        self._members = {
            self.place(task, rank).remote(request, rank): rank for rank in range(1, need.nodes)
        }
        self._dead: dict[int, NodeEnd] = {}
        self.blind: AttemptOutcome | None = None  # the outcome if a node does not see the folders

    def place(self, task: Any, rank: int) -> Any:
        """The task, to be executed on one of the nodes."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        where = strategies.PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=rank
        )
        return task.options(scheduling_strategy=where)

    def poll(self) -> bool:
        """Say what workers cannot say themselves; whether nothing is left to wait for."""
        done, _ = self._ray.wait(list(self._members), num_returns=len(self._members), timeout=0)
        for ref in done:
            self._note(self._members.pop(ref), ref)
        self._look_for_lost_nodes()
        # Repeated, because the attempt's folder may not exist yet.
        for rank, end in self._dead.items():
            with contextlib.suppress(OSError, ScalingError):
                self._team.tell(rank, end)
        return self._deadline is not None and (
            not self._members or time.monotonic() > self._deadline
        )

    def begin_end(self) -> None:
        """The attempt is over: those that are left are asked to end, and get their grace."""
        own = self._request.execution.own or OwnExecution()
        self._team.stop()
        self._deadline = time.monotonic() + own.grace + _END_SECONDS

    def release(self) -> None:
        """Give the nodes back; Ray kills what is still at work there."""
        self._team.stop()
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._groups.remove_placement_group(self._group)

    def _note(self, rank: int, ref: Any) -> None:
        try:
            self.blind = self._ray.get(ref) or self.blind
            if self.blind is not None:
                self._dead[rank] = NodeEnd(why=self.blind.message, cause="preempted")
        except self._ray.exceptions.NodeDiedError:
            self._dead[rank] = _LOST
        except self._ray.exceptions.RayError:
            self._dead[rank] = _DIED

    def _look_for_lost_nodes(self) -> None:
        """By the cluster's own list: a link that is cut resets no connection, and Ray may go on to
        wait for a worker behind it."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS or not self._members:
            return
        self._looked = now
        if not self._nodes:
            table = self._groups.placement_group_table(self._group)
            if table.get("state") == "CREATED":
                self._nodes = dict(table["bundles_to_node_id"])
        gone = {one["NodeID"] for one in self._ray.nodes() if not one["Alive"]}
        for ref, rank in list(self._members.items()):
            if self._nodes.get(rank) in gone:
                del self._members[ref]
                self._dead[rank] = _LOST


def name_address(ray: Any, request: AttemptRequest, node: str) -> AttemptRequest:
    """The attempt as the first of its nodes executes it: with the address of that node."""
    own = request.execution.own
    if own is None or own.nodes == 1:
        return request
    (address,) = (one["NodeManagerAddress"] for one in ray.nodes() if one["NodeID"] == node)
    own = dataclasses.replace(own, address=address)
    return dataclasses.replace(request, execution=dataclasses.replace(request.execution, own=own))


def execute_member(request: AttemptRequest, rank: int) -> AttemptOutcome | None:
    """What a worker on another node than the first does; an outcome where it cannot take part."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda signum, frame: told.append(signum))
    node = importlib.import_module("ray").get_runtime_context().get_node_id()
    if blind := find_unseen(request, node):
        return blind
    ledger, own = Ledger.open(Path(request.ledger)), request.execution.own
    attempt = ledger.attempt_folder(request.run_id, request.attempt_id)
    assert own is not None
    join: Any = load_trainer(_MEMBER)
    run = RunSpec.from_json(json.loads(request.run))
    end = join(run, attempt=attempt, how=own, rank=rank, should_stop=lambda: bool(told))
    Team(attempt, own.nodes).tell(rank, end)
    return None
