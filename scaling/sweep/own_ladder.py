"""The ladder and the cost of one sweep's models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.sweep.corpus_facts import CorpusFacts, decide_seq_len
from scaling.sweep.cost_model import CostModel, make_ladder_cost
from scaling.sweep.counting import CountConvention
from scaling.sweep.ladder import LARGEST_PARAMS, list_ladder
from scaling.sweep.shapes import ModelShape

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec


def list_sweep_ladder(spec: SweepSpec, facts: CorpusFacts) -> tuple[ModelShape, ...]:
    """Every rung of the sweep's ladder, far beyond any budget."""
    return list_ladder(
        facts.vocab_size,
        decide_seq_len(spec, facts),
        head_size=spec.model.head_size,
        max_params=LARGEST_PARAMS,
    )


def make_sweep_cost(
    spec: SweepSpec, facts: CorpusFacts, count: CountConvention, *, head_flops: bool = True
) -> CostModel:
    """FLOPs per token of the sweep's ladder as a function of N."""
    return make_ladder_cost(list_sweep_ladder(spec, facts), count, head_flops=head_flops)
