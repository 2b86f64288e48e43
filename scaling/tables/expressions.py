"""Expressions of columns and numbers, as `--columns` takes them: `D=steps*batch_tokens`.

    sum     = product { (+ | -) product }
    product = sign { (* | / | × | ÷ | ·) sign }
    sign    = [-] power
    power   = atom [ (^ | **) sign ]
    atom    = number | column | ( sum )
    column  = a name of the file as it stands, or in double quotes or backticks
    unit    = column [unit]                  C=compute[GFLOP], N=size[B], N=size[log10]

A number may carry k, M, B or T. Where names of the file overlap, the longest one counts, so
`val/loss` is a column where the file has it and a quotient where it does not. Nothing is handed to
Python's own evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from scaling.units import FloatArray
from scaling.units.numbers import NumberError, read_number

_LONGEST = 300  # characters, which also bounds the depth of parentheses
_DEEPEST = 50
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?:[kMBT](?![A-Za-z0-9_]))?")
_NAME = re.compile(r"[^\W\d][\w.]*")
_UNIT = re.compile(r"(.+?)\s*\[([^\[\]]+)\]")
_QUOTES = '"`'
_MULTIPLY, _DIVIDE = "*×·", "/÷"

Values = Mapping[str, FloatArray]
_Evaluate = Callable[[Values], FloatArray]


class ExpressionError(ValueError):
    """A text that is no expression of the file's columns; the message says where it fails.

    Attributes:
        column: The name that the file lacks; empty where something else is wrong.
    """

    def __init__(self, message: str, column: str = "") -> None:
        self.column = column
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Expression:
    """What a column of the contract is made of.

    Attributes:
        text: As it was written.
        columns: Columns of the file, in the order in which they occur.
        evaluate: Values of those columns -> values of the expression; not finite where it divides
            by 0 or overflows, NaN where a column is NaN.
    """

    text: str
    columns: tuple[str, ...]
    evaluate: _Evaluate

    @property
    def is_column(self) -> bool:
        """Whether it is a column as it stands."""
        return self.columns == (self.text,)


def parse_expression(text: str, names: Collection[str]) -> Expression:
    """An expression of the columns of a file.

    Args:
        text: What `--columns` says after the first `=`.
        names: Names of the file's columns.

    Raises:
        ExpressionError: A column is missing, or something else is no expression.
    """
    text = text.strip()
    if text in names:
        return name_column(text)
    if len(text) > _LONGEST:
        raise ExpressionError(f"longer than {_LONGEST} characters")
    united = _UNIT.fullmatch(text)
    if united:
        return _apply_unit(text, parse_expression(united[1], names), united[2])
    parser = _Parser(text, names)
    evaluate = parser.parse()
    found = tuple(dict.fromkeys(parser.found))
    return Expression(text=text, columns=found, evaluate=_quieted(evaluate))


def name_column(name: str) -> Expression:
    """The column itself."""
    return Expression(text=name, columns=(name,), evaluate=lambda values: values[name])


def split_mapping(text: str) -> list[str]:
    """The parts between the commas that stand in no quotes; each is `name=expression`."""
    parts, quote = [""], ""
    for char in text:
        if char == "," and not quote:
            parts.append("")
            continue
        if char in _QUOTES:
            quote = "" if char == quote else quote or char
        parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def _apply_unit(text: str, inner: Expression, unit: str) -> Expression:
    if unit.strip().lower() == "log10":
        return Expression(text, inner.columns, _quieted(lambda v: 10.0 ** inner.evaluate(v)))
    try:
        factor = read_number(f"1 {unit}")
    except NumberError:
        raise ExpressionError(
            f"[{unit}] is no unit; write [k], [M], [B], [T], [GFLOP] … [ZFLOP], [PF-days], [log10] "
            f"or multiply, as in {inner.text}*1e9"
        ) from None
    return Expression(text, inner.columns, _quieted(lambda v: inner.evaluate(v) * factor))


def _quieted(evaluate: _Evaluate) -> _Evaluate:
    def run(values: Values) -> FloatArray:
        with np.errstate(all="ignore"):  # a value that is not finite is reported for its row
            return np.asarray(evaluate(values), dtype=np.float64)

    return run


class _Parser:
    def __init__(self, text: str, names: Collection[str]) -> None:
        self.text = text
        self.names = sorted(names, key=len, reverse=True)
        self.at = 0
        self.depth = 0
        self.found: list[str] = []

    def parse(self) -> _Evaluate:
        value = self._sum()
        if self._peek():
            raise self._fail("an operator (+ - * / ^)")
        if not self.found and not _NUMBER.fullmatch(self.text):
            raise ExpressionError(f"{self.text!r} names no column")
        return value

    def _sum(self) -> _Evaluate:
        value = self._product()
        while self._peek() in ("+", "-"):
            sign = self._take()
            value = _join(np.add if sign == "+" else np.subtract, value, self._product())
        return value

    def _product(self) -> _Evaluate:
        value = self._sign()
        while (sign := self._peek()) and sign in _MULTIPLY + _DIVIDE:
            self._take()
            value = _join(np.multiply if sign in _MULTIPLY else np.divide, value, self._sign())
        return value

    def _sign(self) -> _Evaluate:
        if self._peek() == "-":
            self._take()
            inner = self._power()
            return lambda values: -inner(values)
        return self._power()

    def _power(self) -> _Evaluate:
        base = self._atom()
        if self._peek() == "^" or self.text.startswith("**", self.at):
            self.at += 1 if self._peek() == "^" else 2
            return _join(np.power, base, self._sign())
        return base

    def _atom(self) -> _Evaluate:
        sign = self._peek()
        if sign == "(":
            return self._parentheses()
        if sign and sign in _QUOTES:
            return self._quoted()
        for name in self.names:
            if name and self.text.startswith(name, self.at) and self._ends_name(name):
                self.at += len(name)
                return self._column(name)
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            value = np.float64(read_number(number[0]))
            return lambda values: np.asarray(value)
        word = _NAME.match(self.text, self.at)
        if word:
            raise ExpressionError(f"{word[0]}: no such column", word[0])
        raise self._fail("a column or a number")

    def _parentheses(self) -> _Evaluate:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise ExpressionError(f"more than {_DEEPEST} parentheses deep")
        self._take()
        value = self._sum()
        if self._peek() != ")":
            raise self._fail("a closing parenthesis")
        self._take()
        self.depth -= 1
        return value

    def _quoted(self) -> _Evaluate:
        quote = self._take()
        end = self.text.find(quote, self.at)
        if end < 0:
            raise ExpressionError(f"{self.text!r}: a quote is not closed")
        name = self.text[self.at : end]
        self.at = end + 1
        if name not in self.names:
            raise ExpressionError(f"{name}: no such column", name)
        return self._column(name)

    def _column(self, name: str) -> _Evaluate:
        self.found.append(name)
        return lambda values: values[name]

    def _ends_name(self, name: str) -> bool:
        """The name is no mere beginning of a longer word."""
        after = self.text[self.at + len(name) : self.at + len(name) + 1]
        return not (name[-1:].isalnum() and (after.isalnum() or after == "_"))

    def _peek(self) -> str:
        while self.text[self.at : self.at + 1] == " ":
            self.at += 1
        if self.text.startswith("**", self.at):  # a power, not a product
            return ""
        return self.text[self.at : self.at + 1]

    def _take(self) -> str:
        sign = self._peek()
        self.at += 1
        return sign

    def _fail(self, wanted: str) -> ExpressionError:
        rest = self.text[self.at :]
        seen = f"{rest[:20]!r}" if rest else "the end"
        return ExpressionError(f"{self.text!r}: {seen} where {wanted} is needed")


def _join(operate: np.ufunc, one: _Evaluate, other: _Evaluate) -> _Evaluate:
    return lambda values: operate(one(values), other(values))
