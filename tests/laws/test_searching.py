"""Claims about the two searches: where a condition begins, and where a value is least."""

from __future__ import annotations

import numpy as np
import pytest

from scaling.laws.searching import find_crossing, find_lowest

PLACES = np.array([-3.7, 0.1, 12.25])


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("downwards", [False, True])
def test_a_crossing_is_found_to_the_stated_width(at_once: bool, downwards: bool) -> None:
    low, high = np.full(3, -20.0), np.full(3, 30.0)
    ends = (high, low) if downwards else (low, high)

    def is_beyond(x: np.ndarray) -> np.ndarray:
        places = PLACES[:, None] if x.ndim == 2 else PLACES
        return x <= places if downwards else x >= places

    found = find_crossing(is_beyond, *ends, halvings=42, at_once=at_once)
    assert found == pytest.approx(PLACES, abs=50 / 2**42 + 1e-14)  # rounding when ends are added
    assert is_beyond(found + (-1e-10 if downwards else 1e-10)).all()


def test_many_problems_are_halved_one_point_at_a_time() -> None:
    """A thousand draws times sixty-three points would cost more than the calls they save."""
    seen = []

    def is_beyond(x: np.ndarray) -> np.ndarray:
        seen.append(x.shape)
        return x >= 0.3

    find_crossing(is_beyond, np.zeros(1000), np.ones(1000), halvings=12, at_once=True)
    assert seen == [(1000, 1)] * 12


def test_the_lowest_point_is_found_through_wiggles() -> None:
    """The first grid sees every dip; the others close in on the deepest."""
    centres = np.array([1.234567, -2.0])

    def value(x: np.ndarray) -> np.ndarray:
        u = x - centres[:, None]
        return u**2 + 0.3 * np.sin(9.0 * u) ** 2

    found = find_lowest(value, np.zeros(2), reach=5.0, points=(129, 17), zooms=6)
    assert found == pytest.approx(centres, abs=10 / 128 / 8**6)
