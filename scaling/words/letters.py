"""Coefficients and formulas of laws as they are printed: Greek letters, indices, powers."""

from __future__ import annotations

import html
import re

_GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "eta": "η"}
_GREEK_NAME = re.compile(rf"(?<![A-Za-z])({'|'.join(_GREEK)})(?![A-Za-z])")
_INDEX = re.compile(r"(?<=[A-Za-zα-ω])_([A-Za-z0-9]+)")


def spell_letter(name: str) -> str:
    """A coefficient's name with its Greek letter: `alpha_N` -> `α_N`."""
    return _GREEK_NAME.sub(lambda found: _GREEK[found[1]], name)


def write_formula(equation: str) -> str:
    """A law's `equation` as HTML: `A/N^alpha` -> `A / N<sup>α</sup>`; other text is escaped."""
    text = html.escape(spell_letter(equation), quote=False)
    text = text.replace("*", "·").replace("/", " / ").replace("_inf", "_∞")
    return _INDEX.sub(r"<sub>\1</sub>", _raise(text)).replace("_∞", "<sub>∞</sub>")


def _raise(text: str) -> str:
    """Every power as a superscript; the brackets around one are left out."""
    before, mark, after = text.partition("^")
    if not mark:
        return text
    end = _find_end(after)
    power = after[:end].replace("-", "−")
    if power.startswith("("):
        power = power[1:-1]
    return f"{before}<sup>{_raise(power)}</sup>{_raise(after[end:])}"


def _find_end(text: str) -> int:
    """Where the power at the beginning of a text ends: after a name or number, or its brackets."""
    depth = 0
    for at, one in enumerate(text):
        if one == "(":
            depth += 1
        elif one == ")":
            depth -= 1
            if depth <= 0:
                return at + 1 + depth  # excludes a bracket opened before the power
        elif depth == 0 and not (one.isalnum() or one in "_'" or (one == "-" and at == 0)):
            return at
    return len(text)
