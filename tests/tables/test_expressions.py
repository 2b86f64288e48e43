"""Claims about expressions of columns: ordinary arithmetic and nothing else."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.tables.expressions import ExpressionError, parse_expression, split_mapping

NAMES = ("steps", "batch_tokens", "val/loss", "params (B)", "C", "N", "config.n.value", "x,y", "a")
VALUES = {name: np.array([2.0, 3.0]) for name in NAMES}


def evaluate(text):
    return parse_expression(text, NAMES).evaluate(VALUES).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps*batch_tokens", [4.0, 9.0]),
        ("C/(6*N)", [1 / 6, 1 / 6]),
        ("params (B)*1e9", [2e9, 3e9]),
        ("val/loss", [2.0, 3.0]),  # the longest matching name wins
        ("config.n.value*2", [4.0, 6.0]),
        ("`x,y`+1", [3.0, 4.0]),
        ('"val/loss"*2', [4.0, 6.0]),
        ("a-a-a", [-2.0, -3.0]),  # left-associative
        ("-a^2", [-4.0, -9.0]),  # a power binds more tightly than a sign
        ("2^a^2", [16.0, 512.0]),  # right-associative
        ("2**a", [4.0, 8.0]),
        ("10^N", [100.0, 1000.0]),
        ("a×3÷2", [3.0, 4.5]),
        ("steps*512k", [1_024_000.0, 1_536_000.0]),
        ("C[GFLOP]", [2e9, 3e9]),
        ("C[PF-days]", [1.728e20, 2.592e20]),
        ("N[M]", [2e6, 3e6]),
        ("(a+1)[B]", [3e9, 4e9]),
        ("N[log10]", [100.0, 1000.0]),
    ],
)
def test_arithmetic_on_columns_follows_the_usual_precedence(text, expected):
    assert evaluate(text) == pytest.approx(expected, rel=1e-15)


def test_a_constant_applies_to_every_row():
    assert float(parse_expression("7e7", NAMES).evaluate(VALUES)) == 7e7


def test_division_by_zero_is_not_finite():
    assert np.isinf(parse_expression("a/(a-a)", NAMES).evaluate(VALUES)).all()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("nope*2", "nope: no such column"),
        ("__import__('os')", "__import__: no such column"),
        ("a b", "'b' where an operator"),
        ("(a", "a closing parenthesis"),
        ("a*", "the end where a column"),
        ("a[parsecs]", "[parsecs] is no unit"),
        ('"a', "a quote is not closed"),
        ("(" * 60 + "a" + ")" * 60, "parentheses deep"),
        ("a+" * 200 + "a", "longer than"),
        ("1+2", "names no column"),
        ("a.__class__", "where an operator"),
        ("a if a else C", "where an operator"),
    ],
)
def test_an_invalid_expression_is_refused_at_its_position(text, seen):
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text, NAMES)
    assert seen in str(caught.value)


def test_a_comma_in_quotes_does_not_end_a_mapping():
    assert split_mapping('N=n, loss="val, loss",D=`a,b`*2') == [
        "N=n", 'loss="val, loss"', "D=`a,b`*2",
    ]  # fmt: skip


@given(st.text(alphabet='a1+-*/^().[]"` eB', max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ExpressionError):
        parse_expression(text, ("a",)).evaluate({"a": np.array([2.0])})


TREES = st.recursive(
    st.sampled_from(["a", "C", "3", "0.5"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda one: f"({one[0]}{one[1]}{one[2]})"
    ),
    max_leaves=8,
)


@given(TREES.filter(lambda text: "a" in text or "C" in text))
def test_the_four_operations_are_those_of_python(text):
    try:
        with np.errstate(all="ignore"):
            expected = eval(text, {"a": np.float64(2.0), "C": np.float64(3.0)})  # noqa: S307
    except ZeroDivisionError:  # raised for two plain numbers; our result is infinite
        return
    values = {"a": np.array(2.0), "C": np.array(3.0)}
    found = parse_expression(text, ("a", "C")).evaluate(values)
    np.testing.assert_array_equal(found, expected)
