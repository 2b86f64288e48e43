"""PROBES: the quantities that can be measured on a trained run beside its loss.

A probe is a set of facts and the name of a function, so that every package may import it and only a
worker imports what it computes with:

    Probe(name="tail_loss", version=1, unit="nats/token", direction="lower",
          measure="scaling.training.probes.tail_loss:measure_tail_loss", …)

A sweep asks for probes under `evaluate`; they are not part of a run's identity.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from scaling.sweep.corpus_sources import load_function
from scaling.sweep.probe_demands import (
    Demand,
    Option,
    asks_questions,
    count,
    few_chains,
    fit_context,
    fit_twice,
    has_sequences,
    pairs_fit,
    positive,
    rising,
    source,
    text,
)

Direction = Literal["lower", "higher"]
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
EARLY_STOP = "loss_best"  # the one probe that a run has to know of while it is trained


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCurve:
    """The curve that a value summarises: y at each x, for the page; no law is fitted to it.

    Attributes:
        x_label, y_label: Axis labels with units.
        x: Ascending values above 0, as they are drawn on a logarithmic axis.
        y: Values at each x.
        errors: Standard errors of y; None if unknown.
        y_log: Whether y is drawn on a logarithmic axis.
    """

    x_label: str
    y_label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    errors: tuple[float, ...] | None = None
    y_log: bool = False


Measured: TypeAlias = tuple[float, float | None] | tuple[float, float | None, ProbeCurve]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A quantity, and the function that measures it.

    Attributes:
        name: Name of the quantity: its column in tables, and `--metric NAME`.
        version: Raised whenever the same run would give another value.
        unit: Unit of the value; empty for a share or a count.
        direction: Which of two values is better.
        meaning: Meaning in words.
        measure: `module:function`, called with a `training.probing.TrainedRun`; returns the value,
            its standard error (None: not known) and, if there is one, the curve that it sums up.
            Empty: only a trainer reports it.
        bound: Best value possible, which a law of a higher-is-better quantity needs.
        needs_weights: Whether the function uses the model.
        options: Its options with their defaults.
        demands: Its demands on a sweep (`probe_demands`).
        beside: The probe for which this one is a control or bound; both are drawn in one figure.
        guessed: True if guessing scores above 0; `Source.chance` says how much.
        control: What its value compares with beside other probes; "none: …" without anything.
        verb: The verb that analyses it, if one does beside `fit --metric`.
    """

    name: str
    version: int
    unit: str
    direction: Direction
    meaning: str
    measure: str
    bound: float | None = None
    needs_weights: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)
    demands: tuple[Demand, ...] = ()
    beside: str = ""
    guessed: bool = False
    control: str = ""
    verb: str = ""

    def load(self) -> Callable[[Any], Measured]:
        """Import the function.

        Raises:
            ImportError, AttributeError: There is no such module or function.
        """
        return load_function(self.measure)


@dataclass(frozen=True, slots=True)
class AskedProbe:
    """A probe, and the options that a sweep changes from their defaults."""

    probe: Probe
    changed: Mapping[str, Option] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Option]:
        """Every option with its value."""
        return {**self.probe.options, **self.changed}


PROBES: dict[str, Probe] = {}


def register_probe(probe: Probe) -> Probe:
    """Register a probe for the sweep files of this process.

    Raises:
        ValueError: Its name is taken, or not allowed in a file.
    """
    if not _NAME.fullmatch(probe.name) or PROBES.setdefault(probe.name, probe) != probe:
        raise ValueError(f"probe {probe.name!r}: the name is taken or not a-z, 0-9 and _")
    return probe


_WHERE = "scaling.training.probes"
_GRADIENT: dict[str, Any] = {
    "options": {"lags": 64, "windows": 16},
    "unit": "1/token",
    "direction": "lower",
}
_GRADIENT |= {"demands": (fit_context("lags", beyond=1), count("windows"))}
_CODE: dict[str, Any] = {
    "options": {"samples": 64, "lines": 1, "context": 48, "order": 5},
    "demands": (
        text,
        fit_context("context", beyond=8),
        count("samples"),
        count("lines", least=1),
        count("order"),
    ),
    "direction": "higher",
    "bound": 1.0,
}
_MATCH: dict[str, Any] = {
    "options": {"samples": 32}, "demands": (count("samples"),), "unit": "tokens",
    "direction": "lower",
}  # fmt: skip
_GRAMMAR: dict[str, Any] = {
    "options": {"samples": 256, "tokens": 16},
    "demands": (source("brackets"), fit_context("tokens"), count("samples")),
    "direction": "higher",
    "bound": 1.0,
}
_ANSWER: dict[str, Any] = {
    "options": {"questions": 512}, "demands": (asks_questions, count("questions")),
    "direction": "higher", "bound": 1.0,
}  # fmt: skip
_SHOTS: dict[str, Any] = {
    "options": {"sequences": 256}, "demands": (has_sequences, count("sequences")),
    "unit": "nats/token", "direction": "lower", "verb": "few-shot",
}  # fmt: skip
_LAW: dict[str, Any] = {"needs_weights": False, "direction": "lower", "unit": "nats/token"}
_WORLD: dict[str, Any] = {
    "options": {"samples": 2048},
    "demands": (source("closed_world"), count("samples", least=20)),
    "direction": "lower",
    "verb": "knowledge",
}
_FACTS: dict[str, Any] = {
    "demands": (source("closed_world"),), "direction": "lower", "verb": "knowledge",
}  # fmt: skip
_BIAS: dict[str, Any] = {
    "demands": (source("biased_people"),), "direction": "lower", "verb": "bias",
}  # fmt: skip
# (name, its function in `training/probes`, meaning, facts)
_SHIPPED: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("tail_loss", "tail_loss:measure_tail_loss",
     "held-out loss on the last part of the context (`share`, a quarter)",
     {"options": {"share": 0.25}, "unit": "nats/token", "direction": "lower"}),
    ("context_floor", "positions:measure_floor",
     "a of L(T) = a + b·T^−c, the loss by position T in the context", _LAW),
    ("context_rise", "positions:measure_rise", "b of L(T) = a + b·T^−c", _LAW),
    ("context_exponent", "positions:measure_exponent", "c of L(T) = a + b·T^−c",
     {**_LAW, "direction": "higher", "unit": ""}),
    ("context_gain", "positions:measure_context_gain",
     "loss near position `early` less that near `late`",
     {**_LAW, "version": 2, "direction": "higher", "options": {"early": 32, "late": 120},
      "demands": (fit_context("early"), fit_context("late"), rising("early", "late"))}),
    ("gradient_decay", "gradients:measure_decay",
     "rate at which a loss's gradient falls with distance, over `lags` tokens", _GRADIENT),
    ("gradient_decay_start", "gradients:measure_decay_at_start",
     "the same before the first step",
     {**_GRADIENT, "needs_weights": False, "beside": "gradient_decay"}),
    ("longest_match", "matches:measure_match",
     "longest stretch of generated text that was trained on, mean", _MATCH),
    ("longest_match_control", "matches:measure_control",
     "the same of held-out text of equal length", {**_MATCH, "beside": "longest_match"}),
    ("source_precision", "known_source:measure_precision",
     "cross-entropy of generated text under the known source, above its floor",
     {"options": {"samples": 64, "temperature": 1.0}, "unit": "nats/token", "direction": "lower",
      "demands": (source("synthetic"), count("samples"), positive("temperature"))}),
    ("source_recall", "known_source:measure_recall", "loss above the floor of the known source",
     {**_LAW, "demands": (source("synthetic"),), "beside": "source_precision"}),
    ("grammar_accepted", "grammar:measure_accepted",
     "share of generated strings of `tokens` tokens that the grammar accepts", _GRAMMAR),
    ("grammar_bound", "grammar:measure_bound",
     "what that share cannot be below: exp(−(L − E)·tokens)",
     {**_GRAMMAR, "beside": "grammar_accepted"}),
    ("code_valid", "python_code:measure_valid",
     "share of generated stretches of `lines` lines that Python parses", _CODE),
    ("code_valid_ngram", "python_code:measure_ngram",
     "the same of n-grams of order `order`, of equal length", {**_CODE, "beside": "code_valid"}),
    ("code_valid_text", "python_code:measure_text", "the same of the held-out text there",
     {**_CODE, "beside": "code_valid"}),
    ("recall_accuracy", "recalling:measure_accuracy",
     "share of values recalled, of as many pairs as the corpus has, or the option pairs says",
     {"options": {"pairs": 0, "samples": 128}, "direction": "higher", "bound": 1.0,
      "demands": (source("pairs"), count("samples"), pairs_fit), "guessed": True}),
    ("answer_exact", "answers:measure_exact",
     "share of `questions` held-out questions whose whole answer is right", _ANSWER),
    ("answer_accuracy", "answers:measure_accuracy",
     "share of tokens of the answers that are right, each after the right ones before it",
     {**_ANSWER, "guessed": True}),
    ("answer_accuracy_free", "answers:measure_accuracy_free",
     "the same after what the model itself wrote", {**_ANSWER, "guessed": True}),
    ("answer_null", "answers:measure_null",
     "answer_accuracy to the power of an answer's tokens: exact answers if tokens erred "
     "independently", _ANSWER),
    ("answer_probability", "answers:measure_probability",
     "probability of the whole right answer, mean", _ANSWER),
    ("answer_loss", "answers:measure_loss", "loss on the tokens of the answers",
     {**_ANSWER, "unit": "nats/token", "direction": "lower", "bound": None}),
    ("answer_brier", "answers:measure_brier",
     "squared distance of the predicted probabilities from the right token, mean",
     {**_ANSWER, "direction": "lower", "bound": None}),
    (EARLY_STOP, "early_stop:measure_best",
     "lowest held-out loss of the run: before its first step, after each of `halvings` halvings of "
     "its steps, or at its end",
     {**_LAW, "options": {"halvings": 4}, "demands": (count("halvings", least=1, most=30),)}),
    ("few_shot", "few_shot:measure_excess",
     "excess loss over the best predictor on new sources; its curve is by number of examples",
     _SHOTS),
    ("few_shot_simple", "few_shot:measure_simple",
     "KL divergence from a simpler predictor (for chains it ignores the order of tokens, for maps "
     "that no two letters share an image)", {**_SHOTS, "beside": "few_shot"}),
    ("few_shot_uniform", "few_shot:measure_uniform", "KL divergence from guessing",
     {**_SHOTS, "beside": "few_shot"}),
    ("few_shot_seen", "few_shot:measure_seen",
     "few_shot on the training chains; below 0, the model remembers them",
     {**_SHOTS, "demands": (*_SHOTS["demands"], source("markov_chains"), few_chains),
      "beside": "few_shot"}),
    ("few_shot_phase", "few_shot:measure_phase",
     "share of new sources on which the model is nearest to the best predictor",
     {**_SHOTS, "unit": "", "direction": "higher", "bound": 1.0}),
    ("few_shot_regret", "few_shot:measure_regret",
     "excess loss over knowing the source, on new sources; its curve is by number of examples",
     _SHOTS),
    ("few_shot_regret_bayes", "few_shot:measure_regret_bayes",
     "the best predictor's few_shot_regret, a lower bound",
     {**_SHOTS, "needs_weights": False, "beside": "few_shot_regret"}),
    ("copy_gain", "copying:measure_gain",
     "loss that a repetition `lag` tokens later saves, on the same text",
     {"options": {"lag": 32, "samples": 64}, "unit": "nats/token", "direction": "higher",
      "demands": (fit_twice("lag"), count("samples"))}),
    ("closed_world_error", "closed_world:measure_error", "share of facts answered wrongly", _FACTS),
    ("closed_world_bits", "closed_world:measure_bits",
     "bits that the model saves on the values of all facts over guessing; below 0: worse than "
     "guessing", {**_FACTS, "version": 2, "unit": "bits", "direction": "higher"}),
    ("closed_world_capacity", "closed_world:measure_capacity",
     "closed_world_bits divided by all stored parameters",
     {**_FACTS, "version": 2, "unit": "bits/parameter", "direction": "higher"}),
    ("closed_world_confidence", "closed_world:measure_confidence",
     "probability of the most likely value, for names that never occur", _FACTS),
    ("closed_world_hallucination", "closed_world:measure_hallucination",
     "share of `samples` generated statements that are not facts", _WORLD),
    ("closed_world_bound", "closed_world:measure_bound",
     "closed_world_seen_once − closed_world_miscalibration, a lower bound on hallucination",
     {**_WORLD, "beside": "closed_world_hallucination"}),
    ("closed_world_seen_once", "closed_world:measure_seen_once",
     "share of the draws read whose fact no other draw stated",
     {**_FACTS, "needs_weights": False, "beside": "closed_world_hallucination"}),
    ("closed_world_miscalibration", "closed_world:measure_miscalibration",
     "distance between the probabilities of statements under the model and in the text", _WORLD),
    ("bias_argmax", "biased_people:measure_argmax",
     "share of typical occupations among argmax answers, less that in the text", _BIAS),
    ("bias_argmax_group", "biased_people:measure_argmax_of_group",
     "bias_argmax of a predictor that knows only the group",
     {**_BIAS, "needs_weights": False, "beside": "bias_argmax"}),
    ("bias_sampled", "biased_people:measure_sampled",
     "the same for sampled answers", {**_BIAS, "beside": "bias_argmax"}),
    ("bias_counter_error", "biased_people:measure_counter_error",
     "share of people not typical of their group that are answered wrongly", _BIAS),
    ("bias_typical_error", "biased_people:measure_typical_error",
     "share of people typical of their group that are answered wrongly",
     {**_BIAS, "beside": "bias_counter_error"}),
)  # fmt: skip
# name -> what its value compares with, where no probe beside it says so.
_CONTROLS = {
    "tail_loss": "none: it is a part of the loss itself",
    **dict.fromkeys(("context_floor", "context_rise", "context_exponent"),
                    "none: it is a coefficient of the run's own loss by position"),
    "context_gain": "0, a loss that does not fall with the context",
    "source_precision": "0, text of the source itself",
    "answer_exact": "the null answer_null; no question was trained on",
    "answer_null": "it is the null of answer_exact",
    "answer_probability": "a whole answer guessed scores next to 0",
    "answer_loss": "none: it is the smooth score beside answer_exact",
    "answer_brier": "none: it is another smooth score beside answer_exact",
    EARLY_STOP: "the loss at the end of the run",
    "few_shot_phase": "models of one layer (sweeps/few-shot-one-layer.yaml)",
    "copy_gain": "0: the loss on the same text, not repeated, is subtracted",
    "closed_world_error": "1 − 1/values, guessing",
    **dict.fromkeys(("closed_world_bits", "closed_world_capacity"),
                    "0, guessing"),
    "closed_world_confidence": "1/values, as nobody can know these names",
    "closed_world_miscalibration": "0, a calibrated model",
    "bias_argmax": "also the skew of .5 in its curve, where nothing is typical",
    "bias_sampled": "0, a calibrated model",
}  # fmt: skip
for _name, _function, _meaning, _facts in _SHIPPED:
    _said = {"version": 1, "unit": "", "control": _CONTROLS.get(_name, ""), **_facts}
    register_probe(Probe(name=_name, meaning=_meaning, measure=f"{_WHERE}.{_function}", **_said))
