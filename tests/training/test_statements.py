"""Probes of facts and stereotypes, checked on predictors with known knowledge."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import test_probes_exact
import torch
from known_run import plan_shape
from torch import nn

from scaling.data import biased_people, closed_world, people
from scaling.data.batches import BatchOrder
from scaling.data.people import STATEMENT
from scaling.sweep.counting import count_total_params
from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.ladder import list_ladder
from scaling.training.parametrization import build_model
from scaling.training.probes import biased_people as bias
from scaling.training.probes import closed_world as knowledge
from scaling.training.probes.statements import draw_exposures, judge_world
from scaling.training.probing import count_read

SEQ_LEN, VALUES = 32, 8
FACTS = 100 * 2
CLOSED = f"closed_world ['closed_world', 1, 0, 20000, {SEQ_LEN}, 100, 2, {VALUES}, 1.0, 0.0]"
SKEWS = (0.5, 0.6, 0.9)


def name_biased(exponent: float) -> str:
    return (
        f"biased_people ['biased_people', 1, 0, 20000, {SEQ_LEN}, 600, {exponent}, 0.5, 0.6, 0.9]"
    )


def make_trained(model: nn.Module | None, corpus: str, *, samples=2000, run=None, steps=400):
    """Make what a probe sees of a run that read 400 windows of the text, without a ledger."""
    source = closed_world if corpus.startswith("closed_world") else biased_people
    found = source.open_world(corpus)
    world = getattr(found, "world", found)
    train = world.statements[world.drawn[world.text]].ravel()
    recipe = SimpleNamespace(batch_sequences=1, steps=steps)
    run = run or SimpleNamespace(
        seed=0, recipe=recipe, shape=SimpleNamespace(seq_len=SEQ_LEN, head_size=16)
    )
    shards = SimpleNamespace(name=corpus, train=train, sequence=None)
    return test_probes_exact.make_trained(
        options={"samples": samples}, run=run, model=model, shards=shards
    )


class Predictor(nn.Module):
    """Continue statements with the source's probabilities, except for the answer.

    `answer` maps the tokens of a statement before its answer to probabilities of the answers.
    """

    def __init__(self, world: people.World, answer) -> None:
        super().__init__()
        self.world, self.answer = world, answer
        self.unused = nn.Parameter(torch.zeros(1))
        self.next: dict[tuple[int, ...], np.ndarray] = {}
        for row, weight in zip(world.statements.tolist(), world.share, strict=True):
            for at in range(1, STATEMENT - 1):
                shares = self.next.setdefault(tuple(row[:at]), np.zeros(world.vocab_size))
                shares[row[at]] += weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        out = np.full((*tokens.shape, self.world.vocab_size), 1e-30)
        for row, ids in enumerate(tokens.tolist()):
            for at in range(len(ids)):
                begun = tuple(ids[at - at % STATEMENT : at + 1])
                if len(begun) == STATEMENT - 1:
                    out[row, at, self.world.first_answer :] += self.answer(begun)
                elif begun in self.next:
                    out[row, at] += self.next[begun]
        return torch.from_numpy(np.log(out))


def know(world: people.World):
    """Answer with certainty where the fact is known."""
    right = {tuple(row[:-1]): row[-1] - world.first_answer for row in world.statements.tolist()}
    size = world.vocab_size - world.first_answer
    return lambda begun: np.eye(size)[right[begun]] if begun in right else np.full(size, 1 / size)


def guess(world: people.World):
    size = world.vocab_size - world.first_answer
    return lambda begun: np.full(size, 1 / size)


# --- statements read ---------------------------------------------------------------------------


@pytest.mark.parametrize(("seq_len", "batch", "steps"), [(32, 3, 7), (6, 5, 20), (31, 4, 40)])
def test_statements_count_as_read_if_whole_in_one_window(seq_len, batch, steps) -> None:
    stream = np.arange(240)  # 40 examples of 6 tokens; 40 steps read it many times
    order = BatchOrder(
        SimpleNamespace(train=stream, sequence=None), seq_len=seq_len, batch_sequences=batch, seed=5
    )
    whole = np.zeros(40, dtype=int)
    for step in range(steps):
        for window in order.read_batch(step).tolist():
            for example in range(40):
                whole[example] += set(range(6 * example, 6 * example + 6)) <= set(window)
    trained = SimpleNamespace(
        shards=SimpleNamespace(train=stream, sequence=None),
        run=SimpleNamespace(
            seed=5,
            shape=SimpleNamespace(seq_len=seq_len),
            recipe=SimpleNamespace(batch_sequences=batch, steps=steps),
        ),
    )
    np.testing.assert_array_equal(count_read(trained, 6), whole)
    assert whole.sum() > 0


# --- the closed world -------------------------------------------------------------------------


def test_perfect_predictor_has_no_error_and_every_bit() -> None:
    world = closed_world.open_world(CLOSED)
    trained = make_trained(Predictor(world, know(world)), CLOSED)
    error, spread, curve = knowledge.measure_error(trained)
    assert (error, spread, set(curve.y)) == (0.0, 0.0, {0.0})
    bits = closed_world.count_bits(100, 2, VALUES)
    assert knowledge.measure_bits(trained)[0] == pytest.approx(bits, rel=1e-12)
    assert knowledge.measure_hallucination(trained)[0] == 0.0
    # It samples from the source: each of ten bins scatters by √(.1 · .9 / 2000).
    assert knowledge.measure_miscalibration(trained)[0] < 0.1
    assert knowledge.measure_bound(trained)[0] < knowledge.measure_seen_once(trained)[0]


def test_guessing_predictor_is_at_chance() -> None:
    world = closed_world.open_world(CLOSED)
    trained = make_trained(Predictor(world, guess(world)), CLOSED)
    assert knowledge.measure_error(trained)[0] == pytest.approx(1 - 1 / VALUES, rel=1e-12)
    assert knowledge.measure_bits(trained)[0] == pytest.approx(0.0, abs=1e-9)
    assert knowledge.measure_confidence(trained)[0] == pytest.approx(1 / VALUES, rel=1e-12)
    rate, error = knowledge.measure_hallucination(trained)[:2]
    assert rate == pytest.approx(1 - 1 / VALUES, abs=4 * error)


def test_noise_at_chance_has_no_bits_within_its_error() -> None:
    world = closed_world.open_world(CLOSED)
    rng, spread = np.random.default_rng(0), 0.1

    def answer(begun):
        odds = np.exp(spread * rng.standard_normal(VALUES))
        return odds / odds.sum()

    trained = make_trained(Predictor(world, answer), CLOSED)
    bits, error, _ = knowledge.measure_bits(trained)
    # ln p is (1 − 1/C) of its own noise; the mean, −s²/2 · (1 − 1/C), is two thirds of an error.
    assert error == pytest.approx(
        spread * math.sqrt((1 - 1 / VALUES) * FACTS) / math.log(2), rel=0.2
    )
    assert abs(bits) < 3 * error
    judged = judge_world(trained, world)
    assert np.maximum(knowledge.find_bits(judged, world), 0).sum() > 4 * error  # what clipping adds


def test_half_known_world_has_half_its_bits() -> None:
    world = closed_world.open_world(CLOSED)
    sure, unsure = know(world), guess(world)
    half = {tuple(row[:-1]) for row in world.statements[::2].tolist()}
    trained = make_trained(
        Predictor(world, lambda begun: (sure if begun in half else unsure)(begun)), CLOSED
    )
    bits, _, curve = knowledge.measure_bits(trained)
    assert bits == pytest.approx(closed_world.count_bits(100, 2, VALUES) / 2, rel=1e-12)
    assert max(curve.y) <= math.log2(VALUES)


def test_model_sure_of_wrong_values_has_fewer_bits_than_none() -> None:
    world = closed_world.open_world(CLOSED)
    right = know(world)
    trained = make_trained(
        Predictor(world, lambda begun: 0.9 * np.roll(right(begun), 1) + 0.1 / VALUES), CLOSED
    )
    # p of the right value is .1 / C.
    assert knowledge.measure_bits(trained)[0] == pytest.approx(-FACTS * math.log2(10), rel=1e-9)


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_untrained_model_is_at_chance(family: str) -> None:
    world = closed_world.open_world(CLOSED)
    shape = list_ladder(world.vocab_size, SEQ_LEN, family=family, max_params=9e3)[-1]
    run = plan_shape(shape, 20e3)
    trained = make_trained(build_model(run).eval(), CLOSED, run=run)
    # The head starts at zero, so all values are equally likely.
    assert knowledge.measure_confidence(trained)[0] == pytest.approx(1 / VALUES, rel=1e-9)
    assert knowledge.measure_bits(trained)[0] == pytest.approx(0.0, abs=1e-9)
    assert knowledge.measure_capacity(trained)[0] == pytest.approx(0.0, abs=1e-9)
    assert knowledge.measure_hallucination(trained)[0] > 0.99  # samples use every token


def test_capacity_is_bits_over_all_stored_parameters() -> None:
    world = closed_world.open_world(CLOSED)
    shape = list_ladder(world.vocab_size, SEQ_LEN, max_params=9e3)[-1]
    run = plan_shape(shape, 20e3)
    trained = make_trained(Predictor(world, know(world)), CLOSED, run=run)
    bits = closed_world.count_bits(100, 2, VALUES)
    found = knowledge.measure_capacity(trained)[0]
    assert found == pytest.approx(bits / count_total_params(shape), rel=1e-9)


def test_unknown_names_never_occur_in_the_world() -> None:
    world = closed_world.open_world(CLOSED)
    asked = knowledge.make_strangers(world)
    known = {tuple(one) for one in world.statements[:, 1:4].tolist()}
    assert not known & {tuple(one) for one in asked[:, 1:4].tolist()}
    assert set(asked[:, 4].tolist()) == set(world.statements[:, 4].tolist())
    assert set(asked[:, 0].tolist()) == {people.BEGIN}


def test_exposure_bins_are_octaves_with_at_least_eight_statements() -> None:
    read = np.repeat([0, 1, 2, 3, 5, 6, 8, 1000], [3, 10, 4, 4, 3, 3, 9, 2])
    each = np.arange(float(len(read)))
    curve = draw_exposures(each, read, "place")
    # Never; 1; 2 and 3; 4 to 7 has six and joins 8 to 15, which the last two join.
    bins = [(0, 3), (3, 13), (13, 21), (21, 38)]
    means = [read[low:high].mean() for low, high in bins]
    assert curve.x == pytest.approx((0.5, *means[1:]))
    assert curve.y == pytest.approx([each[low:high].mean() for low, high in bins])
    assert curve.errors[1] == pytest.approx(each[:10].std(ddof=1) / math.sqrt(10))
    few = draw_exposures(each[:4], np.array([0, 1, 5, 9]), "place")
    assert few.x == (0.5, 5.0)
    assert all(math.isfinite(one) for one in few.errors)


def test_miscalibration_is_the_total_variation_over_bins() -> None:
    rng = np.random.default_rng(0)
    written = np.log(rng.random(1000))
    # Equal distributions: the distance is 0 and every ratio is 1.
    distance, curve = knowledge.compare_bins(written, written, np.full(1000, 1e-3))
    assert distance == pytest.approx(0.0, abs=1e-12)
    assert curve.y == pytest.approx((1.0,) * 10)
    # All true statements lie in the top bin, which holds a tenth of the samples.
    distance, curve = knowledge.compare_bins(written, np.zeros(4), np.full(4, 0.25))
    assert distance == pytest.approx(0.9)
    assert curve.y == pytest.approx((*(0.0,) * 9, 10.0))


# --- the biased people ------------------------------------------------------------------------


def by_group(found: biased_people.BiasedWorld):
    """Answer with the shares of the occupations in the text, given only the group."""
    world, first = found.world, people.FIRST_FREE
    counts = np.zeros((2 * len(found.skews), 2))
    np.add.at(
        counts,
        (world.statements[:, 4] - first, world.statements[:, 5] - world.first_answer),
        world.share,
    )
    shares = counts / counts.sum(axis=1, keepdims=True)
    return lambda begun: shares[begun[4] - first]


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_group_only_predictor_amplifies_by_one_minus_share(exponent: float) -> None:
    corpus = name_biased(exponent)
    found = biased_people.open_world(corpus)
    trained = make_trained(Predictor(found.world, by_group(found)), corpus)
    argmax, _, curve = bias.measure_argmax(trained)
    share = found.measure_typical()
    assert curve.x == SKEWS
    assert curve.y[1:] == pytest.approx(1 - share[1:], abs=1e-12)
    assert argmax == pytest.approx(bias.measure_argmax_of_group(trained)[0], abs=1e-12)
    assert argmax == pytest.approx(np.mean(1 - share[1:]), abs=1e-12)
    assert bias.measure_sampled(trained)[0] == pytest.approx(0.0, abs=1e-12)
    assert bias.measure_counter_error(trained)[0] == 1.0
    assert bias.measure_typical_error(trained)[0] == 0.0
    assert share == pytest.approx(SKEWS, rel=1e-12)
    assert curve.y[0] == pytest.approx(0.0, abs=1e-12)  # a tie counts one half


def test_perfect_predictor_amplifies_nothing() -> None:
    corpus = name_biased(1.0)
    found = biased_people.open_world(corpus)
    trained = make_trained(Predictor(found.world, know(found.world)), corpus)
    for measure in (bias.measure_argmax, bias.measure_sampled):
        value, _, curve = measure(trained)
        assert value == pytest.approx(0.0, abs=1e-12)
        assert curve.y == pytest.approx((0.0,) * 3, abs=1e-12)
    assert bias.measure_counter_error(trained)[0] == 0.0
    assert bias.measure_typical_error(trained)[0] == 0.0


def test_skew_of_one_half_shows_no_amplification() -> None:
    corpus = "biased_people ['biased_people', 1, 0, 20000, 32, 2000, 0.0, 0.5]"
    found = biased_people.open_world(corpus)
    rng = np.random.default_rng(1)
    coins = {tuple(one[:-1]): rng.dirichlet((1, 1)) for one in found.world.statements.tolist()}
    trained = make_trained(Predictor(found.world, coins.__getitem__), corpus)
    for measure in (bias.measure_argmax, bias.measure_sampled):
        value, error, curve = measure(trained)
        assert value == curve.y[0]  # the only skew
        assert abs(value) < 4 * error
        assert error == pytest.approx(math.sqrt(0.4 / 2000), rel=0.3)


def test_errors_use_only_skews_above_one_half() -> None:
    corpus = name_biased(0.0)
    found = biased_people.open_world(corpus)
    biased = found.kind > 0
    known = know(found.world)
    wrong = {  # everyone at a skew of one half is answered wrongly
        tuple(one[:-1]) for one in found.world.statements[~biased].tolist()
    }
    trained = make_trained(
        Predictor(found.world, lambda begun: 1 - known(begun) if begun in wrong else known(begun)),
        corpus,
    )
    assert bias.measure_counter_error(trained)[0] == 0.0
    assert bias.measure_typical_error(trained)[0] == 0.0
