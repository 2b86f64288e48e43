"""What was measured of runs beside the loss, sweep by sweep: the numbers behind that section.

A sweep is one family of models where a file names several; its runs are those that are fitted, so
that of several learning rates each cell shows its best.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling.ledger.probes import ProbeValue
from scaling.sweep.probes import PROBES
from scaling.units import format_count, format_flops
from scaling.units.losses import LossScale

if TYPE_CHECKING:
    from scaling.compare.multiplier import Comparison

PROBE_HEADINGS = ("probe", "models", "N", "D", "value", "unit")
FAMILY_HEADINGS = ("families", "C", "loss of each", "compute of the second", "interval", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedRun:
    """One run.

    Attributes:
        params, tokens: N, D.
        loss: Held-out [nats/token].
        series: What a line joins runs by: the declared budget [FLOP], or D where there is none.
        values: By probe.
    """

    params: float
    tokens: float
    loss: float
    series: float
    values: Mapping[str, ProbeValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedSweep:
    """The fitted runs of one sweep, ascending in N; `name` is its family among several."""

    name: str
    runs: tuple[ProbedRun, ...]

    def list_series(self) -> list[list[ProbedRun]]:
        """The runs that a line joins, ascending, seeds of one (N, D) as their mean; the last is on
        the most tokens, or FLOPs."""
        runs = average_seeds(self.runs)
        keys = sorted({one.series for one in runs})
        return [[one for one in runs if one.series == key] for key in keys]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """What the section shows.

    Attributes:
        sweeps: One, or every family of a file.
        compared: The first family against each of the others.
        refused: Why they are not compared; empty if they are, or there is one.
        lost: Probe -> how many of the fitted runs have no value of it.
        said: What it comes to, in sentences.
    """

    sweeps: tuple[ProbedSweep, ...]
    compared: tuple[Comparison, ...] = ()
    refused: str = ""
    lost: Mapping[str, int]
    said: tuple[str, ...] = ()

    def list_probes(self) -> list[ProbeValue]:
        """A value of each probe that any run has, in the order of the registry, then by name."""
        found = {
            name: value
            for sweep in self.sweeps
            for run in sweep.runs
            for name, value in run.values.items()
        }
        order = {name: at for at, name in enumerate(PROBES)}
        return sorted(found.values(), key=lambda one: (order.get(one.name, len(order)), one.name))


def average_seeds(runs: Sequence[ProbedRun]) -> list[ProbedRun]:
    """Runs of one (N, D) as one of their means, each with its standard error over seeds; one of a
    kind as it is."""
    groups: dict[tuple[float, float, float], list[ProbedRun]] = {}
    for one in runs:
        groups.setdefault((one.params, one.tokens, one.series), []).append(one)
    return [own[0] if len(own) == 1 else _average_runs(own) for own in groups.values()]


def _average_runs(runs: Sequence[ProbedRun]) -> ProbedRun:
    names = dict.fromkeys(name for one in runs for name in one.values)
    values = {
        name: _average_values([one.values[name] for one in runs if name in one.values])
        for name in names
    }
    loss = statistics.fmean(one.loss for one in runs)
    return dataclasses.replace(runs[0], loss=loss, values=values)


def _average_values(values: Sequence[ProbeValue]) -> ProbeValue:
    if len(values) == 1:
        return values[0]
    each = [one.value for one in values]
    curves = [one.curve for one in values if one.curve is not None]
    curve = curves[0] if curves else None
    if curve is not None and all(one.x == curve.x for one in curves):
        y = tuple(map(statistics.fmean, zip(*(one.y for one in curves), strict=True)))
        curve = dataclasses.replace(curve, y=y, errors=None)
    return dataclasses.replace(
        values[0],
        value=statistics.fmean(each),
        standard_error=statistics.stdev(each) / math.sqrt(len(each)),
        curve=curve,
    )


def list_probe_rows(beyond: Beyond) -> list[tuple[str, ...]]:
    """A row for each value of each run."""
    return [
        (
            probe.name,
            sweep.name,
            format_count(run.params),
            format_count(run.tokens),
            _write(value.value, value.standard_error),
            value.unit,
        )
        for probe in beyond.list_probes()
        for sweep in beyond.sweeps
        for run in sweep.runs
        if (value := run.values.get(probe.name)) is not None
    ]


def list_family_rows(compared: Sequence[Comparison], scale: LossScale) -> list[tuple[str, ...]]:
    """A row for each comparison."""
    rows: list[tuple[str, ...]] = []
    for one in compared:
        interval = one.multiplier_interval
        first, second = (name or "?" for name in one.families)
        ends, verdict = "—", "not told apart"
        if interval is not None:
            ends = f"×{_write_end(interval.low)} to ×{_write_end(interval.high)}"
            if interval.low > 1.0 or interval.high < 1.0:
                verdict = f"{first if one.multiplier > 1.0 else second} needs less"
        losses = ", ".join(f"{float(scale.to(loss)):.4f}" for loss in one.loss)
        rows.append(
            (
                f"{first}, {second}",
                format_flops(one.flops),
                losses,
                f"×{_write_end(one.multiplier)}",
                ends,
                verdict,
            )
        )
    return rows


def describe_lost(beyond: Beyond) -> str:
    """Which values are not there, and what to do; empty if all are."""
    if not beyond.lost:
        return ""
    names = ", ".join(f"{name} ({count})" for name, count in beyond.lost.items())
    return (
        f"Without a value: {names}. A probe that looks at the model needs the weights, which stay "
        'where the sweep was trained: run "scaling run" there again, or train it anew elsewhere.'
    )


def _write(value: float, error: float | None) -> str:
    return f"{value:.4g}" + ("" if error is None else f" ± {error:.2g}")


def _write_end(value: float) -> str:
    return "∞" if value == math.inf else f"{value:.3g}"
