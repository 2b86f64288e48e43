"""Kill a sweep on Ray at random moments, again and again, and see whether anything is lost.

    python benchmarks/chaos.py                                  every victim, 20 kills each
    python benchmarks/chaos.py --victims gcs raylet --kills 5   some of it

One synthetic sweep per victim is started, left alone until its workers train (one time in five not
even so long, but for Ray's daemons: without them Ray does not start, and is started anew), struck,
waited for, and started again by the same command, until it was struck often enough; then it is left
to finish. What must hold after every blow: no result that was there is
gone or another one, every result hashes clean down to its files, and no process is left. In the
end every run has the result it would have had without the blows, and `verify` finds nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "orchestration"
sys.path.insert(0, str(TESTS))

from synthetic import expected_loss, make_cells, make_corpus, make_ledger  # noqa: E402

from scaling.ledger.integrity import verify  # noqa: E402

RUNS, STEPS, STEP_SECONDS = 24, 60, 0.05
CODES = {
    "worker": (0, 5),  # 5: five deaths in a row
    "driver": (5,),
    "command": (-9,),
    "raylet": (5,),
    "gcs": (5,),
    "worker+driver": (5,),
    "sigint": (130,),
    "sigint twice": (130,),
    "sigterm": (143,),
}


@dataclass(slots=True)
class Tally:
    """What happened to one victim's sweep."""

    kills: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    changed: int = 0
    damaged: int = 0
    left: int = 0
    surprises: list[str] = field(default_factory=list)


class Sweep:
    """One synthetic sweep in a folder of its own, and the command that drives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_corpus(folder, {"*": {"step_seconds": STEP_SECONDS}})
        make_ledger(folder)
        self.kept: dict[str, str] = {}
        self.sessions: set[int] = set()

    def start(self) -> subprocess.Popen[str]:
        words = [str(TESTS / "drive.py"), str(self.folder), str(RUNS), "ray", str(STEPS)]
        path = os.pathsep.join([str(ROOT), str(TESTS)])
        process = subprocess.Popen(
            [sys.executable, *words],
            env=os.environ | {"PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.sessions.add(process.pid)
        while process.poll() is None:  # until it has its driver, which leads a session of its own
            with contextlib.suppress(psutil.Error, IndexError):
                self.sessions.add(psutil.Process(process.pid).children()[0].pid)
                break
        return process

    def family(self) -> Iterator[psutil.Process]:
        """By session: Ray's agents overwrite their environment."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and os.getsid(process.pid) in self.sessions:
                    yield process

    def beating(self) -> list[Path]:
        return list(self.folder.glob("results/demo/runs/*/attempts/*/heartbeat"))

    def wait_for_workers(self, process: subprocess.Popen[str], since: float) -> None:
        while process.poll() is None and not any(
            mtime is not None and mtime > since for mtime in map(_mtime, self.beating())
        ):
            time.sleep(0.05)

    def check(self, tally: Tally) -> None:
        stored = make_ledger(self.folder).read_results(check="files")
        tally.lost += len(self.kept.keys() - stored.digests.keys())
        tally.changed += sum(
            stored.digests.get(run_id, digest) != digest for run_id, digest in self.kept.items()
        )
        tally.damaged += len(stored.damaged)
        self.kept = dict(stored.digests)


def strike(victim: str, process: subprocess.Popen[str], sweep: Sweep) -> bool:
    """One blow; False where its victim is not there (yet)."""
    if victim == "command":
        process.kill()
        return True
    if victim in ("sigint", "sigint twice", "sigterm"):
        process.send_signal(signal.SIGTERM if victim == "sigterm" else signal.SIGINT)
        if victim == "sigint twice":
            time.sleep(random.uniform(0.0, 0.6))
            process.send_signal(signal.SIGINT)
        return True
    names = {"raylet": "raylet", "gcs": "gcs_server"}
    if victim in names:
        return _kill([one for one in sweep.family() if one.name() == names[victim]])
    workers = [one for one in sweep.family() if one.name().startswith("ray::execute")]
    driver = psutil.Process(process.pid).children()[:1]
    chosen = random.sample(workers, min(1, len(workers)))
    return {
        "worker": lambda: _kill(chosen),
        "driver": lambda: _kill(driver),
        "worker+driver": lambda: bool(chosen and driver) and _kill(chosen + driver),
    }[victim]()


def torment(victim: str, kills: int, folder: Path) -> Tally:
    sweep, tally = Sweep(folder), Tally()
    while tally.kills < kills:
        begun = time.time()
        process = sweep.start()
        if victim in ("raylet", "gcs") or random.random() < 0.8:
            sweep.wait_for_workers(process, begun)
            time.sleep(random.uniform(0.0, 2.0))
        else:
            time.sleep(random.uniform(0.2, 4.0))
        if not _strike_until_ended(victim, kills, process, sweep, tally):
            break  # all is trained
    process = sweep.start()
    said, _ = process.communicate()
    if process.returncode:
        tally.surprises.append(f"in the end exit {process.returncode}: {said[-300:]}")
    sweep.check(tally)
    ledger, cells = make_ledger(folder), make_cells(RUNS, steps=STEPS)
    results = ledger.read_results().results
    wrong = [one for one in results.values() if one.loss != expected_loss(one.run)]
    if len(results) != RUNS or wrong:
        tally.surprises.append(f"{len(results)} of {RUNS} results, {len(wrong)} wrong")
    if left := list(sweep.family()):
        tally.surprises.append(f"in the end {len(left)} processes are left")
    verify(ledger, cells, repair=True)
    tally.surprises += [finding.what for finding in verify(ledger, cells)]
    return tally


def _strike_until_ended(
    victim: str, kills: int, process: subprocess.Popen[str], sweep: Sweep, tally: Tally
) -> bool:
    """Workers are struck as often as there is time, everything else once; False: not at all."""
    hit = False
    struck = time.monotonic()
    while tally.kills < kills and process.poll() is None:
        with contextlib.suppress(psutil.Error, IndexError):
            if strike(victim, process, sweep):
                hit, struck = True, time.monotonic()
                tally.kills += 1
        if hit and victim != "worker":
            break
        time.sleep(random.uniform(0.3, 1.5) if victim == "worker" else 0.05)
    said, _ = process.communicate()
    sweep.check(tally)
    if not hit:
        return process.returncode != 0
    if victim != "worker":
        tally.seconds.append(time.monotonic() - struck)
    tally.codes[process.returncode] += 1
    if process.returncode not in CODES[victim]:
        tally.surprises.append(f"exit {process.returncode}: {said[-300:]}")
    if victim == "command":  # nobody was left to see to the rest: Ray ends itself, but for agents
        _wait_while(lambda: len(list(sweep.family())) > 2, 10.0)
    tally.left += len(list(sweep.family()))
    return True


def _kill(processes: list[psutil.Process]) -> bool:
    for process in processes:
        process.kill()
    return bool(processes)


def _mtime(path: Path) -> float | None:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return None


def _wait_while(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while condition() and time.monotonic() < deadline:  # type: ignore[operator]
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--victims", nargs="+", choices=CODES, default=list(CODES))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(
        "victim         kills  lost  changed  damaged  left  exit codes   ended after (median, max)"
    )
    for victim in asked.victims:
        random.seed(f"{asked.seed} {victim}")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tally = torment(victim, asked.kills, Path(folder))
        codes = " ".join(f"{code}×{times}" for code, times in sorted(tally.codes.items()))
        took = (
            f"{statistics.median(tally.seconds):.1f} s, {max(tally.seconds):.1f} s"
            if tally.seconds
            else "-"
        )
        print(
            f"{victim:14s} {tally.kills:5d} {tally.lost:5d} {tally.changed:8d} {tally.damaged:8d} "
            f"{tally.left:5d}  {codes:12s} {took}   [{time.monotonic() - begun:.0f} s]"
        )
        for line in tally.surprises:
            print(f"    {line}")


if __name__ == "__main__":
    main()
