"""A small sweep whose losses follow a known law."""

from functools import cache

import numpy as np
from known_run import FACTS

from scaling.design.expectation import tabulate_expected
from scaling.design.prior import scale_published_law
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Fit
from scaling.sweep.cost_model import make_ladder_cost
from scaling.sweep.ladder import list_ladder
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.sweep.spec import SweepSpec

SWEEP = """\
name: known
corpus: {source: python-stdlib}
grid: {budgets: [2e10, 4e10, 8e10, 1.6e11], sizes: 5, span: 6}
replicates: 4
forecast: [1.6e12]
"""
COST = make_ladder_cost(list_ladder(256, 128, max_params=1e10), "matmul")
PRIOR = scale_published_law(
    params=20_000, flops=1e11, cost=COST, unigram_entropy=FACTS.unigram_entropy, sigma=0.006
)


def make_spec(sweep: str = SWEEP) -> SweepSpec:
    return parse_sweep(sweep.encode(), source="sweep.yaml")


@cache
def fit_known() -> Fit:
    """The fit of one draw of the sweep's losses."""
    cells = plan_sweep(make_spec(), FACTS).cells
    table = tabulate_expected(cells, PRIOR, facts=FACTS, cost=COST)
    noise = np.exp(PRIOR.sigma * np.random.default_rng(0).standard_normal(len(table)))
    return fit_runs(table.replace(loss=table.loss * noise), bootstrap=None)
