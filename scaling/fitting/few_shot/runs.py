"""A run as few-shot learning knows it."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.sweep.probes import ProbeCurve

INFERS = 0.5  # share of new sources on which a model is nearest to the best predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotRun:
    """One run; what it has no value of is None.

    Attributes:
        params, tokens: N, D.
        chains: How many sources it was trained on; 0: each sequence had its own.
        phase: Share of new sources on which it is nearest to the best predictor.
        excess, seen: Loss beyond the best predictor's, on new sources and on those that were
            trained on [nats/token].
        regret, bound: Loss beyond who knows the source against examples: its own, and of the best
            predictor.
    """

    params: float
    tokens: float
    chains: int
    phase: float | None = None
    excess: float | None = None
    seen: float | None = None
    regret: ProbeCurve | None = None
    bound: ProbeCurve | None = None

    @property
    def infers(self) -> bool:
        """Whether it learns from examples as the best predictor does, more than in any other
        way."""
        return self.phase is not None and self.phase >= INFERS

    @property
    def remembers(self) -> bool:
        """Whether more than half of its excess is gone on the sources that it was trained on."""
        if self.infers or self.excess is None or self.seen is None:
            return False
        return self.seen < 0.5 * self.excess
