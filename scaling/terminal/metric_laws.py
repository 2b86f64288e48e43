"""A metric's law judged, as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaling.units import clean_text
from scaling.words.metric_laws import say_forecast, say_law

if TYPE_CHECKING:
    from scaling.fitting.metric_laws.judged import MetricLaw


def format_metric_law(law: MetricLaw) -> str:
    """Whether the law is supported, and its forecast of the largest runs."""
    head = "supported" if law.supported else "not supported"
    lines = [
        f"a law of {law.name}: {head}",
        f"  law: {say_law(law)}",
        f"  forecast: {say_forecast(law)}",
    ]
    return clean_text("\n".join(lines))
