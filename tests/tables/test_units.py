"""Claims about units: a column in another unit is reported with it; mixed units are an error."""

import numpy as np
import pytest

from scaling.tables.units import judge_units

N = np.repeat(np.geomspace(7e7, 3e9, 6), 5)
D = np.tile(np.geomspace(2e9, 1e11, 5), 6)
LOSS = 1.69 + 406.4 / N**0.34 + 410.7 / D**0.28  # Hoffmann et al. 2022, eq. 10
C = 6.0 * N * D


def judge(params=N, tokens=D, loss=LOSS, flops=C, budget=None, **names):
    return judge_units(params, tokens, loss, flops, budget, names=names)


def test_realistic_models_raise_no_doubt():
    assert judge() == ()
    assert judge(flops=None) == ()
    # The smallest models anyone fitted, and the largest training runs so far.
    assert judge(params=np.array([1e3, 3e3]), tokens=np.array([8e3, 1e6]), loss=LOSS[:2],
                 flops=None) == ()  # fmt: skip
    assert judge(params=np.array([1e12]), tokens=np.array([5e13]), loss=LOSS[:1], flops=None) == ()


@pytest.mark.parametrize(
    ("columns", "remedy"),
    [
        ({"params": N / 1e9, "tokens": D / 1e9}, '"N=N[B],D=D[B]"'),
        ({"params": N / 1e6, "tokens": D / 1e6}, '"N=N[M],D=D[M]"'),
        ({"params": np.log10(N), "tokens": np.log10(D)}, '"N=N[log10],D=D[log10]"'),
    ],
)
def test_small_numbers_are_reported_with_their_likely_unit(columns, remedy):
    (doubt,) = judge(**columns, flops=None)
    assert not doubt.mixed
    assert remedy in doubt.remedy


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(1e9, "GFLOP"), (1e12, "TFLOP"), (1e15, "PFLOP"), (1e18, "EFLOP"), (8.64e19, "PF-days"),
     (1e21, "ZFLOP")],
)  # fmt: skip
def test_compute_is_reported_with_its_likely_unit(factor, unit):
    (doubt,) = judge(flops=C / factor, C="total")
    assert not doubt.mixed
    assert f'"C=total[{unit}]"' in doubt.remedy


@pytest.mark.parametrize(
    ("columns", "seen", "remedy"),
    [
        ({"flops": np.log10(C)}, "", "[log10]"),
        ({"budget": C / 1e9}, "budget", "[GFLOP]"),
        ({"loss": np.exp(LOSS)}, "", "--loss-unit ppl"),
    ],
    ids=["logarithm of compute", "budget that is no compute", "perplexity"],
)
def test_values_in_another_unit_are_questioned(columns, seen, remedy):
    (doubt,) = judge(**columns)
    assert seen in doubt.seen
    assert remedy in doubt.remedy


@pytest.mark.parametrize(
    "columns",
    [
        {"params": np.where(np.arange(30) < 15, N / 1e6, N)},
        {"tokens": np.where(np.arange(30) % 2, D / 1e9, D)},
        {"flops": np.where(np.arange(30) < 10, C / 1e9, C)},
        {"params": N / 1e9},  # D in tokens
        {"tokens": D / 1e9},
    ],
    ids=["half N in millions", "half D in billions", "some C in GFLOP", "N alone", "D alone"],
)
def test_several_units_are_an_error(columns):
    columns.setdefault("flops", None)
    doubts = judge(**columns)
    assert any(doubt.mixed for doubt in doubts)


def test_attention_and_forward_only_counts_raise_no_doubt():
    assert judge(flops=2.0 * N * D) == ()
    assert judge(flops=C * 3.0) == ()
