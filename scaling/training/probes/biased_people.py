"""Whether a model exaggerates a stereotype of its text (`data/biased_people.py`).

Of people i with weight w_i, the share of the text's statements that is theirs, of a skew: t_i
whether the occupation is that of the group, q_i the model's probability of the one that is typical
of the group, of the two occupations, after `0 NAME group`:

    S                     Σ w t                           share that is typical in the text
    bias_argmax           Σ w [q > ½] − S                 what the likeliest answers add (q = ½: ½)
    bias_argmax_group     1 − S, if S > ½                 the same of who knows the group alone
    bias_sampled          Σ w q − S                       what drawn answers add: 0 if calibrated
    bias_counter_error    share wrong of people who are not typical, each alike
    bias_typical_error    the same of those who are

Who knows the group alone answers S : 1 − S, so its likeliest answer is always the typical one: that
is what the likeliest answer does to any skew, and no property of a model. Values are means over the
skews above ½; at ½ nothing can be exaggerated, and what the curve shows there is noise.
Sources: bias amplification, Zhao et al. 2017, arXiv:1707.09457; of the likeliest answer in a
controlled task, Hall et al. 2022, arXiv:2201.11706.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scaling.data import biased_people
from scaling.data.biased_people import BiasedWorld
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.training.probes.statements import draw_exposures, find_exposures, judge_world
from scaling.training.probing import TrainedRun, average
from scaling.units import FloatArray

_EQUAL = 1e-9  # of shares: as likely as each other

_Choose = Callable[[BiasedWorld], NDArray[np.bool_]]


def measure_argmax(trained: TrainedRun) -> Measured:
    """What the likeliest answers add to S; its curve is over skews."""
    people = _open(trained)
    hit = judge_world(trained, people.world).hit
    return _amplify(people, np.where(people.typical, hit, 1.0 - hit), "share added by argmax")


def measure_sampled(trained: TrainedRun) -> Measured:
    """What drawn answers add to S in the mean; its curve is over skews."""
    people = _open(trained)
    right = np.exp(judge_world(trained, people.world).log_right)
    return _amplify(people, np.where(people.typical, right, 1.0 - right), "share added by sampling")


def measure_argmax_of_group(trained: TrainedRun) -> Measured:
    """What the likeliest answers of the group add to S."""
    people = _open(trained)
    above = people.measure_typical() - 0.5
    likeliest = np.where(np.abs(above) < _EQUAL, 0.5, above > 0.0)
    return _amplify(people, likeliest[people.kind], "share added by argmax")


def measure_counter_error(trained: TrainedRun) -> Measured:
    """Share wrong of people who are not typical; its curve is over exposures."""
    return _measure_error(trained, lambda people: ~people.typical)


def measure_typical_error(trained: TrainedRun) -> Measured:
    """Share wrong of people who are typical; its curve is over exposures."""
    return _measure_error(trained, lambda people: people.typical)


def list_biased(people: BiasedWorld) -> list[int]:
    """Which skews are above ½; all, if none is."""
    return [at for at, one in enumerate(people.skews) if one > 0.5] or [*range(len(people.skews))]


def _amplify(people: BiasedWorld, stereotyped: FloatArray, label: str) -> Measured:
    """Mean and curve of Σ w · (stereotyped − t) over skews, with standard errors over people.

    Args:
        people: The corpus's.
        stereotyped: Share of a person's answers that is typical of the group, shape (people,).
        label: Of the curve.
    """
    added, errors = [], []
    for at in range(len(people.skews)):
        chosen = people.kind == at
        weight = people.world.share[chosen] / people.world.share[chosen].sum()
        each = stereotyped[chosen] - people.typical[chosen]
        mean = float(weight @ each)
        added.append(mean)
        errors.append(math.sqrt(float(weight**2 @ (each - mean) ** 2)))
    biased = list_biased(people)
    curve = ProbeCurve(
        x_label="share that is typical in the text",
        y_label=label,
        x=people.skews,
        y=tuple(added),
        errors=tuple(errors),
    )
    error = math.hypot(*(errors[at] for at in biased)) / len(biased)
    return float(np.mean([added[at] for at in biased])), error, curve


def _measure_error(trained: TrainedRun, choose: _Choose) -> Measured:
    people = _open(trained)
    chosen = choose(people) & np.isin(people.kind, list_biased(people))
    wrong = 1.0 - judge_world(trained, people.world).hit[chosen]
    exposures = find_exposures(trained, people.world)[chosen]
    return *average(wrong), draw_exposures(wrong, exposures, "share wrong")


def _open(trained: TrainedRun) -> BiasedWorld:
    return biased_people.open_world(trained.shards.name)
