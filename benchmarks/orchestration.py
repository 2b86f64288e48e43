"""Overhead per run of the driver, inline and on Ray, with a trainer that only writes its curve.

    python benchmarks/orchestration.py [RUNS]        100 runs unless said; about half a minute

What is timed is everything but training: naming the attempt, its folder, heartbeat, digests, the
flushed and exclusive commit, and the driver reading it back.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "orchestration"))

from synthetic import SETTINGS, make_cells, make_corpus, make_ledger  # noqa: E402

from scaling.orchestration.driver import run_cells  # noqa: E402
from scaling.orchestration.executors import AttemptEnded, Executor  # noqa: E402
from scaling.orchestration.executors.inline import InlineExecutor  # noqa: E402
from scaling.orchestration.executors.ray import RayExecutor  # noqa: E402


class Stopwatch:
    """When the executor was up, and when the last run ended."""

    def __init__(self, executor: Executor) -> None:
        self._executor, self.started, self.ended = executor, 0.0, 0.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._executor, name)

    def start(self) -> None:
        self._executor.start()
        self.started = time.perf_counter()

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        ended = self._executor.wait(timeout, tick)
        self.ended = time.perf_counter()
        return ended


def measure(name: str, executor: Executor, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        cells, corpus, ledger = make_cells(count, steps=1), make_corpus(path), make_ledger(path)
        watch = Stopwatch(executor)
        begun, cpu = time.perf_counter(), time.process_time()
        outcome = run_cells(cells, ledger, watch, corpus=corpus, settings=SETTINGS)  # type: ignore[arg-type]
        whole, cpu = time.perf_counter() - begun, time.process_time() - cpu
        again = time.perf_counter()
        run_cells(cells, ledger, executor, corpus=corpus, settings=SETTINGS)
        again = time.perf_counter() - again
    assert len(outcome.finished) == count
    per_run = 1e3 * (watch.ended - watch.started) / count
    print(
        f"{name:7s} {count} runs: {per_run:.1f} ms a run, driver {1e3 * cpu / count:.1f} ms CPU "
        f"a run; start {watch.started - begun:.1f} s, whole {whole:.1f} s; no-op {again:.2f} s"
    )


def main() -> None:
    import os

    os.environ["PYTHONPATH"] = str(ROOT / "tests" / "orchestration")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    measure("inline", InlineExecutor(), count)
    measure("ray", RayExecutor(cpus=2), count)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"driver's peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
