"""Claims about the percentile interval of draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scaling.fitting.intervals import find_interval


@pytest.mark.parametrize("size", [2, 3, 20, 999, 1000])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
@pytest.mark.parametrize(("as_drawn", "method"), [(False, "linear"), (True, "inverted_cdf")])
def test_interval_ends_are_numpys_quantiles(
    size: int, level: float, as_drawn: bool, method: str
) -> None:
    draws = np.random.default_rng(size).standard_normal(size)
    shares = [0.5 - level / 2.0, 0.5 + level / 2.0]
    wanted = np.quantile(draws, shares, method=method)  # type: ignore[call-overload]
    found = find_interval(draws, level, as_drawn=as_drawn)
    assert (found.low, found.high) == tuple(wanted.tolist())


def test_an_interval_is_extended_to_contain_the_answer() -> None:
    draws = np.linspace(1.0, 2.0, 101)
    assert find_interval(draws, 0.9, answer=0.5).low == 0.5
    assert find_interval(draws, 0.9, answer=3.0).high == 3.0
    assert find_interval(draws, 0.9, answer=1.5).low == pytest.approx(1.05)


def test_infinite_draws_leave_the_interval_open() -> None:
    draws = np.append(np.ones(80), np.full(20, np.inf))
    assert find_interval(draws, 0.9, as_drawn=True).high == math.inf
    assert math.isnan(find_interval(np.array([1.0, np.nan]), 0.9).low)
