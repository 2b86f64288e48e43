"""What the processes of one attempt on several nodes tell each other: files in its folder.

    nodes/rendezvous.json   by node 0: where its process listens; the others start once it is there
    nodes/<rank>.json       by each other node, or by the driver where its worker died: how it ended
    nodes/stop              by node 0 or the driver: the others are asked to end

Results lie on a file system that every node sees, so nothing else has to connect the workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import IntegrityError
from scaling.files.durable import read_plain, write_durably
from scaling.ledger.signs import FailureCause

_FOLDER, _RENDEZVOUS, _STOP = "nodes", "rendezvous.json", "stop"
_LIMIT_BYTES = 100_000
_LOOK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendezvous:
    """Where the processes of an attempt meet, and which of them one is.

    Attributes:
        address, port: Address and port of node 0; the port was free there when it was chosen.
        nodes: How many there are.
        rank: This one.
    """

    address: str
    port: int
    nodes: int = 1
    rank: int = 0

    @property
    def variables(self) -> dict[str, str]:
        """What a trainer's environment says of it."""
        return {
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(self.port),
            "NNODES": str(self.nodes),
            "NODE_RANK": str(self.rank),
        }

    @property
    def placeholders(self) -> dict[str, object]:
        """The same in the words of a command."""
        return {
            "master_addr": self.address,
            "master_port": self.port,
            "nodes": self.nodes,
            "node_rank": self.rank,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEnd:
    """How a trainer ended on one node.

    Attributes:
        why: What it did wrong; empty: nothing, or it was asked to end.
        cause: What that means for the run.
        tail: Last lines that it printed.
    """

    why: str = ""
    cause: FailureCause = "exception"
    tail: str = ""


class Team:
    """The files of one attempt, as each of its workers and the driver see them.

    Args:
        attempt: Its folder.
        nodes: How many take part.
    """

    def __init__(self, attempt: Path, nodes: int) -> None:
        self._folder, self.nodes = attempt / _FOLDER, nodes

    def open(self, address: str) -> Rendezvous:
        """Choose the port, as node 0, and let the others begin."""
        with socket.socket() as chosen:
            chosen.bind(("", 0))
            found = Rendezvous(address=address, port=chosen.getsockname()[1], nodes=self.nodes)
        if self.nodes > 1:
            self._folder.mkdir()
            self._write(_RENDEZVOUS, dataclasses.asdict(found))
        return found

    def join(self, rank: int, look: Callable[[], bool]) -> Rendezvous | None:
        """Wait, as another node, until the first has begun; None where none of it is wanted.

        Args:
            rank: Which node this is.
            look: Called now and then; returns whether to wait no longer.
        """
        while not look() and not self.is_stopped():
            if (given := self._read(_RENDEZVOUS)) is not None:
                return Rendezvous(**given | {"rank": rank})
            time.sleep(_LOOK_AGAIN_SECONDS)
        return None

    def stop(self) -> None:
        """Ask the others to end."""
        if self.nodes > 1:
            with contextlib.suppress(OSError):  # the attempt's folder is not there yet, or is gone
                (self._folder / _STOP).touch()

    def is_stopped(self) -> bool:
        """Whether the others are asked to end."""
        return (self._folder / _STOP).exists()

    def tell(self, rank: int, end: NodeEnd) -> None:
        """How it ended there, if the attempt has begun; what a node said of itself stands."""
        if self._folder.is_dir() and self._read(f"{rank}.json") is None:
            self._write(f"{rank}.json", dataclasses.asdict(end))

    def list_ends(self) -> dict[int, NodeEnd]:
        """By rank, of the other nodes that have ended."""
        said = {rank: self._read(f"{rank}.json") for rank in range(1, self.nodes)}
        return {rank: NodeEnd(**end) for rank, end in said.items() if end is not None}

    def has_failed(self) -> bool:
        """Whether one of the other nodes ended in a way that leaves nothing to wait for."""
        return any(end.why for end in self.list_ends().values())

    def wait_for_ends(self, seconds: float) -> bool:
        """Wait for the other nodes; whether all have ended."""
        deadline = time.monotonic() + seconds
        while len(self.list_ends()) < self.nodes - 1:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_AGAIN_SECONDS)
        return True

    def _write(self, name: str, content: dict[str, object]) -> None:
        write_durably(self._folder / name, json.dumps(content).encode(), sync=False)

    def _read(self, name: str) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, IntegrityError, ValueError):
            read: dict[str, Any] = json.loads(read_plain(self._folder, name, limit=_LIMIT_BYTES))
            return read
        return None
