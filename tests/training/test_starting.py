"""Runs that start from another's weights, see part of the text, or record held-out losses."""

import dataclasses
import hashlib
import io
import json
import shutil

import numpy as np
import pytest
import test_trainer
import torch
from test_trainer import make_run, stop_and_resume, train

from scaling.data.batches import BatchOrder, take_part
from scaling.data.shards import open_shards, prepare_corpus
from scaling.errors import IntegrityError
from scaling.ledger.trunk_cache import TrunkCache
from scaling.training.parametrization import build_model

corpus = test_trainer.corpus


def read_held_out(attempt):
    curve = json.loads((attempt / "held_out.json").read_text())
    return dict(zip(curve["steps"], curve["loss"], strict=True))


def read_weights(attempt):
    return torch.load(attempt / "weights.pt", weights_only=True)


@pytest.fixture(scope="module")
def parent(corpus, tmp_path_factory):
    """Result and weights file of a finished run."""
    folder = tmp_path_factory.mktemp("parent")
    measured = train(make_run(corpus, steps=80), corpus, folder / "a", halvings=3)
    digest = hashlib.sha256((folder / "a" / "weights.pt").read_bytes()).hexdigest()
    path = folder / f"{digest}.pt"
    shutil.copy(folder / "a" / "weights.pt", path)
    return measured, path


def start_run(corpus, parent, **how):
    return dataclasses.replace(make_run(corpus, **how), parent=parent[1].stem)


def test_a_run_starts_at_its_parents_loss(corpus, parent, tmp_path):
    """Exactly, because weights, windows and code are the same."""
    run = start_run(corpus, parent, steps=40, seed=5)
    measured = train(run, corpus, tmp_path / "a", parent=parent[1], halvings=2)
    held_out = read_held_out(tmp_path / "a")
    assert held_out[0] == parent[0].loss
    assert held_out[40] == measured.loss != held_out[0]
    assert "held_out.json" in measured.files


def test_starting_from_its_own_initial_weights_equals_scratch(corpus, tmp_path):
    """To the last bit, so a start differs from a run from scratch in its weights alone."""
    run = make_run(corpus, steps=40)
    scratch = train(run, corpus, tmp_path / "scratch", halvings=2)
    buffer = io.BytesIO()
    torch.save(build_model(run).state_dict(), buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    path = tmp_path / f"{digest}.pt"
    path.write_bytes(buffer.getvalue())
    same = dataclasses.replace(run, parent=digest)
    started = train(same, corpus, tmp_path / "started", parent=path, halvings=2)
    assert started.loss == scratch.loss
    assert read_held_out(tmp_path / "started") == read_held_out(tmp_path / "scratch")
    first, second = (read_weights(tmp_path / name) for name in ("scratch", "started"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_its_optimiser_starts_fresh(corpus, parent, tmp_path):
    """It depends only on the weights, not on the parent's moments."""
    run = start_run(corpus, parent, steps=40)
    for name in "ab":
        train(run, corpus, tmp_path / name, parent=parent[1])
    first, second = (read_weights(tmp_path / name) for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("stop_after", [1, 11, 25])
def test_a_stopped_run_continues_with_the_same_bits(corpus, parent, tmp_path, stop_after):
    run = start_run(corpus, parent, steps=40)
    how = {"parent": parent[1], "halvings": 2}
    stop_and_resume(run, corpus, tmp_path, stop_after=stop_after, **how)
    assert read_held_out(tmp_path / "second") == read_held_out(tmp_path / "whole")


def test_a_branch_of_a_trunk_equals_a_whole_run(corpus, parent, tmp_path):
    long, short = (start_run(corpus, parent, steps=steps) for steps in (60, 40))
    trunk = TrunkCache(folder=tmp_path / "trunk", save_at=(28, 48))
    alone = train(short, corpus, tmp_path / "alone", parent=parent[1])
    train(long, corpus, tmp_path / "long", parent=parent[1], trunk=trunk)
    assert trunk.list_steps()
    branched = train(short, corpus, tmp_path / "short", parent=parent[1], trunk=trunk)
    assert branched.loss == alone.loss
    assert branched.flops_spent < alone.flops_spent


def test_changed_weights_are_refused(corpus, parent, tmp_path):
    run = start_run(corpus, parent, steps=40)
    torn = tmp_path / parent[1].name
    torn.write_bytes(parent[1].read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="changed or torn"):
        train(run, corpus, tmp_path / "a", parent=torn)
    with pytest.raises(IntegrityError, match="is not here"):
        train(run, corpus, tmp_path / "b", parent=tmp_path / "gone.pt")


def test_recording_held_out_losses_changes_nothing(corpus, tmp_path):
    run = make_run(corpus, steps=40)
    blind, seen = (train(run, corpus, tmp_path / n, halvings=h) for n, h in (("a", 0), ("b", 3)))
    assert blind.loss == seen.loss
    assert (tmp_path / "a" / "metrics.jsonl").read_text() == (
        tmp_path / "b" / "metrics.jsonl"
    ).read_text()
    first, second = (read_weights(tmp_path / name) for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (tmp_path / "a" / "held_out.json").exists()
    assert list(read_held_out(tmp_path / "b")) == [0, 5, 10, 20, 40]


def test_a_run_on_limited_text_reads_nothing_else(corpus, tmp_path):
    run = dataclasses.replace(make_run(corpus, steps=60), unique_tokens=5_000)
    measured = train(run, corpus, tmp_path / "a")
    assert measured.unique_tokens == 5_000
    assert measured.epochs == run.tokens / 5_000
    shards = open_shards(corpus)
    part = take_part(shards, 5_000)
    assert len(part.train) == part.facts.train_tokens == 5_000
    order = BatchOrder(part, seq_len=32, batch_sequences=4, seed=0)
    whole = bytes(shards.train)
    for window in order.read_batch(3)[:, :-1]:  # within a block of 4096 text is as it was
        assert bytes(window.astype(np.uint8)) in whole or len(set(window)) > 1


def test_smaller_amounts_of_text_are_part_of_larger_ones(corpus):
    shards = open_shards(corpus)
    small, large = (take_part(shards, tokens).train for tokens in (3_000, 20_000))
    assert bytes(small) == bytes(large[:3_000])
    everything = take_part(shards, len(shards.train)).train
    assert np.array_equal(np.bincount(everything), np.bincount(shards.train))


def test_shuffled_text_keeps_its_frequencies_and_nothing_else(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(80):
        names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
        text = " ".join(rng.choice(names, 400))
        (tmp_path / f"{index:02d}.txt").write_text(f"{rng.integers(10**9)}\n{text}")
    how = {"paths": ("*.txt",), "base": tmp_path, "cache": tmp_path / "cache"}
    plain = prepare_corpus("text", **how)
    mixed = prepare_corpus("text", shuffled=True, **how)
    assert plain.facts.digest != mixed.facts.digest
    assert plain.facts.unigram_entropy == mixed.facts.unigram_entropy
    one, other = (open_shards(each.folder) for each in (plain, mixed))
    for side in ("train", "validation"):
        first, second = (np.bincount(getattr(each, side), minlength=256) for each in (one, other))
        assert np.array_equal(first, second)
    # What follows an 'a' says nothing any more: its entropy is that of any letter.
    assert _next_entropy(one.train) < 0.7 * _next_entropy(other.train)
    assert prepare_corpus("text", shuffled=True, **how).folder == mixed.folder


def _next_entropy(ids):
    after = np.bincount(ids[1:][ids[:-1] == ord("a")], minlength=256)
    share = after[after > 0] / after.sum()
    return float(-np.sum(share * np.log(share)))
