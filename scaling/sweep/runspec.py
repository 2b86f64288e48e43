"""RunSpec: one training run, fully decided, and its run_id.

The run_id is the first 16 hex digits of the SHA-256 of the run's canonical JSON (sorted keys, no
spaces, shortest round-trip floats). It covers shape (with family and seq_len), recipe, data digest,
seed, NUMERICS_VERSION and, if the run has them, unique tokens and parent; and nothing else: no
resources, precision, micro-batch, budget or sibling cells. A field that is None is left out of it,
so that a field added with the default None changes no run_id. For a run of a user's own trainer it
covers what is trained (`OwnTrainer`), and a recipe only if the sweep file asks for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaling.files.sealed import canonical_json
from scaling.sweep.counting import count_flops_per_token
from scaling.sweep.families.registry import AnyShape, find_family

# Raise by hand when the trainer would give another loss for the same RunSpec; a tiny golden run in
# tests/training fails if that was forgotten.
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
        beta1, beta2, epsilon: AdamW's constants.
        weight_decay: Decoupled weight decay; not applied to norms and embeddings.
        clip_norm: Global gradient norm above which gradients are scaled down.
        init_scale: Hidden matrices start with standard deviation init_scale / sqrt(fan_in).
        output_scale: The same for the matrices that otherwise start at zero; None: at zero.
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
    output_scale: float | None = None


# Recipe of a run whose trainer decides everything; it is in no JSON.
NO_RECIPE = Recipe(
    batch_sequences=0, steps=0, learning_rate=0.0, base_width=0, base_depth=0, warmup_steps=0,
    decay_steps=0, beta1=0.0, beta2=0.0, epsilon=0.0, weight_decay=0.0, clip_norm=0.0,
    init_scale=0.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTrainer:
    """A user's own trainer of a run, and how long it trains.

    Attributes:
        command: The command as in the sweep file, placeholders unfilled, as canonical JSON; or
            `module:function`.
        files: SHA-256 of the names and contents of its files; empty without any.
        version: Version as stated, for changes that no file shows.
        tokens: D that is asked for.
    """

    command: str
    files: str
    version: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One training run, fully decided.

    Attributes:
        shape: The model.
        recipe: Hyperparameters; `NO_RECIPE` if `own` decides them.
        data_digest: Digest of the corpus, or of the name of data that only the trainer knows.
        seed: Seeds the initialisation and the order of the data.
        numerics_version: Version of the built-in trainer; 0 with `own`.
        own: A user's own trainer; None: the built-in one.
        unique_tokens: Tokens of the training text that it may see; None: all of them.
        parent: SHA-256 of the weights that it starts from; None: it draws its own by its seed.
    """

    shape: AnyShape
    recipe: Recipe = NO_RECIPE
    data_digest: str
    seed: int
    numerics_version: int = NUMERICS_VERSION
    own: OwnTrainer | None = None
    unique_tokens: int | None = None
    parent: str | None = None

    @property
    def has_recipe(self) -> bool:
        """True if the package's rules decided its hyperparameters."""
        return self.recipe != NO_RECIPE

    @property
    def tokens(self) -> int:
        """D: tokens seen in training."""
        if self.own is not None:
            return self.own.tokens
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
        fields = _read_fields(self) | {"shape": _read_fields(self.shape)}
        if self.own is not None:
            fields["own"] = _read_fields(self.own)
        fields["recipe"] = _read_fields(self.recipe)
        if self.own is not None and not self.has_recipe:
            del fields["recipe"]
        return fields

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> RunSpec:
        """The RunSpec that `to_json` wrote.

        Raises:
            TypeError: A field is missing or unknown.
            KeyError: Its family of models is unknown.
        """
        fields = dict(value)
        shape = fields.pop("shape")
        if "own" in fields:
            fields["own"] = OwnTrainer(**fields["own"])
        elif "recipe" not in fields:
            raise TypeError("a run without a recipe")
        if "recipe" in fields:
            fields["recipe"] = Recipe(**fields["recipe"])
        return RunSpec(shape=find_family(shape["family"]).shape(**shape), **fields)


def _read_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not None."""
    # dataclasses.asdict copies every value and takes ten times as long, and a driver of thousands
    # of runs needs their run_ids over and over.
    read = ((name, getattr(value, name)) for name in value.__dataclass_fields__)
    return {name: one for name, one in read if one is not None}
