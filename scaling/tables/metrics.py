"""Metrics: further quantities of a table's runs, which can take the place of the loss.

    lower is better      L = m               a law is fitted to ln m
    higher is better     L = B − m           to ln (B − m), with B the best value possible

Laws, checks and answers handle only a loss. `fit_metric` puts L in its place; `MetricFacts`
converts back for printing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scaling.files.contract import write_fields
from scaling.units import FloatArray, IntArray
from scaling.units.losses import LossScale


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A quantity in a table.

    Attributes:
        name, unit: Name and unit of the quantity; the unit is empty if unknown.
        values, errors: Value and standard error of each row, shape (n,), NaN where not stated;
            `errors` is None if there are none.
        higher_is_better, bound: As stated by the probe that measured it; None if not stated.
    """

    name: str
    values: FloatArray
    errors: FloatArray | None = None
    unit: str = ""
    higher_is_better: bool | None = None
    bound: float | None = None

    def select(self, rows: IntArray) -> Metric:
        """The metric of the given rows, in their order."""
        errors = None if self.errors is None else self.errors[rows]
        return replace(self, values=self.values[rows], errors=errors)

    def get_row(self, at: int) -> tuple[float | None, float | None]:
        """Value and standard error of one row; None if not stated."""
        both = (self.values[at], np.nan if self.errors is None else self.errors[at])
        one, error = (float(x) if np.isfinite(x) else None for x in both)
        return one, error


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedMetric:
    """The metric that a law should be fitted to, and what the user states about it.

    Attributes:
        name: Name of the metric.
        higher_is_better: Direction, for a metric whose probe does not state one.
        bound: Best value possible; None: the probe's.
    """

    name: str
    higher_is_better: bool = False
    bound: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFacts:
    """The metric that takes the place of the loss of a table, a fit or an answer.

    Attributes:
        name, unit: Name and unit of the metric.
        higher_is_better: Whether it was subtracted from its bound.
        bound: B; None if lower is better.
    """

    name: str
    unit: str
    higher_is_better: bool
    bound: float | None

    @property
    def symbol(self) -> str:
        """Symbol of what the law gives: the metric, or its distance to the bound."""
        return self.name if self.bound is None else f"{self.bound:g} − {self.name}"

    @property
    def suffix(self) -> str:
        """The unit behind a number; empty without one."""
        return f" {self.unit}" if self.unit else ""

    def to_loss(self, metric: Any) -> Any:
        """Convert values of the metric to L."""
        return metric if self.bound is None else self.bound - metric

    def to_metric(self, loss: Any) -> Any:
        """Convert values of L to the metric."""
        return self.to_loss(loss)  # B − (B − m) = m

    def to_ends(self, low: float, high: float) -> tuple[float, float]:
        """Convert the ends of an interval of L to the lower and upper end of the metric's."""
        one, other = self.to_metric(low), self.to_metric(high)
        return min(one, other), max(one, other)

    def to_contract(self) -> dict[str, Any]:
        return {**write_fields(self), "unit": self.unit or None}


LOSS = MetricFacts(name="loss", unit="nats/token", higher_is_better=False, bound=None)


def name_quantity(metric: MetricFacts | None, scale: LossScale) -> MetricFacts:
    """Facts of the printed quantity: the metric, or the loss in a unit."""
    return metric or replace(LOSS, unit=scale.label)
