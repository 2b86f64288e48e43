"""A sweep file that makes several sweeps, trained by the command line on a small made-up corpus."""

import subprocess
import sys
from pathlib import Path

import numpy as np


def run_cli(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`scaling WORDS` in `root`."""
    return subprocess.run(
        [sys.executable, "-m", "scaling", *words], capture_output=True, text=True, cwd=root
    )


def train_siblings(folder: Path, sweep: str, *, ending: str = "") -> Path:
    """Run `sweep` (its corpus: texts/, each file with an ending) as pair.yaml; what was said goes
    to said.txt."""
    (folder / "texts").mkdir()
    rng = np.random.default_rng(0)
    for index in range(90):
        words = [f"w{word:03d}" for word in rng.zipf(1.3, 1500) % 300]
        (folder / "texts" / f"{index:02d}.txt").write_text(" ".join(words) + ending)
    (folder / "pair.yaml").write_text(sweep)
    done = run_cli(folder, "run", "pair.yaml", "--executor", "inline")
    assert done.returncode == 4, done.stderr  # one or two runs have no law
    (folder / "said.txt").write_text(done.stdout + done.stderr)
    return folder
