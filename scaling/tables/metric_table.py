"""The table with one of its metrics in place of the loss, as `metrics` defines it."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np

from scaling.errors import TableError, UsageError
from scaling.sweep.probes import PROBES
from scaling.tables.metrics import AskedMetric, Metric, MetricFacts
from scaling.tables.run_table import RunTable, select_rows
from scaling.units import FloatArray

_ROWS_NAMED = 5


def fit_metric(table: RunTable, asked: AskedMetric) -> RunTable:
    """The rows that state a metric, with the metric in place of the loss, and with another digest.

    Facts about the cross-entropy are dropped: the entropy of the tokens, and brackets.

    Raises:
        TableError: No row states it, or one has a value without a logarithm.
        UsageError: Direction and bound contradict each other or the probe, or the bound is missing.
    """
    metric, name = find_metric(table, asked.name), asked.name
    facts = _settle_facts(metric, asked.higher_is_better, asked.bound)
    stated = np.isfinite(metric.values)
    if not stated.any():
        raise TableError([f"{table.source}: no run states {name}"])
    notes = list(table.notes)
    if not stated.all():
        notes.append(f"{int((~stated).sum())} of {stated.size} runs state no {name}: left out")
    kept = select_rows(table, np.flatnonzero(stated))
    loss = facts.to_loss(metric.values[stated])
    _refuse_rows(kept, facts, metric.values[stated], loss)
    errors = None if metric.errors is None else metric.errors[stated]
    return kept.replace(
        loss=loss,
        loss_se=errors if errors is not None and np.isfinite(errors).any() else None,
        notes=tuple(notes),
        metric_facts=facts,
        unigram_entropy=None,
        brackets=(),
        stopped=(),
    )


def find_metric(table: RunTable, name: str) -> Metric:
    """Find the metric of that name.

    Raises:
        TableError: The table has none; the message lists its metrics, and how to get this one.
    """
    known = {one.name: one for one in table.metrics}
    if name in known:
        return known[name]
    close = get_close_matches(name, [*known, *PROBES], n=1)
    if name in PROBES:
        remedy = f'write "evaluate: [{name}]" into the sweep file and run it again'
    else:
        remedy = f"did you mean {close[0]}?" if close else "name a probe of the sweep"
    has = ", ".join(known) or "none"
    raise TableError([f"{table.source}: no metric {name!r}; the runs have {has}; {remedy}"])


def _settle_facts(metric: Metric, higher: bool, bound: float | None) -> MetricFacts:
    name = metric.name
    if higher and metric.higher_is_better is False:
        raise UsageError(f"{name}: its probe says that lower is better; leave --higher-is-better.")
    higher = higher or bool(metric.higher_is_better)
    if not higher and bound is not None:
        raise UsageError(
            f"--bound {bound:g} is what a higher-is-better metric cannot pass, and of {name} lower "
            "is better.\nSay --higher-is-better too, or leave --bound."
        )
    bound = metric.bound if bound is None else bound
    if higher and bound is None:
        raise UsageError(
            f"{name}: higher is better, and its law is of ln(B − {name}), with B what no model can "
            "pass.\nSay --bound B: 1 for a share, 100 for percent."
        )
    return MetricFacts(
        name=name, unit=metric.unit, higher_is_better=higher, bound=bound if higher else None
    )


def _refuse_rows(table: RunTable, facts: MetricFacts, values: FloatArray, loss: FloatArray) -> None:
    rows = np.flatnonzero(loss <= 0)
    if not rows.size:
        return
    shown = ", ".join(f"{table.run[at]}: {values[at]:g}" for at in rows[:_ROWS_NAMED])
    more = "" if rows.size <= _ROWS_NAMED else ", …"
    what, remedy = "are not above 0, where ln has no value", "say --higher-is-better and --bound"
    if facts.bound is not None:
        what, remedy = f"reach the bound {facts.bound:g}, below which a law stays", "raise --bound"
    raise TableError(
        [
            f"{table.source}: {facts.name}: {rows.size} of {len(table)} rows {what} "
            f"({shown}{more}); {remedy}, or leave them out (--where)"
        ]
    )
