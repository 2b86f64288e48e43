"""A fit whose law is known, for questions that have closed answers under C = 6ND."""

import dataclasses

import numpy as np

from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Coverage, LawEstimate
from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.frontier import find_frontier
from scaling.sweep.cost_model import SIX_ND
from scaling.tables.run_table import make_table

# Epoch's refit of Hoffmann et al. (arXiv:2404.10102), within 1e18 … 1e22 FLOPs.
E, A, B, ALPHA, BETA = 1.8172, 477.8, 2143.4, 0.34731, 0.36717
LAW = np.array([E, A, B, ALPHA, BETA])
LARGEST = 1e22


def make_known_fit(*, noise=0.002, bootstrap=100, **options):
    """Seven budgets of seven sizes around the optimum."""
    flops = np.repeat(np.geomspace(1e19, LARGEST, 7), 7)
    centre, _ = find_frontier(CHINCHILLA, LAW, flops=flops, cost=SIX_ND)
    params = centre * np.tile(np.geomspace(0.25, 4, 7), 7)
    tokens = flops / (6 * params)
    rng = np.random.default_rng(0)
    loss = CHINCHILLA.loss(LAW, params, tokens) * np.exp(noise * rng.standard_normal(49))
    table = make_table(params, tokens, loss=loss, flops=flops, budget=flops, cost=SIX_ND)
    return fit_runs(table, bootstrap=bootstrap, **{"family": "chinchilla", **options})


def state_law(fit, family, params, *, covered=None):
    """The fit with another law in place of its own, without draws."""
    law = LawEstimate(family=family, params=params, intervals=None)
    return dataclasses.replace(fit, law=law, draws=(), covered=covered or fit.covered)


def make_exact_fit():
    """The known law itself."""
    fit = make_known_fit(noise=0.0, bootstrap=None)
    return state_law(fit, "chinchilla", dict(zip(CHINCHILLA.param_names, LAW, strict=True)))


def make_repeats_fit():
    """Muennighoff et al.'s published law of repeated data (arXiv:2305.16264)."""
    published = {
        "E": np.exp(0.6254804),
        "A": np.exp(6.255414),
        "B": np.exp(7.3049974),
        "alpha": 0.3526596,
        "beta": 0.3526596,
        "R_D": 15.387756,
        "R_N": 5.309743,
    }
    covered = Coverage(params=(7e6, 9e9), tokens=(1e8, 9e11), flops=(1e18, 1e22), loss=(2.0, 6.0))
    fit = make_known_fit(noise=0.0, bootstrap=None)
    return state_law(fit, "data_constrained", published, covered=covered)


def make_hoffmann_fit():
    """Hoffmann et al.'s law to three digits (arXiv:2203.15556), which Sardana et al. build on."""
    letters = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283}
    covered = Coverage(params=(1e8, 1e11), tokens=(1e9, 1e13), flops=(1e19, 1e24), loss=(1.8, 4.0))
    fit = make_known_fit(noise=0.0, bootstrap=None)
    return state_law(fit, "chinchilla", letters, covered=covered)


def find_loss(params, tokens):
    """L(N, D) of the known law."""
    return E + A / params**ALPHA + B / tokens**BETA


def find_tokens(params, loss):
    """D at which N parameters reach a loss under the known law."""
    return (B / (loss - E - A / params**ALPHA)) ** (1 / BETA)
