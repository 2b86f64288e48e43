"""Cost of a sweep's probes relative to its runs: processor seconds of each, on one run.

    OMP_NUM_THREADS=1 python benchmarks/probes.py sweeps/rnn-vs-transformer.yaml --cell 0.5

Trains one cell of every sweep that the file makes, at a place between the cheapest (0) and the
dearest (1) by FLOPs, in a folder of its own, and measures each probe that the file asks for. Prints
one row per probe: its value, its seconds, and its share of the run's.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from scaling.ledger.commit import Ledger
from scaling.ledger.machine import name_processor
from scaling.sweep.execution import Execution
from scaling.sweep.families.registry import describe_shape
from scaling.training.probing import TrainedRun
from scaling.training.trainer import train_run
from scaling.workflow.preparing import list_sweeps, prepare_sweep


def measure(path: Path, name: str, root: Path, place: float) -> None:
    """Train one cell and time its probes."""
    sweep = prepare_sweep(path, root=root, name=name)
    runs = sorted({cell.run for cell in sweep.plan.cells}, key=lambda run: run.flops)
    run = runs[round(place * (len(runs) - 1))]
    ledger = Ledger.create(
        root / name, name=name, corpus=sweep.corpus.facts, sweep_yaml=path.read_text()
    )
    attempt = ledger.name_attempt(run.run_id, term=1)
    folder = ledger.create_attempt(run.run_id, attempt)
    begun = time.process_time()
    measured = train_run(
        run,
        corpus=sweep.corpus.folder,
        attempt=folder,
        resume=(),
        execution=Execution(),
        should_stop=lambda: False,
        report=lambda tokens, loss: None,
    )
    whole = time.process_time() - begun
    result = ledger.commit(run, attempt, measured)
    print(f"{name}: {describe_shape(run.shape).line}, {run.tokens} tokens, {whole:.1f} s")
    trained = TrainedRun(
        ledger, result, corpus=sweep.corpus.folder, look_up=lambda: None, execution=Execution()
    )
    total = 0.0
    for asked in sweep.spec.evaluate:
        trained.options = asked.options
        begun = time.process_time()
        value, error = asked.probe.load()(trained)
        took = time.process_time() - begun
        total += took
        told = f"{value:>9.4f} ± {error or 0:.4f}{took:>8.2f} s {took / whole:>6.1%}"
        print(f"  {asked.probe.name:<24}{told}")
    print(f"  {'together':<24}{total:>29.2f} s {total / whole:>6.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--cell", type=float, default=0.0, help="from 0, the cheapest, to 1")
    asked = parser.parse_args()
    print(name_processor())
    with tempfile.TemporaryDirectory() as root:
        for name in list_sweeps(asked.sweep):
            measure(asked.sweep, name, Path(root), asked.cell)


if __name__ == "__main__":
    main()
