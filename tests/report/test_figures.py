"""Ticks, labels and colours of the figures."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.report.axes import choose_log_ticks, format_power, keep_apart, spread
from scaling.report.canvas import (
    SCHEME,
    choose_color,
    list_variables,
    relative_luminance,
    render_svg,
)


def contrast(first: str, second: str) -> float:
    """Source: WCAG 2.2, contrast ratio."""
    low, high = sorted((relative_luminance(first), relative_luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_in_figures_has_a_contrast_of_4_5(dark: bool) -> None:
    surface = SCHEME["surface"][dark]
    for name in ("ink", "muted", "accent"):
        assert contrast(SCHEME[name][dark], surface) >= 4.5
        assert contrast(SCHEME[name][dark], SCHEME["shade"][dark]) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
def test_budget_colours_stand_out_and_are_ordered(dark: bool) -> None:
    surface = SCHEME["surface"][dark]
    colors = [c for name, c in list_variables(dark=dark).items() if name.startswith("--v")]
    assert all(contrast(color, surface) >= 2.9 for color in colors)
    assert len(set(colors)) == len(colors)


def test_five_budgets_have_five_colours() -> None:
    assert len({choose_color(rank / 4) for rank in range(5)}) == 5


@given(low=st.floats(1e-3, 1e18), decades=st.floats(0.1, 12.0), apart=st.floats(0.05, 0.3))
def test_log_ticks_are_inside_and_apart(low: float, decades: float, apart: float) -> None:
    high = low * 10**decades
    ticks = choose_log_ticks(low, high, apart=apart * decades)
    assert all(low <= tick <= high for tick in ticks)
    gaps = np.diff(np.log10(ticks))
    assert np.all(gaps >= apart * decades)
    if decades >= 2.5:
        assert len(ticks) >= 2


@given(st.lists(st.floats(0, 500), min_size=1, max_size=12), st.floats(1, 30))
def test_labels_are_spread_apart_in_order(wanted: list[float], step: float) -> None:
    placed = spread(np.array(wanted), step)
    gaps = np.diff(np.sort(placed))
    assert np.all(gaps >= step - 1e-6)
    order = np.argsort(wanted, kind="stable")
    assert np.all(np.diff(placed[order]) > 0)


def test_labels_with_room_stay_where_they_are() -> None:
    wanted = np.array([10.0, 80.0, 40.0])
    assert np.array_equal(spread(wanted, 12.0), wanted)


@given(st.lists(st.floats(0, 500), min_size=2, max_size=30))
def test_thinned_labels_keep_the_outermost(wanted: list[float]) -> None:
    kept = keep_apart(np.array(wanted), 12.0)
    values = sorted(wanted[index] for index in kept)
    assert values[0] == min(wanted)
    assert values[-1] == max(wanted)
    assert all(b - a >= 12.0 for a, b in itertools.pairwise(values[:-1]))


def test_powers_are_written_with_superscripts() -> None:
    assert format_power(1e12) == "10¹²"
    assert format_power(6.5e11) == "6.5·10¹¹"
    assert format_power(1e-3) == "10⁻³"


def test_text_in_figures_is_not_parsed_as_markup_or_mathematics() -> None:
    hostile = r"<b>$\frac{$ & ]]>"
    svg = render_svg(
        lambda axes: axes[0].set_title(hostile) and None,
        key="one",
        alt=hostile,
        size=(300, 200),
        grid=(1, 1),
    )
    assert r"&lt;b&gt;$\frac{$ &amp; ]]&gt;" in svg
    assert "<b>" not in svg


def test_figures_keep_their_text_and_name_their_colours() -> None:
    def draw(axes: object) -> None:
        axes[0].plot([1, 2], [1.23456, 2], color=choose_color(0.0))  # type: ignore[index]
        axes[0].set_xlabel("loss 1.23456")  # type: ignore[index]

    svg = render_svg(draw, key="k", alt="a", size=(300, 200), grid=(1, 1))
    assert "loss 1.23456" in svg
    assert "var(--v0, #440154)" in svg
    assert not re.search(r'[dxy]="[^"]*\.\d{3}', svg)
    assert not re.search(r"\d{4}-\d\d-\d\d|metadata|xmlns", svg)
