"""Attempts as Ray tasks: in a private Ray on this machine, or in a joined cluster.

The private Ray listens on loopback only, requires a token, reports nothing, and keeps its files in
a private folder that is removed at the end. One task is one attempt; Ray retries nothing, because
only the driver knows why an attempt ended. Workers are reused (importing torch costs seconds),
renewed after 250 attempts, and exit after a failed one, whose state cannot be trusted.

The settings follow from measurements with Ray 2.60. Under Linux, only
RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 keeps every listener on loopback; it is undocumented, so a test
holds it. The variables act when `ray` is imported, which therefore happens in `start`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import math
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from scaling.errors import EnvironmentFault, ScalingError, UsageError
from scaling.ledger.commit import Ledger
from scaling.ledger.signs import FailureCause
from scaling.orchestration.attempt import (
    THREAD_ENVIRONMENT,
    AttemptOutcome,
    AttemptRequest,
    run_attempt,
)
from scaling.orchestration.cluster import (
    Need,
    Preflight,
    check_fit,
    count_teams,
    describe_health_checks,
    explain_refusal,
    find_address,
    is_autoscaled,
)
from scaling.orchestration.executors import AttemptEnded, Needs
from scaling.orchestration.executors.ray_processes import (
    GONE_SECONDS,
    DaemonDiedError,
    DaemonWatch,
    children,
    count_oom_kills,
    descendants,
    end_processes,
    name_of,
    quieten,
    remove_folder,
    remove_stale_folders,
)
from scaling.orchestration.executors.ray_teams import RayTeam, name_address
from scaling.orchestration.guardian import FOLDER_PREFIX
from scaling.orchestration.orphans import end_attempt
from scaling.units.stages import stage

ATTEMPTS_PER_WORKER = 250

_START_TRIES = 3
_LAST_TRY_AFTER_SECONDS = 20.0  # one try may take 30 s, and all together must stay below 60 s
# For all tries together. Measured: 2 to 5 s, and 20 s on a machine loaded ten times over. If the
# process executes no Python meanwhile, it is ended 8 s later: a start is decided within 60 s.
_START_SECONDS = 45.0
_CAPACITY_SECONDS = 5.0
_NODE_LABEL = "ray.io/node-id"  # Ray puts it on every node
_LEAST_PENDING = 16  # lets a small cluster grow by more than a node at a time
_OBJECT_STORE_BYTES = 75 * 2**20  # Ray's minimum; we send nothing through it

logger = logging.getLogger(__name__)


def open_executor(needs: Needs) -> RayExecutor:
    """Make an executor with a private Ray, or in the cluster at `needs.address`.

    Raises:
        UsageError: A run needs several nodes, and no cluster is named.
    """
    if needs.nodes_per_run > 1 and needs.address is None:
        raise UsageError(
            f"one run is for {needs.nodes_per_run} nodes (resources.nodes_per_run), and this "
            "machine is one. Join a cluster: --address."
        )
    return RayExecutor(needs)


class RayExecutor:
    """Attempts on Ray workers.

    Args:
        needs: Resources of the attempts, and the cluster to join; without an address, attempts run
            in the private Ray.
        cpus: Cores of the private Ray; None: those this process may use.
    """

    runs_here = False

    def __init__(self, needs: Needs | None = None, *, cpus: int | None = None) -> None:
        needs = needs or Needs()
        self._cpus = cpus or len(os.sched_getaffinity(0))
        self._address, self._shared = needs.address, needs.shared
        self._need = Need(
            cpus=needs.cpus_per_run,
            memory=needs.memory_per_run if needs.address or needs.reserves_memory else None,
            gpus=needs.gpus_per_run,
            nodes=needs.nodes_per_run,
        )
        self._preflight: Preflight | None = None
        self._ray: Any = None
        self._task: Any = None
        self._running: dict[Any, AttemptRequest] = {}
        self._teams: dict[str, RayTeam] = {}  # by attempt; only runs on several nodes have one
        self._folder: Path | None = None
        self._environment: dict[str, str | None] = {}
        self._daemons: DaemonWatch | None = None
        self._not_ours: list[psutil.Process] = []
        self._dead = False
        self._oom_kills = 0
        self._capacity: tuple[float, int] = (-math.inf, 1)
        self._avoided: set[str] = set()

    @stage("starting Ray")
    def start(self) -> None:
        """Start or join Ray.

        Raises:
            EnvironmentFault: Ray does not start in three tries, or no node has the cores that one
                run needs.
        """
        if self._ray is not None:
            return
        if self._address is None:
            if self._need.cpus > self._cpus:
                raise EnvironmentFault(
                    f"one run needs {self._need.cpus} CPU cores, this machine has {self._cpus}. "
                    "Lower resources.cpus_per_run in the sweep file."
                )
            remove_stale_folders()
        self._set_environment()
        try:
            self._ray = importlib.import_module("ray")
            if self._address is None and self._dead:
                self._ray.shutdown()  # clean up after the Ray that died
                self._dead = False
            quieten(importlib.import_module("ray._private.worker"))
            self._connect()
            # Ray detects GPUs and memory.
            if self._address is None and (self._need.gpus or self._need.memory):
                nodes = [node["Resources"] for node in self._list_nodes()]
                check_fit(self._need, nodes, autoscaled=False)
        except BaseException:
            self.close()
            raise
        self._oom_kills = count_oom_kills()
        self._task = self._ray.remote(
            num_cpus=self._need.cpus,
            num_gpus=self._need.gpus or 0,
            memory=self._need.memory,
            max_retries=0,
            max_calls=self._count_calls(),
        )(execute_attempt)

    def describe(self) -> str:
        """Say when a joined cluster gives up a vanished node, by Ray's settings as this process
        knows them."""
        if self._address is None:
            return ""
        return describe_health_checks()

    def capacity(self) -> int:
        """Number of attempts the cluster has room for, updated every few seconds, as nodes change.

        For a joined cluster it includes the room that its autoscaler may add at a time: at its
        default speed it doubles a cluster."""
        looked, known = self._capacity
        if time.monotonic() - looked > _CAPACITY_SECONDS:
            nodes = [one for one in self._list_nodes() if one["NodeID"] not in self._avoided]
            rooms = [self._need.count(node["Resources"]) for node in nodes]
            known = max(1, count_teams(rooms, self._need.nodes))
            if self._address is not None:  # the autoscaler acts on pending tasks
                known += max(_LEAST_PENDING, known)
            if self._preflight is not None:
                self._preflight.begin(nodes)
            self._capacity = (time.monotonic(), known)
        return known

    def submit(self, request: AttemptRequest) -> None:
        """Hand an attempt to Ray."""
        task, avoided = self._task, ",".join(sorted(self._avoided))
        selector = {_NODE_LABEL: f"!in({avoided})"} if avoided else None
        if self._need.nodes > 1:
            team = RayTeam(self._ray, self._need, request, selector)
            self._teams[request.attempt_id] = team
            task = team.place(task, 0)
        elif selector:
            task = task.options(label_selector=selector)
        self._running[task.remote(request)] = request

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        """Attempts that ended; returns as soon as one does."""
        if self._lacks_daemon():
            raise _describe_death("one of its processes has died")
        if self._preflight is not None:
            self._preflight.poll()
        refs = list(self._running)
        if not refs:
            return ()
        try:
            ready, _ = self._ray.wait(refs, num_returns=1, timeout=timeout)
            if ready:
                ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
            for attempt_id in [one for one, team in self._teams.items() if team.poll()]:
                self._teams.pop(attempt_id).release()
        except self._ray.exceptions.RayError as error:
            raise _describe_death(str(error)) from error
        return tuple(self._collect(ref) for ref in ready)

    def kill(self, attempt_id: str) -> None:
        """End the worker of an attempt, even one that is stopped and handles no signals."""
        for ref, request in self._running.items():
            if request.attempt_id == attempt_id:
                _end_worker(request)
                with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
                    self._ray.cancel(ref, force=True)

    def avoid(self, node: str) -> bool:
        """Give no more attempts to a node; attempts submitted before may still go there, and fail
        at once."""
        self._avoided.add(node)
        self._capacity = (-math.inf, 1)
        return any(one["NodeID"] not in self._avoided for one in self._list_nodes())

    def list_lost(self) -> frozenset[str]:
        """Nodes gone by the cluster's own list, which its health checks update."""
        if self._address is None:  # a single node, whose daemons are watched
            return frozenset()
        return frozenset(one["NodeID"] for one in self._ray.nodes() if not one["Alive"])

    def forget(self, attempt_id: str) -> None:
        """Stop tracking an attempt; Ray may keep waiting for a worker lost with its node."""
        for ref, request in list(self._running.items()):
            if request.attempt_id == attempt_id:
                del self._running[ref]
                self._end_team(attempt_id)

    def close(self, *, at_once: bool = False) -> None:
        """End Ray and everything it started.

        Args:
            at_once: Kill the workers before anything else, and wait for nothing.
        """
        ours = self._list_ours() if self._address is None and self._ray is not None else []
        for request in self._running.values():
            _end_worker(request)
        self._dead = dead = self._lacks_daemon()
        if self._daemons is not None:
            self._daemons.end()
        self._daemons = None
        if at_once:  # daemons are spared: without them Ray's shutdown takes seconds or crashes
            end_processes([p for p in ours if name_of(p).startswith("ray::")], patience=0.0)
        self._running.clear()
        for team in self._teams.values():
            team.release()
        self._teams.clear()
        if self._preflight is not None:
            self._preflight.close()
        if self._ray is not None and not dead:  # shutdown would wait for dead daemons
            try:
                self._ray.shutdown()
            except Exception:  # its processes are ended below in any case
                logger.warning("Ray did not shut down in order", exc_info=True)
        end_processes(ours, patience=0.0 if at_once or dead else GONE_SECONDS)
        if self._folder is not None:
            remove_folder(self._folder, patience=0.0 if at_once else GONE_SECONDS)
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._ray, self._folder, self._environment = None, None, {}

    def _set_environment(self) -> None:
        wanted = {
            "RAY_USAGE_STATS_ENABLED": "0",
            # Otherwise Ray rebuilds the environment with uv in every worker.
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # from attempts that are no longer awaited
        }
        if self._address is None:
            wanted |= THREAD_ENVIRONMENT | {
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": _make_token(),
                "RAY_task_oom_retries": "0",  # unlimited by default
            }
        self._environment = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)

    def _connect(self) -> None:
        if self._address is not None:
            self._join(self._address)
            return
        begun = time.monotonic()
        self._not_ours = children()
        self._daemons = DaemonWatch(_START_SECONDS)
        self._daemons.begin()
        for tried in range(1, _START_TRIES + 1):
            # A socket's path is limited to 107 characters, so avoid long temporary folders.
            parent = "/tmp" if os.access("/tmp", os.W_OK) else None
            prefix = f"{FOLDER_PREFIX}{os.getpid()}-"
            self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            try:
                with self._daemons.starting():
                    # Ray makes its folder world-writable (0777); ours around it is private.
                    self._init(self._folder / "ray")
                return
            except (Exception, DaemonDiedError) as error:  # Ray raises whatever its parts raise
                with contextlib.suppress(Exception):
                    self._ray.shutdown()
                end_processes(self._list_ours(), patience=0.0)
                shutil.rmtree(self._folder, ignore_errors=True)
                died = isinstance(error, DaemonDiedError)
                why = "one of its daemons died" if died else _first_line(error)
                if self._daemons.late:
                    why = (
                        f"it did not answer within {_START_SECONDS:g} s, as where memory is "
                        'limited ("ulimit -v")'
                    )
                late = time.monotonic() - begun > _LAST_TRY_AFTER_SECONDS
                if tried == _START_TRIES or late or self._daemons.late:
                    raise EnvironmentFault(
                        f"Ray did not start in {tried} tries: {why}. "
                        'Run with "--executor inline" to do without it.'
                    ) from error
                logger.warning("Ray did not start (try %d): %s", tried, why)

    def _list_ours(self) -> list[psutil.Process]:
        """Ray's processes, without others that this process started, such as a tracker's feed."""
        return descendants(of_others_than=self._not_ours)

    def _init(self, folder: Path) -> None:
        self._ray.init(
            address="local",
            num_cpus=self._cpus,
            num_gpus=None if self._need.gpus else 0,  # None: Ray detects them
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=str(folder),
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )

    def _join(self, address: str) -> None:
        try:
            self._ray.init(
                address=find_address(address),
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                runtime_env={"env_vars": THREAD_ENVIRONMENT},
            )
        except ScalingError:
            raise
        except Exception as error:  # Ray raises whatever its parts raise
            raise explain_refusal(error, address) from error
        nodes = self._list_nodes()
        resources = [node["Resources"] for node in nodes]
        check_fit(self._need, resources, autoscaled=is_autoscaled(nodes))
        if self._shared is not None:
            self._preflight = Preflight(self._ray, *self._shared)
            self._preflight.begin(nodes)
            self._preflight.finish()

    def _count_calls(self) -> int:
        """Attempts per worker process. A process keeps its first GPU, while Ray may assign another
        to its next task: on a node with several GPUs each attempt has a new process."""
        several = any(node["Resources"].get("GPU", 0.0) > 1 for node in self._list_nodes())
        return 1 if self._need.gpus and several else ATTEMPTS_PER_WORKER

    def _end_team(self, attempt_id: str) -> AttemptOutcome | None:
        """Ask the other nodes of a finished attempt to end; returns the outcome of a node that
        cannot take part."""
        team = self._teams.get(attempt_id)
        if team is None:
            return None
        team.begin_end()
        return team.blind

    def _list_nodes(self) -> list[Any]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _lacks_daemon(self) -> bool:
        return self._daemons is not None and self._daemons.lacks_daemon()

    def _collect(self, ref: Any) -> AttemptEnded:
        request = self._running.pop(ref)
        if blind := self._end_team(request.attempt_id):
            return AttemptEnded(attempt_id=request.attempt_id, outcome=blind)
        exceptions = self._ray.exceptions
        try:
            outcome: AttemptOutcome = self._ray.get(ref)
        except exceptions.OutOfMemoryError as error:
            return _ended(request, "out_of_memory", _first_line(error))
        except exceptions.WorkerCrashedError:
            # Ray's message names log files that are deleted by the time it is read.
            known, self._oom_kills = self._oom_kills, count_oom_kills()
            if self._oom_kills > known:
                what = "its worker was killed by the kernel, which was out of memory"
                return _ended(request, "out_of_memory", what)
            what = "its worker died: killed, out of memory, or a crash in native code"
            return _ended(request, "crash", what)
        except exceptions.NodeDiedError as error:
            return _ended(request, "preempted", _first_line(error))
        except exceptions.LocalRayletDiedError as error:
            raise _describe_death(_first_line(error)) from error
        except exceptions.RayError as error:
            return _ended(request, "crash", _first_line(error))
        return AttemptEnded(attempt_id=request.attempt_id, outcome=outcome)


def execute_attempt(request: AttemptRequest) -> AttemptOutcome:
    """Run the attempt in a worker, which exits after a recorded failure."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides what Ctrl-C means
    ray = importlib.import_module("ray")
    node = ray.get_runtime_context().get_node_id()
    request = name_address(ray, request, node)
    outcome = run_attempt(request, node=node)
    if outcome.kind == "failed" and outcome.cause != "unseen":
        ledger = Ledger.open(Path(request.ledger))
        if ledger.read_failure(request.run_id, request.attempt_id) is not None:
            os._exit(1)
    return outcome


@functools.cache
def _make_token() -> str:
    """The token, one for the life of this process: Ray reads it once and would refuse another to a
    second Ray (a sweep file with several tokenizers starts several, one after the other)."""
    return secrets.token_hex(32)


def _ended(request: AttemptRequest, cause: FailureCause, message: str) -> AttemptEnded:
    return AttemptEnded(attempt_id=request.attempt_id, cause=cause, message=message)


def _describe_death(what: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"Ray is gone: {what}. Finished runs are kept; the same command continues."
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _end_worker(request: AttemptRequest) -> None:
    end_attempt(Ledger.open(Path(request.ledger)), request.run_id, request.attempt_id)
