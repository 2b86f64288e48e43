"""The forecast of a cell that the fit has not seen, beside the mean that was measured there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaling.fitting.fitted import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class CellForecast:
    """Forecast and measurement of one cell.

    Attributes:
        params, tokens, runs: N, D and the number of runs.
        forecast: Forecast value.
        interval: Interval of the forecast, for the mean of `runs` runs.
        measured: Mean of the runs.
    """

    params: float
    tokens: float
    runs: int
    forecast: float
    interval: Interval
    measured: float

    @property
    def inside(self) -> bool:
        """True if the interval holds the measured mean."""
        return self.interval.low <= self.measured <= self.interval.high

    def to_contract(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "tokens": self.tokens,
            "runs": self.runs,
            "forecast": self.forecast,
            "interval": self.interval.to_contract(),
            "measured": self.measured,
            "inside": self.inside,
        }
