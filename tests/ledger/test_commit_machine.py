"""The ledger's invariants hold whatever drivers, workers and bad disks do in any order."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from test_commit import FACTS, begin, make_cell, make_measurement, make_run

from scaling.ledger.commit import Ledger
from scaling.ledger.integrity import verify

# Flushing to a disk would take most of the time, and is not tested here.
SHARED = Path("/dev/shm")
SEEDS = st.integers(0, 3)
CELLS = [make_cell(make_run(seed)) for seed in range(4)]


class LedgerMachine(RuleBasedStateMachine):
    """A model of the ledger: run_id -> the loss that counts, and which results were damaged."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=SHARED if SHARED.is_dir() else None))
        self.ledger = Ledger.create(
            self.root / "demo", name="demo", corpus=FACTS, sweep_yaml="name: demo\n"
        )
        self.counts: dict[str, float] = {}
        self.damaged: set[str] = set()
        self.changed: set[str] = set()  # attempts with a changed file
        self.term = 0

    @rule()
    def begin_a_term(self) -> None:
        term = self.ledger.advance_term()
        assert term == self.term + 1
        self.term = term

    @rule(target=attempts, seed=SEEDS)
    def begin_an_attempt(self, seed: int) -> tuple[int, str]:
        return seed, begin(self.ledger, make_run(seed), term=self.term).name

    @rule(attempt=attempts, loss=st.floats(0.5, 9.0))
    def commit(self, attempt: tuple[int, str], loss: float) -> None:
        """Commits in any order and repeatedly: by workers, retries and orphans of older terms."""
        seed, name = attempt
        run = make_run(seed)
        if run.run_id in self.damaged or name in self.changed:
            return  # an attempt cannot commit files that it did not write
        result = self.ledger.commit(run, name, make_measurement(loss))
        assert result.loss == self.counts.setdefault(run.run_id, loss)

    @rule(attempt=attempts)
    def fail(self, attempt: tuple[int, str]) -> None:
        seed, name = attempt
        self.ledger.fail(make_run(seed).run_id, name, ValueError("no"), "exception")

    @rule(seed=SEEDS, where=st.floats(0, 0.999), linked=st.booleans())
    def tear(self, seed: int, where: float, linked: bool) -> None:
        """Damage in place, together with the attempt's copy, or by a rename that spares the
        copy."""
        run_id = make_run(seed).run_id
        if run_id in self.counts:
            path = self.ledger.folder / "runs" / run_id / "result.json"
            data = path.read_bytes()
            if not linked:
                path.unlink()
            path.write_bytes(data[: int(where * (len(data) - 2))])
            self.damaged.add(run_id)

    @rule(seed=SEEDS)
    def change_a_file_it_rests_on(self, seed: int) -> None:
        result = self.ledger.read_results().results.get(make_run(seed).run_id)
        if result is not None:
            run_id = result.run.run_id
            attempt = self.ledger.attempt_folder(run_id, result.attempt_id)
            (attempt / "metrics.jsonl").write_text("changed")
            self.damaged.add(run_id)
            self.changed.add(result.attempt_id)

    @rule(seed=SEEDS)
    def lose_and_restore(self, seed: int) -> None:
        run_id = make_run(seed).run_id
        if run_id in self.counts and run_id not in self.damaged:
            (self.ledger.folder / "runs" / run_id / "result.json").unlink()
            kept = self.ledger.find_kept(run_id)
            assert kept is not None
            self.ledger.restore(run_id, kept)

    @rule(seed=SEEDS)
    def set_aside(self, seed: int) -> None:
        run_id = make_run(seed).run_id
        if run_id in self.counts:
            self.ledger.set_aside(run_id)
            assert self.ledger.find_kept(run_id) is None
            del self.counts[run_id]
            self.damaged.discard(run_id)

    @rule()
    def repair(self) -> None:
        verify(self.ledger, CELLS, repair=True)
        left = verify(self.ledger, CELLS)
        assert {finding.kind for finding in left} <= {"result"}
        assert {finding.path for finding in left} == {
            f"runs/{run_id}/result.json" for run_id in self.damaged
        }

    @rule()
    def reopen(self) -> None:
        self.ledger = Ledger.open(self.ledger.folder)

    @invariant()
    def what_was_committed_first_counts_and_nothing_damaged_does(self) -> None:
        stored = self.ledger.read_results()
        assert {run_id: result.loss for run_id, result in stored.results.items()} == {
            run_id: loss for run_id, loss in self.counts.items() if run_id not in self.damaged
        }
        assert {damage.run_id for damage in stored.damaged} == self.damaged

    def teardown(self) -> None:
        shutil.rmtree(self.root)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
