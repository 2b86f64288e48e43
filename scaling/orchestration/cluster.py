"""Checks of a joined Ray cluster: can it run this sweep, and does every node see the same folder?

    address      auto or host:port; for other addresses the error says what to use instead
    fit          one run needs X; some node has it, or an autoscaler may add one
    preflight    on every node: read a nonce that the driver wrote, write one back, and race all
                 other nodes for an exclusive link, which exactly one must win

Results and corpus are on a POSIX file system that all nodes mount at one path: a commit made on a
node that writes elsewhere would be lost silently. So nodes are checked before anything is trained,
and nodes that join later when they appear.

Autoscalers react to pending tasks, so attempts are submitted to Ray before there is room for them:
as many again as are running, and at least sixteen. No other resources are requested
(`request_resources` outlives the driver, and what it requests is paid for), so the demand ends with
the sweep.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import platform
import shutil
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling._version import __version__
from scaling.errors import EnvironmentFault, IntegrityError, ScalingError, UsageError
from scaling.files.durable import (
    blaming_machine,
    explain_fault,
    link_exclusively,
    read_plain,
    write_durably,
)
from scaling.sweep.runspec import NUMERICS_VERSION

_REACH_SECONDS = 5.0
_ANSWER_SECONDS = 60.0  # on a node's first worker, imports may take tens of seconds
_VISIBLE_SECONDS = 5.0  # NFS attribute caches may hide new files, by default for 3 s
_LOOK_AGAIN_SECONDS = 0.1
_FRAME_HEAD_BYTES, _SETTINGS = 9, 4
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])
_NONCE = "nonce.tmp"
_WINNER = "winner.tmp"
_FILE_BYTES = 1000
_GROUP_LABEL = "ray.io/node-group"
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Resources of one attempt.

    Attributes:
        cpus: Cores.
        memory: Memory [bytes]; None: not requested.
        gpus: Share of a GPU, or number of GPUs; None: none.
        nodes: Number of nodes it runs on; the other resources are for each node.
    """

    cpus: int
    memory: int | None = None
    gpus: float | None = None
    nodes: int = 1

    def fits(self, resources: Mapping[str, float]) -> bool:
        """Return whether an empty node has the resources, ignoring those it does not state."""
        return self.count(resources) > 0

    def count(self, resources: Mapping[str, float]) -> int:
        """Number of attempts that a node can run at a time."""
        count = int(resources.get("CPU", 0.0) // self.cpus)
        if self.memory and "memory" in resources:
            count = min(count, int(resources["memory"] // self.memory))
        if self.gpus:  # a share of a GPU lies on one GPU
            there = int(resources.get("GPU", 0.0))
            each = there * int(1 / self.gpus + 1e-9) if self.gpus <= 1 else there // int(self.gpus)
            count = min(count, each)
        return count

    def __str__(self) -> str:
        memory = f" and {self.memory / _GIB:.1f} GiB of memory" if self.memory else ""
        gpus = ""
        if self.gpus:
            gpus = f" and {self.gpus:g} {'of a GPU' if self.gpus <= 1 else 'GPUs'}"
        where = f" on each of {self.nodes} nodes" if self.nodes > 1 else ""
        return f"{self.cpus} CPU core{'s' if self.cpus > 1 else ''}{memory}{gpus}{where}"


def count_teams(rooms: Sequence[int], nodes: int) -> int:
    """Number of attempts, on `nodes` nodes each, that can run at a time.

    Args:
        rooms: Number of workers that each node can run.
        nodes: Number of different nodes that an attempt needs.
    """
    # Each attempt uses a node at most once, so k attempts use it at most k times.
    count = sum(rooms) // nodes
    while count and sum(min(room, count) for room in rooms) < count * nodes:
        count -= 1
    return count


def find_address(address: str) -> str:
    """Find the host:port to join, and verify that a server answers there.

    `auto` is resolved here, from RAY_ADDRESS or what `ray start` left on this machine. Ray itself
    would look further for any process that looks like a cluster's and may join a stranger's; at an
    address that does not answer it would wait for minutes.

    Raises:
        UsageError: The address is not that of a cluster's GCS.
        EnvironmentFault: The file that `auto` follows may have been written by another user.
        OSError, ValueError: Nothing answers there, or it is not an address.
    """
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS") or _read_started_cluster()
    if address.startswith(("http://", "https://")):
        raise UsageError(
            f'{address} is the address of Ray Jobs: use "scaling submit" with it, or name the '
            "cluster itself (host:6379)."
        )
    if "://" in address:
        raise UsageError(
            f"{address}: Ray Client is not supported, its calls cross a proxy. Run on a node of "
            'the cluster with --address auto, or use "scaling submit".'
        )
    host, _, port = address.rpartition(":")
    place = (host.strip("[]"), int(port))
    with socket.create_connection(place, timeout=_REACH_SECONDS) as connection:
        _greet(connection)
    return address


def _greet(connection: socket.socket) -> None:
    """Verify that a gRPC server, such as a GCS, answers: both sides of HTTP/2 begin with a SETTINGS
    frame (RFC 9113, sections 3.4 and 4.1). For another server, or a GCS that is stopped, Ray would
    wait for minutes.

    Raises:
        ConnectionError: No gRPC server answers.
    """
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return  # under TLS only Ray can greet
    connection.sendall(_HTTP2_GREETING)
    try:
        head = connection.recv(_FRAME_HEAD_BYTES)
    except TimeoutError:
        head = b""
    if len(head) < _FRAME_HEAD_BYTES or head[3] != _SETTINGS:
        raise ConnectionError(f"what listens there gave no answer of a GCS in {_REACH_SECONDS:g} s")


def _read_started_cluster() -> str:
    folder = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray")
    try:  # the folder is shared: a file by another user would send the sweep to their cluster
        found = read_plain(folder, "ray_current_cluster", limit=_FILE_BYTES, own=True)
        return found.decode().strip()
    except IntegrityError as error:
        raise EnvironmentFault(
            f"--address auto: in {folder}, {error}. Name the cluster: --address HOST:PORT."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConnectionError(
            'none was started on this machine with "ray start", and RAY_ADDRESS is not set'
        ) from error


def explain_refusal(error: BaseException, address: str) -> EnvironmentFault:
    """Explain in plain words why Ray did not let us join."""
    text = str(error)
    if "ersion mismatch" in text:
        words = [line.strip() for line in text.splitlines()]
        stated = [word for word in words if word.startswith(("Ray:", "Python:"))]
        cluster, ours = ", ".join(stated[:2]), ", ".join(stated[2:])
        return EnvironmentFault(
            f"the cluster at {address!r} runs {cluster}; this process runs {ours}. Both must be "
            "the same: install the cluster's versions here."
        )
    # Ray logs the reason but does not put it in the exception.
    if "Failed to connect to Ray cluster" in text:
        return EnvironmentFault(
            f"the cluster at {address!r} answers, but does not let this process join. If it asks "
            "for a token (RAY_AUTH_MODE=token), set RAY_AUTH_MODE and RAY_AUTH_TOKEN, or "
            "RAY_AUTH_TOKEN_PATH, here as on the cluster's nodes."
        )
    first = next(iter(text.strip().splitlines()), "")[:300]
    return EnvironmentFault(
        f"no Ray cluster can be joined at {address!r}: {type(error).__name__}: {first}. "
        "Check the address, or leave --address out to use a Ray of its own."
    )


def describe_health_checks() -> str:
    """Say when a cluster gives up a vanished node, by the settings this process knows."""
    try:
        known = importlib.import_module("ray._raylet").Config
        delay, period, timeout = (
            getattr(known, f"health_check_{name}_ms")() / 1000
            for name in ("initial_delay", "period", "timeout")
        )
        bound = delay + (period + timeout) * known.health_check_failure_threshold()
    except (AttributeError, TypeError):  # private to Ray; other versions may lack it
        return ""
    return (
        f"a node that vanishes without a word is given up by this cluster within {bound:.0f} s "
        "(docs/clusters.md has settings for less)"
    )


def check_fit(need: Need, nodes: Sequence[Mapping[str, float]], *, autoscaled: bool) -> None:
    """Refuse a request that no nodes can satisfy, instead of waiting for ever.

    Args:
        need: Resources of one attempt.
        nodes: Resources of the present nodes.
        autoscaled: Whether nodes of unknown size may be added.

    Raises:
        UsageError: One run needs several GPUs or nodes that do not exist.
        EnvironmentFault: One run needs something else that does not exist. Both errors name what
            is needed and what exists.
    """
    if autoscaled or sum(need.fits(node) for node in nodes) >= need.nodes:
        return
    cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    memory = max((node.get("memory", 0.0) for node in nodes), default=0.0)
    gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    has = f"{cpus:g} CPU cores" + (f" and {memory / _GIB:.1f} GiB" if need.memory else "")
    has += f" and {gpus:g} GPUs" if need.gpus else ""
    advice = "Lower resources.cpus_per_run in the sweep file, or ask for smaller models."
    if need.gpus and gpus < 1:
        advice = "Run where there is a GPU, or leave resources.gpus_per_run out."
    elif need.gpus and gpus < need.gpus:
        advice = "Lower resources.gpus_per_run in the sweep file: a run's GPUs are of one node."
    elif need.nodes > len(nodes):
        advice = "Lower resources.nodes_per_run in the sweep file, or join a larger cluster."
    several = need.nodes > 1 or (need.gpus or 0) > 1
    raise (UsageError if several else EnvironmentFault)(
        f"one run needs {need}, the cluster has {len(nodes)} node(s), the largest with {has}. "
        f"{advice}"
    )


class Preflight:
    """Checks on nodes that they see the results folder, and that commits are exclusive there.

    Args:
        ray: The module, connected to the cluster.
        folder: The existing results folder.
        corpus: The existing prepared corpus.
    """

    def __init__(self, ray: Any, folder: Path, corpus: Path) -> None:
        self._ray, self._folder = ray, folder.absolute()
        # An empty folder stands for data that only the trainer knows.
        empty = not any(corpus.iterdir())
        self._corpus = corpus.absolute() if empty else corpus.absolute() / "manifest.json"
        self._asked: dict[Any, Mapping[str, Any]] = {}
        self._known: set[str] = set()
        self._probe: Path | None = None
        self._winners: list[str] = []

    def begin(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        """Start the check on nodes not checked before; returns at once."""
        new = [node for node in nodes if node["Alive"] and node["NodeID"] not in self._known]
        if not new:
            return
        nonce = self._open_probe()
        task = self._ray.remote(num_cpus=0, max_retries=0)(examine_node)
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        for node in new:
            self._known.add(node["NodeID"])
            place = strategies.NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            ref = task.options(scheduling_strategy=place).remote(
                str(self._probe), nonce, node["NodeID"], str(self._corpus)
            )
            self._asked[ref] = node

    def finish(self) -> None:
        """Wait for the answer of every node.

        Raises:
            EnvironmentFault: A node does not see the folder, cannot commit there, has no or another
                `scaling`, or does not answer.
        """
        done, silent = self._ray.wait(
            list(self._asked), num_returns=len(self._asked), timeout=_ANSWER_SECONDS
        )
        problems = [self._judge(ref) for ref in done]
        problems += [
            f"{_name_node(self._asked[ref])}: no answer within {_ANSWER_SECONDS:g} s"
            for ref in silent
        ]
        self._raise(problems)
        if len(self._winners) != 1:
            said = ", ".join(self._winners) or "none"
            self._raise([f"of all nodes one must win an exclusive link; winners: {said}"])

    def poll(self) -> None:
        """Judge the answers so far of nodes that joined later.

        Raises:
            EnvironmentFault: As for `finish`; a node that has left again is ignored.
        """
        if self._asked:
            done, _ = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
            self._raise([self._judge(ref) for ref in done])

    def close(self) -> None:
        """Remove the files that the nodes wrote."""
        if self._probe is not None:
            shutil.rmtree(self._probe, ignore_errors=True)
        self._probe = None

    def _open_probe(self) -> str:
        if self._probe is None:
            self._probe = self._folder / f".preflight-{uuid.uuid4().hex[:8]}"
            with blaming_machine(self._probe):
                self._probe.mkdir()
            write_durably(self._probe / _NONCE, uuid.uuid4().hex.encode())
        return read_plain(self._probe, _NONCE, limit=_FILE_BYTES).decode()

    def _judge(self, ref: Any) -> str | None:
        """What is wrong with a node that answered; None if nothing is."""
        node = self._asked.pop(ref)
        name = _name_node(node)
        try:
            answer: NodeAnswer = self._ray.get(ref)
        except Exception as error:  # e.g. a node without our code, or with a full disk
            alive = {one["NodeID"] for one in self._ray.nodes() if one["Alive"]}
            if node["NodeID"] not in alive:
                return None
            if "No module named 'scaling" in str(error):
                return f"{name}: cannot import scaling; install version {__version__} there"
            return f"{name}: {type(error).__name__}: {str(error).strip().splitlines()[-1][:300]}"
        if answer.problem:
            return f"{name}: {answer.problem}"
        if (answer.scaling, answer.numerics) != (__version__, NUMERICS_VERSION):
            return f"{name}: has scaling {answer.scaling}, the driver {__version__}; install it"
        if answer.won:
            self._winners.append(name)
        assert self._probe is not None
        if not _wait_for_text(self._probe, f"{node['NodeID']}.tmp", answer.nonce):
            return f"{name}: what it wrote to {self._folder} is not seen here; {_SHARED}"
        return None

    def _raise(self, problems: Sequence[str | None]) -> None:
        real = [problem for problem in problems if problem]
        if real:
            self.close()
            raise EnvironmentFault(
                "not every node of the cluster can take part:\n  " + "\n  ".join(real)
            )


_SHARED = "results must lie on a file system that every node mounts at the same path"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnswer:
    """The answer of a node; `problem` is empty if it can take part."""

    scaling: str
    numerics: int
    nonce: str
    won: bool = False
    problem: str = ""


def examine_node(probe: str, nonce: str, node_id: str, corpus: str) -> NodeAnswer:
    """The check on a node: read, write back, and race all others for the exclusive link."""
    say = NodeAnswer(scaling=__version__, numerics=NUMERICS_VERSION, nonce=uuid.uuid4().hex)
    folder = Path(probe)
    try:
        if not _wait_for_text(folder, _NONCE, nonce):
            problem = f"does not see {folder.parent} as the driver does; {_SHARED}"
        elif not os.access(corpus, os.R_OK):
            problem = f"does not see the corpus in {corpus}; {_SHARED}"
        else:
            write_durably(folder / f"{node_id}.tmp", say.nonce.encode())
            won = link_exclusively(folder / f"{node_id}.tmp", folder / _WINNER)
            return dataclasses.replace(say, won=won)
    except ScalingError as error:
        problem = str(error)
    except OSError as error:
        problem = str(explain_fault(error, probe) or error)
    return dataclasses.replace(say, problem=f"host {platform.node()} {problem}")


def _wait_for_text(folder: Path, name: str, text: str) -> bool:
    """Return whether a file holds that text, at once or after caches have expired."""
    deadline = time.monotonic() + _VISIBLE_SECONDS
    while True:
        with contextlib.suppress(OSError, IntegrityError):
            if read_plain(folder, name, limit=_FILE_BYTES) == text.encode():
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_AGAIN_SECONDS)


def is_autoscaled(nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether further nodes may be added: an autoscaler labels the nodes it starts with the
    group that it takes them from."""
    return any(node.get("Labels", {}).get(_GROUP_LABEL) for node in nodes)


def _name_node(node: Mapping[str, Any]) -> str:
    return f"node {node.get('NodeManagerHostname') or node.get('NodeManagerAddress')}"
