"""Small sweeps trained for a test: by the command line on a generated corpus, where one file makes
several sweeps, or in this process."""

from pathlib import Path

import numpy as np
from commands import start

from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.training import open_ledger, train_sweep


def write_texts(folder: Path, *, seed: int = 0, ending: str = "") -> None:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for index in range(90):
        words = [f"w{word:03d}" for word in rng.zipf(1.3, 1500) % 300]
        (folder / f"{index:02d}.txt").write_text(" ".join(words) + ending)


def train_siblings(folder: Path, sweep: str, *, ending: str = "") -> Path:
    """Run `sweep` (its corpus: texts/, each file with an ending) as pair.yaml; what was said goes
    to said.txt."""
    write_texts(folder / "texts", ending=ending)
    (folder / "pair.yaml").write_text(sweep)
    done = start("run", "pair.yaml", "--executor", "inline", cwd=folder)
    assert done.code == 4, done.errors  # one or two runs determine no law
    (folder / "said.txt").write_text(done.out + done.errors)
    return folder


def train_here(folder: Path, name: str, sweep: str) -> None:
    """Run `sweep`, which lacks a name, as NAME.yaml."""
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\n{sweep}")
    ready = prepare_sweep(path, root=folder)
    ledger = open_ledger(ready, root=folder, retrain=False)
    assert not train_sweep(ready, ledger, executor="inline").failed
