"""TABLE_COLUMNS: what a table of runs may state, once, for the reader, the help and the README.

Nothing heavy is imported: the command line's help is built from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["positive", "not_negative", "whole", "text"]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of the contract.

    Attributes:
        name: As `--columns` maps it.
        kind: Which cells it may hold; a number of any kind is finite.
        unit: Of a number; empty for one without a unit and for text.
        meaning: In words.
    """

    name: str
    kind: ColumnKind
    unit: str
    meaning: str


REQUIRED = (
    TableColumn("N", "positive", "parameters", "model size, counted in one way throughout"),
    TableColumn("D", "positive", "tokens", "tokens seen in training"),
    TableColumn("loss", "positive", "nats/token", "held-out cross-entropy; `--loss-unit`"),
)
OPTIONAL = (
    TableColumn("C", "positive", "FLOP", "training compute; 6·N·D where it is not stated"),
    TableColumn("budget", "positive", "FLOP", "declared budget: which runs make an IsoFLOP curve"),
    TableColumn("U", "positive", "tokens", "unique tokens seen"),
    TableColumn("seed", "whole", "", "rows of one (N, D) with different seeds measure the noise"),
    TableColumn("lr", "positive", "", "peak learning rate"),
    TableColumn("group", "text", "", "rows of one group share noise (a trunk, a batch of runs)"),
    TableColumn("loss_se", "positive", "as loss", "standard error of the evaluation"),
    TableColumn("batch_tokens", "positive", "tokens", "tokens per optimiser step"),
    TableColumn("steps", "positive", "", "optimiser steps up to this row"),
    TableColumn("warmup_steps", "not_negative", "", "steps of learning-rate warmup"),
    TableColumn("decay_steps", "not_negative", "", "last steps, over which the rate decays"),
    TableColumn("clipped", "not_negative", "", "share of steps whose gradient was clipped"),
    TableColumn("clipped_after_warmup", "not_negative", "", "the same of the steps after warmup"),
    TableColumn("corpus", "text", "", "name of the tokenised text, and so of the held-out set"),
    TableColumn("numerics", "text", "", "what the row was computed with: version, device, dtype"),
    TableColumn("run", "text", "", "training run of which the row is a point"),
    TableColumn(
        "role", "text", "", "`bracket` and `validation`: in no fit; `grid` and `replicate` are"
    ),
    TableColumn("schedule", "text", "", "`constant` or `cooldown`: how points of a run compare"),
)
TABLE_COLUMNS = REQUIRED + OPTIONAL

NUMBERS = tuple(one.name for one in TABLE_COLUMNS if one.kind != "text")
TEXTS = tuple(one.name for one in TABLE_COLUMNS if one.kind == "text")
