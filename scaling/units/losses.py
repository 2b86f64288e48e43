"""LossScale: the unit in which losses are read, asked for and written.

    nats   L [nats/token]           bits   L / ln 2 [bits/token]
    bpb    L / (ln 2 · bytes per token) [bits/byte]          ppl    exp(L)

Everything is computed and stored in nats; this is the one place that converts, on the way in and on
the way out. Bits per byte of a table that states nothing else are nats per byte inside: a law of
them has the same N* and D*, so that the bytes of a token need not be known. Those of an own sweep
are nats per token inside, and the bytes of its held-out tokens are counted.

A sentence that holds a loss writes it with its unit behind, as "2.31 nats/token"; a parameter of a
law or a difference is "0.12 nats". `reword` finds both: sentences are stored in nats, like the
numbers.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from scaling.units import FloatArray

LossUnit = Literal["nats", "bits", "bpb", "ppl"]
LOSS_UNITS: tuple[LossUnit, ...] = ("nats", "bits", "bpb", "ppl")

_LABELS: dict[LossUnit, str] = {
    "nats": "nats/token", "bits": "bits/token", "bpb": "bits/byte", "ppl": "perplexity",
}  # fmt: skip
_LONGEST_LOSS = 700.0  # nats: its exp is still finite
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_SAID = re.compile(rf"({_NUMBER})(?: (…|and|to) ({_NUMBER}))? nats(/token)?(?![\w/])")

_HELD = re.compile(rf"floor:({_NUMBER})")

_Value = TypeVar("_Value", float, FloatArray)


@dataclass(frozen=True, slots=True)
class LossScale:
    """A unit of losses.

    Attributes:
        unit: Its name.
        bytes_per_token: For `bpb` when losses are stored per token; 1: they are per byte.
        is_loss: False: a metric stands in the place of losses, in whatever unit; sentences name
            none.
    """

    unit: LossUnit = "nats"
    bytes_per_token: float = 1.0
    is_loss: bool = True

    @property
    def label(self) -> str:
        """As it stands behind a number and on an axis."""
        return _LABELS[self.unit]

    @property
    def inner_label(self) -> str:
        """What losses are inside."""
        per_byte = self.unit == "bpb" and self.bytes_per_token == 1.0
        return "nats/byte" if per_byte else _LABELS["nats"]

    @property
    def factor(self) -> float | None:
        """What a loss in nats is multiplied by; None of a perplexity, which is no multiple."""
        if self.unit == "ppl":
            return None
        return 1.0 if self.unit == "nats" else 1.0 / (math.log(2.0) * self.bytes_per_token)

    def to(self, nats: _Value) -> _Value:
        """A loss as it is written; a perplexity beyond a double is infinite."""
        if self.factor is not None:
            return nats * self.factor
        if isinstance(nats, float):
            return math.exp(nats) if nats < _LONGEST_LOSS else math.inf
        with np.errstate(over="ignore"):
            return np.exp(nats)

    def to_or_none(self, nats: float | None) -> float | None:
        """The same; None of what is absent or has no finite value."""
        if nats is None or not math.isfinite(nats):
            return None
        value = self.to(float(nats))
        return value if math.isfinite(value) else None

    def from_(self, value: _Value) -> _Value:
        """A loss as it was written, in nats; −∞ or NaN of what is no perplexity."""
        if self.factor is not None:
            return value / self.factor
        if isinstance(value, float):
            return math.log(value) if value > 0.0 else -math.inf
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(value)

    def error_from(self, error: FloatArray, value: FloatArray) -> FloatArray:
        """Standard errors of written losses, in nats: of ln p that of p over p."""
        return error / (value if self.factor is None else self.factor)

    def describe_law(self, own: LossScale) -> str:
        """What a law gives whose parameters are in the unit `own`, where losses are in this one."""
        if own is self:
            return self.label
        if self.unit == "ppl":
            return f"{self.inner_label}: the logarithm of the perplexity"
        return f"{self.inner_label}: its letters do not follow the unit of losses"

    def write_error(self, error: float, nats: float) -> float:
        """A standard error of a loss as it is written: that of exp(L) is its own, times exp(L)."""
        return error * (self.to(nats) if self.factor is None else self.factor)

    def reword(self, sentence: str) -> str:
        """A sentence with its losses in this unit; parameters of laws stay in nats where losses are
        perplexities."""
        if not self.is_loss:
            return _SAID.sub(lambda found: found[0].split(" nats")[0], sentence)
        if self.unit == "nats":
            return sentence
        if self.factor is not None:  # E in a law's name; for a law of ln ppl it stays in nats
            sentence = _HELD.sub(lambda one: f"floor:{self.to(float(one[1])):.12g}", sentence)
        return _SAID.sub(self._say, sentence)

    def _say(self, found: re.Match[str]) -> str:
        first, link, second, per_token = found.groups()
        if self.factor is None and per_token is None:
            return found[0]
        label = self.label if per_token else self.label.split("/")[0]
        ends = [self._rewrite(one) for one in (first, second) if one is not None]
        return f" {link} ".join(ends) + f" {label}"

    def _rewrite(self, text: str) -> str:
        """A number in this unit, with a digit fewer than it had, and at least four."""
        digits = len(text.split("e")[0].lstrip("-0.").replace(".", ""))
        return f"{self.to(float(text)):.{max(4, digits - 1)}g}"

    def to_contract(self) -> dict[str, Any]:
        """The head of JSON whose losses are in this unit: with another than nats the numbers of
        the first version mean something else."""
        version = {"schema_version": 1 if self.unit == "nats" else 2}
        return version | ({"loss_unit": self.unit} if self.is_loss else {})


NATS = LossScale()
METRIC = LossScale(is_loss=False)
