"""allocate(fit, flops): how many parameters and tokens to train for a budget, and how sure that is;
predict(fit, params, tokens): the loss of one model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from scaling.allocation.answer import COMPUTE_PENALTY, Allocation, PlainAnswer, Prediction
from scaling.allocation.asked_fit import (
    get_coverage,
    get_frontier,
    get_law,
    list_failed,
    verify_status,
)
from scaling.allocation.composite import answer_question, describe_budget
from scaling.allocation.distance import add_ratio, check_distance, count_decades
from scaling.allocation.measured import find_at_budget, find_at_size
from scaling.allocation.optimum import answer_by_law, answer_by_line, cut_ladder, find_shape
from scaling.allocation.question import Question
from scaling.allocation.uncertainty import (
    draw_gaussians,
    draw_loss_error,
    find_text_interval,
)
from scaling.errors import NoFitError, QueryError
from scaling.fitting.fitted import Approach, Fit
from scaling.fitting.intervals import find_interval
from scaling.laws.chinchilla import CHINCHILLA
from scaling.sweep.shapes import ModelShape

_SAME = 1e-6  # relative: an end of the interval this close to N* is N* itself, up to rounding


def allocate(
    fit: Fit,
    question: float | Question,
    *,
    ladder: Iterable[ModelShape] | None = None,
    approach: Approach | None = None,
    unique_tokens: float | None = None,
    far: bool = False,
    anyway: bool = False,
) -> Allocation:
    """The model size and token count that answer a question; the compute-optimal ones of a budget.

    Args:
        fit: A fit with a frontier of the approach.
        question: A budget C [FLOPs], or any combination of conditions.
        ladder: Shapes that can be built, ascending; needs a fit that knows how N is counted. A
            budget reads no more of them than it needs.
        approach: Which approach answers; None: the one the fit was asked for.
        unique_tokens: Shorthand for the question's `unique_tokens`.
        far: Answer beyond three decades from the data.
        anyway: Answer from a fit that has not converged, and with data repeated more often than
            its law can judge.

    Returns:
        The answer of the fit's ensemble, or of its law if that was asked for. Its checks include
        the fit's failed ones, and Chinchilla's answer stands beside it. Under `isoflop` and
        `envelope` the loss is interpolated between the minima (handovers) in log C and is None
        beyond them; the basin is not known.

    Raises:
        QueryError: A number is not positive and finite, conditions contradict each other or leave
            something open, or the answer lies too far from the data.
        NoFitError: The fit has no such frontier, or did not converge.

    Source: Hoffmann et al. 2022, arXiv:2203.15556, eq. 4 (there with C = 6ND).
    """
    if not isinstance(question, Question):
        question = Question(flops=float(question))
    if unique_tokens is not None:
        question = dataclasses.replace(question, unique_tokens=unique_tokens)
    asked = approach if approach is not None else fit.asked
    is_budget = question.is_plain and bool(question.list_caps())
    if is_budget:
        answer = _answer_budget(fit.answering, question, asked, ladder, far=far, anyway=anyway)
    elif asked == "parametric":
        rungs = None if ladder is None else tuple(ladder)
        answer = answer_question(fit.answering, question, ladder=rungs, far=far, anyway=anyway)
    else:
        raise NoFitError(
            f"{fit.source}: approach {asked} knows budgets alone; a question with other conditions "
            "needs a law. Ask for approach parametric or all."
        )
    answer = dataclasses.replace(
        answer,
        checks=(*answer.checks, *list_failed(fit)),
        measured=find_at_budget(fit, answer.flops) if is_budget else None,
        notes=(*answer.notes, *_explain_one_side(fit, answer)),
        metric=fit.metric,
    )
    if asked != "parametric":
        return answer
    law = fit.answering.law
    return dataclasses.replace(
        answer,
        family=None if law is None else law.family,
        chinchilla=_answer_plainly(fit, question, answer, far=far),
    )


def _explain_one_side(fit: Fit, answer: Allocation) -> tuple[str, ...]:
    """Explain an N* at an end of its interval: without noise only the allowance for recipe error
    is left, and that is one-sided (fitting/bracket.py)."""
    interval = answer.params_interval
    untried = any(one.code == "lr_at_edge" and one.passed is None for one in fit.checks)
    if interval is None or not untried or interval.high <= interval.low * (1.0 + _SAME):
        return ()
    ends = (interval.low, interval.high)  # possibly 0 or ∞
    if min(abs(answer.params - end) for end in ends) > _SAME * answer.params:
        return ()
    return (
        "recipes that no run tried may be better at both ends of D; the runs show no noise, so "
        "that this is the whole interval, and it moves N* to one side only",
    )


def _answer_plainly(
    fit: Fit, question: Question, answer: Allocation, *, far: bool
) -> PlainAnswer | None:
    """Chinchilla's answer to the question; None if the fit has no such law, or the law cannot
    answer because, for example, the target lies below its floor."""
    if fit.law is None or fit.law.family != CHINCHILLA.name:
        return None
    if fit.answer is not None:
        plain = fit.plain
        try:
            if question.is_plain and question.list_caps():
                flops = question.list_caps()[0].flops
                get_frontier(plain, "parametric", anyway=True)
                answer = answer_by_law(plain, get_law(plain), flops, 0.0, with_basin=False)
            else:
                answer = answer_question(plain, question, ladder=None, far=far, anyway=True)
        except (NoFitError, QueryError):
            return None
    return PlainAnswer(params=answer.params, tokens=answer.tokens, loss=answer.loss)


def _answer_budget(
    fit: Fit,
    question: Question,
    approach: Approach,
    ladder: Iterable[ModelShape] | None,
    *,
    far: bool,
    anyway: bool,
) -> Allocation:
    """Answer the tightest cap on training compute, with no other condition, by any approach."""
    cap = question.list_caps()[0]
    flops = cap.flops
    frontier = get_frontier(fit, approach, anyway)
    # A line extrapolates from the budgets that had a minimum, not from all runs.
    known = get_coverage(fit).flops if approach == "parametric" else frontier.range
    asked = {"C": (flops, known)}
    check_distance(asked, far)  # refuses before anything is computed
    decades = count_decades(flops, known)
    law = get_law(fit) if approach == "parametric" else None
    if law is not None:
        answer = answer_by_law(fit, law, flops, decades)
    else:
        answer = answer_by_line(fit, frontier, flops, decades)
    shape, rungs = None, cut_ladder(ladder, answer.params, fit.convention)
    if rungs:
        shape = find_shape(fit, law, flops, answer, rungs)
    ratio = None if fit.covered is None else fit.covered.ratio
    distance = check_distance(add_ratio(asked, answer.params, answer.tokens, ratio), far)
    answer = dataclasses.replace(
        answer,
        shape=shape,
        approach=approach,
        checks=(distance,),
        question=question,
        binding=(cap.name,),
        notes=tuple(one.words for one in question.list_caps() if one.name != "flops"),
    )
    if law is None:
        return answer
    if shape is not None and fit.cost.max_deviation > COMPUTE_PENALTY:
        answer = dataclasses.replace(answer, notes=(*answer.notes, _say_smoothed(fit)))
    return describe_budget(fit, law, answer, rungs)


def _say_smoothed(fit: Fit) -> str:
    return (
        "a token's cost is smooth in N; a shape's own differs by up to "
        f"{fit.cost.max_deviation:.0%}, so the shape to build may lie outside the flat range of N"
    )


def predict(
    fit: Fit,
    *,
    params: float,
    tokens: float,
    unique_tokens: float | None = None,
    far: bool = False,
    anyway: bool = False,
) -> Prediction:
    """The loss of a model of N parameters trained on D tokens.

    Args:
        fit: A fit with a law.
        params: N, in the fit's convention.
        tokens: D.
        unique_tokens: Distinct tokens among D; None: all of them.
        far: Answer beyond three decades from the data.
        anyway: Answer from a fit that is not converged.

    Returns:
        The loss by the fit's ensemble, or by its law if that was asked for, with the interval of
        the law's value and that of one new run.

    Raises:
        QueryError: Params or tokens are not positive and finite, or too far from the data.
        NoFitError: The fit has no law, or did not converge.
    """
    for name, value in (("params", params), ("tokens", tokens)):
        if not (math.isfinite(value) and value > 0):
            raise QueryError(f"{name} is {value}; ask for a positive, finite number.")
    verify_status(fit, anyway)
    whole, fit = fit, fit.answering
    family, coefficients = get_law(fit, unique_tokens)
    covered = get_coverage(fit)
    flops = tokens * float(fit.cost.flops_per_token(np.array([params]))[0])
    asked = {
        "C": (flops, covered.flops),
        "N": (params, covered.params),
        "D": (tokens, covered.tokens),
    }
    distance = check_distance(add_ratio(asked, params, tokens, covered.ratio), far)
    decades = max(count_decades(*one) for one in asked.values())
    n_value, d_value = np.array(params), np.array(tokens)
    mean_interval = new_run_interval = text_interval = None
    if fit.draws:
        draws = np.array(fit.draws)
        error = draw_loss_error(fit, draws, decades, params=params, tokens=tokens)
        mean = family.loss(draws, n_value, d_value) * error
        expected = float(family.loss(coefficients, n_value, d_value))
        mean_interval = find_interval(mean, fit.level, answer=expected)
        noise = max(fit.residual_sigma or 0.0, fit.replicate_sigma or 0.0)
        new_run = mean * np.exp(noise * draw_gaussians(len(draws), stream=1))
        new_run_interval = find_interval(new_run, fit.level, answer=expected)
        text_interval = find_text_interval(fit, new_run, expected)
    plain = None
    if whole.law is not None and whole.law.family == CHINCHILLA.name:
        law, letters = get_law(whole.plain)
        plain = PlainAnswer(
            params=params, tokens=tokens, loss=float(law.loss(letters, n_value, d_value))
        )
    return Prediction(
        params=params,
        tokens=tokens,
        loss=float(family.loss(coefficients, n_value, d_value)),
        level=fit.level,
        mean_interval=mean_interval,
        new_run_interval=new_run_interval,
        text_interval=text_interval,
        checks=(distance, *list_failed(fit)),
        family="" if fit.law is None else fit.law.family,
        chinchilla=plain,
        measured=None
        if unique_tokens is not None
        else find_at_size(whole, params=params, tokens=tokens),
        metric=fit.metric,
    )
