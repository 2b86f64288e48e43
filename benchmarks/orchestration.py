"""What orchestration costs, with a trainer that only writes its curve, against Ray itself and Tune.

    python benchmarks/orchestration.py                    the whole table; about six minutes
    python benchmarks/orchestration.py driver 10000       one part of it, at another size

    driver N     a sweep of N runs on the inline executor: CPU of the driver beside the attempts',
                 peak memory, and every pass over the ledger (no-op call, status, index, verify)
    ray N        N runs on two Ray workers: wall-clock and driver CPU per run once both work
    busy N       N runs of 5 s on two workers: share of the time that they spend in the trainer
    tasks N      N empty Ray tasks, two workers: what Ray itself costs
    own N        N runs of a trainer that is a command, inline: CPU beside that of the bare
                 command, of a run and of each second that it is waited for
    tune N       N empty trials of Ray Tune as it is by default: a process per trial

Each part runs in a process of its own, so that its peak memory is its own. Machines are shared:
compare figures of one call, and CPU time before wall-clock time.
"""

import dataclasses
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SYNTHETIC = ROOT / "tests" / "orchestration"
sys.path.insert(0, str(SYNTHETIC))

import own  # noqa: E402
from synthetic import SETTINGS, make_cells, make_corpus, make_ledger, train_run  # noqa: E402

from scaling.ledger.integrity import verify  # noqa: E402
from scaling.ledger.results import Measurement  # noqa: E402
from scaling.ledger.sweep_table import render_index  # noqa: E402
from scaling.orchestration.driver import run_cells  # noqa: E402
from scaling.orchestration.executors import AttemptEnded, Executor  # noqa: E402
from scaling.orchestration.executors.inline import InlineExecutor  # noqa: E402
from scaling.orchestration.executors.ray import RayExecutor  # noqa: E402
from scaling.sweep.runspec import RunSpec  # noqa: E402

WORKERS = 2
RUN_SECONDS = 5.0
TABLE = (
    *(("driver", count) for count in (100, 1000, 10_000)),
    *(("ray", count) for count in (100, 1000)),
    ("busy", 16),
    ("tasks", 1000),
    ("own", 20),
    ("tune", 12),
)


class Stopwatch:
    """When the executor was up, and when runs ended; CPU that was spent inside it."""

    def __init__(self, executor: Executor) -> None:
        self._executor, self.started, self.cpu = executor, 0.0, 0.0
        self.ended: list[tuple[float, float]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._executor, name)

    def start(self) -> None:
        self._executor.start()
        self.started = time.perf_counter()

    def wait(self, timeout: float, tick: Callable[[], None]) -> tuple[AttemptEnded, ...]:
        before = time.process_time()
        ended = self._executor.wait(timeout, tick)
        self.cpu += time.process_time() - before
        self.ended += [(time.perf_counter(), time.process_time())] * len(ended)
        return ended


def time_cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measure_driver(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        planning = time_cpu(lambda: make_cells(count, steps=1))
        cells, corpus, ledger = make_cells(count, steps=1), make_corpus(path), make_ledger(path)
        watch = Stopwatch(InlineExecutor())

        def drive() -> None:
            outcome = run_cells(cells, ledger, watch, corpus=corpus, settings=SETTINGS)  # type: ignore[arg-type]
            assert len(outcome.finished) == count

        cpu = time_cpu(drive) - watch.cpu
        stored = ledger.read_results()
        return {
            "driver ms CPU a run": 1e3 * cpu / count,
            "attempt ms CPU a run": 1e3 * watch.cpu / count,
            "planning s": planning,
            "no-op call s": time_cpu(
                lambda: run_cells(cells, ledger, InlineExecutor(), corpus=corpus, settings=SETTINGS)
            ),
            "reading the ledger s": time_cpu(ledger.read_results),
            "index s": time_cpu(lambda: render_index(ledger, stored, cells)),
            "verify s": time_cpu(lambda: verify(ledger, cells)),
        }


def measure_ray(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        cells, corpus, ledger = make_cells(count, steps=1), make_corpus(path), make_ledger(path)
        watch = Stopwatch(RayExecutor(cpus=WORKERS))
        begun = time.perf_counter()
        run_cells(cells, ledger, watch, corpus=corpus, settings=SETTINGS)  # type: ignore[arg-type]
    # Steady state: both workers have started by the tenth run.
    (first, cpu_first), (last, cpu_last) = watch.ended[9], watch.ended[-1]
    steady = len(watch.ended) - 10
    return {
        "ms a run": 1e3 * (last - first) / steady,
        "driver ms CPU a run": 1e3 * (cpu_last - cpu_first) / steady,
        "start s": watch.started - begun,
        "first run after s": watch.ended[0][0] - begun,
    }


def measure_busy(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        cells, ledger = make_cells(count, steps=50), make_ledger(path)
        corpus = make_corpus(path, {"*": {"step_seconds": RUN_SECONDS / 50}})
        watch = Stopwatch(RayExecutor(cpus=WORKERS))
        settings = dataclasses.replace(SETTINGS, trainer="orchestration:train_timed")
        run_cells(cells, ledger, watch, corpus=corpus, settings=settings)  # type: ignore[arg-type]
        spent = [result.seconds for result in ledger.read_results().results.values()]
    first, last = watch.ended[WORKERS - 1][0], watch.ended[-1][0]
    # Once the first two runs have ended, both workers are in their second; the last run may be
    # alone, so the count must be even.
    share = (count - WORKERS) * sum(spent) / count / (WORKERS * (last - first))
    return {"share of the time spent training": share, "seconds a run": sum(spent) / count}


def train_timed(run: RunSpec, **arguments: Any) -> Measurement:
    """The synthetic trainer, with the time that it really took."""
    begun = time.monotonic()
    measured = train_run(run, **arguments)
    return dataclasses.replace(measured, seconds=time.monotonic() - begun)


def measure_tasks(count: int) -> dict[str, float]:
    executor = RayExecutor(cpus=WORKERS)
    executor.start()
    try:
        ray = executor._ray
        empty = ray.remote(num_cpus=1)(_do_nothing)
        ray.get([empty.remote() for _ in range(10)])
        begun, cpu = time.perf_counter(), time.process_time()
        ray.get([empty.remote() for _ in range(count)])
        whole, cpu = time.perf_counter() - begun, time.process_time() - cpu
    finally:
        executor.close()
    return {"ms a task": 1e3 * whole / count, "driver ms CPU a task": 1e3 * cpu / count}


def measure_own(count: int) -> dict[str, float]:
    """CPU of this process and of all it starts, less that of the commands alone."""
    with tempfile.TemporaryDirectory() as folder:
        sweep, ledger = own.prepare(Path(folder), own.GOOD + "time.sleep(run['seed'])\n")
        run, command = sweep.plan.cells[0].run, [sys.executable, "train.py"]

        def train(seconds: int) -> None:
            own.attempt(sweep, ledger, dataclasses.replace(run, seed=seconds))

        def train_many() -> None:
            # Each with another N, and without a seed, for which the trainer would sleep.
            for at in range(count):
                other = dataclasses.replace(run.shape, name=f"m{at}")
                own.attempt(sweep, ledger, dataclasses.replace(run, shape=other))

        train(1)  # imports
        (attempt,) = ledger.folder.glob("runs/*/attempts/*")
        environment = os.environ | {
            "SCALING_RUN_FILE": str(attempt / "run" / "run.json"),
            "SCALING_RUN_DIR": folder,
            "SCALING_RESUME_DIR": "",
        }

        def command_many() -> None:
            for _ in range(count):
                subprocess.run(command, cwd=folder, env=environment, check=True)

        many, bare = time_all_cpu(train_many), time_all_cpu(command_many)
        ten = time_all_cpu(lambda: train(10))
    return {
        "s CPU of a run": many / count,
        "of the bare command": bare / count,
        "overhead": (many - bare) / count,
        "a second of waiting": (ten - many / count) / 10,
    }


def time_all_cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process and of the children it has waited for."""
    before = os.times()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def measure_tune(count: int) -> dict[str, float]:
    executor = RayExecutor(cpus=WORKERS)
    executor.start()
    try:
        from ray import tune

        with tempfile.TemporaryDirectory() as folder:
            ends: list[float] = []

            class Ends(tune.Callback):  # type: ignore[misc]
                def on_trial_complete(self, *_: Any, **__: Any) -> None:
                    ends.append(time.perf_counter())

            tuner = tune.Tuner(
                tune.with_resources(_try_nothing, {"cpu": 1}),
                param_space={"x": tune.grid_search(list(range(count)))},
                run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Ends()]),
            )
            cpu = time.process_time()
            tuner.fit()
            cpu = time.process_time() - cpu
    finally:
        executor.close()
    # As above, without the first trials, during which workers start.
    steady = len(ends) - WORKERS
    return {
        "ms a trial": 1e3 * (ends[-1] - ends[WORKERS - 1]) / steady,
        "driver ms CPU a trial": 1e3 * cpu / count,
    }


def _do_nothing() -> None: ...


def _try_nothing(config: Mapping[str, Any]) -> dict[str, float]:
    return {"loss": 1.0}


PARTS: dict[str, Callable[[int], dict[str, float]]] = {
    "driver": measure_driver,
    "ray": measure_ray,
    "busy": measure_busy,
    "tasks": measure_tasks,
    "own": measure_own,
    "tune": measure_tune,
}


def main() -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), str(SYNTHETIC), str(ROOT / "benchmarks")]
    )
    if len(sys.argv) > 2:
        name, count = sys.argv[1], int(sys.argv[2])
        measured = PARTS[name](count)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(measured | {"peak MiB": peak}))
        return
    found: dict[tuple[str, int], dict[str, float]] = {}
    for name, count in TABLE:
        words = [sys.executable, __file__, name, str(count)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{name} {count}: not measured: {reason}")
            continue
        found[name, count] = json.loads(done.stdout.splitlines()[-1])
        shown = ", ".join(f"{what} {value:.3g}" for what, value in found[name, count].items())
        print(f"{name} {count}: {shown}", flush=True)
    if ("tune", 12) in found and ("ray", 1000) in found:
        ours, theirs = found["ray", 1000]["ms a run"], found["tune", 12]["ms a trial"]
        print(f"a trial of Tune costs ×{theirs / ours:.0f} of a run here (wall-clock, this call)")


if __name__ == "__main__":
    main()
