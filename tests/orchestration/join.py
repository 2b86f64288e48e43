"""Drive a synthetic sweep on a cluster that is joined, from a process of its own.

usage: join.py FOLDER COUNT STEPS ADDRESS
"""

import json
import sys
from pathlib import Path

from synthetic import SETTINGS, make_cells, make_ledger

from scaling.errors import ScalingError
from scaling.orchestration.driver import run_cells
from scaling.orchestration.executors.ray import RayExecutor
from scaling.orchestration.progress import open_progress


def main(folder: Path, count: int, steps: int, address: str) -> int:
    ledger, corpus = make_ledger(folder), folder / "corpus"
    executor = RayExecutor(
        address=address, memory_per_run=2**26, shared=(ledger.folder, corpus), cpus_per_run=1
    )
    try:
        outcome = run_cells(
            make_cells(count, steps=steps),
            ledger,
            executor,
            corpus=corpus,
            settings=SETTINGS,
            progress=open_progress(),
        )
    except ScalingError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    report = {"finished": len(outcome.finished), "trained": outcome.trained}
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
