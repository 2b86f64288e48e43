"""Duration of whole processes: the shell's wait for an answer.

    python benchmarks/startup.py [--repeats 11] [--beside CHECKOUT]

`allocate` on the results folder of the sweep on code, first without a stored fit, then with one;
beside it what no such process can avoid, Python itself and numpy. With SCALING_TABLES set also
`allocate` on Epoch's table (a table has no stored fit) and its fit with 4000 refits. Wall and
processor seconds of the process, medians; machines are shared, so quote ratios.

With --beside the processor time of `allocate` on a stored fit and of `--version`, beside that of
another checkout: each on its own results/reference, by turns.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
CODE = HERE / "results" / "code"


def measure(name: str, words: list[str], repeats: int) -> None:
    """Print medians of wall and processor time [s] of a process."""
    walls, cpus = [], []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    middle, processor = statistics.median(walls), statistics.median(cpus)
    spread = f"(wall {min(walls):.3f} to {max(walls):.3f})"
    print(f"{name:44s} {middle:6.3f} s  processor {processor:6.3f} s  {spread}", flush=True)


def spend(tree: Path, words: list[str]) -> float:
    """Processor time [s] of a command of a checkout, its modules compiled before, as a user's."""
    env = {name: one for name, one in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "scaling", *words], check=True, cwd=tree,
                   env=env | {"PYTHONPATH": str(tree)}, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(name: str, pairs: list[tuple[Path, list[str]]], repeats: int) -> None:
    """Print medians of processor time [s] of the same command here and there."""
    for tree, words in pairs:  # makes the stored fit and the bytecode
        spend(tree, words)
    rounds = [[spend(tree, words) for tree, words in pairs] for _ in range(repeats)]
    here, there = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"{name:44s} processor {here:6.3f} s, there {there:6.3f} s, ratio {here / there:.2f}")


def compare_checkouts(there: Path, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        pairs = []
        for at, tree in enumerate((HERE, there.resolve())):
            folder = Path(root) / str(at)
            shutil.copytree(tree / "results" / "reference", folder)
            pairs.append((tree, ["allocate", str(folder), "--flops", "1e14"]))
        compare("allocate results/reference, stored fit", pairs, repeats)
        compare("--version", [(tree, ["--version"]) for tree, _ in pairs], repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--beside", type=Path, help="another checkout")
    asked = parser.parse_args()
    repeats = asked.repeats
    if asked.beside is not None:
        compare_checkouts(asked.beside, repeats)
        return
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "code"
        shutil.copytree(CODE, folder, ignore=shutil.ignore_patterns("fits"))
        words = ["-m", "scaling", "allocate", str(folder), "--flops", "6e12"]
        measure("python", ["-c", ""], repeats)
        measure("python, import numpy", ["-c", "import numpy"], repeats)
        measure("allocate FOLDER, first time", words, 1)
        measure("allocate FOLDER, stored fit", words, repeats)
        measure("fit FOLDER, stored fit", ["-m", "scaling", "fit", str(folder)], repeats)
        if "SCALING_TABLES" in os.environ:
            table = str(Path(os.environ["SCALING_TABLES"]) / "epoch_chinchilla.csv")
            asked = ["-m", "scaling", "allocate", table, "--flops", "1e21"]
            measure("allocate TABLE (Epoch's 245 rows)", asked, repeats)
            refits = ["-m", "scaling", "fit", table, "--bootstrap", "4000"]
            measure("fit TABLE --bootstrap 4000", refits, max(3, repeats // 3))


if __name__ == "__main__":
    main()
