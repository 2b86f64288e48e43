"""COLUMNS: every column of a table of runs, once, for reading, results, digests, help and docs.

Nothing heavy is imported: the command line's help is built from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ColumnKind = Literal["positive", "not_negative", "whole", "text"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of runs.

    Attributes:
        name: In files, and as `--columns` maps it.
        kind: Which cells it may hold; a number of any kind is finite.
        unit: Unit of a number; empty for one without a unit and for text.
        meaning: In words.
        attribute: Field of `RunTable` that keeps it; empty: for the reader or for people only.
    """

    name: str
    kind: ColumnKind
    unit: str
    meaning: str
    attribute: str = ""


REQUIRED = (
    Column("N", "positive", "parameters", "model size, counted in one way throughout", "params"),
    Column("D", "positive", "tokens", "tokens seen in training", "tokens"),
    Column("loss", "positive", "nats/token", "held-out cross-entropy; `--loss-unit`", "loss"),
)
OPTIONAL = (
    Column("C", "positive", "FLOP", "training compute; 6·N·D where it is not stated", "flops"),
    Column(
        "budget", "positive", "FLOP", "declared budget: which runs make an IsoFLOP curve", "budget"
    ),
    Column("U", "positive", "tokens", "unique tokens seen", "unique_tokens"),
    Column(
        "seed", "whole", "", "rows of one (N, D) with different seeds measure the noise", "seed"
    ),
    Column("lr", "positive", "", "peak learning rate", "learning_rate"),
    Column(
        "group", "text", "", "rows of one group share noise (a trunk, a batch of runs)", "group"
    ),
    Column("loss_se", "positive", "as loss", "standard error of the evaluation", "loss_se"),
    Column("batch_tokens", "positive", "tokens", "tokens per optimiser step", "batch_tokens"),
    Column("steps", "positive", "", "optimiser steps up to this row", "steps"),
    Column("warmup_steps", "not_negative", "", "steps of learning-rate warmup", "warmup_steps"),
    Column(
        "decay_steps", "not_negative", "", "last steps, over which the rate decays", "decay_steps"
    ),
    Column("clipped", "not_negative", "", "share of steps whose gradient was clipped", "clipped"),
    Column(
        "clipped_after_warmup", "not_negative", "", "the same of the steps after warmup",
        "clipped_after_warmup",
    ),
    Column(
        "corpus", "text", "", "name of the tokenised text, and so of the held-out set", "corpus"
    ),
    Column(
        "numerics", "text", "", "what the row was computed with: version, device, dtype", "numerics"
    ),
    Column("run", "text", "", "training run of which the row is a point", "trajectory"),
    Column(
        "role", "text", "",
        "`bracket`, `rate` and `validation`: in no fit; `grid` and `replicate` are",
    ),
    Column(
        "schedule", "text", "", "`constant` or `cooldown`: how points of a run compare", "schedule"
    ),
)  # fmt: skip
TABLE_COLUMNS = REQUIRED + OPTIONAL

# Further columns of an index of runs: first those that its reader uses (`index_rows`), then those
# for people and other programs.
OF_SHAPES = (
    Column("vocab_size", "whole", "tokens", "of the tokenizer"),
    Column("seq_len", "whole", "tokens", "length of a sequence"),
    Column("d_model", "whole", "", "width"),
    Column("n_layers", "whole", "", "depth"),
    Column("head_size", "whole", "", "width of an attention head"),
)
OF_INDEX = (
    Column("run_id", "text", "", "identity of the run"),
    Column("varied", "text", "", "what a bracket run varies: learning_rate or batch"),
    Column("varied_run", "text", "", "run_id of the run that it varies"),
    Column("varied_factor", "positive", "", "by which factor"),
    Column("overlap", "not_negative", "", "share of held-out spans found in the training text"),
    Column("unigram_entropy", "positive", "nats/token", "entropy of the tokens' frequencies"),
    Column("family", "text", "", "family of the model; `transformer` where there is no column"),
    *OF_SHAPES,
)
COLUMNS = (
    *TABLE_COLUMNS,
    *OF_INDEX,
    Column("status", "text", "", "finished or diverged"),
    Column("bits_per_byte", "positive", "bits/byte", "the loss per byte of text"),
    Column("train_loss", "positive", "nats/token", "training loss over the last 5 % of steps"),
    Column("epochs", "positive", "", "passes over the corpus"),
    Column("params_total", "positive", "parameters", "every stored parameter"),
    Column("params_non_embedding", "positive", "parameters", "without embedding and head"),
    Column("params_matmul", "positive", "parameters", "in matrix products, head included"),
    Column("flops_6nd", "positive", "FLOP", "6·N·D, for comparison only"),
    Column("flops_spent", "not_negative", "FLOP", "FLOPs this attempt spent"),
    Column("seconds", "not_negative", "s", "wall-clock time of the attempt"),
    Column("tokens_per_second", "positive", "tokens/s", "of training, in the attempt that won"),
    Column("mfu", "positive", "", "model FLOP/s over the measured peak of matrix products"),
    Column("grad_norm", "not_negative", "", "gradient norm before clipping, last 5 % of steps"),
)

NUMBERS = tuple(one.name for one in TABLE_COLUMNS if one.kind != "text")
TEXTS = tuple(one.name for one in TABLE_COLUMNS if one.kind == "text")
# Columns that a fit can depend on, numbers before texts, in the order of a table's digest.
KEPT = tuple(
    sorted((one for one in TABLE_COLUMNS if one.attribute), key=lambda one: one.kind == "text")
)
NAMES = {one.attribute: one.name for one in KEPT}
