"""Claims about numbers as people write them: read if clear, refused if ambiguous."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.units.numbers import Marks, NumberError, find_marks, read_number

READ = {
    "70M": 70_000_000.0, "1.4B": 1.4e9, "300B": 300e9, "10T": 10e12, "1e21": 1e21, "64k": 64_000.0,
    "10^21": 1e21, "10**21": 1e21, "10²¹": 1e21, "6.3*10^21": 6.3e21, "6.3 × 10^21": 6.3e21,
    "1,000,000": 1e6, "1_000_000": 1e6, "1 000 000": 1e6, "1'000'000": 1e6, "1,234.5": 1234.5,
    "1.234.567": 1234567.0, "70 million": 70e6, "300B tokens": 300e9, "5 GFLOPs": 5e9,
    "3 ZFLOP": 3e21, "70m": 70e6, "-2.5": -2.5, ".5": 0.5,
    "1 PF-day": 8.64e19,  # 1e15 FLOP/s · 86,400 s
    "80GB": 80e9, "80 GiB": 80 * 1024.0**3,
}  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_a_clear_number_is_read_to_its_last_bit(text):
    assert read_number(text) == READ[text]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("1,234", "may be 1234 or 1.234"),
        ("1,5", "write 1.5"),
        ("big", "text 'big'"),
        ("", "text ''"),
        ("true", "a truth value"),
        ("1,2,3", "text '1,2,3'"),
        ("12,34,567", "text"),
        ("0x10", "text"),
        ("7 apples", "text"),
        ("__import__('os')", "text"),
        ("9" * 100, "text '999"),
    ],
)
def test_an_invalid_or_ambiguous_number_is_refused(text, seen):
    with pytest.raises(NumberError) as caught:
        read_number(text)
    assert seen in str(caught.value)


def test_a_number_of_another_quantity_is_refused():
    with pytest.raises(NumberError, match="tokens where one of parameters"):
        read_number("300B tokens", of="parameters")
    assert read_number("300B tokens", of="tokens") == 300e9


def test_b_means_billion_except_where_bytes_are_expected():
    assert read_number("8B") == 8e9
    assert read_number("8e10B", of="bytes") == 8e10


@pytest.mark.parametrize(
    ("cells", "marks"),
    [
        (["1,000,000", "2,000"], Marks(thousands=",")),
        (["3,54839", "3,1"], Marks(decimal=",")),
        (["1.000,5"], Marks(decimal=",", thousands=".")),
        (["1,234"], Marks()),  # ambiguous
        (["70M", "7e7", "1.5"], Marks()),
    ],
)
def test_the_other_cells_say_what_a_comma_means(cells, marks):
    assert find_marks(cells) == marks


def test_contradictory_cells_leave_a_comma_ambiguous():
    assert "between thousands" in find_marks(["1,000,000", "3,5"])


def test_a_comma_is_read_as_its_file_has_it():
    assert read_number("2,000", marks=Marks(thousands=",")) == 2000.0
    assert read_number("2,125", marks=Marks(decimal=",")) == 2.125
    with pytest.raises(NumberError, match=r"may be 2125 or 2\.125"):
        read_number("2.125", marks=Marks(decimal=","))


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_numbers_written_by_python_are_read_back(value):
    assert read_number(repr(value)) == value


@given(st.integers(min_value=1, max_value=10**15))
def test_grouped_digits_are_read_back(value):
    if value >= 10**6:  # a single comma may be a decimal mark
        assert read_number(f"{value:,}") == value
    assert read_number(f"{value:_}") == value


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(NumberError):
        read_number(text)
