"""Knowledge and bias analyses, checked on runs that follow a known law."""

import dataclasses
import math

import numpy as np
import pytest

from scaling.fitting.bias import BiasedRun, find_half, find_lag, judge_bias
from scaling.fitting.knowledge import KnowingRun, World, fit_collapse, judge_knowledge
from scaling.fitting.sentence_pairs import SentencePair, sum_up_pairs
from scaling.tables.metrics import Metric
from scaling.tables.run_table import make_table
from scaling.words import bias as bias_words
from scaling.words import knowledge as knowledge_words

WORLD = World(facts=1000, values=16, bits=4000.0)
SIZES, EXPOSURES = (1e3, 4e3, 16e3, 64e3), (1.5, 3.0, 6.0, 12.0, 24.0, 48.0)


def make_runs(kappa=1.0, slope=1.4, half=0.05, *, shift=0.0, seeds=1, noise=0.0, **values):
    """Make runs whose errors follow the law; `shift` moves the curves of successive N apart."""
    rng = np.random.default_rng(0)
    runs = []
    for at, params in enumerate(SIZES):
        for _ in range(seeds):
            x = WORLD.bits / (params * np.array(EXPOSURES) ** kappa)
            error = WORLD.chance / (1 + (x / half * math.exp(shift * (-1) ** at)) ** -slope)
            error = np.clip(error + noise * rng.standard_normal(len(x)), 0, WORLD.chance)
            runs.append(
                KnowingRun(
                    params=params, tokens=6e4, exposures=10.0, errors={},
                    curve=tuple(zip(EXPOSURES, error.tolist(), strict=True)),
                    values={name: one[at] for name, one in values.items()},
                )
            )  # fmt: skip
    return runs


@pytest.mark.parametrize(("kappa", "slope", "half"), [(1.0, 1.4, 0.05), (1.7, 0.8, 0.2)])
def test_known_curve_is_recovered(kappa, slope, half) -> None:
    found = fit_collapse(WORLD, make_runs(kappa, slope, half))
    assert found.kappa == pytest.approx(kappa, rel=1e-3)  # the search stops at 1e-9 of ℓ
    assert found.free < 1e-4
    assert found.apart < 1e-4
    assert found.interval.low == pytest.approx(kappa, rel=1e-2)
    if kappa == 1.0:
        assert (found.slope, found.half) == pytest.approx((slope, half), rel=1e-3)
        assert found.plain < 1e-4
    else:
        assert found.plain > 0.02
    said = knowledge_words.say_collapse(judge_knowledge(WORLD, make_runs(kappa, slope, half)))
    assert ": one curve fits every N" in said


def test_separate_curves_per_size_are_detected() -> None:
    knowledge = judge_knowledge(WORLD, make_runs(shift=1.0))
    found = knowledge.collapse
    assert found.apart < 1e-4
    assert found.free > 0.05
    assert "no single curve fits every N" in knowledge_words.say_collapse(knowledge)


def test_interval_of_kappa_covers_the_truth() -> None:
    found = fit_collapse(WORLD, make_runs(1.3, seeds=4, noise=0.03))
    assert found.interval.low < 1.3 < found.interval.high
    assert found.interval.high - found.interval.low < 0.3
    assert found.free == pytest.approx(found.apart, rel=0.25)


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        (make_runs()[:1], "fewer than two model sizes"),
        (make_runs(half=1e9), "all unknown, or all known"),
        (make_runs(slope=-1.0), "errors do not fall with N and exposures"),
    ],
)
def test_collapse_is_refused_with_a_reason(runs, why) -> None:
    knowledge = judge_knowledge(WORLD, runs)
    assert knowledge.collapse is None
    assert why in knowledge.refused
    assert why in knowledge_words.say_collapse(knowledge)
    assert knowledge.to_contract("here")["collapse"] is None


def test_capacity_floor_and_bound_follow_from_the_runs() -> None:
    runs = make_runs(
        bits=[1000.0, 2000.0, 3900.0, 4000.0], capacity=[1.0, 0.5, 0.24, 0.06],
        hallucination=[0.9, 0.5, 0.3, 0.31], bound=[0.1, 0.6, 0.2, 0.2], seen_once=[0.2] * 4,
    )  # fmt: skip
    knowledge = judge_knowledge(WORLD, runs)
    assert [one.full for one in knowledge.cells] == [False, False, True, True]
    (floor,) = knowledge.floors
    assert floor.params == (16e3, 64e3)
    assert floor.change == pytest.approx(0.01)
    assert (knowledge.above, knowledge.bounded) == (3, 4)
    said = " ".join(knowledge_words.list_sentences(knowledge))
    assert "After 10 exposures: at most 1.000 bits per stored parameter, at 1k parameters." in said
    assert "below 0" not in said
    assert "0.300 at 16k and 0.310 at 64k parameters (change +0.010)" in said
    assert "3 of 4 runs" in said


def test_capacity_has_a_standard_error_and_may_be_negative() -> None:
    first, *others = make_runs(capacity=[-0.3, -0.6, -1.0, -2.0])
    runs = [first, dataclasses.replace(first, values={"capacity": -0.5}), *others]
    knowledge = judge_knowledge(WORLD, runs)
    assert knowledge.cells[0].capacity == pytest.approx(-0.4)
    assert knowledge.cells[0].capacity_error == pytest.approx(0.1)  # .2 / √2 over √2 runs
    said, _ = knowledge_words.say_capacity(knowledge)
    assert "at most -0.400 ± 0.100 bits per stored parameter, at 1k parameters; below 0" in said
    cell, *_ = knowledge.to_contract("here")["cells"]
    assert cell["bits_per_parameter_error"] == pytest.approx(0.1)


# --- bias -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "half"),
    [
        (((1.0, 0.9), (4.0, 0.6), (16.0, 0.4), (64.0, 0.1)), 8.0),  # halfway in ln E
        (((1.0, 0.9), (4.0, 0.3), (16.0, 0.7), (64.0, 0.3)), 32.0),  # the last crossing
        (((2.0, 0.4), (4.0, 0.3)), 2.0),
        (((2.0, 0.9), (4.0, 0.6)), None),
        ((), None),
    ],
)
def test_exposures_at_half_error_are_interpolated(curve, half) -> None:
    assert find_half(curve) == (None if half is None else pytest.approx(half))


def make_biased(counter=8.0, typical=2.0, **changed):
    def draw(middle):  # the error is one half at `middle`
        return tuple((x, 1 / (1 + x / middle)) for x in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0))

    given = {
        "params": 1e4, "tokens": 1e6, "errors": {}, "skews": ((0.5, 0.01), (0.9, 0.05)),
        "values": {"argmax": 0.05, "argmax_group": 0.1, "sampled": 0.001, "counter_error": 0.4,
                   "typical_error": 0.1},
        "counter": draw(counter), "typical": draw(typical),
    }  # fmt: skip
    return BiasedRun(**(given | changed))


def test_lag_is_a_ratio_with_a_t_interval_over_runs() -> None:
    # The curve has points at 2 and 8, where it is exactly one half.
    lag = find_lag([make_biased(8.0), make_biased(8.0)])
    assert (lag.counter, lag.typical, lag.ratio) == pytest.approx((8.0, 2.0, 4.0))
    assert (lag.interval.low, lag.interval.high) == pytest.approx((4.0, 4.0))
    assert not lag.at_least
    spread = find_lag([make_biased(8.0), make_biased(16.0)])
    assert spread.ratio == pytest.approx(math.sqrt(32))
    # Two runs: t(.95, 1) = 6.314 times half the difference.
    assert math.log(spread.interval.high / spread.ratio) == pytest.approx(
        6.313752 * math.log(2) / 2, rel=1e-6
    )
    assert find_lag([make_biased(8.0)]).interval is None


def test_lag_is_a_lower_bound_if_typical_people_start_below_half() -> None:
    lag = find_lag([make_biased(typical=0.5)])
    assert lag.at_least
    assert lag.typical == 1.0
    assert "at least" in bias_words.say_lag(lag, judge([make_biased()]).cells[0])
    assert find_lag([make_biased(counter=1e9)]) is None  # atypical people stay unknown


def judge(runs):
    errors = np.array([one.values["counter_error"] for one in runs])
    table = make_table(
        params=[one.params for one in runs], tokens=[one.tokens for one in runs],
        loss=[1.0] * len(runs), metrics=(Metric(name="bias_counter_error", values=errors),),
    )  # fmt: skip
    return judge_bias(runs, table)


def test_sentences_separate_arithmetic_from_knowledge() -> None:
    small = make_biased(
        counter=1e9, params=1e3,
        values={"argmax": 0.1, "argmax_group": 0.1, "sampled": 0.0, "counter_error": 1.0,
                "typical_error": 0.0},
    )  # fmt: skip
    found = judge([small, make_biased()])
    assert [one.lag is None for one in found.cells] == [True, False]
    assert 1e3 < found.counter.midpoint < 1e4
    assert found.typical is None  # not measured
    said = "\n".join(bias_words.list_sentences(found))
    assert "argmax answers add 0.100 to the typical share for a predictor that knows only" in said
    assert "parameters and 1M tokens argmax answers add 0.050, sampled answers +0.001." in said
    assert "one half: at 10k parameters and 1M tokens argmax answers add +0.010." in said
    assert "people is 1.000 at 1k parameters and 0.400 at 10k, and for typical people 0.000" in said
    contract = found.to_contract("here")
    assert contract["cells"][1]["skews"][1] == {"skew": 0.9, "argmax": 0.05}
    assert contract["cells"][0]["lag"] is None


def test_pair_scores_have_intervals_over_pairs() -> None:
    pairs = tuple(SentencePair(line=at, first="a", second="b") for at in range(1, 11))
    found = sum_up_pairs("0" * 16, pairs, [1.0] * 10)
    # Clopper-Pearson for 10 of 10: low = .05^(1/10).
    assert (found.share, found.interval.high) == (1.0, 1.0)
    assert found.interval.low == pytest.approx(0.05**0.1)
    assert (found.mean, found.mean_interval.low, found.mean_interval.high) == (1.0, 1.0, 1.0)
    assert sum_up_pairs("0" * 16, pairs[:1], [0.0]).share == 0.0
    assert sum_up_pairs("0" * 16, pairs[:1], [0.0]).to_contract("x")["mean_interval"] is None
