"""The keys recipe and schedule of a sweep file: settings held fixed instead of decided by rules."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from scaling.sweep.fields import Count, Positive, Share, SpecModel, refuse
from scaling.sweep.strict_yaml import KeyPath

# Largest shares of the steps under the recipe's own rules: 20 of 200 and 200 of 400.
_DEFAULT_WARMUP, _DEFAULT_DECAY = 0.1, 0.5


class RecipeSpec(SpecModel):
    """Hyperparameters to hold fixed; what is not set is decided by the recipe rules per cell."""

    learning_rate: Positive | None = Field(None, description="peak, at the base width and depth")
    batch_sequences: Count | None = Field(None, description="sequences per optimiser step")
    base_width: Count | None = Field(None, description="width at which learning_rate holds")
    base_depth: Count | None = Field(None, description="depth at which learning_rate holds")
    warmup_fraction: Share | None = Field(None, description="share of all steps")
    warmup_tokens: Positive | None = Field(
        None, description="the same in every run, up to its decay; in place of warmup_fraction"
    )
    decay_fraction: Share | None = Field(
        None, description="share of all steps, to zero as 1 − sqrt"
    )
    beta1: Share | None = Field(None, description="AdamW's momentum")
    beta2: Share | None = Field(None, description="AdamW's memory of squared gradients")
    epsilon: Positive | None = Field(None, description="AdamW's, at the base width")
    weight_decay: Annotated[float, Field(strict=True, ge=0, lt=1e6)] | None = Field(
        None, description="decoupled; not on norms and embeddings"
    )
    clip_norm: Positive | None = Field(None, description="global gradient norm")
    init_scale: Positive | None = Field(None, description="hidden std · sqrt(fan_in)")
    output_scale: Positive | None = Field(
        None, description="the same of head and output projections; not set: they start at zero"
    )

    @model_validator(mode="after")
    def _schedule_fits(self) -> Self:
        self.check_schedule(())
        return self

    def check_schedule(self, at: KeyPath) -> None:
        """Refuse a warmup and a decay that cannot both be.

        Args:
            at: Path of this recipe in the file, below the value being validated.
        """
        if self.warmup_fraction is not None and self.warmup_tokens is not None:
            why = "warmup_fraction and warmup_tokens are two warmups. Remove one of them."
            refuse(why, *at, "warmup_tokens")
        if self.warmup_tokens is not None:
            return  # it ends by the start of the decay
        warmup = _DEFAULT_WARMUP if self.warmup_fraction is None else self.warmup_fraction
        decay = _DEFAULT_DECAY if self.decay_fraction is None else self.decay_fraction
        if warmup + decay >= 1 - 1e-9:  # .7 + .3 counts as 1 despite rounding
            refuse(
                f"warmup_fraction {_name_share(self.warmup_fraction, _DEFAULT_WARMUP)} and "
                f"decay_fraction {_name_share(self.decay_fraction, _DEFAULT_DECAY)} leave no step "
                "at the full rate. Make their sum less than 1.",
                *at,
                "warmup_fraction" if self.decay_fraction is None else "decay_fraction",
            )

    def override(self, other: RecipeSpec) -> RecipeSpec:
        """This recipe with every key that `other` sets; null returns a key to the rules."""
        given = {name: getattr(other, name) for name in other.model_fields_set}
        return self.model_copy(update=given)


class ScheduleSpec(SpecModel):
    """Whether runs of one model share their constant phase."""

    trunk: bool = Field(
        False,
        description="train one trunk per model and seed; every D is a cooldown that leaves it",
    )
    trunk_tokens_per_param: Positive = Field(
        20.0, description="D / N at which a trunk's batch, learning rate and warmup are decided"
    )


def _name_share(value: float | None, default: float) -> str:
    return f"(not set: up to {default:g})" if value is None else f"{value:g}"
