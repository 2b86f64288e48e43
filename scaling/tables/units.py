"""Whether numbers are in the units they are taken for, and in which they more likely are.

    N   1e3 … 1e14 parameters       D   1e3 … 1e17 tokens       loss   .01 … 12.5 nats/token
    D/N 1e-3 … 1e5                  C / (6·N·D)   1/5 … 5       C / budget   1/5 … 5

A column that lies outside as a whole is probably in another unit: a check says so. A column of
which some rows lie a hundredfold apart from all others holds several units, and no law can follow
from it. Ranges are wide on purpose: the smallest models that anyone fitted have thousands of
parameters, the largest trillions, and ln of a vocabulary of 262,144 entries is 12.5.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scaling.units import FloatArray
from scaling.units.numbers import PF_DAY

FEWEST = 1e3
MOST_PARAMS, MOST_TOKENS = 1e14, 1e17
LOWEST_LOSS, HIGHEST_LOSS = 0.01, 12.5
LOWEST_RATIO, HIGHEST_RATIO = 1e-3, 1e5
# Largest factor between C and 6·N·D: 2·N·D (forward only), attention and embeddings stay within.
COST_GAP = 5.0
# Neighbouring values of a sweep differ by less; units differ by a thousand or more.
_MIXED_GAP = 100.0
# No published language model has a lower perplexity on text; losses in nats are lower.
LOWEST_PERPLEXITY = 4.0
_MIXED_SHARE = 0.1  # share of rows; fewer may be failed runs
_THOUSAND = 1e3
_FEWEST_ROWS = 4  # two rows in each unit; a smaller table says nothing about units
_FLOP_PER_PARAM_TOKEN = 6.0

_SCALES = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
# Typical of published models, to choose between powers of a thousand.
_TYPICAL_PARAMS, _TYPICAL_RATIO = 1e9, 20.0
_ALIKE_RATIO = 1e4  # tokens per parameter above which N and D are probably in different units
_FLOP_UNITS = (
    (1e9, "GFLOP"), (1e12, "TFLOP"), (1e15, "PFLOP"), (1e18, "EFLOP"), (1e21, "ZFLOP"),
    (PF_DAY, "PF-days"),
)  # fmt: skip

# Shown in the docs.
RANGES = (
    ("N", f"{FEWEST:g} … {MOST_PARAMS:g} parameters (median)"),
    ("D", f"{FEWEST:g} … {MOST_TOKENS:g} tokens (median)"),
    ("D/N", f"{LOWEST_RATIO:g} … {HIGHEST_RATIO:g}; outer {1 / HIGHEST_RATIO:g} … "
     f"{HIGHEST_RATIO:g}"),
    ("loss", f"{LOWEST_LOSS:g} … {HIGHEST_LOSS:g} nats/token"),
    ("C / (6·N·D), budget / C", f"{1 / COST_GAP:g} … {COST_GAP:g} (median)"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is odd about a column.

    Attributes:
        seen: In a sentence with its numbers.
        remedy: How to state the unit that is more likely.
        mixed: Whether several units stand in one column: then nothing should be fitted.
    """

    seen: str
    remedy: str
    mixed: bool = False

    def __str__(self) -> str:
        return f"{self.seen} {self.remedy}"


def judge_units(
    params: FloatArray,
    tokens: FloatArray,
    loss: FloatArray | None,
    flops: FloatArray | None = None,
    budget: FloatArray | None = None,
    *,
    names: Mapping[str, str] | None = None,
) -> tuple[Doubt, ...]:
    """What is odd about the units of a table; empty where nothing is.

    Args:
        params, tokens, loss: N, D and loss [nats/token], shape (n,), positive; the loss None where
            there is none.
        flops, budget: C and declared budget [FLOPs], shape (n,) or None; NaN where not stated.
        names: Contract name -> what the file's columns make it of, for the remedies.
    """
    called = dict(names or {})
    if params.size == 0:
        return ()
    doubts = [*_judge_counts(params, tokens, called), *(() if loss is None else _judge_loss(loss))]
    if flops is not None and not any(doubt.mixed for doubt in doubts):
        ratio = flops / (_FLOP_PER_PARAM_TOKEN * params * tokens)
        of_flops = _judge_cost("C", ratio, flops, called)
        doubts += of_flops
        if budget is not None and not of_flops:
            doubts += _judge_cost("budget", budget / flops, budget, called, of="C")
    return tuple(doubts)


def _judge_counts(params: FloatArray, tokens: FloatArray, called: Mapping[str, str]) -> list[Doubt]:
    ratio = tokens / params
    for name, values in (("N", params), ("D", tokens)):
        mixed = _find_mixed(name, values)
        if mixed:
            return [mixed]
    if _is_logarithm(params, tokens):
        return [Doubt(f"N is {_span(params)} and D {_span(tokens)}, as logarithms to base 10 are.",
                      f"If so, say {_advise(called, N='log10', D='log10')}.")]  # fmt: skip
    seen, units = [], {}
    middle = float(np.median(params))
    alike = middle < FEWEST and LOWEST_RATIO <= float(np.median(ratio)) <= _ALIKE_RATIO
    for name, values, most in (("N", params, MOST_PARAMS), ("D", tokens, MOST_TOKENS)):
        if alike or float(np.median(values)) < FEWEST:
            wanted = _TYPICAL_PARAMS * (float(np.median(values)) / middle if alike else 1.0)
            if not alike:
                rest = float(np.median(tokens if name == "N" else params))
                wanted = _find_wanted(name, rest)
            units[name] = _find_scale(float(np.median(values)), wanted)
            seen.append(f"{name} is {_span(values)}, as if in units of {_SCALES[units[name]]:g}.")
        elif float(np.median(values)) > most:
            seen.append(f"{name} is {_span(values)}, more than any run had.")
    remedy = f"If so, say {_advise(called, **units)}." if units else "Correct the column."
    low, high = float(ratio.min()), float(ratio.max())
    if low < LOWEST_RATIO or high > HIGHEST_RATIO:
        beyond = high > HIGHEST_RATIO or low < 1.0 / HIGHEST_RATIO
        said = f"D/N is {low:.3g} … {high:.3g} tokens per parameter"
        seen.append(f"{said}, outside {LOWEST_RATIO:g} … {HIGHEST_RATIO:g}.")
        if not units:
            units = _guess_ratio(params, tokens)
            remedy = f"Are both counted one by one? If not, say {_advise(called, **units)}."
        return [Doubt(" ".join(seen), remedy, mixed=beyond)]
    return [Doubt(" ".join(seen), remedy)] if seen else []


def _guess_ratio(params: FloatArray, tokens: FloatArray) -> dict[str, str]:
    """The unit of whichever is too small beside the other."""
    small, rest = ("D", params) if np.median(tokens / params) < 1.0 else ("N", tokens)
    values = tokens if small == "D" else params
    wanted = _find_wanted(small, float(np.median(rest)))
    return {small: _find_scale(float(np.median(values)), wanted)}


def _find_mixed(name: str, values: FloatArray) -> Doubt | None:
    """Rows too small for any model, or nearly, far below others that are not."""
    ordered = np.sort(values)
    if ordered.size < _FEWEST_ROWS:
        return None
    cut = int(np.argmax(ordered[1:] / ordered[:-1])) + 1
    gap, below = ordered[cut] / ordered[cut - 1], ordered[cut - 1]
    if gap < _MIXED_GAP or below >= FEWEST * (_MIXED_GAP if gap >= _THOUSAND else 1.0):
        return None
    low, high = _span(ordered[:cut]), _span(ordered[cut:])
    seen = (f"{name} is {low} in {cut} rows and {high} in {ordered.size - cut}: several units in "
            f"one column.")  # fmt: skip
    return Doubt(seen, "Write every row in one unit.", mixed=True)


def _is_logarithm(params: FloatArray, tokens: FloatArray) -> bool:
    """N from 1e3 to 1e14 and D from 1e5 to 1e17 tokens, D/N within five decades."""
    return bool(
        params.min() >= 3.0
        and params.max() <= 14.0
        and tokens.min() >= 5.0
        and tokens.max() <= 17.0
        and np.abs(tokens - params).max() <= 5.0
    )


def _find_wanted(name: str, rest: float) -> float:
    """What a column's median should be: 20 tokens per parameter beside the other's, or where
    models are if that is too small as well."""
    if rest >= FEWEST:
        return rest / _TYPICAL_RATIO if name == "N" else rest * _TYPICAL_RATIO
    return _TYPICAL_PARAMS if name == "N" else _TYPICAL_PARAMS * _TYPICAL_RATIO


def _find_scale(middle: float, wanted: float) -> str:
    """The power of a thousand that brings the one nearest to the other."""
    return min(_SCALES, key=lambda one: abs(math.log(middle * _SCALES[one] / wanted)))


def _judge_loss(loss: FloatArray) -> list[Doubt]:
    highest, lowest = float(np.median(loss)), float(loss.min())
    high = loss > HIGHEST_LOSS
    if _MIXED_SHARE < high.mean() < 1.0 and lowest < LOWEST_PERPLEXITY:
        seen = (f"The loss is {_span(loss[~high])} nats/token in {int((~high).sum())} rows and "
                f"{_span(loss[high])} nats/token in {int(high.sum())}, more than a guess among "
                f"262,144 tokens: several units in one column.")  # fmt: skip
        return [Doubt(seen, "Write every row in one unit.", mixed=True)]
    if float(loss.max()) > HIGHEST_LOSS and highest > HIGHEST_LOSS / 2:
        return [Doubt(
            f"The loss is {_span(loss)} nats/token; {HIGHEST_LOSS:g} nats/token is a guess "
            "among 262,144 tokens. No model of text is that bad.",
            "If it is a perplexity, say --loss-unit ppl.",
        )]  # fmt: skip
    if lowest < LOWEST_LOSS:
        return [Doubt(
            f"The lowest loss is {lowest:.3g} nats/token, below that of any text.",
            "Is the column a loss, of held-out text? Bits and bits per byte have --loss-unit.",
        )]  # fmt: skip
    return []


def _judge_cost(
    name: str,
    ratio: FloatArray,
    values: FloatArray,
    called: Mapping[str, str],
    *,
    of: str = "6·N·D",
) -> list[Doubt]:
    known = np.isfinite(ratio) & (ratio > 0)
    if not known.any():
        return []
    logs = np.sort(np.log(ratio[known]))
    gaps = np.diff(logs)
    if gaps.size and gaps.max() > math.log(_MIXED_GAP):
        cut = int(np.argmax(gaps)) + 1
        seen = (
            f"{name}/({of}) is {math.exp(logs[:cut].mean()):.3g} in {cut} rows and "
            f"{math.exp(logs[cut:].mean()):.3g} in {logs.size - cut}: several units in one column."
        )
        return [Doubt(seen, "Write every row in one unit.", mixed=True)]
    middle = math.exp(float(np.median(logs)))
    if 1.0 / COST_GAP <= middle <= COST_GAP:
        return []
    seen = f"{name} is {_span(values[known])}, {middle:.3g} times {of} (median)"
    if of != "C" and values[known].min() > 8.0 and values[known].max() < 32.0:
        return [Doubt(f"{seen}, as its logarithm to base 10 is.",
                      f"If so, say {_advise(called, **{name: 'log10'})}.")]  # fmt: skip
    factor, unit = min(_FLOP_UNITS, key=lambda one: abs(math.log(middle * one[0])))
    if abs(math.log(middle * factor)) < math.log(COST_GAP):
        return [Doubt(f"{seen}, as if in {unit}.",
                      f"If so, say {_advise(called, **{name: unit})}.")]  # fmt: skip
    return [Doubt(f"{seen}.", "Are N, D and C of the same runs, and C their whole training in FLOP?"
                  )]  # fmt: skip


def _advise(called: Mapping[str, str], **units: str) -> str:
    """The option that states units, with the file's own names."""
    pairs = []
    for name, unit in units.items():
        made = called.get(name, name)
        made = made if re.fullmatch(r"[^-+*/^×÷·]+", made) else f"({made})"
        pairs.append(f"{name}={made}[{unit}]")
    return f'--columns "{",".join(pairs)}"'


def _span(values: FloatArray) -> str:
    return f"{values.min():.3g} … {values.max():.3g}"
