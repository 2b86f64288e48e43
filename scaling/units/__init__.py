"""Units and how numbers are written for people.

Losses are in nats per token everywhere; bits per byte stand beside them:
bits_per_byte = loss / ln 2 · tokens / bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
# Of matrix products in training, attention included; `mixed`: bfloat16 factors, float32 sums.
Precision = Literal["float32", "mixed"]

_SUFFIXES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def bits_per_byte(loss: float, *, tokens: int, bytes_: int) -> float | None:
    """Loss [nats/token] over text of `tokens` tokens and `bytes_` bytes, in bits per byte; None if
    the number of bytes is unknown."""
    return loss / math.log(2.0) * tokens / bytes_ if bytes_ else None


def clean_line(text: str) -> str:
    """One line that is safe on a terminal: every unprintable character becomes a space."""
    return "".join(char if char.isprintable() else " " for char in text)


def clean_text(text: str) -> str:
    """Apply `clean_line` to every line."""
    return "\n".join(map(clean_line, text.split("\n")))


def name_some(names: Sequence[str], most: int = 5) -> str:
    """At most `most` names, separated by commas, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def format_count(value: float) -> str:
    """A count for people, three significant digits: 10240 -> '10.2k', 6.9e10 -> '69B'."""
    if not math.isfinite(value):
        return str(value)
    for index, (size, suffix) in enumerate(_SUFFIXES):
        if abs(value) >= size * (1 - 5e-4):
            digits = f"{value / size:.3g}"
            if "e" in digits:  # 1000 rounds up to the next suffix; beyond T, use an exponent
                return f"{value:.3g}" if index == 0 else f"1{_SUFFIXES[index - 1][1]}"
            return digits + suffix
    return f"{value:.3g}"


def format_flops(value: float) -> str:
    """FLOPs for people, three significant digits: 6.5e11 -> '6.5e11'."""
    if not math.isfinite(value):
        return str(value)
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def format_seconds(value: float) -> str:
    """A duration for people: 75 -> '1 min 15 s', 8000 -> '2 h 13 min'."""
    if value < 60:
        return f"{value:.3g} s"
    minutes, seconds = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, every column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
