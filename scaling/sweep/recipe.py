"""Decides every hyperparameter of a run from (shape, tokens). Nothing here looks at sibling cells.

    batch           B = B0 · (D / D0)^0.4, rounded to whole sequences       Bergsma 2025, 2505.13738
    learning rate   η = η0 · sqrt(B / B0) · (D0 / D)^0.3                    Bjorck 2024, 2409.19913
                    at the base width and depth; other shapes: CompleteP    Dey 2025, 2505.01618
    warmup          min(N tokens, 10 % of D), at least 150 steps,           Porian 2024, 2406.19146
                    at most 40 % of all
    decay           last 20 % of D as 1 − sqrt, at least 200 steps,         Hägele 2024, 2405.18392
                    at most half of D

With a trunk, runs of one model share what comes before their cooldown, so batch, learning rate and
warmup are those of one reference horizon of the model, D_ref = ratio · N; steps and decay follow
the run's own D.

The published rules were fitted at D ≥ 1e8 tokens. Here they are forms; the constants at the
reference point were calibrated at CPU scale (measurements/recipe-constants.md). The reference point
is a constant of the model's family, not a sweep's centre: adding a budget must not change a
finished run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from scaling.sweep.counting import count_matmul_params
from scaling.sweep.families import ReferencePoint
from scaling.sweep.families.registry import family_of
from scaling.sweep.runspec import Recipe
from scaling.sweep.shapes import ModelShape

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which only readers of YAML need to pay
    from scaling.sweep.recipe_spec import RecipeSpec

_T = TypeVar("_T", int, float)

BATCH_EXPONENT = 0.4
HORIZON_EXPONENT = 0.3
# Runs of 266 to 2100 steps end 1 to 6 % lower with 100–150 warmup steps than with the 27–34 that
# 10 % of D gives, and their seed noise is half as large (decision 0012).
MIN_WARMUP_STEPS = 150
MAX_WARMUP_SHARE = 0.4


def decide_recipe(
    shape: ModelShape, tokens: float, asked: RecipeSpec, *, horizon: float | None = None
) -> Recipe:
    """The recipe of one run; what `asked` sets is kept.

    Args:
        shape: The model.
        tokens: Wished-for D; the realised D is the nearest whole number of steps.
        horizon: D for which batch, learning rate and warmup are decided; None: the run's own.
    """
    reference = family_of(shape).reference
    batch = asked.batch_sequences or decide_batch_sequences(shape, horizon or tokens)
    batch_tokens = batch * shape.seq_len
    steps = max(1, round(tokens / batch_tokens))
    shared_steps = max(1, round((horizon or tokens) / batch_tokens))
    realised = shared_steps * batch_tokens
    if asked.warmup_tokens is not None:
        warmup = round(asked.warmup_tokens / batch_tokens)
    elif asked.warmup_fraction is None:
        wished = round(min(count_matmul_params(shape), 0.1 * realised) / batch_tokens)
        warmup = min(max(MIN_WARMUP_STEPS, wished), round(MAX_WARMUP_SHARE * shared_steps))
    else:
        warmup = round(asked.warmup_fraction * shared_steps)
    if asked.decay_fraction is None:
        decay = min(max(200, round(0.2 * steps)), steps // 2)
    else:
        decay = round(asked.decay_fraction * steps)
    learning_rate = asked.learning_rate or decide_learning_rate(batch_tokens, realised, reference)
    return Recipe(
        batch_sequences=batch,
        steps=steps,
        learning_rate=learning_rate,
        base_width=_default(asked.base_width, reference.width),
        base_depth=_default(asked.base_depth, reference.depth),
        warmup_steps=max(1, min(warmup, steps - decay)),
        decay_steps=decay,
        beta1=_default(asked.beta1, 0.9),
        beta2=_default(asked.beta2, 0.98),
        epsilon=_default(asked.epsilon, 1e-8),
        # Bergsma's rule (arXiv:2505.13738) needs a corpus far larger than a CPU sweep's.
        weight_decay=_default(asked.weight_decay, 0.0),
        clip_norm=_default(asked.clip_norm, 1.0),
        init_scale=_default(asked.init_scale, reference.init_scale),
        output_scale=asked.output_scale,
    )


def decide_batch_sequences(shape: ModelShape, tokens: float) -> int:
    """Sequences per step for a horizon of `tokens`."""
    reference = family_of(shape).reference
    wished: float = reference.batch_tokens * (tokens / reference.tokens) ** BATCH_EXPONENT
    return max(1, round(wished / shape.seq_len))


def decide_learning_rate(batch_tokens: float, tokens: float, reference: ReferencePoint) -> float:
    """Peak learning rate at the base shape, to four significant digits."""
    by_batch: float = (batch_tokens / reference.batch_tokens) ** 0.5
    by_horizon = (reference.tokens / tokens) ** HORIZON_EXPONENT
    return float(f"{reference.learning_rate * by_batch * by_horizon:.4g}")


def _default(value: _T | None, default: _T) -> _T:
    return default if value is None else value
