"""RunSpec: one training run, fully decided, and its run_id.

The run_id is the first 16 hex digits of the SHA-256 of the run's canonical JSON (sorted keys, no
spaces, shortest round-trip floats). It covers shape (with family and seq_len), recipe, data digest,
seed and NUMERICS_VERSION, and nothing else: no resources, precision, micro-batch, budget or sibling
cells. A field that is None is left out of it, so that a field added with the default None changes
no run_id.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.files.sealed import canonical_json
from scaling.sweep.counting import count_flops_per_token
from scaling.sweep.families.registry import MODEL_FAMILIES, AnyShape

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

    shape: AnyShape
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
        """Plain mapping of every field that is not None, readable back by `from_json`."""
        rest = _read_fields(self)
        return rest | {"shape": _read_fields(self.shape), "recipe": _read_fields(self.recipe)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RunSpec:
        """The RunSpec that `to_json` wrote.

        Raises:
            TypeError: A field is missing or unknown.
            KeyError: Its family of models is not known here.
        """
        fields = dict(value)
        shape = fields.pop("shape")
        recipe = Recipe(**fields.pop("recipe"))
        family = MODEL_FAMILIES[shape["family"]]
        return RunSpec(shape=family.shape(**shape), recipe=recipe, **fields)


def _read_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not None."""
    # Not dataclasses.asdict, which copies every value and takes ten times as long: a driver of
    # thousands of runs asks for their run_ids again and again.
    read = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return {name: one for name, one in read if one is not None}
