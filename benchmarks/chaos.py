"""Kill a sweep on Ray at random moments, again and again, and see whether anything is lost.

    python benchmarks/chaos.py                                  every victim, 20 strikes each
    python benchmarks/chaos.py --victims gcs raylet --kills 5   some of it
    python benchmarks/chaos.py --victims own --kills 100        somebody's own trainer
    python benchmarks/chaos.py --race                           four drivers, no lock, 500 runs
    python benchmarks/chaos.py --locked                         50 drivers that come second
    python benchmarks/chaos.py --limits                         20 hung runs, 20 past their time
    python benchmarks/chaos.py --power-cut --kills 20           a node's cable pulled, then it dies

A sweep is started, left alone until its workers train (one time in five, and by signals every
other time, not even so long), struck, waited for, and started again by the same command, until it
was struck often enough; then it is left to finish. What must hold after every blow: no result that
was there is gone or another one, every result hashes clean down to its files, and no process is
left. In the end every run has the result it would have had without the blows, and `verify` finds
nothing.

Of "own" each blow strikes a trainer, its worker, the driver or the raylet, at random; every trainer
has started a daemon, and its loss is made of all its steps. Other processes are killed in a
synthetic sweep on Ray; "inline" is a driver that trains by itself, which costs a second a kill and
can be had by the hundred. Signals are sent to `scaling run` itself, with the real trainer: beside
the above, each attempt under way must leave a checkpoint no older than its last sign of life, the
command that continues must be printed, and no traceback. Its losses are compared with those of the
same sweep left alone, bit by bit.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "orchestration"
sys.path.insert(0, str(TESTS))

import power_cut  # noqa: E402
from synthetic import SETTINGS, expected_loss, make_cells, make_corpus, make_ledger  # noqa: E402

from scaling.ledger.commit import Ledger  # noqa: E402
from scaling.ledger.integrity import verify  # noqa: E402
from scaling.ledger.marked import list_marked, name_mark  # noqa: E402
from scaling.orchestration.driver import run_cells  # noqa: E402
from scaling.orchestration.executors.ray import RayExecutor  # noqa: E402
from scaling.sweep.cells import Cell  # noqa: E402
from scaling.sweep.execution import Execution  # noqa: E402
from scaling.sweep.runspec import RunSpec  # noqa: E402
from scaling.training.checkpoint import read_newest_checkpoint, unpack_state  # noqa: E402
from scaling.workflow.preparing import prepare_sweep  # noqa: E402
from scaling.workflow.training import open_ledger  # noqa: E402

RUNS, STEPS, STEP_SECONDS = 24, 60, 0.05
# 0: if Ray's daemon was killed during the start, a second try may succeed.
CODES = {
    "worker": (0, 5),  # 5: five consecutive deaths
    "driver": (5,),
    "command": (-9,),
    "raylet": (0, 5),
    "gcs": (0, 5),
    "worker+driver": (5,),
    "inline": (-9,),
    "own": (0, 5),
}
OF_OWN = ("trainer", "worker", "driver", "raylet")
GO_ON = ("trainer", "worker")  # victims that are killed repeatedly while the sweep runs
# Negative: before Python installs a handler the signal kills the process; a shell reports 130, 143.
SIGNALS = {"sigint": (130, -2), "sigint twice": (130, -2), "sigterm": (143, -15)}
WORDS_OF_RUN = "To continue:"
SWEEP = """\
name: struck
corpus: {source: python-stdlib, tokenizer: bytes}
model: {seq_len: 128}
grid: {budgets: [3e10, 6.5e10, 1.4e11], sizes: 5, span: 6}
"""
OWN_SWEEP = """\
name: own
trainer:
  command: [%s, train.py]
  files: [train.py]
  data: none
  models: [{name: a, params: 1000}]
grid: {cells: [%s]}
"""
OWN_TRAINER = """\
import json, os, subprocess, time
run = json.load(open(os.environ["SCALING_RUN_FILE"]))
folder, resume = run["folder"], run["resume_folder"]
helper = subprocess.Popen(["sleep", "600"], start_new_session=True)
state = json.load(open(resume + "/checkpoint")) if resume else {"step": 0, "sum": 0}
for step in range(state["step"] + 1, %d + 1):
    time.sleep(%g)
    state = {"step": step, "sum": (31 * state["sum"] + step * run["tokens"]) %% 1000003}
    with open(folder + "/new", "w") as file:
        json.dump(state, file)
    os.rename(folder + "/new", folder + "/checkpoint")
    row = {"step": step, "tokens": run["tokens"] * step / %d, "loss": 3.0}
    with open(folder + "/metrics.jsonl", "a") as file:
        file.write(json.dumps(row) + "\\n")
helper.kill(), helper.wait()
said = {"loss": 1 + state["sum"] / 1e6, "tokens": run["tokens"], "params": run["params"]}
json.dump(said, open(folder + "/measured.json", "w"))
"""
RUNS_PER_INLINE_KILL = 4
RACING, RACE_RUNS = 4, 500
LIMIT_SECONDS = 6.0
NOTICED_SECONDS = 15.0
POWER_SECONDS = 20.0


@dataclass(slots=True)
class Tally:
    """What happened to one victim's sweep."""

    kills: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    changed: int = 0
    damaged: int = 0
    left: int = 0
    survived: int = 0
    attempts: int = 0
    behind: int = 0
    mute: int = 0
    surprises: list[str] = field(default_factory=list)


class Sweep:
    """One synthetic sweep in a folder of its own, and the command that drives it."""

    name = "demo"

    def __init__(self, folder: Path, executor: str = "ray", runs: int = RUNS) -> None:
        self.folder, self.executor, self.runs = folder, executor, runs
        self.kept: dict[str, str] = {}
        self.sessions: set[int] = set()
        self.prepare()

    def prepare(self) -> None:
        step = STEP_SECONDS if self.executor == "ray" else STEP_SECONDS / 10
        make_corpus(self.folder, {"*": {"step_seconds": step}})
        make_ledger(self.folder)

    def begin_anew(self) -> None:
        shutil.rmtree(self.folder / "results" / self.name)
        self.kept = {}

    def words(self) -> list[str]:
        sweep = [str(self.folder), str(self.runs), self.executor, str(STEPS)]
        return [str(TESTS / "drive.py"), *sweep]

    def list_cells(self) -> list[Cell]:
        return make_cells(self.runs, steps=STEPS)

    def expect_loss(self, run: RunSpec) -> float:
        return expected_loss(run)

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.folder / "results" / self.name)

    def start(self) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(ROOT), str(TESTS)])
        process = subprocess.Popen(
            [sys.executable, *self.words()],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.sessions.add(process.pid)
        return process

    def note_sessions(self, process: subprocess.Popen[str]) -> None:
        """Of the driver and the undertaker, which lead sessions of their own."""
        with contextlib.suppress(psutil.Error):
            self.sessions |= {child.pid for child in psutil.Process(process.pid).children()}

    def family(self) -> Iterator[psutil.Process]:
        """By session: Ray's agents overwrite their environment."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and os.getsid(process.pid) in self.sessions:
                    yield process

    def beating(self) -> list[Path]:
        return list(self.folder.glob(f"results/{self.name}/runs/*/attempts/*/heartbeat"))

    def wait_for_workers(self, process: subprocess.Popen[str], since: float) -> None:
        while process.poll() is None and not any(
            mtime is not None and mtime > since for mtime in map(_mtime, self.beating())
        ):
            time.sleep(0.05)
            self.note_sessions(process)
        self.note_sessions(process)

    def check(self, tally: Tally) -> None:
        if not (self.folder / "results" / self.name / "sweep.json").exists():
            return  # killed before the folder was made
        stored = self.ledger.read_results(check="files")
        tally.lost += len(self.kept.keys() - stored.digests.keys())
        tally.changed += sum(
            stored.digests.get(run_id, digest) != digest for run_id, digest in self.kept.items()
        )
        tally.damaged += len(stored.damaged)
        self.kept = dict(stored.digests)


class RealSweep(Sweep):
    """The real trainer, by the command that users type; trained once before, and left alone."""

    name = "struck"

    def prepare(self) -> None:
        (self.folder / "struck.yaml").write_text(SWEEP)
        begun = time.time()
        process = self.start()
        self.wait_for_workers(process, begun)
        self.seconds_to_train = time.time() - begun
        said, _ = process.communicate()
        assert process.returncode == 0, said
        self.losses = self._read_losses()
        self.begin_anew()

    def words(self) -> list[str]:
        root = str(self.folder)
        return ["-m", "scaling", "run", str(self.folder / "struck.yaml"), "--root", root]

    def list_cells(self) -> list[Cell]:
        return list(prepare_sweep(self.folder / "struck.yaml", root=self.folder).plan.cells)

    def expect_loss(self, run: RunSpec) -> float:
        loss = self.losses[run.run_id]
        assert loss is not None
        return loss

    def _read_losses(self) -> dict[str, float | None]:
        results = self.ledger.read_results().results
        return {run_id: result.loss for run_id, result in results.items()}

    def list_under_way(self) -> dict[Path, int]:
        """Folder of each attempt that has begun to train -> tokens at its last sign of life."""
        found = {}
        for path in self.beating():
            beat = self.ledger.read_heartbeat(path.parents[2].name, path.parent.name)
            if beat is not None and beat.tokens:
                found[path.parent] = beat.tokens
        return found

    def count_behind(self, under_way: dict[Path, int]) -> int:
        """Attempts that left neither a result nor a checkpoint of where they stood."""
        tokens_per_step = {
            cell.run.run_id: cell.run.tokens // cell.run.recipe.steps for cell in self.list_cells()
        }
        behind = 0
        for attempt, tokens in under_way.items():
            run_id = attempt.parents[1].name
            if (attempt.parents[1] / "result.json").exists():
                continue
            content = read_newest_checkpoint([attempt])
            steps = 0 if content is None else int(unpack_state(content)["step"])
            behind += steps * tokens_per_step[run_id] < tokens
        return behind


class OwnSweep(Sweep):
    """A sweep of somebody's own trainer, which is a command."""

    name = "own"

    def prepare(self) -> None:
        each = ", ".join(f"{{params: 1000, tokens: {1000 + at}}}" for at in range(self.runs))
        (self.folder / "sweep.yaml").write_text(OWN_SWEEP % (sys.executable, each))
        (self.folder / "train.py").write_text(OWN_TRAINER % (STEPS, STEP_SECONDS, STEPS))

    def words(self) -> list[str]:
        return [str(TESTS / "own.py"), str(self.folder), "ray"]

    def list_cells(self) -> list[Cell]:
        return list(prepare_sweep(self.folder / "sweep.yaml", root=self.folder).plan.cells)

    def expect_loss(self, run: RunSpec) -> float:
        total = 0
        for step in range(1, STEPS + 1):
            total = (31 * total + step * run.tokens) % 1000003
        return 1 + total / 1e6

    def trainers(self) -> list[psutil.Process]:
        """They and their daemons have sessions of their own, and a mark."""
        return list_marked(name_mark(self.folder / "results" / self.name))

    def family(self) -> Iterator[psutil.Process]:
        seen = set()
        for process in (*super().family(), *self.trainers()):
            if process.pid not in seen:
                seen.add(process.pid)
                yield process


def strike(victim: str, process: subprocess.Popen[str], sweep: Sweep) -> str:
    """One blow; what it struck, empty where its victim is not there (yet)."""
    if isinstance(sweep, OwnSweep):
        victim = random.choice(OF_OWN)
        if victim == "trainer":
            there = [one for one in sweep.trainers() if _name(one) != "sleep"]
            return victim if _kill(random.sample(there, min(1, len(there)))) else ""
    return victim if _strike(victim, process, sweep) else ""


def _strike(victim: str, process: subprocess.Popen[str], sweep: Sweep) -> bool:
    if victim in ("command", "inline"):
        process.kill()
        return True
    names = {"raylet": "raylet", "gcs": "gcs_server"}
    if victim in names:
        return _kill([one for one in sweep.family() if one.name() == names[victim]])
    workers = [one for one in sweep.family() if one.name().startswith("ray::execute")]
    driver = psutil.Process(process.pid).children()[:1]  # the second child is the undertaker
    chosen = random.sample(workers, min(1, len(workers)))
    return {
        "worker": lambda: _kill(chosen),
        "driver": lambda: _kill(driver),
        "worker+driver": lambda: bool(chosen and driver) and _kill(chosen + driver),
    }[victim]()


def torment(victim: str, kills: int, folder: Path) -> Tally:
    inline = ("inline", RUNS_PER_INLINE_KILL * kills) if victim == "inline" else ()
    sweep = OwnSweep(folder) if victim == "own" else Sweep(folder, *inline)
    tally = Tally()
    while tally.kills < kills:
        begun = time.time()
        process = sweep.start()
        if random.random() < 0.8:
            sweep.wait_for_workers(process, begun)
            time.sleep(random.uniform(0.0, 2.0))
        else:
            time.sleep(random.uniform(0.2, 4.0))
        if not _strike_until_ended(victim, kills, process, sweep, tally):  # everything is trained
            _finish(sweep, tally)
            sweep.begin_anew()
    _finish(sweep, tally)
    return tally


def send_signals(victim: str, kills: int, folder: Path) -> Tally:
    """Strikes by SIGINT and SIGTERM: every other one between the start of Python and training."""
    sweep, tally = RealSweep(folder), Tally()
    signum = signal.SIGTERM if victim == "sigterm" else signal.SIGINT
    while tally.kills < kills:
        begun = time.time()
        process = sweep.start()
        if tally.kills % 2:
            sweep.wait_for_workers(process, begun)
            while process.poll() is None and not sweep.list_under_way():
                time.sleep(0.05)
            time.sleep(random.uniform(0.0, 4.0))
        else:
            time.sleep(random.uniform(0.0, sweep.seconds_to_train))
        sweep.note_sessions(process)
        under_way = sweep.list_under_way()
        if process.poll() is not None:
            said, _ = process.communicate()
            if process.returncode:
                tally.surprises.append(f"unprovoked: exit {process.returncode}: {said[-500:]}")
            sweep.check(tally)
            _finish(sweep, tally)
            sweep.begin_anew()
            continue
        process.send_signal(signum)
        if victim == "sigint twice":
            time.sleep(random.uniform(0.0, 0.6))
            process.send_signal(signal.SIGINT)
        struck = time.monotonic()
        said, _ = process.communicate()
        _judge_end(victim, struck, process.returncode, said, sweep, tally)
        tally.attempts += len(under_way)
        if victim != "sigint twice":
            tally.behind += sweep.count_behind(under_way)
    _finish(sweep, tally)
    return tally


def _judge_end(
    victim: str, struck: float, code: int, said: str, sweep: Sweep, tally: Tally
) -> None:
    tally.kills += 1
    tally.seconds.append(time.monotonic() - struck)
    tally.codes[code] += 1
    tally.mute += code >= 0 and WORDS_OF_RUN not in said
    if code not in SIGNALS[victim] or (code >= 0 and "Traceback" in said):
        tally.surprises.append(f"exit {code}: {said[-1500:]}")
    tally.left += len(list(sweep.family()))
    sweep.check(tally)


def _finish(sweep: Sweep, tally: Tally) -> None:
    """Let the sweep come to its end, and compare it with one that was left alone."""
    process = sweep.start()
    sweep.wait_for_workers(process, time.time())
    said, _ = process.communicate()
    if process.returncode:
        tally.surprises.append(f"in the end exit {process.returncode}: {said[-300:]}")
    sweep.check(tally)
    ledger, cells = sweep.ledger, sweep.list_cells()
    results = ledger.read_results().results
    wrong = [one for one in results.values() if one.loss != sweep.expect_loss(one.run)]
    if len(results) != len(cells) or wrong:
        tally.surprises.append(f"{len(results)} of {len(cells)} results, {len(wrong)} wrong")
    if left := list(sweep.family()):
        tally.surprises.append(f"in the end {len(left)} processes are left")
    verify(ledger, cells, repair=True)
    tally.surprises += [finding.what for finding in verify(ledger, cells)]


def _strike_until_ended(
    victim: str, kills: int, process: subprocess.Popen[str], sweep: Sweep, tally: Tally
) -> bool:
    """Workers are struck as often as there is time, everything else once; False: not at all."""
    hit = ""
    struck = time.monotonic()
    while tally.kills < kills and process.poll() is None:
        sweep.note_sessions(process)
        with contextlib.suppress(psutil.Error, IndexError):
            if blow := strike(victim, process, sweep):
                hit, struck = blow, time.monotonic()
                tally.kills += 1
                tally.blows[blow] += 1
        if hit in ("raylet", "gcs") and is_alive_after(process, NOTICED_SECONDS):
            tally.survived += 1  # Ray was starting, and was started again
            time.sleep(random.uniform(0.0, 5.0))
            continue
        if hit and hit not in GO_ON:
            break
        time.sleep(random.uniform(0.3, 1.5) if hit or victim == "worker" else 0.05)
    said, _ = process.communicate()
    sweep.check(tally)
    if not hit:
        return process.returncode != 0
    if hit not in GO_ON and process.returncode:
        tally.seconds.append(time.monotonic() - struck)
    tally.codes[process.returncode] += 1
    if process.returncode not in CODES[victim]:
        tally.surprises.append(f"exit {process.returncode}: {said[-300:]}")
    if victim == "command":  # the undertaker may still be cleaning up
        wait_while(lambda: bool(list(sweep.family())), 10.0)
    tally.left += len(list(sweep.family()))
    return True


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return ""


def _kill(processes: list[psutil.Process]) -> bool:
    for process in processes:
        process.kill()
    return bool(processes)


def _mtime(path: Path) -> float | None:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return None


def is_alive_after(process: subprocess.Popen[str], seconds: float) -> bool:
    wait_while(lambda: process.poll() is None, seconds)
    return process.poll() is None


def wait_while(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def race(folder: Path, without: str) -> None:
    """Four drivers on one sweep, on a file system without locks: each run counts once. Where terms
    are off too, no driver gives way to another, and all of them train every run."""
    folder.mkdir()
    make_corpus(folder)
    words = [str(TESTS / "drive.py"), str(folder), str(RACE_RUNS), "inline", "4"]
    path = os.pathsep.join([str(ROOT), str(TESTS)])
    ended, rounds = [], 0
    while not ended or any(ended):  # a driver that lost its term to another exits 6
        rounds += 1
        environment = os.environ | {"PYTHONPATH": path, "SCALING_TEST_WITHOUT": without}
        drivers = [
            subprocess.Popen(
                [sys.executable, *words],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(RACING)
        ]
        ended = [driver.wait() for driver in drivers]
    ledger, cells = make_ledger(folder), make_cells(RACE_RUNS, steps=4)
    stored = ledger.read_results(check="files")
    wrong = [one for one in stored.results.values() if one.loss != expected_loss(one.run)]
    attempts = sum(len(ledger.list_attempts(run_id)) for run_id in stored.results)
    found = [finding.what for finding in verify(ledger, cells)]
    print(
        f"{RACE_RUNS} runs, {RACING} drivers without {without}, {rounds} round(s): "
        f"{len(stored.results)} results of {attempts} attempts, {len(wrong)} wrong, "
        f"{len(stored.damaged)} damaged, verify finds {len(found)}"
    )


def come_second(folder: Path, times: int) -> None:
    """`scaling run` on a sweep that is driven: exit 6, naming process and host."""
    sweep_file = folder / "struck.yaml"
    sweep_file.write_text(SWEEP)
    words = [sys.executable, "-m", "scaling", "run", str(sweep_file), "--root", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    sweep = prepare_sweep(sweep_file, root=folder)
    ledger = open_ledger(sweep, root=folder, retrain=False)
    good, walls, cpus = 0, [], []
    with ledger.lock():
        for _ in range(times):
            begun, before = time.monotonic(), os.times()
            done = subprocess.run(words, env=environment, capture_output=True, text=True)
            after = os.times()
            walls.append(time.monotonic() - begun)
            cpus.append(sum(after[2:4]) - sum(before[2:4]))
            named = f"process {os.getpid()} on {socket.gethostname()}" in done.stderr
            good += done.returncode == 6 and named
    print(
        f"{good} of {times} second drivers exit 6 and name process and host; from start to end "
        f"{statistics.median(walls):.2f} s (max {max(walls):.2f} s), of it CPU "
        f"{statistics.median(cpus):.2f} s (max {max(cpus):.2f} s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    victims = [*CODES, *SIGNALS]
    parser.add_argument("--victims", nargs="+", choices=victims, default=victims)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--race", action="store_true")
    parser.add_argument("--locked", action="store_true")
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--power-cut", action="store_true")
    asked = parser.parse_args()
    if asked.power_cut:
        with tempfile.TemporaryDirectory() as folder:
            cut_power(Path(folder), asked.kills)
        return
    if asked.race or asked.locked or asked.limits:
        with tempfile.TemporaryDirectory() as folder:
            for without in ("lock", "lock+term") if asked.race else ():
                race(Path(folder, without), without)
            if asked.locked:
                come_second(Path(folder), 50)
            if asked.limits:
                outlast(Path(folder), 20)
        return
    print("victim  strikes  lost changed damaged left  exit codes  ended after (median, max)")
    for victim in asked.victims:
        random.seed(f"{asked.seed} {victim}")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            work = send_signals if victim in SIGNALS else torment
            tally = work(victim, asked.kills, Path(folder))
        report(victim, tally, time.monotonic() - begun)


class Timed(RayExecutor):
    """Notes how long each attempt was silent, and at work, when it was killed."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(cpus=2)
        self._ledger_of_runs, self.silent, self.worked = ledger, {}, {}

    def kill(self, attempt_id: str) -> None:
        now = time.time()
        for request in list(self._running.values()):
            beat = self._ledger_of_runs.read_heartbeat(request.run_id, request.attempt_id)
            if request.attempt_id == attempt_id and beat is not None and beat.at is not None:
                self.silent.setdefault(attempt_id, now - beat.at)
                self.worked.setdefault(attempt_id, now - beat.at + beat.seconds)
        super().kill(attempt_id)


def outlast(folder: Path, times: int) -> None:
    """Workers that hang in a step, under a limit of silence and under one of wall-clock time."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(TESTS)])  # for workers
    patient = dataclasses.replace(SETTINGS, crashes_in_a_row=10**6)
    for what, settings in (
        ("silent", dataclasses.replace(patient, stall_limit=LIMIT_SECONDS)),
        ("worked", dataclasses.replace(patient, execution=Execution(time_limit=LIMIT_SECONDS))),
    ):
        place = folder / what
        place.mkdir()
        corpus, ledger = make_corpus(place, {"*": {"hang_at": 3}}), make_ledger(place)
        executor = Timed(ledger)
        run_cells(make_cells(times), ledger, executor, corpus=corpus, settings=settings)
        seconds = getattr(executor, what)
        within = sum(one <= 1.5 * LIMIT_SECONDS for one in seconds.values())
        print(
            f"hung in a step, limit {LIMIT_SECONDS:g} s: {what} "
            f"{statistics.median(seconds.values()):.1f} s (max {max(seconds.values()):.1f} s) when "
            f"killed; within 1.5 times the limit: {within} of {len(seconds)}",
            flush=True,
        )


def cut_power(folder: Path, times: int) -> None:
    """A node in a network namespace of its own: its cable is pulled, then all of it is killed."""
    if reason := power_cut.why_not():
        sys.exit(f"no power can be cut: {reason}")
    seconds, wrong = [], 0
    machines = power_cut.TwoMachines()
    try:
        for time_ in range(times):
            place = folder / str(time_)
            place.mkdir()
            corpus = make_corpus(place, {"*": {"step_seconds": 0.1}})
            (corpus / "manifest.json").write_text("{}")
            driver = power_cut.start_driver(machines, place, 3, 40)
            beating = functools.partial(power_cut.list_beating, place)
            seconds.append(power_cut.measure_cut(machines, beating))
            driver.communicate()
            results = make_ledger(place).read_results(check="files").results
            losses = {run_id: one.loss for run_id, one in results.items()}
            cells = make_cells(3, steps=40)
            wrong += losses != {cell.run.run_id: expected_loss(cell.run) for cell in cells}
            wrong += driver.returncode != 0
            print(f"cut {time_ + 1}: a new attempt after {seconds[-1]:.1f} s", flush=True)
            machines.join_node()
    finally:
        machines.close()
    within = sum(one <= POWER_SECONDS for one in seconds)
    print(
        f"power cut {len(seconds)} times: new attempt after {statistics.median(seconds):.1f} s "
        f"(max {max(seconds):.1f} s); within {POWER_SECONDS:g} s: {within}; sweeps that did not "
        f"end well: {wrong}"
    )


def report(victim: str, tally: Tally, seconds: float) -> None:
    codes = " ".join(f"{code}×{times}" for code, times in sorted(tally.codes.items()))
    took = (
        f"{statistics.median(tally.seconds):.1f} s, {max(tally.seconds):.1f} s"
        if tally.seconds
        else "-"
    )
    print(
        f"{victim:14s} {tally.kills:5d} {tally.lost:5d} {tally.changed:6d} {tally.damaged:7d} "
        f"{tally.left:5d}  {codes:12s} {took}   [{seconds:.0f} s]",
        flush=True,
    )
    if tally.survived:
        print(f"    {tally.survived} times Ray was starting, and was started again")
    if victim == "own":
        print(f"    struck: {', '.join(f'{what} {times}' for what, times in tally.blows.items())}")
    if victim in SIGNALS:
        print(
            f"    {tally.attempts} attempts were under way; {tally.behind} left no checkpoint of "
            f"their last sign of life; {tally.mute} times the command was not printed"
        )
    for line in tally.surprises:
        print(f"    {line}")


if __name__ == "__main__":
    main()
