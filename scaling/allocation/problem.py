"""Problem: a law on a cost model, with the worth of repeated tokens and the tokens to serve.

    training   C = D · c(N),        c(N) = flops_per_token(N)
    service    S = D_inf · c(N) / 3
    repeats    D' = U + U·R·(1 − e^(−(D/U − 1)/R))        for D > U unique tokens, else D

A forward pass is a third of a training step, which under C = 6ND is the 2N of a served token in
Sardana et al. 2024, arXiv:2401.00448, sec. 2; prompts and answers cost the same. D' is the data
half of Muennighoff et al. 2023, arXiv:2305.16264, eq. 5, for laws that were not fitted to repeated
runs; `data_constrained` brings its own, with parameters in excess as well.

Every function takes one problem or many: coefficients have shape (b, p), params and tokens (b,) or
(b, k). Where b is 1, one law is asked any number of questions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from scaling.laws.data_constrained import DataConstrained
from scaling.laws.family import Law
from scaling.laws.searching import find_crossing, find_lowest
from scaling.sweep.cost_model import CostModel
from scaling.units import FloatArray

BoolArray: TypeAlias = NDArray[np.bool_]

SERVING_SHARE = 1.0 / 3.0  # FLOPs to serve a token / FLOPs to train on one: 2N / 6N

# R, the epochs over which repeats lose their worth. The published value, fitted together with the
# excess of parameters: 15.39; the best optimum known on the same table: 95.4; that table refitted
# with this half alone: 2.9 (decision 0075). Answers use the first; the draws use all three.
PUBLISHED_WORTH = 15.387756
OTHER_WORTHS = (95.4, 2.9)

# Half-width in ln N of the search around a first answer: serving and repeats move N* by decades.
_REACH = 32.0
_POINTS, _ZOOMS = (
    (129, 17),
    7,
)  # each 8-fold, from .5 to 2e-7 in ln N: the minimum is flat to rounding
_HALVINGS = 60
_EDGE_HALVINGS = 42  # an interval of at most 32 in ln N, halved to 7e-12
_LARGEST = 40.0 * math.log(10.0)  # the largest ln D that is tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Many laws of one form, shape (b, p), and the circumstances of a question.

    Attributes:
        law: The form.
        coefficients: Shape (b, p).
        cost: FLOPs per token as a function of N.
        served: D_inf [tokens], of all or of each, shape (b,); 0 without.
        unique: U [tokens], of all or of each, shape (b,); None: every token is fresh.
        worth: R of each law, shape (b,); only for laws that do not model repeats themselves.
    """

    law: Law
    coefficients: FloatArray
    cost: CostModel
    served: float | FloatArray = 0.0
    unique: float | FloatArray | None = None
    worth: FloatArray | None = None

    def ignore_service(self) -> Problem:
        """The same problem without inference."""
        return dataclasses.replace(self, served=0.0)

    def find_loss(self, params: FloatArray, tokens: FloatArray) -> FloatArray:
        """L(N, D) [nats/token]; inf where tokens are not positive."""
        there = tokens > 0.0
        seen = np.where(there, tokens, 1.0)
        if self.unique is not None and self._knows_repeats:
            loss = self.law.loss(self._widen(params), params, seen, _align(self.unique, params))
        else:
            loss = self.law.loss(self._widen(params), params, self.discount(seen))
        return np.where(there, loss, np.inf)

    def find_tokens(self, params: FloatArray, loss: FloatArray) -> FloatArray:
        """D at which models of N parameters reach a loss (broadcast to params' shape); inf if no D
        does."""
        wanted = np.broadcast_to(loss if loss.ndim == params.ndim else loss[:, None], params.shape)
        if self.unique is None or not self._knows_repeats:
            fresh = self.law.tokens_for_loss(self._widen(params), params, wanted)
            return self._undo_discount(fresh)
        high = np.full(params.shape, _LARGEST)
        reached = self.find_loss(params, np.exp(high)) <= wanted
        found = find_crossing(
            lambda log_d: self.find_loss(params, np.exp(log_d)) <= wanted,
            0.0 * high,
            high,
            halvings=_HALVINGS,
        )
        return np.where(reached, np.exp(found), np.inf)

    def discount(self, tokens: FloatArray) -> FloatArray:
        """D' as a function of D: the fresh tokens that D tokens are worth."""
        if self.unique is None:
            return tokens
        assert self.worth is not None  # set together with `unique`
        worth, unique = _align(self.worth, tokens), _align(self.unique, tokens)
        repeats = np.maximum(tokens / unique - 1.0, 0.0)
        more = unique * worth * -np.expm1(-repeats / worth)
        return np.minimum(tokens, unique) + more

    def find_training(self, params: FloatArray, tokens: FloatArray) -> FloatArray:
        """C [FLOPs]."""
        return np.asarray(tokens * self.cost.flops_per_token(params), dtype=np.float64)

    def find_cost(self, params: FloatArray, tokens: FloatArray) -> FloatArray:
        """C + S [FLOPs]."""
        return self.find_training(params, tokens + SERVING_SHARE * _align(self.served, params))

    def is_reached(self, params: FloatArray, loss: FloatArray, total: FloatArray) -> BoolArray:
        """True where C + S = `total` [FLOPs] reaches a loss with N parameters; needs no search."""
        tokens = total / self.cost.flops_per_token(params)
        tokens = tokens - SERVING_SHARE * _align(self.served, params)
        return np.less_equal(self.find_loss(params, tokens), loss)

    def find_cost_of_loss(self, params: FloatArray, loss: FloatArray) -> FloatArray:
        """C + S of reaching a loss with N parameters; inf if no D reaches it."""
        return self.find_cost(params, self.find_tokens(params, loss))

    @property
    def _knows_repeats(self) -> bool:
        return isinstance(self.law, DataConstrained)

    def _widen(self, params: FloatArray) -> FloatArray:
        return self.coefficients[:, None, :] if params.ndim == 2 else self.coefficients

    def _undo_discount(self, fresh: FloatArray) -> FloatArray:
        """D as a function of D'; inf if no number of epochs is worth that much."""
        if self.unique is None:
            return fresh
        assert self.worth is not None
        worth, unique = _align(self.worth, fresh), _align(self.unique, fresh)
        share = np.maximum(fresh / unique - 1.0, 0.0) / worth
        with np.errstate(divide="ignore", invalid="ignore"):
            repeats = np.where(share < 1.0, -worth * np.log1p(-share), np.inf)
        return np.where(fresh <= unique, fresh, unique * (1.0 + repeats))


def _align(of_each: float | FloatArray, values: FloatArray) -> FloatArray:
    """Shape one number per problem to broadcast against values of shape (b,) or (b, k)."""
    found = np.asarray(of_each, dtype=np.float64)
    return found[:, None] if found.ndim == 1 and values.ndim == 2 else found


def find_best_params(problem: Problem, total: FloatArray) -> FloatArray:
    """N of the lowest loss that `total` [FLOPs], training and service together, can buy."""

    def loss_at(log_params: FloatArray) -> FloatArray:
        params = np.exp(log_params)
        left = total[:, None] / problem.cost.flops_per_token(params)
        return problem.find_loss(params, left - SERVING_SHARE * _align(problem.served, params))

    return _minimise(loss_at, _guess(problem, total))


def find_cheapest_params(problem: Problem, loss: FloatArray, near: FloatArray) -> FloatArray:
    """N that reaches a loss [nats/token] with the least training and service, shape (b,); inf if
    none does. The search begins at the optimum of `near`, a budget within the data [FLOPs]."""

    def cost_at(log_params: FloatArray) -> FloatArray:
        return problem.find_cost_of_loss(np.exp(log_params), loss)

    params = _minimise(cost_at, _guess(problem, near))
    return np.where(np.isfinite(problem.find_cost_of_loss(params, loss)), params, np.inf)


def find_params_within(problem: Problem, flops: FloatArray) -> FloatArray:
    """N of the model that is cheapest over its life and takes C = `flops` to train. Each loss has
    one model that is cheapest to train and serve; this is the one whose training takes exactly
    `flops`. Without service it is the compute-optimal model."""
    if not np.any(problem.served):
        return find_best_params(problem, flops)
    shared = SERVING_SHARE * np.asarray(problem.served)

    def train_too_much(log_total: FloatArray) -> BoolArray:
        total = np.exp(log_total)
        params = find_best_params(problem, total)
        return np.greater_equal(total - shared * problem.cost.flops_per_token(params), flops)

    largest = find_best_params(problem.ignore_service(), flops)
    ceiling = flops + shared * problem.cost.flops_per_token(largest)
    # 30 halvings of an interval of about 20 in the logarithm leave 2e-8 of the total.
    log_total = find_crossing(train_too_much, np.log(flops), np.log(ceiling) + 1e-6, halvings=30)
    return find_best_params(problem, np.exp(log_total))


def find_params_for_loss(
    problem: Problem, loss: FloatArray, tokens_of: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """The smallest N that reaches a loss with D = tokens_of(N), shape (b,); inf if none does."""

    def reached(log_params: FloatArray) -> BoolArray:
        params = np.exp(log_params)
        return np.less_equal(problem.find_loss(params, tokens_of(params)), loss)

    high = np.full(loss.shape, _LARGEST)
    params = np.exp(find_crossing(reached, 0.0 * high, high, halvings=_HALVINGS))
    return np.where(reached(high), params, np.inf)


def find_params_for_training(
    problem: Problem, flops: float, tokens_of: Callable[[FloatArray], FloatArray]
) -> float:
    """N at which training on D = tokens_of(N) takes `flops`."""

    def too_much(log_params: FloatArray) -> BoolArray:
        params = np.exp(log_params)
        return np.greater_equal(problem.find_training(params, tokens_of(params)), flops)

    ends = np.array([-_LARGEST]), np.array([_LARGEST])
    return float(np.exp(find_crossing(too_much, *ends, halvings=_HALVINGS)[0]))


def find_edge(
    problem: Problem, loss: FloatArray, total: FloatArray, inside: FloatArray, outside: FloatArray
) -> FloatArray:
    """N between `inside` and `outside` beyond which `total` [FLOPs], training and service together,
    no longer reach a loss; each of shape (b,)."""

    def is_beyond(log_params: FloatArray) -> BoolArray:
        return ~problem.is_reached(np.exp(log_params), loss[:, None], total[:, None])

    ends = np.log(inside), np.log(outside)
    log_edge = find_crossing(is_beyond, *ends, halvings=_EDGE_HALVINGS, at_once=True)
    return np.asarray(np.exp(log_edge), dtype=np.float64)


def _guess(problem: Problem, total: FloatArray) -> FloatArray:
    """ln N* of fresh tokens and no service, with one κ for every N."""
    kappa = problem.cost.flops_per_token(np.ones(1))
    first = problem.law.optimal_params(problem.coefficients, total, kappa)
    return np.log(np.broadcast_to(first, (len(problem.coefficients),)))


def _minimise(value: Callable[[FloatArray], FloatArray], centre: FloatArray) -> FloatArray:
    """N at the lowest value around exp(centre)."""
    found = find_lowest(value, centre, reach=_REACH, points=_POINTS, zooms=_ZOOMS)
    return np.asarray(np.exp(found), dtype=np.float64)
