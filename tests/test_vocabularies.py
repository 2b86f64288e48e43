"""Vocabularies compared under known laws: the best, its certainty, and what does not compare."""

import dataclasses
import json
import math
from functools import cache
from pathlib import Path

import known_run
import numpy as np
import pytest

from scaling.compare.vocabularies import Candidate, compare_vocabularies
from scaling.errors import QueryError, UsageError
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.store import read_fit, write_fit
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.report.sources import describe_floor, list_vocabularies
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import make_table
from scaling.terminal.vocabularies import format_vocabulary, say_best
from scaling.units import bits_per_byte

FACTS = dataclasses.replace(
    known_run.FACTS, validation_tokens=500_000, validation_bytes=500_000, overlap=0.1
)
LAW = np.array([0.6, 0.766 * 1e4**0.35, 0.894 * 5e5**0.3, 0.35, 0.3])  # as in tests/fitting
BUDGETS = (3e10, 1e11, 3e11)


def make_candidate(
    name: str, vocab_size: int, *, per_token: float, bits: float, noise: float = 0.0, seed: int = 0
) -> Candidate:
    """A sweep whose law, in bits per byte, is `bits` times that of bytes."""
    facts = dataclasses.replace(
        FACTS,
        vocab_size=vocab_size,
        tokenizer=name,
        train_tokens=round(9_000_000 / per_token),
        validation_tokens=round(500_000 / per_token),
    )
    letters = LAW.copy()
    letters[:3] *= bits * per_token
    flops = np.repeat(BUDGETS, 5)
    centre, _ = find_frontier(CHINCHILLA, letters, flops=flops, cost=SIX_ND)
    params = centre * np.tile([0.25, 0.5, 1, 2, 4], 3)
    tokens = flops / (6 * params)
    rng = np.random.default_rng(seed)
    loss = CHINCHILLA.loss(letters, params, tokens) * np.exp(noise * rng.standard_normal(15))
    table = make_table(params, tokens, loss=loss, budget=flops)
    fit = fit_runs(table, bootstrap=100 if noise else None)
    lowest = {budget: float(loss[flops == budget].min()) for budget in BUDGETS}
    return Candidate(facts=facts, seq_len=round(128 / per_token), fit=fit, lowest=lowest)


@cache  # not at import, when every pytest worker would fit them
def make_exact() -> tuple[Candidate, ...]:
    return (
        make_candidate("bpe:1024", 1024, per_token=3.0, bits=0.97),
        make_candidate("bytes", 256, per_token=1.0, bits=1.0),
        make_candidate("bpe:512", 512, per_token=2.0, bits=0.95),
    )


def test_the_lowest_law_in_bits_per_byte_is_the_best() -> None:
    compared = compare_vocabularies(make_exact(), budgets=BUDGETS)
    assert [choice.flops for choice in compared.choices] == list(BUDGETS)
    for choice in compared.choices:
        assert [point.vocab_size for point in choice.points] == [256, 512, 1024]
        assert (choice.best, choice.at_edge) == ("bpe:512", False)
        bits = [point.bits for point in choice.points]
        # Noise-free tables determine their law to four digits.
        assert np.array(bits) / bits[0] == pytest.approx([1, 0.95, 0.97], rel=1e-3)


def test_losses_per_token_would_name_another_best() -> None:
    by_token = min(make_exact(), key=lambda one: one.lowest[1e11])
    assert by_token.facts.tokenizer == "bytes"


def test_text_read_is_counted_in_bytes() -> None:
    (choice, *_) = compare_vocabularies(make_exact(), budgets=BUDGETS).choices
    for point, per_token in zip(choice.points, (1, 2, 3), strict=True):
        assert point.text_bytes == pytest.approx(point.tokens * per_token, rel=1e-3)
        assert point.measured == pytest.approx(point.bits, rel=0.01)  # the grid is centred there


def test_a_best_vocabulary_at_the_end_of_those_tried_is_flagged() -> None:
    (choice, *_) = compare_vocabularies(make_exact()[1:], budgets=BUDGETS).choices
    assert choice.at_edge
    assert "it is the largest tried, so the best may lie beyond" in say_best(choice)


def test_a_difference_within_the_noise_is_not_called_certain() -> None:
    near, far = (
        compare_vocabularies(
            [
                make_candidate("bytes", 256, per_token=1.0, bits=1.0, noise=0.006, seed=1),
                make_candidate("bpe:512", 512, per_token=2.0, bits=bits, noise=0.006, seed=2),
            ],
            budgets=[1e11],
        ).choices[0]
        for bits in (0.9995, 0.9)
    )
    assert near.share is not None
    assert near.share < 0.95
    assert far.share == 1.0
    assert far.best == "bpe:512"
    for point in far.points:
        assert point.interval is not None
        assert point.interval.low <= point.bits <= point.interval.high


def test_a_budget_outside_the_data_is_flagged() -> None:
    inside, outside = compare_vocabularies(make_exact(), budgets=[1e11, 1e13]).choices
    assert "beyond the trained budgets" not in say_best(inside)
    assert "beyond the trained budgets" in say_best(outside)


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan, math.inf])
def test_an_invalid_budget_is_refused(budget: float) -> None:
    with pytest.raises(QueryError, match="positive number of FLOPs"):
        compare_vocabularies(make_exact(), budgets=[budget])


def test_sweeps_that_do_not_compare_are_refused() -> None:
    _, plain, other = make_exact()
    facts = dataclasses.replace(other.facts, validation_bytes=400_000)
    for change, says in (
        ({"seq_len": 128}, "windows hold different amounts of text"),
        ({"facts": facts}, "other texts"),
    ):
        with pytest.raises(UsageError, match=says):
            compare_vocabularies([plain, dataclasses.replace(other, **change)], budgets=[1e11])


def test_tokens_without_text_do_not_compare() -> None:
    nothing = dataclasses.replace(FACTS, train_bytes=0, validation_bytes=0)
    with pytest.raises(UsageError, match="tokens whose text is not known"):
        compare_vocabularies(
            [dataclasses.replace(one, facts=nothing) for one in make_exact()], budgets=[1e11]
        )


def test_a_tokenizer_without_a_law_is_left_out_and_named() -> None:
    lost = dataclasses.replace(
        make_exact()[0],
        fit=dataclasses.replace(make_exact()[0].fit, law=None, reason="too few runs"),
    )
    compared = compare_vocabularies([lost, *make_exact()[1:]], budgets=[1e11])
    assert compared.left_out == {"bpe:1024": "too few runs"}
    assert "left out: bpe:1024: too few runs" in format_vocabulary(compared)
    with pytest.raises(UsageError, match="1 of 2 tokenizers have a law"):
        compare_vocabularies([lost, make_exact()[1]], budgets=[1e11])


def test_text_json_and_page_name_the_same_best_vocabulary() -> None:
    compared = compare_vocabularies(make_exact(), budgets=[1e11])
    contract = json.loads(json.dumps(compared.to_contract(), allow_nan=False))
    assert contract["schema_version"] == 1
    assert contract["budgets"][0]["best"] == "bpe:512"
    assert "For 1e11 FLOPs: bpe:512" in format_vocabulary(compared)
    (row,) = [row for row in list_vocabularies(compared) if row[-1].startswith("best")]
    assert row[:2] == ("1e11", "bpe:512")


def test_bits_per_byte_of_unknown_text_are_none() -> None:
    assert bits_per_byte(1.0, tokens=5, bytes_=0) is None
    assert bits_per_byte(math.log(2), tokens=5, bytes_=10) == pytest.approx(0.5)


# --- a known floor -------------------------------------------------------------------------------

NOISY = make_candidate("bytes", 256, per_token=1.0, bits=1.0, noise=0.006).fit


def test_without_a_known_floor_nothing_is_said() -> None:
    assert describe_floor(NOISY, FACTS) == ()


def test_a_wide_profile_is_not_called_identified() -> None:
    assert NOISY.floor is not None
    assert NOISY.covered is not None
    assert NOISY.floor.high - NOISY.floor.low > 0.1 * NOISY.covered.loss[0]
    _, said = describe_floor(NOISY, dataclasses.replace(FACTS, bayes_loss=0.6))
    assert "too wide to call E identified" in said


def test_a_narrow_profile_states_whether_it_contains_the_floor() -> None:
    exact = make_exact()[1].fit
    assert exact.law is not None
    near = exact.law.params["E"]
    # Noise-free: the profile has almost no width.
    held, missed = (
        describe_floor(exact, dataclasses.replace(FACTS, bayes_loss=floor))[1]
        for floor in (near, 1.2 * near)
    )
    assert "holds the floor" in held
    assert "does not hold the floor" in missed
    assert "17\u00a0% below the floor" in missed


def test_a_profile_of_e_is_stored_with_the_fit(tmp_path: Path) -> None:
    assert NOISY.floor is not None
    assert NOISY.law is not None
    assert NOISY.floor.low <= NOISY.law.params["E"] <= NOISY.floor.high
    write_fit(tmp_path / "fit.json", NOISY)
    assert read_fit(tmp_path / "fit.json").floor == NOISY.floor
