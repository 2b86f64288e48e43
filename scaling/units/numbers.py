"""Numbers as people write them: `70M`, `10^21`, `1,000,000`, `80GB`, `300B tokens`, `3,54`.

    text   = number [scale] [unit]        "1.4B", "300 B tokens", "5 GFLOPs", "2 PF-days"
    number = 70000000 | 7e7 | 1,000,000 | 1_000_000 | 10^21 | 6.3*10^21 | 10²¹

k, M, B and T are 1e3, 1e6, 1e9 and 1e12, in any letter case; 64k is 64,000. A comma before three
digits may stand for thousands or for a fraction: alone it is refused, with both readings; in a
table the other cells decide (`find_marks`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Quantity = Literal["", "FLOP", "tokens", "parameters", "bytes"]

# One petaFLOP/s for a day. Source: Kaplan et al. 2020, arXiv:2001.08361, sec. 1.3.
PF_DAY = 8.64e19
# Shown in the docs.
EXAMPLES = ("70M", "1.4B", "64k", "10T", "300B tokens", "1e21", "10^21", "6.3*10^21", "2 PF-days",
            "5 GFLOPs", "80GB", "1,000,000", "1 000 000", "1_000_000")  # fmt: skip
_LONGEST = 60  # characters; a float64 with its unit needs fewer

_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_POWER = re.compile(
    r"(?:([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*[*x×·]\s*)?10\s*(?:\^|\*\*)\s*\{?([+-]?[0-9]{1,3})\}?"
)
# Digits grouped in threes by one mark, optionally followed by the other mark and a fraction.
_GROUPED = re.compile(
    r"([+-]?)([0-9]{1,3})((?:([.,_' ])[0-9]{3})(?:\4[0-9]{3})*)(?:([.,])([0-9]+))?"
)
_FRACTION = re.compile(r"([+-]?[0-9]*),([0-9]+)((?:[eE][+-]?[0-9]+)?)")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_RAISED_TEN = re.compile("10([⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,3})")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'"})

_SCALES = {
    **dict.fromkeys(("k", "thousand"), 1e3),
    **dict.fromkeys(("m", "mn", "million"), 1e6),
    **dict.fromkeys(("b", "bn", "billion"), 1e9),
    **dict.fromkeys(("t", "tn", "trillion"), 1e12),
}
_PREFIXES = {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21}
_WORDS: dict[str, Quantity] = {
    "flop": "FLOP", "flops": "FLOP",
    "token": "tokens", "tokens": "tokens", "tok": "tokens",
    "param": "parameters", "params": "parameters", "parameter": "parameters",
    "parameters": "parameters",
    "byte": "bytes", "bytes": "bytes",
}  # fmt: skip
_PF_DAYS = ("pf-day", "pf-days", "pfdays", "pfs-days", "pflop/s-days", "petaflop/s-days")


def _list_tails() -> dict[str, tuple[float, Quantity]]:
    """What may follow a number, without its blanks and in lower case: (factor, quantity)."""
    tails: dict[str, tuple[float, Quantity]] = {"": (1.0, "")}
    tails |= {scale: (factor, "") for scale, factor in _SCALES.items()}
    for word, quantity in _WORDS.items():
        tails[word] = (1.0, quantity)
        tails |= {scale + word: (factor, quantity) for scale, factor in _SCALES.items()}
    for prefix, factor in _PREFIXES.items():
        tails |= {prefix + word: (factor, "FLOP") for word in ("flop", "flops")}
    for at, prefix in enumerate("kmgt", start=1):
        tails[prefix + "b"] = (1e3**at, "bytes")
        tails |= {prefix + "i" + word: (1024.0**at, "bytes") for word in ("", "b")}
    return tails | dict.fromkeys(_PF_DAYS, (PF_DAY, "FLOP"))


_TAILS = _list_tails()


class NumberError(ValueError):
    """A text that is no number, or that may be two; the message says which and what to write."""


@dataclass(frozen=True, slots=True)
class Marks:
    """How numbers are written.

    Attributes:
        decimal: Before the fraction.
        thousands: Between groups of three digits, beside `_`, `'` and a blank; empty: unknown, so
            that a single `1,234` may be either.
    """

    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", ""] = ""


PLAIN = Marks()


def read_number(text: str, *, of: Quantity = "", marks: Marks = PLAIN) -> float:
    """The number that a text stands for.

    Args:
        text: As written.
        of: What is asked for; another unit word is refused. Bytes alone may be written `B`.
        marks: How the file writes numbers.

    Raises:
        NumberError: It is no number, may be two, or is one of something else.
    """
    shown = text.strip()
    if len(shown) > _LONGEST:
        raise NumberError(f"text {shown[:37]!r}... where a number is needed")
    flat = _RAISED_TEN.sub(lambda found: f"10^{found[1].translate(_RAISED)}", shown)
    flat = flat.translate(_SPACES)
    digits, rest = _take_digits(flat, marks)
    tail = rest.replace(" ", "").lower()
    if digits is None or tail not in _TAILS:
        kind = "a truth value" if shown.lower() in ("true", "false") else "text"
        raise NumberError(f"{kind} {shown!r} where a number is needed")
    factor, quantity = _TAILS[tail]
    if of == "bytes" and tail == "b":
        factor, quantity = 1.0, "bytes"
    if quantity and of and quantity != of:
        raise NumberError(f"{shown!r} is a number of {quantity} where one of {of} is needed")
    # Parsed as one decimal rather than multiplied, so that 1.4B is 1.4e9 to the last bit.
    exact = math.log10(factor) if factor != PF_DAY else 0.5
    if exact == int(exact) and "e" not in digits.lower() and tail:
        return float(f"{digits}e{int(exact)}")
    return float(digits) * factor


def has_foreign_digits(text: str) -> bool:
    """Whether a text has decimal digits that are not 0 to 9: `float` takes those of any script."""
    return any(char.isdecimal() and not char.isascii() for char in text)


def find_marks(texts: Iterable[str]) -> Marks | str:
    """How the cells of a file write numbers, or why nobody can say.

    A cell with two commas, or with a comma and then a point, has thousands; one whose only comma
    stands before other than three digits has a fraction. Cells without marks say nothing.
    """
    thousands, fractions, points = "", "", ""
    for text in texts:
        cell = text.strip()
        if "," not in cell and cell.count(".") < 2:
            continue
        number = re.match(r"[+-]?[0-9.,]+", cell)
        body = number[0].lstrip("+-") if number else ""
        if _is_grouped(body.split(",")[0], ".") and (body.count(".") > 1 or "," in body):
            points = cell
        if _is_grouped(body, ",") and (body.count(",") > 1 or "." in body):
            thousands = thousands or cell
        elif body.count(",") == 1 and (_is_grouped(body.split(",")[0], ".") or "." not in body):
            whole, after = body.split(",")
            if len(after) != 3 or whole in ("", "0") or len(whole.replace(".", "")) > 3:
                fractions = fractions or cell
    if thousands and fractions:
        return f"{thousands!r} has commas between thousands and {fractions!r} before a fraction"
    if fractions:
        return Marks(decimal=",", thousands="." if points else "")
    return Marks(thousands=",") if thousands else PLAIN


def _is_grouped(body: str, mark: str) -> bool:
    return bool(re.fullmatch(rf"[0-9]{{1,3}}(\{mark}[0-9]{{3}})+(\.[0-9]+)?", body))


def _take_digits(text: str, marks: Marks) -> tuple[str | None, str]:
    """(the number as Python writes it, what follows it); None where there is none."""
    power = _POWER.match(text)
    if power:
        return f"{power[1] or '1'}e{power[2]}", text[power.end() :]
    grouped = _GROUPED.match(text)
    if grouped and _ends_well(text, grouped.end()) and grouped[2] != "0":
        sign, first, groups, mark, other, fraction = grouped.groups()
        if mark in ".," and other == mark:
            return None, text
        if mark in "_' " or mark == marks.thousands or groups.count(mark) > 1 or other:
            whole = sign + first + groups.replace(mark, "")
            return (f"{whole}.{fraction}" if fraction else whole), text[grouped.end() :]
        if mark == ("." if marks.decimal == "," else ","):
            bare = first + groups[1:]
            raise NumberError(f"{text.strip()!r} may be {bare} or {first}.{groups[1:]}: write one")
    comma = _FRACTION.match(text)
    if comma and _ends_well(text, comma.end()):
        whole, after, exponent = comma.groups()
        point = f"{whole or '0'}.{after}{exponent}"
        if marks.decimal == ",":
            return point, text[comma.end() :]
        raise NumberError(f"{text.strip()!r} has a comma before its fraction; write {point}")
    plain = _PLAIN.match(text)
    return (plain[0], text[plain.end() :]) if plain else (None, text)


def _ends_well(text: str, at: int) -> bool:
    """No digit or mark goes on where the groups ended."""
    return not re.match(r"[0-9.,_']", text[at:])
