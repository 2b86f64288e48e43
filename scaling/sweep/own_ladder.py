"""The ladder and the cost of one sweep's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.sweep.corpus_facts import CorpusFacts, decide_seq_len
from scaling.sweep.cost_model import CostModel, make_ladder_cost, make_models_cost
from scaling.sweep.counting import CountConvention, count_matmul_params
from scaling.sweep.ladder import LARGEST_PARAMS, iterate_ladder, list_ladder
from scaling.sweep.shapes import ModelShape

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec

_RUNG_ABOVE = 3.0  # neighbouring rungs are at most ×3 apart; the first two are the farthest


def list_sweep_ladder(spec: SweepSpec, facts: CorpusFacts) -> tuple[ModelShape, ...]:
    """Every rung of the sweep's ladder, far beyond any budget."""
    return list_ladder(
        facts.vocab_size,
        decide_seq_len(spec, facts),
        family=spec.family,
        max_params=LARGEST_PARAMS,
        **spec.ladder_settings,
    )


def make_sweep_cost(
    spec: SweepSpec, facts: CorpusFacts, count: CountConvention, *, head_flops: bool = True
) -> CostModel:
    """FLOPs per token of the sweep's ladder as a function of N."""
    if spec.trainer is not None and spec.trainer.models:
        return make_models_cost(list_sweep_ladder(spec, facts))
    return make_ladder_cost(list_sweep_ladder(spec, facts), count, head_flops=head_flops)


def list_rungs(spec: SweepSpec, facts: CorpusFacts) -> tuple[ModelShape, ...]:
    """The ladder up to the rung above the largest wish, one rung at least; a list of models is
    taken whole."""
    if spec.trainer is not None and spec.trainer.models:
        return list_sweep_ladder(spec, facts)
    family, settings = spec.family, spec.ladder_settings
    vocab_size, seq_len = facts.vocab_size, decide_seq_len(spec, facts)
    first = next(iterate_ladder(vocab_size, seq_len, family=family, **settings))
    wished = max([spec.grid.find_largest(), *(cell.params for cell in spec.extra_cells)])
    largest = max(_RUNG_ABOVE * wished, count_matmul_params(first))
    return list_ladder(vocab_size, seq_len, family=family, max_params=largest, **settings)
