"""RunSpec: one training run, fully decided, and its run_id.

The run_id is the first 16 hex digits of the SHA-256 of the run's canonical JSON (sorted keys, no
spaces, shortest round-trip floats). It covers shape (with seq_len), recipe, data digest, seed and
NUMERICS_VERSION, and nothing else: no resources, precision, micro-batch, budget or sibling cells.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.files.sealed import canonical_json
from scaling.sweep.counting import count_flops_per_token
from scaling.sweep.shapes import ModelShape

# Raise by hand when the trainer would give another loss for the same RunSpec; tests/training
# holds a tiny golden run that notices when it was forgotten.
NUMERICS_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every hyperparameter of one run; nothing is left for the trainer to decide.

    Attributes:
        batch_sequences: Sequences per optimiser step.
        steps: Optimiser steps; tokens = steps · batch_sequences · seq_len.
        learning_rate: Peak AdamW learning rate at the base width and depth; the parametrisation
            scales it per parameter group.
        base_width, base_depth: The model at which `learning_rate` holds unscaled (CompleteP).
        warmup_steps: Steps of linear warmup from 0.
        decay_steps: Last steps, over which the rate falls to 0 as 1 − sqrt (WSD).
        beta1, beta2, epsilon: AdamW's.
        weight_decay: Decoupled; not applied to norms and embeddings.
        clip_norm: Global gradient norm above which gradients are scaled down.
        init_scale: Hidden matrices start with standard deviation init_scale / sqrt(fan_in).
    """

    batch_sequences: int
    steps: int
    learning_rate: float
    base_width: int
    base_depth: int
    warmup_steps: int
    decay_steps: int
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    clip_norm: float
    init_scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One training run, fully decided."""

    shape: ModelShape
    recipe: Recipe
    data_digest: str
    seed: int
    numerics_version: int = NUMERICS_VERSION

    @property
    def tokens(self) -> int:
        """D: tokens seen in training."""
        return self.recipe.steps * self.recipe.batch_sequences * self.shape.seq_len

    @property
    def flops(self) -> int:
        """C: training FLOPs as if from nothing."""
        return self.tokens * count_flops_per_token(self.shape)

    @property
    def run_id(self) -> str:
        """16 hex digits that change exactly when the run's result could."""
        return hashlib.sha256(canonical_json(self.to_json())).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain mapping of every field, readable back by `from_json`."""
        # Not dataclasses.asdict, which copies every value and takes ten times as long: a driver of
        # thousands of runs asks for their run_ids again and again.
        return {
            "shape": {name: getattr(self.shape, name) for name in _SHAPE_FIELDS},
            "recipe": {name: getattr(self.recipe, name) for name in _RECIPE_FIELDS},
            "data_digest": self.data_digest,
            "seed": self.seed,
            "numerics_version": self.numerics_version,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RunSpec:
        """The RunSpec that `to_json` wrote.

        Raises:
            TypeError: A field is missing or unknown.
        """
        fields = dict(value)
        shape = ModelShape(**fields.pop("shape"))
        recipe = Recipe(**fields.pop("recipe"))
        return RunSpec(shape=shape, recipe=recipe, **fields)


_SHAPE_FIELDS = tuple(field.name for field in dataclasses.fields(ModelShape))
_RECIPE_FIELDS = tuple(field.name for field in dataclasses.fields(Recipe))
