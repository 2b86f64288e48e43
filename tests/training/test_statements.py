"""Probes of people and facts against predictors whose knowledge is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from scaling.data import biased_people, closed_world, people
from scaling.data.batches import BatchOrder
from scaling.data.people import STATEMENT
from scaling.sweep.counting import count_total_params
from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.ladder import list_ladder
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.runspec import RunSpec
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
    """What a probe sees, without a ledger, of a run that read 400 windows of the text."""
    shared: dict = {}

    def share(key, make):
        if key not in shared:
            shared[key] = make()
        return shared[key]

    source = closed_world if corpus.startswith("closed_world") else biased_people
    found = source.open_world(corpus)
    world = getattr(found, "world", found)
    train = world.statements[world.drawn[world.text]].ravel()
    recipe = SimpleNamespace(batch_sequences=1, steps=steps)
    run = run or SimpleNamespace(
        seed=0, recipe=recipe, shape=SimpleNamespace(seq_len=SEQ_LEN, head_size=16)
    )
    return SimpleNamespace(
        options={"samples": samples}, run=run, look_up=lambda: None, share=share, model=model,
        shards=SimpleNamespace(name=corpus, train=train, sequence=None),
    )  # fmt: skip


class Predictor(nn.Module):
    """Continues a statement as the source does; but the answer it gives by `answer`, from the
    statement's beginning to probabilities of the answers."""

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
    """Every answer, for sure."""
    right = {tuple(row[:-1]): row[-1] - world.first_answer for row in world.statements.tolist()}
    size = world.vocab_size - world.first_answer
    return lambda begun: np.eye(size)[right[begun]] if begun in right else np.full(size, 1 / size)


def guess(world: people.World):
    size = world.vocab_size - world.first_answer
    return lambda begun: np.full(size, 1 / size)


# --- what was read ----------------------------------------------------------------------------


@pytest.mark.parametrize(("seq_len", "batch", "steps"), [(32, 3, 7), (6, 5, 20), (31, 4, 40)])
def test_statements_count_as_read_where_a_window_shows_them_whole(seq_len, batch, steps) -> None:
    stream = np.arange(240)  # 40 examples of 6; 40 steps pass over it often
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


def test_who_knows_everything_errs_never_and_knows_every_bit() -> None:
    world = closed_world.open_world(CLOSED)
    trained = make_trained(Predictor(world, know(world)), CLOSED)
    error, spread, curve = knowledge.measure_error(trained)
    assert (error, spread, set(curve.y)) == (0.0, 0.0, {0.0})
    bits = closed_world.count_bits(100, 2, VALUES)
    assert knowledge.measure_bits(trained)[0] == pytest.approx(bits, rel=1e-12)
    assert knowledge.measure_hallucination(trained)[0] == 0.0
    # It writes as the source does: ten bins of 200 samples each scatter by 2 √(.1 · .9 / 2000).
    assert knowledge.measure_miscalibration(trained)[0] < 0.1
    assert knowledge.measure_bound(trained)[0] < knowledge.measure_seen_once(trained)[0]


def test_who_guesses_is_at_chance_and_makes_up_all_but_chance() -> None:
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
def test_before_training_names_that_never_occur_are_at_chance(family: str) -> None:
    world = closed_world.open_world(CLOSED)
    shape = list_ladder(world.vocab_size, SEQ_LEN, family=family, max_params=9e3)[-1]
    recipe = decide_recipe(shape, 20e3, RecipeSpec())
    run = RunSpec(shape=shape, recipe=recipe, data_digest="0" * 24, seed=1)
    trained = make_trained(build_model(run).eval(), CLOSED, run=run)
    # The head starts at zero, so that all values are equally likely.
    assert knowledge.measure_confidence(trained)[0] == pytest.approx(1 / VALUES, rel=1e-9)
    assert knowledge.measure_bits(trained)[0] == pytest.approx(0.0, abs=1e-9)
    assert knowledge.measure_capacity(trained)[0] == pytest.approx(0.0, abs=1e-9)
    assert knowledge.measure_hallucination(trained)[0] > 0.99  # no letters where letters belong


def test_capacity_is_by_every_stored_parameter() -> None:
    world = closed_world.open_world(CLOSED)
    shape = list_ladder(world.vocab_size, SEQ_LEN, max_params=9e3)[-1]
    recipe = decide_recipe(shape, 20e3, RecipeSpec())
    run = RunSpec(shape=shape, recipe=recipe, data_digest="0" * 24, seed=1)
    trained = make_trained(Predictor(world, know(world)), CLOSED, run=run)
    bits = closed_world.count_bits(100, 2, VALUES)
    found = knowledge.measure_capacity(trained)[0]
    assert found == pytest.approx(bits / count_total_params(shape), rel=1e-9)


def test_strangers_are_asked_by_names_of_their_own() -> None:
    world = closed_world.open_world(CLOSED)
    asked = knowledge.make_strangers(world)
    known = {tuple(one) for one in world.statements[:, 1:4].tolist()}
    assert not known & {tuple(one) for one in asked[:, 1:4].tolist()}
    assert set(asked[:, 4].tolist()) == set(world.statements[:, 4].tolist())
    assert set(asked[:, 0].tolist()) == {people.BEGIN}


def test_exposures_are_binned_in_octaves_of_eight_statements_or_more() -> None:
    read = np.repeat([0, 1, 2, 3, 5, 6, 8, 1000], [3, 10, 4, 4, 3, 3, 9, 2])
    each = np.arange(float(len(read)))
    curve = draw_exposures(each, read, "place")
    # Never; 1; 2 and 3; 4 to 7 with 8 to 15, being six; the last two with those.
    bins = [(0, 3), (3, 13), (13, 21), (21, 38)]
    means = [read[low:high].mean() for low, high in bins]
    assert curve.x == pytest.approx((0.5, *means[1:]))
    assert curve.y == pytest.approx([each[low:high].mean() for low, high in bins])
    assert curve.errors[1] == pytest.approx(each[:10].std(ddof=1) / math.sqrt(10))
    few = draw_exposures(each[:4], np.array([0, 1, 5, 9]), "place")
    assert few.x == (0.5, 5.0)
    assert all(math.isfinite(one) for one in few.errors)


def test_miscalibration_is_the_distance_of_two_shares_in_bins() -> None:
    rng = np.random.default_rng(0)
    written = np.log(rng.random(1000))
    # The same texts, as often as they are written: no distance, and each bin is as frequent.
    distance, curve = knowledge.compare_bins(written, written, np.full(1000, 1e-3))
    assert distance == pytest.approx(0.0, abs=1e-12)
    assert curve.y == pytest.approx((1.0,) * 10)
    # All that is true lies in the highest tenth: that bin alone is right, by a tenth.
    distance, curve = knowledge.compare_bins(written, np.zeros(4), np.full(4, 0.25))
    assert distance == pytest.approx(0.9)
    assert curve.y == pytest.approx((*(0.0,) * 9, 10.0))


# --- the biased people ------------------------------------------------------------------------


def by_group(found: biased_people.BiasedWorld):
    """The share of each occupation in the text of a group: all that the group alone tells."""
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
def test_who_knows_the_group_alone_makes_the_share_whole(exponent: float) -> None:
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
    assert curve.y[0] == pytest.approx(0.0, abs=1e-12)  # a tie is half an answer


def test_who_knows_everybody_exaggerates_nothing() -> None:
    corpus = name_biased(1.0)
    found = biased_people.open_world(corpus)
    trained = make_trained(Predictor(found.world, know(found.world)), corpus)
    for measure in (bias.measure_argmax, bias.measure_sampled):
        value, _, curve = measure(trained)
        assert value == pytest.approx(0.0, abs=1e-12)
        assert curve.y == pytest.approx((0.0,) * 3, abs=1e-12)
    assert bias.measure_counter_error(trained)[0] == 0.0
    assert bias.measure_typical_error(trained)[0] == 0.0


def test_where_half_is_typical_answers_at_random_add_nothing() -> None:
    corpus = "biased_people ['biased_people', 1, 0, 20000, 32, 2000, 0.0, 0.5]"
    found = biased_people.open_world(corpus)
    rng = np.random.default_rng(1)
    coins = {tuple(one[:-1]): rng.dirichlet((1, 1)) for one in found.world.statements.tolist()}
    trained = make_trained(Predictor(found.world, coins.__getitem__), corpus)
    for measure in (bias.measure_argmax, bias.measure_sampled):
        value, error, curve = measure(trained)
        assert value == curve.y[0]  # the only skew there is
        assert abs(value) < 4 * error
        assert error == pytest.approx(math.sqrt(0.4 / 2000), rel=0.3)


def test_errors_are_of_skews_above_a_half() -> None:
    corpus = name_biased(0.0)
    found = biased_people.open_world(corpus)
    biased = found.kind > 0
    known = know(found.world)
    wrong = {  # of the even skew everybody is taken for the other occupation
        tuple(one[:-1]) for one in found.world.statements[~biased].tolist()
    }
    trained = make_trained(
        Predictor(found.world, lambda begun: 1 - known(begun) if begun in wrong else known(begun)),
        corpus,
    )
    assert bias.measure_counter_error(trained)[0] == 0.0
    assert bias.measure_typical_error(trained)[0] == 0.0
