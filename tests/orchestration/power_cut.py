"""Two machines made of network namespaces, and the cable between them: pulled before anything dies,
so that no connection is reset, as when the power fails. Linux, root, iproute2.

    driver, head: namespace A  10.231.7.1 ── veth ── 10.231.7.2  namespace B: a node
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
from synthetic import wait_until

HERE = Path(__file__).parent
HEAD, NODE, PORT = "10.231.7.1", "10.231.7.2", 6391
_QUIET = "--include-dashboard=false"
# Settings of the head that docs/clusters.md asks for.
SETTINGS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}


def why_not() -> str:
    """Why namespaces cannot be used here; empty if they can."""
    if sys.platform != "linux" or os.getuid() != 0:
        return "network namespaces need Linux and root"
    if shutil.which("ip") is None:
        return "iproute2 is not installed"
    name = f"try{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces are not permitted here ({made.stderr.strip()})"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return ""


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class TwoMachines:
    """Two network namespaces with a cluster over both, until `close`.

    Args:
        settings: Ray's health checks; empty for Ray's patient defaults.
    """

    def __init__(self, settings: Mapping[str, str] = SETTINGS) -> None:
        self._settings = settings
        self._names = [f"rc{os.getpid()}{side}" for side in "ab"]
        # A short path, because socket paths are limited.
        self._folder = tempfile.mkdtemp(prefix="pc-", dir="/tmp")
        self._started: list[subprocess.Popen[bytes]] = []
        for name in self._names:
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        self._start(0, f"--head --num-cpus=2 --node-ip-address={HEAD} --port={PORT} {_QUIET}")
        code = f"import socket; socket.create_connection(({HEAD!r}, {PORT}), 1)"
        asked = self.inside(0, [sys.executable, "-c", code])
        wait_until(lambda: subprocess.run(asked, capture_output=True).returncode == 0, 60.0)
        self.join_node()

    def join_node(self) -> None:
        """Lay the cable, and start a node at its end."""
        first, second = self._names
        for name in self._names:
            subprocess.run(["ip", "-n", name, "link", "del", "cable"], capture_output=True)
        _ip("-n", first, "link", "add", "cable", "type", "veth", "peer", "cable", "netns", second)
        for name, address in zip(self._names, (HEAD, NODE), strict=True):
            _ip("-n", name, "address", "add", f"{address}/30", "dev", "cable")
            _ip("-n", name, "link", "set", "cable", "up")
        self._start(1, f"--address={HEAD}:{PORT} --num-cpus=1 --node-ip-address={NODE}")

    def _start(self, side: int, options: str) -> None:
        if side == 0:  # the head's own address must exist before the cable
            _ip("-n", self._names[0], "address", "add", f"{HEAD}/32", "dev", "lo")
        words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
        log = open(Path(self._folder, f"log{len(self._started)}"), "wb")  # noqa: SIM115
        self._started.append(
            subprocess.Popen(
                self.inside(side, [*words, *options.split()]),
                env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": self._folder, "PYTHONPATH": path}
        return os.environ | dict(self._settings) | quiet

    def inside(self, side: int, words: list[str]) -> list[str]:
        """A command line, in the first or the second namespace."""
        return ["ip", "netns", "exec", self._names[side], *words]

    def holds(self, side: int, pid: int) -> bool:
        """Whether a process runs there."""
        with contextlib.suppress(OSError):
            there = os.stat(f"/var/run/netns/{self._names[side]}").st_ino
            return os.stat(f"/proc/{pid}/ns/net").st_ino == there
        return False

    def cut(self) -> None:
        """Pull the cable; then everything at its far end dies."""
        _ip("-n", self._names[0], "link", "set", "cable", "down")
        self._end(1)

    def _end(self, side: int) -> None:
        for process in psutil.process_iter():
            if self.holds(side, process.pid):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """End the cluster and remove the namespaces."""
        for side in (0, 1):
            self._end(side)
        for process in self._started:
            process.wait()
        for name in self._names:
            _ip("netns", "del", name)
        shutil.rmtree(self._folder, ignore_errors=True)


def start_driver(
    machines: TwoMachines, folder: Path, count: int, steps: int
) -> subprocess.Popen[str]:
    words = [str(HERE / "drive.py"), str(folder), str(count), f"{HEAD}:{PORT}", str(steps)]
    return subprocess.Popen(
        machines.inside(0, [sys.executable, *words]),
        env=machines.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def list_beating(folder: Path) -> Iterator[tuple[Path, int]]:
    """(folder, pid) of every attempt under way below a folder."""
    for path in folder.rglob("heartbeat"):
        try:
            yield path.parent, json.loads(path.read_text())["pid"]
        except (OSError, ValueError):  # the file is being replaced
            continue


def measure_cut(
    machines: TwoMachines, heartbeats: Callable[[], Iterator[tuple[Path, int]]]
) -> float:
    """Seconds from a cut to the new attempt of a run that was trained beyond it.

    Args:
        heartbeats: (folder of an attempt, pid) of each that is under way.
    """
    found: list[Path] = []

    def is_at_work() -> bool:
        found[:] = [attempt for attempt, pid in heartbeats() if machines.holds(1, pid)]
        return bool(found)

    wait_until(is_at_work, 120.0)
    home = found[0].parent
    before = set(home.iterdir())
    begun = time.monotonic()
    machines.cut()
    wait_until(lambda: bool(set(home.iterdir()) - before), 180.0)
    return time.monotonic() - begun
