"""Quantities measured on runs beside the loss, by sweep: the numbers behind the page's section.

If a file names several families of models, each family is a sweep. Its runs are the fitted ones, so
each cell shows the best of several learning rates.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scaling.ledger.probes import ProbeValue
from scaling.sweep.probes import PROBES
from scaling.units import format_count, format_flops
from scaling.units.losses import LossScale
from scaling.words.metric_laws import list_commands, say_control, say_forecast, say_law

if TYPE_CHECKING:
    from scaling.compare.multiplier import Comparison
    from scaling.fitting.metric_laws.judged import MetricLaw

PROBE_HEADINGS = ("probe", "models", "N", "D", "value", "unit")
FAMILY_HEADINGS = ("families", "C", "loss of each", "compute of the second", "interval", "verdict")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedRun:
    """One run.

    Attributes:
        params, tokens, flops: N, D, C [FLOP].
        loss: Held-out loss [nats/token].
        series: The value shared by runs on a line: the declared budget [FLOP], or else D.
        values: Values by probe.
    """

    params: float
    tokens: float
    flops: float
    loss: float
    series: float
    values: Mapping[str, ProbeValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedSweep:
    """The fitted runs of one sweep, ascending in N.

    Attributes:
        name: Its name; among several its family.
        runs: The runs.
        source: Its results folder, as a command line names it.
        laws: The law of each probe, judged; empty if not asked for.
    """

    name: str
    runs: tuple[ProbedRun, ...]
    source: str = ""
    laws: Mapping[str, MetricLaw] = field(default_factory=dict)

    def list_series(self) -> list[list[ProbedRun]]:
        """The runs on each line, ascending, seeds of one (N, D) as their mean; the last line has
        the most tokens, or FLOPs."""
        runs = average_seeds(self.runs)
        keys = sorted({one.series for one in runs})
        return [[one for one in runs if one.series == key] for key in keys]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """The content of the section.

    Attributes:
        sweeps: One sweep, or every family of a file.
        compared: Comparisons of the first family with each of the others.
        refused: Why families are not compared; empty if they are, or if there is only one.
        lost: Probe -> number of fitted runs without a value of it.
        said: What it comes to, in sentences.
        chances: Score of guessing, of each probe whose score it is known of.
        starts: Whether the sweep's file compares starts.
    """

    sweeps: tuple[ProbedSweep, ...]
    compared: tuple[Comparison, ...] = ()
    refused: str = ""
    lost: Mapping[str, int]
    said: tuple[str, ...] = ()
    chances: Mapping[str, float] = field(default_factory=dict)
    starts: bool = False

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


def group_probes(beyond: Beyond) -> list[list[ProbeValue]]:
    """Group each probe with those drawn in the same figure."""
    groups: dict[str, list[ProbeValue]] = {}
    found = {one.name: one for one in beyond.list_probes()}
    for name, one in found.items():
        beside = PROBES[name].beside if name in PROBES else ""
        groups.setdefault(beside if beside in found else name, []).append(one)
    return [sorted(group, key=lambda one: one.name != name) for name, group in groups.items()]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAccount:
    """What is said of one probe.

    Attributes:
        name: The probe.
        laws, forecasts: A sentence for each sweep.
        outcomes: The forecasts that were made.
        control: What its values compare with.
        commands: What prints the same.
    """

    name: str
    laws: tuple[str, ...]
    forecasts: tuple[str, ...]
    outcomes: tuple[str, ...]
    control: str
    commands: tuple[str, ...]


def list_accounts(beyond: Beyond) -> list[ProbeAccount]:
    """The account of every probe, controls after what they are controls of."""
    return [tell_probe(beyond, one.name) for group in group_probes(beyond) for one in group]


def tell_probe(beyond: Beyond, name: str) -> ProbeAccount:
    """The account of one probe: law, forecast and outcome, control, commands."""
    here = [one.name for one in beyond.list_probes()]
    several = len(beyond.sweeps) > 1
    own = [(one, one.laws[name]) for one in beyond.sweeps if name in one.laws]

    def tell(say: Callable[[MetricLaw], str], *, made: bool = False) -> tuple[str, ...]:
        return tuple(
            f"{sweep.name}: {say(law)}" if several else say(law)
            for sweep, law in own
            if law.forecast is not None or not made
        )

    commands = [
        command
        for sweep, law in own
        for command in list_commands(law, sweep.source, starts=beyond.starts)
    ]
    return ProbeAccount(
        name=name,
        laws=tell(say_law) or ("None: not fitted.",),
        forecasts=tell(say_forecast) or ("None: not fitted.",),
        outcomes=tell(say_forecast, made=True),
        control=say_control(name, here, beyond.chances.get(name)),
        commands=tuple(dict.fromkeys(commands)),
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
    """Say which values are missing and what to do; empty if none is."""
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
