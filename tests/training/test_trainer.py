"""One run: reproducible bit by bit, resumable bit by bit, honest about divergence."""

import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from known_run import change_recipe

from scaling.data.shards import prepare_corpus
from scaling.errors import IntegrityError
from scaling.ledger.results import RunInterrupted
from scaling.ledger.trunk_cache import TrunkCache
from scaling.sweep.execution import Execution
from scaling.sweep.runspec import NUMERICS_VERSION, RunSpec
from scaling.sweep.shapes import make_shape
from scaling.training import evaluate, trainer
from scaling.training.checkpoint import load_newest_checkpoint, save_checkpoint
from scaling.training.trainer import train_run

GOLDEN_LOSS = 0.47802  # [nats/token]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A Markov text, easy to predict from the last letters, so that a tiny model learns quickly."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    for index in range(80):
        text = " ".join(rng.choice(words, 400))
        (folder / f"{index:02d}.txt").write_text(f"{rng.integers(10**9)}\n{text}")
    return prepare_corpus("text", paths=("*.txt",), base=folder, cache=folder / "cache").folder


def make_run(corpus: Path, *, steps=60, seed=0, learning_rate=0.01) -> RunSpec:
    recipe = change_recipe(batch_sequences=4, steps=steps, learning_rate=learning_rate)
    digest = json.loads((corpus / "manifest.json").read_text())["facts"]["digest"]
    shape = make_shape(256, 32, d_model=2 * 16, n_layers=2)
    return RunSpec(shape=shape, recipe=recipe, data_digest=digest, seed=seed)


def train(
    run,
    corpus,
    attempt,
    *,
    stop_after=None,
    parent=None,
    resume=(),
    trunk=None,
    should_stop=None,
    report=None,
    **how,
):
    """Train a run, or stop it after some polls; `how` as in Execution."""
    attempt.mkdir(exist_ok=True)
    polls = iter(range(10**9))
    return train_run(
        run,
        corpus=corpus,
        attempt=attempt,
        resume=resume,
        execution=Execution(**how),
        should_stop=should_stop or (lambda: stop_after and next(polls) + 1 >= stop_after),
        report=report or (lambda tokens, loss: None),
        trunk=trunk,
        parent=parent,
    )


def train_twice(run, corpus, folder):
    """Train a run twice, with the same bits; returns the measurement."""
    one, two = (train(run, corpus, folder / name) for name in "ab")
    assert one.loss == two.loss
    assert curve(folder / "a") == curve(folder / "b")
    assert load_weights(folder / "a") == load_weights(folder / "b")
    return one


def stop_and_resume(run, corpus, folder, *, stop_after, **how):
    """Train a run in one go (`whole`), and in two (`first`, `second`) with the same bits; returns
    both measurements."""
    whole = train(run, corpus, folder / "whole", **how)
    with pytest.raises(RunInterrupted):
        train(run, corpus, folder / "first", stop_after=stop_after, **how)
    resumed = train(run, corpus, folder / "second", resume=(folder / "first",), **how)
    assert resumed.loss == whole.loss
    assert curve(folder / "second") == curve(folder / "whole")
    assert load_weights(folder / "second") == load_weights(folder / "whole")
    return whole, resumed


def curve(attempt: Path) -> str:
    return (attempt / "metrics.jsonl").read_text()


def test_training_lowers_the_loss_below_that_of_letters(corpus, tmp_path):
    measured = train(make_run(corpus, steps=150), corpus, tmp_path / "a")
    assert measured.status == "finished"
    # Words are uniform over 8: ln 8 nats per word of 6.1 letters on average is 0.34 nats per
    # letter; the unigram entropy of letters is 2.4. 150 steps reach well below half of that.
    assert measured.loss < 1.2
    assert measured.loss_se is not None
    assert measured.bits_per_byte == pytest.approx(measured.loss / math.log(2), rel=0.01)


def test_the_same_run_gives_the_same_bits(corpus, tmp_path):
    train_twice(make_run(corpus), corpus, tmp_path)


@pytest.mark.parametrize("stop_after", [1, 17, 59])
def test_a_stopped_and_resumed_run_gives_the_same_bits(corpus, tmp_path, stop_after):
    run = make_run(corpus)
    whole, resumed = stop_and_resume(run, corpus, tmp_path, stop_after=stop_after)
    assert resumed.flops_spent == run.flops * (60 - stop_after) // 60
    assert whole.flops_spent == run.flops


def test_an_evaluation_reports_progress_and_stops_on_request(corpus, tmp_path, whole, monkeypatch):
    monkeypatch.setattr(evaluate, "count_evaluated_windows", lambda vocab_size, seq_len: 8)
    run = make_run(corpus)
    trained, signs = run.tokens, []
    with pytest.raises(RunInterrupted, match="while it was evaluated"):
        train(
            run,
            corpus,
            tmp_path / "a",
            report=lambda tokens, loss: signs.append(tokens),
            should_stop=lambda: signs[-3:] == [trained] * 3,
        )
    assert signs[-3:] == [trained] * 3  # after each evaluation batch
    again = train(run, corpus, tmp_path / "b", resume=[tmp_path / "a"])
    # The other evaluation summed windows in larger batches, in another order.
    assert again.loss == pytest.approx(whole[1], rel=1e-6)
    assert again.flops_spent == 0
    assert curve(tmp_path / "b") == curve(whole[0])


def test_a_torn_newest_checkpoint_gives_way_to_the_one_before(tmp_path):
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, {"step": step}, step=step)
    assert len(list(tmp_path.glob("*.pt"))) == 2
    newest = tmp_path / "checkpoint-000000030.pt"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 4
    newest.write_bytes(content)
    assert load_newest_checkpoint([tmp_path]) == {"step": 20}
    (tmp_path / "checkpoint-000000020.sha256").unlink()
    assert load_newest_checkpoint([tmp_path]) is None


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory) -> tuple[Path, float]:
    """A run without micro-batches: its attempt's folder and its loss."""
    attempt = tmp_path_factory.mktemp("whole")
    measured = train(make_run(corpus), corpus, attempt)
    assert measured.numerics["micro_batch"] == "batch"
    return attempt, measured.loss


@pytest.mark.parametrize("micro_batch", [3, 1])
def test_a_smaller_micro_batch_takes_the_same_steps(corpus, tmp_path, whole, micro_batch):
    parts = train(make_run(corpus), corpus, tmp_path / "parts", micro_batch=micro_batch)
    assert parts.numerics["micro_batch"] == str(micro_batch)
    # Sums in another order: 60 steps amplify float32's rounding to about 1e-5 (as in the golden
    # run). A forgotten share of the loss, or a part left out, would move it by tenths.
    assert parts.loss == pytest.approx(whole[1], rel=1e-3)
    curves = [curve(folder).splitlines() for folder in (whole[0], tmp_path / "parts")]
    for one, other in zip(*curves, strict=True):
        expected = json.loads(one)
        expected.pop("clipped")  # a count: a norm near the limit may fall on either side
        row = json.loads(other)
        assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-3)


def test_a_run_resumes_with_another_micro_batch(corpus, tmp_path, whole):
    run = make_run(corpus)
    with pytest.raises(RunInterrupted):
        train(run, corpus, tmp_path / "first", stop_after=30)
    resumed = train(run, corpus, tmp_path / "second", resume=[tmp_path / "first"], micro_batch=2)
    assert resumed.loss == pytest.approx(whole[1], rel=1e-3)


@pytest.mark.parametrize("name", ["train.bin", "validation.bin", "manifest.json"])
def test_a_shard_edited_during_training_spoils_the_result(corpus, tmp_path, name):
    edited = tmp_path / "corpus"
    shutil.copytree(corpus, edited)
    polls = iter(range(10**9))

    def edit():
        if next(polls) == 10:
            content = bytearray((edited / name).read_bytes())
            content[len(content) // 2] ^= 1
            (edited / name).write_bytes(content)
        return False

    with pytest.raises((IntegrityError, ValueError)):
        train(make_run(corpus), edited, tmp_path / "a", should_stop=edit)


def test_seeds_give_different_losses(corpus, tmp_path):
    one, two = (train(make_run(corpus, seed=s), corpus, tmp_path / str(s)) for s in (0, 1))
    assert one.loss != two.loss


def test_a_diverging_run_is_reported_and_stops_early(corpus, tmp_path):
    run = make_run(corpus, steps=400, learning_rate=1000.0)
    measured = train(run, corpus, tmp_path / "a")
    assert measured.status == "diverged"
    assert "unigram entropy" in measured.reason or "not finite" in measured.reason
    assert measured.flops_spent < run.flops


def test_nan_is_a_divergence_and_never_written(corpus, tmp_path, monkeypatch):
    step = trainer._Training._take_step

    def poisoned(self):
        loss, norm = step(self)
        return (loss * math.nan, norm) if self.step == 30 else (loss, norm)

    monkeypatch.setattr(trainer._Training, "_take_step", poisoned)
    measured = train(make_run(corpus), corpus, tmp_path / "a")
    assert measured.status == "diverged"
    assert measured.loss is None
    assert "NaN" not in curve(tmp_path / "a")


def test_another_corpus_is_refused(corpus, tmp_path):
    run = dataclasses.replace(make_run(corpus), data_digest="f" * 24)
    with pytest.raises(ValueError, match="is for corpus ffff"):
        train(run, corpus, tmp_path / "a")


def test_weights_are_dropped_on_request(corpus, tmp_path):
    measured = train(make_run(corpus), corpus, tmp_path / "a", keep_weights=False)
    assert measured.files == ("metrics.jsonl", "positions.json", "speed.json")
    assert not (tmp_path / "a" / "weights.pt").exists()


def test_the_golden_run_reproduces_the_loss_of_this_numerics_version(corpus, tmp_path):
    """Raise NUMERICS_VERSION and this number together, when the trainer is meant to change.

    60 steps amplify the rounding of another processor (1e-7 in one product) to about 1e-5 in the
    loss; a changed recipe, initialisation or data order moves it by 1e-2 and more.
    """
    measured = train(make_run(corpus), corpus, tmp_path / "a")
    assert NUMERICS_VERSION == 1
    assert measured.loss == pytest.approx(GOLDEN_LOSS, rel=1e-3)


# --- trunks ----------------------------------------------------------------------------------


def open_trunk(folder: Path, *steps: int) -> TrunkCache:
    return TrunkCache(folder=folder / "trunk", save_at=steps)


def test_a_branch_is_bit_for_bit_the_run_from_nothing(corpus, tmp_path):
    short, long = make_run(corpus, steps=60), make_run(corpus, steps=110)  # leave at 48 and 98
    alone = train(short, corpus, tmp_path / "alone")
    trunk = open_trunk(tmp_path, 48, 98)
    train(long, corpus, tmp_path / "long", trunk=trunk)
    assert trunk.list_steps() == (48, 98)
    branch = train(short, corpus, tmp_path / "branch", trunk=trunk)
    assert branch.loss == alone.loss
    assert branch.loss_se == alone.loss_se
    assert curve(tmp_path / "branch") == curve(tmp_path / "alone")
    assert load_weights(tmp_path / "branch") == load_weights(tmp_path / "alone")
    # It reports only its own decay steps as spent; the run's FLOPs are those from the start.
    assert branch.flops_spent * 60 == alone.flops_spent * 12


def test_a_trunk_is_extended_by_a_longer_horizon(corpus, tmp_path):
    short, long = make_run(corpus, steps=60), make_run(corpus, steps=110)
    alone = train(long, corpus, tmp_path / "alone")
    trunk = open_trunk(tmp_path, 48, 98)
    train(short, corpus, tmp_path / "short", trunk=trunk)
    assert trunk.list_steps() == (48,)  # states within a decay are not shared
    longer = train(long, corpus, tmp_path / "longer", trunk=trunk)
    assert longer.loss == alone.loss
    assert curve(tmp_path / "longer") == curve(tmp_path / "alone")
    assert longer.flops_spent * 110 == alone.flops_spent * 62


def test_a_damaged_state_of_a_trunk_is_not_used(corpus, tmp_path):
    short, long = make_run(corpus, steps=60), make_run(corpus, steps=110)
    alone = train(short, corpus, tmp_path / "alone")
    trunk = open_trunk(tmp_path, 30, 48)
    train(long, corpus, tmp_path / "long", trunk=trunk)
    newest = sorted(trunk.folder.glob("step-*.pt"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(bytes(content))
    branch = train(short, corpus, tmp_path / "branch", trunk=trunk)
    assert branch.loss == alone.loss
    assert branch.flops_spent * 60 == alone.flops_spent * 30  # from the state before


def test_an_interrupted_branch_continues_from_its_own_checkpoint(corpus, tmp_path):
    short, long = make_run(corpus, steps=60), make_run(corpus, steps=110)
    alone = train(short, corpus, tmp_path / "alone")
    trunk = open_trunk(tmp_path, 48)
    train(long, corpus, tmp_path / "long", trunk=trunk)
    with pytest.raises(RunInterrupted):
        train(short, corpus, tmp_path / "one", trunk=trunk, stop_after=5)
    branch = train(short, corpus, tmp_path / "two", trunk=trunk, resume=[tmp_path / "one"])
    assert branch.loss == alone.loss
    assert curve(tmp_path / "two") == curve(tmp_path / "alone")
    assert branch.flops_spent * 60 == alone.flops_spent * 7


def load_weights(attempt: Path) -> dict[str, bytes]:
    state = torch.load(attempt / "weights.pt", weights_only=True)
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}
