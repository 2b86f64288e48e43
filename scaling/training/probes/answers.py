"""How well a model answers the questions of its corpus, by sharp and by smooth scores.

For questions i with answers of n tokens, the model's probabilities p_ij after the right tokens
before j, and the right token y_ij:

    answer_loss            −mean ln p_ij(y_ij)                              nats per token
    answer_brier           mean Σ_v (p_ij(v) − [v = y_ij])²                 0 … 2
    answer_accuracy        mean [argmax p_ij = y_ij]
    answer_null            answer_accuracyⁿ
    answer_exact           mean [argmax p_ij = y_ij for every j]
    answer_probability     mean Π_j p_ij(y_ij)
    answer_accuracy_free   as answer_accuracy, after the likeliest tokens in place of the right ones

Greedy text is right as a whole if and only if each of its tokens is the likeliest after the right
ones, so exact answers need no text to be generated. Standard errors are over questions.
Sources: exact against per-token scores, Schaeffer et al. 2023, arXiv:2304.15004; Brier 1950, Mon.
Weather Rev. 78, 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.data.questions import Questions, ask_questions
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.training.probes.samples import write_on
from scaling.training.probing import TrainedRun, average, draw_curve, read_logits
from scaling.units import FloatArray

_AT_ONCE = 64  # questions


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A model's probabilities at the answers, each after the right tokens before it.

    Attributes:
        log_right: ln p of the right token, shape (questions, n).
        right: Whether it is the likeliest, of the same shape.
        brier: Brier's score, of the same shape.
    """

    log_right: FloatArray
    right: FloatArray
    brier: FloatArray


def measure_loss(trained: TrainedRun) -> Measured:
    """Loss per token of the answers [nats], with its curve over positions in the answer."""
    loss = -_answer(trained).log_right
    return *average(loss.mean(axis=1)), _draw_places(loss, "loss [nats/token]")


def measure_brier(trained: TrainedRun) -> Measured:
    """Brier's score of a token."""
    return average(_answer(trained).brier.mean(axis=1))


def measure_accuracy(trained: TrainedRun) -> Measured:
    """Share of tokens that are right, with its curve over positions in the answer."""
    right = _answer(trained).right
    return *average(right.mean(axis=1)), _draw_places(right, "share right")


def measure_null(trained: TrainedRun) -> Measured:
    """The accuracy to the power of the number of an answer's tokens; its error to first order."""
    right = _answer(trained).right
    (share, error), length = average(right.mean(axis=1)), right.shape[1]
    return share**length, error * length * share ** (length - 1)


def measure_exact(trained: TrainedRun) -> Measured:
    """Share of answers that are right as a whole."""
    return average(_answer(trained).right.min(axis=1))


def measure_probability(trained: TrainedRun) -> Measured:
    """Mean probability of a whole right answer."""
    return average(np.exp(_answer(trained).log_right.sum(axis=1)))


def measure_accuracy_free(trained: TrainedRun) -> Measured:
    """Share of tokens that are right in greedy text."""
    questions = _ask(trained)
    length = questions.answers.shape[1]
    texts = [
        write_on(trained, questions.prompts[first : first + _AT_ONCE], length, temperature=0)
        for first in range(0, len(questions.prompts), _AT_ONCE)
    ]
    right = np.concatenate(texts)[:, -length:] == questions.answers
    return average(right.mean(axis=1))


def _ask(trained: TrainedRun) -> Questions:
    count = int(trained.options["questions"])

    def ask() -> Questions:
        rng = np.random.Generator(np.random.Philox(key=[trained.run.seed, 6]))
        return ask_questions(trained.shards.name, rng, count)

    return trained.share(f"questions {count}", ask)


def _answer(trained: TrainedRun) -> Answered:
    questions = _ask(trained)
    return trained.share(f"answers {len(questions.prompts)}", lambda: _read(trained, questions))


def _read(trained: TrainedRun, questions: Questions) -> Answered:
    whole = np.concatenate((questions.prompts, questions.answers), axis=1)
    begin, parts = questions.prompts.shape[1] - 1, []
    for tokens, logits in read_logits(trained, whole, at_once=_AT_ONCE):
        log_p = logits[:, begin:].double().log_softmax(dim=-1)
        target = tokens[:, begin + 1 :, None]
        log_right = log_p.gather(-1, target)[..., 0]
        p = log_p.exp()
        brier = (p.square().sum(dim=-1) - 2.0 * log_right.exp() + 1.0).clamp(min=0.0)
        likeliest = (log_p.argmax(dim=-1) == target[..., 0]).double()
        parts.append([one.cpu().numpy() for one in (log_right, likeliest, brier)])
    log_of_right, right, scores = (np.concatenate(one) for one in zip(*parts, strict=True))
    return Answered(log_right=log_of_right, right=right, brier=scores)


def _draw_places(scores: FloatArray, label: str) -> ProbeCurve:
    """Curve of means over questions at each position in the answer, counted from 1."""
    errors = scores.std(axis=0, ddof=1) / math.sqrt(len(scores))
    places = range(1, scores.shape[1] + 1)
    return draw_curve(("place in the answer", label), places, scores.mean(axis=0), errors)
