"""Amplification of a stereotype of known strength (`data/biased_people.py`).

For the people i of one skew, w_i is a person's share of the statements about them, t_i is 1 if the
occupation is typical of the group, and q_i is the model's probability of the typical one of the two
occupations, after `0 NAME group`:

    S                     Σ w t                share of typical statements in the text
    bias_argmax           Σ w [q > ½] − S      amplification by argmax answers (q = ½ counts ½)
    bias_argmax_group     1 − S, if S > ½      the same for a predictor that knows only the group
    bias_sampled          Σ w q − S            amplification by sampled answers: 0 if calibrated
    bias_counter_error    share of atypical people answered wrongly, unweighted
    bias_typical_error    share of typical people answered wrongly, unweighted

A predictor that knows only the group answers S : 1 − S, so its argmax is always the typical
occupation. That is a property of the argmax, not of the predictor. Values are means over the skews
above ½; at ½ there is no stereotype to amplify, and the curve shows noise.
Sources: bias amplification, Zhao et al. 2017, arXiv:1707.09457; by the argmax in a controlled task,
Hall et al. 2022, arXiv:2201.11706.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scaling.data import biased_people
from scaling.data.biased_people import BiasedWorld
from scaling.sweep.probes import Measured
from scaling.training.probes.statements import draw_exposures, find_exposures, judge_world
from scaling.training.probing import TrainedRun, average, draw_curve
from scaling.units import FloatArray

_EQUAL = 1e-9  # a share this close to ½ is a tie

_Choose = Callable[[BiasedWorld], NDArray[np.bool_]]


def measure_argmax(trained: TrainedRun) -> Measured:
    """Amplification by argmax answers; the curve is over skews."""
    people = _open(trained)
    hit = judge_world(trained, people.world).hit
    return _amplify(people, np.where(people.typical, hit, 1.0 - hit), "share added by argmax")


def measure_sampled(trained: TrainedRun) -> Measured:
    """Expected amplification by sampled answers; the curve is over skews."""
    people = _open(trained)
    right = np.exp(judge_world(trained, people.world).log_right)
    return _amplify(people, np.where(people.typical, right, 1.0 - right), "share added by sampling")


def measure_argmax_of_group(trained: TrainedRun) -> Measured:
    """Amplification by the argmax of a predictor that knows only the group; curve over skews."""
    people = _open(trained)
    above = people.measure_typical() - 0.5
    likeliest = np.where(np.abs(above) < _EQUAL, 0.5, above > 0.0)
    return _amplify(people, likeliest[people.kind], "share added by argmax")


def measure_counter_error(trained: TrainedRun) -> Measured:
    """Share of atypical people answered wrongly; the curve is over exposures."""
    return _measure_error(trained, lambda people: ~people.typical)


def measure_typical_error(trained: TrainedRun) -> Measured:
    """Share of typical people answered wrongly; the curve is over exposures."""
    return _measure_error(trained, lambda people: people.typical)


def list_biased(people: BiasedWorld) -> list[int]:
    """Indices of the skews above ½; all indices if there are none."""
    return [at for at, one in enumerate(people.skews) if one > 0.5] or [*range(len(people.skews))]


def _amplify(people: BiasedWorld, stereotyped: FloatArray, label: str) -> Measured:
    """Mean and curve of Σ w · (stereotyped − t) over skews, with standard errors over people.

    Args:
        people: The people of the corpus.
        stereotyped: Probability that the answer is the typical occupation, shape (people,).
        label: Label of the curve's y axis.
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
    axes = "share of typical statements in the text", label
    curve = draw_curve(axes, people.skews, added, errors)
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
