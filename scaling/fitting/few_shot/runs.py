"""The few-shot measurements of one run."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.sweep.probes import ProbeCurve

INFERS = 0.5  # least share of new sources on which the model is nearest to the best predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotRun:
    """One run; None where it has no value.

    Attributes:
        params, tokens: N, D.
        chains: Number of training sources; 0 if every sequence had its own.
        phase: Share of new sources on which the model is nearest to the best predictor.
        excess, seen: Excess loss over the best predictor, on new and on training sources
            [nats/token].
        regret, bound: Excess loss over a predictor that knows the source, by number of examples:
            the model's, and the best predictor's.
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
        """Whether the model is nearest to the best predictor on most new sources."""
        return self.phase is not None and self.phase >= INFERS

    @property
    def remembers(self) -> bool:
        """Whether more than half of its excess loss vanishes on its training sources."""
        if self.infers or self.excess is None or self.seen is None:
            return False
        return self.seen < 0.5 * self.excess
