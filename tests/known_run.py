"""A recipe, a corpus and runs for tests that need any."""

import dataclasses
from typing import Any

from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.runspec import Recipe, RunSpec
from scaling.sweep.shapes import ModelShape, make_shape

RECIPE = Recipe(
    batch_sequences=1,
    steps=100,
    learning_rate=0.01,
    base_width=32,
    base_depth=2,
    warmup_steps=5,
    decay_steps=12,
    beta1=0.9,
    beta2=0.98,
    epsilon=1e-8,
    weight_decay=0.0,
    clip_norm=1.0,
    init_scale=1.0,
)
# Bytes, about as many as in the standard library.
FACTS = CorpusFacts(
    digest="ab" * 32,
    vocab_size=256,
    train_tokens=9_000_000,
    validation_tokens=524_288,
    train_bytes=9_000_000,
    validation_bytes=524_288,
    validation_documents=61,
    unigram_entropy=3.23,
    overlap=0.03,
)


def plan_run(width: int, layers: int, tokens: float, **recipe: Any) -> RunSpec:
    """A byte-level transformer with the default recipe; `recipe` overrides keys as in a sweep
    file."""
    shape = make_shape(256, 128, d_model=width, n_layers=layers)
    return plan_shape(shape, tokens, data_digest=FACTS.digest, seed=0, **recipe)


def plan_shape(
    shape: ModelShape,
    tokens: float = 30e3,
    *,
    data_digest: str = "0" * 24,
    seed: int = 1,
    **recipe: Any,
) -> RunSpec:
    """A run of any shape; `recipe` as of plan_run."""
    decided = decide_recipe(shape, tokens, RecipeSpec(**recipe))
    return RunSpec(shape=shape, recipe=decided, data_digest=data_digest, seed=seed)


def change_recipe(**changes: Any) -> Recipe:
    return dataclasses.replace(RECIPE, **changes)
