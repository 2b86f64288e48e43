"""scaling: from a sweep file to a compute-optimal model size and token count, with intervals.

    import scaling

    fit = scaling.fit("results/reference")       # or a table of runs, or a DataFrame
    print(fit, fit.allocate(flops=1.3e14), sep="\n")
    fit.plot("isoflop")

Names are loaded when they are first used: importing `scaling` imports none of torch, ray, scipy,
pandas or matplotlib.
"""

from __future__ import annotations

import importlib
from typing import Any

from scaling._version import __version__

_HOMES = {
    "Ability": "scaling.fitting.abilities.ability",
    "Allocation": "scaling.allocation",
    "Answer": "scaling.notebook.fitted",
    "Comparison": "scaling.compare.multiplier",
    "DEVICES": "scaling.allocation",
    "Filters": "scaling.tables.filters",
    "Fit": "scaling.fitting.fitted",
    "Fitted": "scaling.notebook.fitted",
    "Hardware": "scaling.allocation",
    "Measured": "scaling.training.own.function",
    "MetricLaw": "scaling.fitting.metric_laws.judged",
    "ModelShape": "scaling.sweep.shapes",
    "Plan": "scaling.sweep.plan",
    "Prediction": "scaling.allocation",
    "Question": "scaling.allocation",
    "RunResult": "scaling.ledger.results",
    "RunSpec": "scaling.sweep.runspec",
    "RunTable": "scaling.tables.run_table",
    "ScalingError": "scaling.errors",
    "SweepSpec": "scaling.sweep.spec",
    "Transfer": "scaling.fitting.transfer.judging",
    "allocate": "scaling.allocation",
    "compare_tables": "scaling.compare.multiplier",
    "apply_filters": "scaling.tables.filters",
    "count_flops_per_token": "scaling.sweep.counting",
    "count_params": "scaling.sweep.counting",
    "find_abilities": "scaling.workflow.abilities",
    "find_device": "scaling.allocation",
    "find_metric_laws": "scaling.workflow.metric_laws",
    "find_transfer": "scaling.workflow.transfer",
    "fit": "scaling.notebook.asking",
    "fit_runs": "scaling.fitting.every_approach",
    "forecast_run": "scaling.workflow.forecasting",
    "load_sweep": "scaling.sweep.reading",
    "make_table": "scaling.tables.run_table",
    "plan_sweep": "scaling.sweep.plan",
    "predict": "scaling.allocation",
    "prepare_sweep": "scaling.workflow.preparing",
    "read_runs": "scaling.workflow.stored",
    "read_table": "scaling.tables.reading",
    "review_forecasts": "scaling.workflow.forecasting",
    "run_sweep": "scaling.notebook.asking",
    "simulate_sweep": "scaling.workflow.simulating",
    "suggest_cells": "scaling.workflow.suggesting",
    "train_sweep": "scaling.workflow.training",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'scaling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
