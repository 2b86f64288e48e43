"""A sweep file that makes several sweeps, trained by the command line on a small generated
corpus."""

from pathlib import Path

import numpy as np
from commands import start


def train_siblings(folder: Path, sweep: str, *, ending: str = "") -> Path:
    """Run `sweep` (its corpus: texts/, each file with an ending) as pair.yaml; what was said goes
    to said.txt."""
    (folder / "texts").mkdir()
    rng = np.random.default_rng(0)
    for index in range(90):
        words = [f"w{word:03d}" for word in rng.zipf(1.3, 1500) % 300]
        (folder / "texts" / f"{index:02d}.txt").write_text(" ".join(words) + ending)
    (folder / "pair.yaml").write_text(sweep)
    done = start("run", "pair.yaml", "--executor", "inline", cwd=folder)
    assert done.code == 4, done.errors  # one or two runs determine no law
    (folder / "said.txt").write_text(done.out + done.errors)
    return folder
