"""The answer of each member of the ensemble to a budget, and how far apart they are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling.allocation.asked_fit import get_coverage, get_law
from scaling.fitting.fitted import Fit, finite_or_none
from scaling.laws.ensemble import ENSEMBLE
from scaling.laws.frontier import find_frontier
from scaling.units import FloatArray, IntArray
from scaling.units.losses import NATS, LossScale


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAnswer:
    """One member's optimum: its weight, N*, D* and L* [nats/token]."""

    name: str
    weight: float
    params: float
    tokens: float
    loss: float

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"loss": scale.to(self.loss)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAnswers:
    """Every member's answer to a budget.

    Attributes:
        members: Answers of the members with a weight.
        equal: The answer under equal weights; its `weight` is that of each member.
        within, between: Variance of (ln N*, ln L*) over the draws of a member, on average, and of
            the members' means; None without draws.
        reach: C of the held-out runs behind the weights over the largest fitted C, by window.
        asked: C of the question over the largest C of the data.
    """

    members: tuple[MemberAnswer, ...]
    equal: MemberAnswer
    within: tuple[float, float] | None
    between: tuple[float, float] | None
    reach: tuple[float, ...]
    asked: float

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """`members` of an answer in the JSON of `scaling allocate --verbose`."""
        return {
            "members": [one.to_contract(scale) for one in self.members],
            "equal_weights": self.equal.to_contract(scale),
            "variance": {
                name: None
                if found is None
                else dict(zip(("log_params", "log_loss"), map(finite_or_none, found), strict=True))
                for name, found in (("within", self.within), ("between", self.between))
            },
            "weights_from": list(self.reach),
            "asked": self.asked,
        }


def ask_members(fit: Fit, flops: float) -> MemberAnswers | None:
    """Each member's own answer to a budget [FLOPs]; None where one law answers."""
    view = fit.answering
    if not view.members:
        return None
    _, letters = get_law(view)
    count = len(ENSEMBLE.members)
    weights = letters[-count:]
    present = np.flatnonzero(weights > 0.0)
    alone = ENSEMBLE.isolate(letters, present)
    shared = letters.copy()
    shared[-count:] = (weights > 0.0) / present.size
    names = [ENSEMBLE.members[at].name for at in present]
    weighed = weights[present].tolist()
    found = _find_optima(view, np.concatenate((alone, shared[None])), flops)
    answers = [
        MemberAnswer(name=name, weight=weight, params=row[0], tokens=row[1], loss=row[2])
        for name, weight, row in zip(
            [*names, "equal weights"], [*weighed, 1.0 / present.size], found.tolist(), strict=True
        )
    ]
    within = between = None
    if view.draws:
        draws = np.array(view.draws)
        within, between = _split_variance(
            np.log(_find_optima(view, draws, flops)[:, [0, 2]]), ENSEMBLE.find_members(draws)
        )
    return MemberAnswers(
        members=tuple(answers[:-1]),
        equal=answers[-1],
        within=within,
        between=between,
        reach=view.members[0].reach,
        asked=flops / get_coverage(view).flops[1],
    )


def _find_optima(fit: Fit, letters: FloatArray, flops: float) -> FloatArray:
    """(N*, D*, L*) of each row of parameters, shape (k, 3)."""
    params, tokens = find_frontier(ENSEMBLE, letters, flops=np.array([flops]), cost=fit.cost)
    return np.stack((params, tokens, ENSEMBLE.loss(letters, params, tokens)), axis=1)


def _split_variance(
    values: FloatArray, member: IntArray
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Split the variance of both columns into the mean variance within members and the variance
    of their means, by the law of total variance."""
    shares, means, inner = [], [], []
    for at in np.unique(member):
        rows = values[member == at]
        shares.append(len(rows) / len(values))
        means.append(rows.mean(axis=0))
        inner.append(rows.var(axis=0))
    share, mean = np.array(shares), np.array(means)
    within = share @ np.array(inner)
    between = share @ (mean - share @ mean) ** 2
    return (float(within[0]), float(within[1])), (float(between[0]), float(between[1]))
