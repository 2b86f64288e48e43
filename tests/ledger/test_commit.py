"""Claims about the ledger: one result per run, nothing damaged counts, one driver at a time."""

import dataclasses
import errno
import json
import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from known_run import FACTS, change_recipe

from scaling.errors import EnvironmentFault, IntegrityError, LockedError, UsageError
from scaling.files import durable
from scaling.files.sealed import seal_document
from scaling.ledger.commit import Ledger
from scaling.ledger.documents import WEIGHTS_FILE
from scaling.ledger.integrity import verify
from scaling.ledger.outdated import find_outdated
from scaling.ledger.results import Measurement, RunStatus
from scaling.ledger.sweep_table import IndexedRun, render_index, tabulate, write_index
from scaling.sweep.cells import Cell
from scaling.sweep.cost_model import SIX_ND
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import make_shape
from scaling.tables.columns import COLUMNS

CURVE = "".join(f'{{"step": {step}}}\n' for step in range(1, 9))


def make_run(seed: int = 0, *, n_heads: int = 1, version: int = 1) -> RunSpec:
    return RunSpec(
        shape=make_shape(256, 32, d_model=16 * n_heads, n_layers=1),
        recipe=change_recipe(batch_sequences=2, steps=8, warmup_steps=1, decay_steps=2),
        data_digest=FACTS.digest,
        seed=seed,
        numerics_version=version,
    )


def make_cell(run: RunSpec, budget: float | None = 1e9) -> Cell:
    return Cell(run=run, budget=budget, role="grid")


def make_measurement(loss: float | None = 2.5, status: RunStatus = "finished") -> Measurement:
    return Measurement(
        status=status,
        loss=loss,
        loss_se=0.01,
        bits_per_byte=loss,
        train_loss=loss,
        flops_spent=100,
        seconds=2.0,
        reason="" if status == "finished" else "the loss is not finite",
        numerics={"device": "none"},
        files=("metrics.jsonl", "weights.bin"),
        unique_tokens=512,
        epochs=0.1,
        tokens_per_second=256.0,
        mfu=0.4,
        grad_norm=0.5,
        clipped=0.0,
        clipped_after_warmup=0.0,
    )


def begin(ledger: Ledger, run: RunSpec, *, term: int = 1) -> Path:
    """The folder, named like it, of an attempt that has written a curve and weights."""
    attempt = ledger.create_attempt(run.run_id, ledger.name_attempt(run.run_id, term=term))
    (attempt / "metrics.jsonl").write_text(CURVE)
    (attempt / "weights.bin").write_bytes(b"weights")
    return attempt


def commit(
    ledger: Ledger,
    run: RunSpec,
    loss: float | None = 2.5,
    status: RunStatus = "finished",
    **others: Any,
) -> Path:
    """Commit a result; returns its attempt's folder."""
    attempt = begin(ledger, run)
    measured = dataclasses.replace(make_measurement(loss, status), **others)
    ledger.commit(run, attempt.name, measured)
    return attempt


def result_path(ledger: Ledger, run: RunSpec) -> Path:
    return ledger.folder / "runs" / run.run_id / "result.json"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "demo", name="demo", corpus=FACTS, sweep_yaml="name: demo\n")


def test_a_result_is_read_back_as_it_was_committed(ledger: Ledger) -> None:
    run = make_run()
    commit(ledger, run)
    result = ledger.read_results(check="files").results[run.run_id]
    assert (result.run, result.loss, result.tokens) == (run, 2.5, run.tokens)
    assert set(result.files) == {"metrics.jsonl", "weights.bin"}
    assert Ledger.open(ledger.folder).corpus == FACTS
    assert verify(ledger, [make_cell(run)])[0].kind == "index"  # not written yet


def test_the_first_commit_counts_and_the_second_returns_it(ledger: Ledger) -> None:
    run = make_run()
    commit(ledger, run, 2.5)
    attempt = begin(ledger, run, term=2)
    (attempt / "metrics.jsonl").write_text("")
    winner = ledger.commit(run, attempt.name, make_measurement(3.5))
    assert winner.loss == 2.5
    assert ledger.find_result(run.run_id) == winner


def _race(folder: Path, losses: list[float], barrier: Any) -> None:
    ledger = Ledger.open(folder)
    barrier.wait()
    for seed in range(25):
        run = make_run(seed)
        commit(ledger, run, losses[0])


def test_four_racing_processes_commit_each_run_exactly_once(ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    racers = [
        context.Process(target=_race, args=(ledger.folder, [1.0 + number], barrier))
        for number in range(4)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * 4
    stored = ledger.read_results(check="files")
    assert len(stored.results) == 25
    assert not stored.damaged
    for run_id, result in stored.results.items():
        assert len(ledger.list_attempts(run_id)) == 4
        assert result.attempt_id in ledger.list_attempts(run_id)
    assert not [finding for finding in verify(ledger) if finding.kind == "stray"]


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), None, -1.0])
def test_a_measurement_without_a_finite_positive_loss_is_not_committed(
    ledger: Ledger, loss: float | None
) -> None:
    with pytest.raises(IntegrityError):
        commit(ledger, make_run(), loss)
    assert ledger.find_result(make_run().run_id) is None


def test_a_result_with_a_missing_file_is_not_committed(ledger: Ledger) -> None:
    run = make_run()
    attempt_id = ledger.name_attempt(run.run_id, term=1)
    ledger.create_attempt(run.run_id, attempt_id)
    with pytest.raises(
        IntegrityError, match=r"metrics.jsonl: the trainer's result names it, .* not there"
    ):
        ledger.commit(run, attempt_id, make_measurement())


def test_every_flipped_bit_of_a_result_is_noticed_or_changes_nothing(ledger: Ledger) -> None:
    run = make_run()
    commit(ledger, run)
    path = result_path(ledger, run)
    original, result = path.read_bytes(), ledger.find_result(run.run_id)
    path.unlink()
    for position in range(0, len(original) * 8, 23):
        flipped = bytearray(original)
        flipped[position // 8] ^= 1 << position % 8
        path.write_bytes(flipped)
        stored = ledger.read_results(check="result")
        # White space and the e of an exponent may change, but no value.
        assert stored.damaged or stored.results[run.run_id] == result


def test_every_torn_result_is_left_out(ledger: Ledger) -> None:
    run = make_run()
    commit(ledger, run)
    path = result_path(ledger, run)
    original = path.read_bytes()
    path.unlink()
    for length in range(0, len(original) - 1, 13):
        path.write_bytes(original[:length])
        stored = ledger.read_results()
        assert not stored.results
        assert [damage.run_id for damage in stored.damaged] == [run.run_id]


def test_an_edited_curve_takes_its_result_out_of_the_table(ledger: Ledger) -> None:
    good, bad = make_run(0), make_run(1)
    commit(ledger, good)
    attempt = commit(ledger, bad)
    (attempt / "metrics.jsonl").write_text('{"step": 9}\n')
    cells = [make_cell(good), make_cell(bad)]
    table = tabulate(ledger, ledger.read_results(), cells, convention="matmul", cost=SIX_ND)
    assert table.run == (good.run_id,)
    assert "which was changed or torn" in table.notes[-1]


def test_changed_weights_are_found_by_verify_and_not_by_reading(ledger: Ledger) -> None:
    run = make_run()
    attempt = commit(ledger, run)
    (attempt / "weights.bin").write_bytes(b"other")
    assert not ledger.read_results().damaged
    found = [finding for finding in verify(ledger) if finding.kind == "result"]
    assert "weights.bin, which was changed or torn" in found[0].what


def test_a_copy_may_leave_out_weights_but_not_change_them(ledger: Ledger) -> None:
    run = make_run()
    attempt_id = ledger.name_attempt(run.run_id, term=1)
    attempt = ledger.create_attempt(run.run_id, attempt_id)
    for name in ("metrics.jsonl", WEIGHTS_FILE):
        (attempt / name).write_text(CURVE)
    measured = dataclasses.replace(make_measurement(), files=("metrics.jsonl", WEIGHTS_FILE))
    ledger.commit(run, attempt_id, measured)
    (attempt / WEIGHTS_FILE).write_bytes(b"other")
    assert "changed or torn" in ledger.read_results(check="files").damaged[0].what
    (attempt / WEIGHTS_FILE).unlink()
    assert not ledger.read_results(check="files").damaged


def test_a_damaged_result_that_is_set_aside_can_be_committed_again(ledger: Ledger) -> None:
    run = make_run()
    commit(ledger, run)
    result_path(ledger, run).write_bytes(b"{}")
    aside = ledger.set_aside(run.run_id)
    commit(ledger, run, 2.25)
    assert aside.read_bytes() == b"{}"
    assert ledger.read_results().results[run.run_id].loss == 2.25
    with pytest.raises(UsageError, match="has no result to set aside"):
        ledger.set_aside(make_run(5).run_id)


# --- a stranger's folder ----------------------------------------------------------------------


def _reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text())
    document.pop("sha256")
    change(document)
    path.write_bytes(seal_document(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["files"].update({"../../../secret": "0" * 64}), "not a plain file name"),
        (lambda d: d["files"].update({"/etc/passwd": "0" * 64}), "not a plain file name"),
        (lambda d: d["files"].update({"a\nb": "0" * 64}), "not a plain file name"),
        (lambda d: d["files"].update({"a": "nonsense"}), "not a SHA-256"),
        (lambda d: d.update(attempt_id="../../x"), "not the name of an attempt"),
        (lambda d: d.update(loss="2.5"), "result.loss is '2.5', which is not"),
        (lambda d: d.update(loss=None), "finished with the loss None"),
        (lambda d: d.update(tokens=True), "result.tokens is 'True'"),
        (lambda d: d.update(flops=10**400), "result.flops is"),
        (lambda d: d.update(tokens=-5), "it claims -5 tokens"),
        (lambda d: d.update(status="great"), "result.status"),
        (lambda d: d.update(extra=1), "fields missing or unknown: extra"),
        (lambda d: d.pop("loss"), "fields missing or unknown: loss"),
        (lambda d: d["run"].update(seed=7), "not that of its folder"),
        (lambda d: d["run"]["shape"].update(n_layers="3"), "run.shape.n_layers"),
        (lambda d: d.update(run=[]), "result.run is not an object"),
        (lambda d: d.update(reason="x" * 5000), "result.reason"),
        (lambda d: d.update(run_id="0" * 16), "names another run"),
    ],
)
def test_a_resealed_result_with_wrong_content_is_refused(
    ledger: Ledger, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    run = make_run()
    commit(ledger, run)
    _reseal(result_path(ledger, run), change)
    stored = ledger.read_results(check="files")
    assert not stored.results
    assert message in stored.damaged[0].what


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "is not JSON"),
        (b'{"loss": NaN}', "NaN is not a number"),
        (b'{"loss": ' + b"1" * 5000 + b"}", "is not JSON"),
        (b"[]", "holds list, not an object"),
        (b"\xff\xfe", "is not JSON"),
        (b" " * (10 * 2**20 + 1), "at most 10485760 are expected"),
    ],
)
def test_hostile_bytes_are_refused(ledger: Ledger, content: bytes, message: str) -> None:
    run = make_run()
    commit(ledger, run)
    result_path(ledger, run).unlink()
    result_path(ledger, run).write_bytes(content)
    stored = ledger.read_results()
    assert not stored.results
    assert message in stored.damaged[0].what


def test_links_out_of_the_folder_are_not_followed(ledger: Ledger, tmp_path: Path) -> None:
    runs = [make_run(seed) for seed in range(4)]
    attempts = [commit(ledger, run) for run in runs]
    outside = tmp_path / "outside"
    outside.mkdir()
    result_path(ledger, runs[0]).rename(outside / "result.json")
    result_path(ledger, runs[0]).symlink_to(outside / "result.json")
    (ledger.folder / "runs" / runs[1].run_id).rename(outside / runs[1].run_id)
    (ledger.folder / "runs" / runs[1].run_id).symlink_to(outside / runs[1].run_id)
    attempts[2].parent.rename(outside / "attempts")
    attempts[2].parent.symlink_to(outside / "attempts")
    (attempts[3] / "metrics.jsonl").unlink()
    os.mkfifo(attempts[3] / "metrics.jsonl")
    stored = ledger.read_results(check="files")
    assert not stored.results
    said = [damage.what for damage in stored.damaged]
    assert len(said) == 4
    assert any("not a plain file" in what for what in said)
    assert sum("is a link" in what for what in said) == 3


def test_foreign_folders_are_reported_but_system_files_are_not(ledger: Ledger) -> None:
    (ledger.folder / "runs" / "..evil").mkdir()
    (ledger.folder / "runs" / ".DS_Store").touch()
    (ledger.folder / "runs" / "copy of a run").mkdir()
    damaged = ledger.read_results().damaged
    assert [damage.path for damage in damaged] == ["runs/copy of a run"]


# --- identity, lock, term ---------------------------------------------------------------------


def test_a_name_reused_with_another_corpus_is_a_usage_error(ledger: Ledger) -> None:
    other = dataclasses.replace(FACTS, digest="cd" * 32)
    with pytest.raises(UsageError, match="Give the sweep another name"):
        Ledger.create(ledger.folder, name="demo", corpus=other, sweep_yaml="")


def test_a_folder_that_is_not_a_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a results folder"):
        Ledger.open(tmp_path)


def test_a_damaged_identity_is_an_integrity_error(ledger: Ledger) -> None:
    (ledger.folder / "sweep.json").write_text('{"name": "demo"}')
    with pytest.raises(IntegrityError, match=r"sweep.json: its SHA-256"):
        Ledger.open(ledger.folder)


def test_the_sweep_file_is_the_one_that_was_run_last(ledger: Ledger) -> None:
    again = Ledger.create(ledger.folder, name="demo", corpus=FACTS, sweep_yaml="name: new\n")
    assert again.read_sweep() == "name: new\n"


def test_a_second_driver_is_told_who_holds_the_sweep(ledger: Ledger) -> None:
    expected = f"process {os.getpid()} on {socket.gethostname()}"
    with ledger.lock(), pytest.raises(LockedError, match=expected):
        Ledger.open(ledger.folder).lock().__enter__()
    with ledger.lock():
        assert (ledger.folder / ".lock-holder").exists()
    assert not (ledger.folder / ".lock-holder").exists()


@pytest.mark.parametrize("content", [None, b"", b"-5", b"nonsense", b"\x00" * 100])
def test_a_lost_term_does_not_go_backwards(ledger: Ledger, content: bytes | None) -> None:
    ledger.create_attempt(make_run().run_id, "41-1-abcdef01")
    assert ledger.advance_term() == 42
    (ledger.folder / "term").unlink()
    if content is not None:
        (ledger.folder / "term").write_bytes(content)
    assert ledger.advance_term() == 42


@pytest.mark.parametrize("name", [".lock", ".lock-holder", "term"])
def test_a_folder_in_the_place_of_a_file_is_named(ledger: Ledger, name: str) -> None:
    (ledger.folder / name).unlink(missing_ok=True)
    (ledger.folder / name).mkdir()
    with pytest.raises(IntegrityError, match=r"Move it away|not a plain file"), ledger.lock():
        ledger.advance_term()


@pytest.mark.parametrize("name", ["demo", "demo/runs"])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(IntegrityError, match="is not a folder"):
        Ledger.create(tmp_path / "demo", name="demo", corpus=FACTS, sweep_yaml="a: 1")


def test_a_term_too_long_to_read_is_started_anew(ledger: Ledger) -> None:
    (ledger.folder / "term").write_text("999999999")
    run = make_run(0)
    attempt_id = ledger.name_attempt(run.run_id, term=ledger.advance_term())
    ledger.create_attempt(run.run_id, attempt_id)
    assert ledger.list_attempts(run.run_id) == (attempt_id,)


def test_attempts_are_listed_newest_first_by_number_not_by_text(ledger: Ledger) -> None:
    run_id = make_run().run_id
    for name in ("2-1-aaaaaaaa", "10-2-bbbbbbbb", "10-11-cccccccc"):
        ledger.create_attempt(run_id, name)
    assert ledger.list_attempts(run_id) == ("10-11-cccccccc", "10-2-bbbbbbbb", "2-1-aaaaaaaa")


# --- the machine ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_error_names_the_path(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(EnvironmentFault, match=rf"demo.*{os.strerror(code)}"):
        commit(ledger, make_run())
    monkeypatch.undo()
    assert not ledger.read_results().results
    commit(ledger, make_run())
    assert len(ledger.read_results(check="files").results) == 1


def test_a_file_system_without_hard_links_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(durable.os, "link", refuse)
    with pytest.raises(EnvironmentFault, match="refuses hard links"):
        Ledger.create(tmp_path / "demo", name="demo", corpus=FACTS, sweep_yaml="")
    assert not list((tmp_path / "demo").glob(".probe*"))


def test_our_own_link_reported_as_existing_counts_as_won(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def link_and_lie(*args: Any) -> None:
        link(*args)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(durable.os, "link", link_and_lie)
    commit(ledger, make_run(), 2.5)
    assert ledger.read_results().results[make_run().run_id].loss == 2.5


# --- tables -----------------------------------------------------------------------------------


def test_the_table_holds_the_plan_and_names_the_rest(ledger: Ledger) -> None:
    runs = [make_run(seed) for seed in range(5)]
    for run in runs[:3]:
        commit(ledger, run)
    commit(ledger, runs[3], None, status="diverged")
    big = make_run(0, n_heads=2)
    commit(ledger, big)
    cells = [make_cell(runs[2]), make_cell(runs[0], None), make_cell(big), make_cell(runs[3])]
    table = tabulate(
        ledger,
        ledger.read_results(),
        [*cells, make_cell(runs[4])],
        convention="non_embedding",
        cost=SIX_ND,
    )
    assert table.run == (runs[2].run_id, runs[0].run_id, big.run_id)
    assert table.diverged == (runs[3].run_id,)
    assert table.group[0] == table.group[1] != table.group[2]
    assert table.budget is not None
    assert [str(budget) for budget in table.budget] == ["1000000000.0", "nan", "1000000000.0"]
    assert table.notes == (
        f"in the ledger but outside the current plan: {runs[1].run_id}",
        f"without a result yet, 1 of 5 planned: {runs[4].run_id}",
    )


def test_runs_that_an_older_rule_stopped_are_told_from_those_that_diverged(ledger: Ledger) -> None:
    half_way = "the training loss 3.4 is above the unigram entropy 3.1 nats/token"
    for seed, reason in enumerate((half_way, "the training loss rose from 3.4 to 9 nats/token")):
        commit(ledger, make_run(seed), None, "diverged", reason=reason)
    cells = [make_cell(make_run(seed)) for seed in (0, 1)]
    table = tabulate(ledger, ledger.read_results(), cells, convention="matmul", cost=SIX_ND)
    assert set(table.diverged) == {make_run(0).run_id, make_run(1).run_id}
    assert table.stopped == (make_run(0).run_id,)


def test_a_table_states_clipping_where_a_result_does(ledger: Ledger) -> None:
    commit(ledger, make_run(0), clipped_after_warmup=None)  # as an older version did
    cells = [make_cell(make_run(seed)) for seed in (0, 1)]
    table = tabulate(ledger, ledger.read_results(), cells, convention="matmul", cost=SIX_ND)
    assert table.clipped.tolist() == [0.0]
    assert table.clipped_after_warmup is None
    assert table.unigram_entropy == FACTS.unigram_entropy
    commit(ledger, make_run(1))
    both = tabulate(ledger, ledger.read_results(), cells, convention="matmul", cost=SIX_ND)
    assert both.clipped_after_warmup is not None
    assert [str(share) for share in both.clipped_after_warmup] == ["nan", "0.0"]


def test_the_digest_of_a_table_follows_results_and_convention(ledger: Ledger) -> None:
    commit(ledger, make_run(0))
    cells = [make_cell(make_run(0)), make_cell(make_run(1))]

    def digest(convention: Any = "matmul") -> str:
        return tabulate(
            ledger, ledger.read_results(), cells, convention=convention, cost=SIX_ND
        ).digest

    before = digest()
    assert digest() == before
    assert digest("total") != before
    commit(ledger, make_run(1))
    assert digest() != before


def test_the_index_is_the_same_bytes_for_the_same_results(ledger: Ledger) -> None:
    cells = [make_cell(make_run(seed)) for seed in range(3)]
    for cell in cells:
        commit(ledger, cell.run)
    stored = ledger.read_results()
    write_index(ledger, stored, cells)
    assert render_index(ledger, stored, cells) == render_index(ledger, stored, cells[::-1])
    assert (ledger.folder / "index" / "runs.csv").read_text() == render_index(ledger, stored, cells)
    assert verify(ledger, cells) == ()


def test_every_column_of_the_index_is_described_and_holds_its_kind(ledger: Ledger) -> None:
    commit(ledger, make_run())
    row = IndexedRun(
        result=ledger.read_results().results[make_run().run_id],
        role="bracket",
        budget=1e9,
        group="g",
        varied=("batch", "ab" * 8, 2.0),
        overlap=0.1,
        unigram_entropy=3.0,
    ).to_row()
    described = {column.name: column.kind for column in COLUMNS}
    # A sweep's runs are not points of a curve.
    assert described.keys() - row.keys() == {"run", "schedule"}
    kinds = {"text": str, "whole": int}
    wrong = {name: one for name, one in row.items()
             if not isinstance(one, kinds.get(described[name], (int, float)))}  # fmt: skip
    assert wrong == {}


def test_a_new_numerics_version_names_the_runs_it_would_train_again(ledger: Ledger) -> None:
    for seed in range(3):
        commit(ledger, make_run(seed, version=1))
    commit(ledger, make_run(2, version=2))
    cells = [make_cell(make_run(seed, version=2)) for seed in (1, 2, 3)]
    assert find_outdated(ledger, cells) == [make_run(1, version=1).run_id]
