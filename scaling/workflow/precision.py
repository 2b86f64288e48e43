"""In which precision a sweep is trained: asked for, kept from its results, or measured.

    asked      float32 or mixed in the sweep file
    kept       auto, and the ledger has results: as most of them were computed
    measured   auto, and it has none: mixed, where its step is faster at the sweep's most expensive
               shape and not slower at its cheapest, and no model is narrower than those that showed
               no difference in the loss

One sweep has one precision: a law fitted to two would see the difference as an effect of size. So
the device is asked once, before the first run; results then speak for those to come, on any device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.errors import IntegrityError
from scaling.files.durable import blaming_machine, read_document, write_durably
from scaling.files.sealed import open_document, seal_document
from scaling.ledger.machine import Device, key_device
from scaling.ledger.results import RunResult
from scaling.sweep.families.registry import describe_shape
from scaling.sweep.runspec import RunSpec
from scaling.units import Precision
from scaling.workflow.devices import measure_apart

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which only readers of YAML need to pay
    from scaling.sweep.spec import ResourcesSpec

_LIMIT_BYTES = 10**6
# Speed of mixed over float32 that is required at the largest shape (step times repeat within a few
# percent), and at the smallest.
_GAIN, _NO_LOSS = 1.05, 0.97
# Three widths from here on were trained in both precisions at usual budgets, and bfloat16 did not
# change the loss; below, only one width at one small budget was (decision 0028). A sweep with
# narrower models must ask for it.
_LEAST_WIDTH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionChoice:
    """A precision and why, in words; empty where there was nothing to decide.

    Attributes:
        change: What the sweep's results will differ in from those to come; empty: in nothing.
    """

    precision: Precision
    why: str = ""
    change: str = ""


def choose_precision(
    asked: ResourcesSpec,
    runs: Iterable[RunSpec],
    results: Iterable[RunResult],
    *,
    folder: Path,
    device: Device,
    measure: bool = True,
) -> PrecisionChoice:
    """The precision of the runs to come.

    Args:
        asked: What the sweep file says of precision and GPUs.
        runs: The plan's.
        results: What the ledger has.
        folder: results/, in whose .cache a measurement is kept.
        device: What would be measured.
        measure: Whether to, where nothing is known; float32 is said otherwise.

    Raises:
        EnvironmentFault: The cache cannot be written, or the device has no compiler.
    """
    said = map(read_precision, results)
    kept = Counter(precision for precision in said if precision is not None)
    majority = max(kept, key=lambda name: kept[name], default=None)
    if asked.precision != "auto":
        return PrecisionChoice(
            precision=asked.precision, change=_describe_change(asked.precision, kept)
        )
    if majority is not None:
        others = _describe_change(majority, kept)
        return PrecisionChoice(
            precision=majority, why=f"as {kept[majority]} results of this sweep", change=others
        )
    distinct = sorted(set(runs), key=lambda run: run.flops / run.recipe.steps)
    if min(run.shape.d_model for run in distinct) < _LEAST_WIDTH:
        return PrecisionChoice(precision="float32")
    known = _read_gains(folder, device)
    ends = {_name_step(run): run for run in (distinct[0], distinct[-1])}
    missing = {name: run for name, run in ends.items() if name not in known}
    if missing and not measure:
        return PrecisionChoice(precision="float32", why="not measured here")
    if missing:
        gains = measure_apart(tuple(missing.values()), asked, cache=folder / ".cache")
        known |= dict(zip(missing, gains, strict=True))
        if all(known.values()):  # a missing compiler may be installed later, so that is not stored
            _write_gains(folder, device, known)
    smallest, largest = (known[_name_step(run)] for run in (distinct[0], distinct[-1]))
    wins = largest > _GAIN and smallest > _NO_LOSS
    return PrecisionChoice(
        precision="mixed" if wins else "float32",
        why=f"a mixed step is {largest:.2f} times as fast as one in float32 at the largest shape, "
        f"{smallest:.2f} times at the smallest",
    )


def read_precision(result: RunResult) -> Precision | None:
    """What a result was computed in; None where it does not say."""
    dtype = result.numerics.get("dtype", "")
    if dtype == "float32":
        return "float32"
    return "mixed" if "in bfloat16" in dtype else None


def _describe_change(chosen: Precision, kept: Counter[Precision]) -> str:
    other: Precision = "mixed" if chosen == "float32" else "float32"
    if not kept[other]:
        return ""
    return (
        f"{kept[other]} results of this sweep were computed in {other}, runs to come will be in "
        f"{chosen}: the check numerics_changed fails. Set resources.precision to auto, or train "
        "them again under another name."
    )


def _name_step(run: RunSpec) -> str:
    shape = describe_shape(run.shape).full
    return f"{shape}, sequences of {run.shape.seq_len}, batch of {run.recipe.batch_sequences}"


def _read_gains(folder: Path, device: Device) -> dict[str, float]:
    try:
        document = read_document(folder, _name_file(device), limit=_LIMIT_BYTES)
        body, _ = open_document(document)
        return {str(name): float(value) for name, value in body["gains"].items()}
    except (OSError, IntegrityError, KeyError, TypeError, ValueError, AttributeError):
        return {}


def _write_gains(folder: Path, device: Device, gains: dict[str, float]) -> None:
    path = folder / _name_file(device)
    with blaming_machine(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, seal_document({"gains": gains, "of": device.sentence}), sync=False)


def _name_file(device: Device) -> str:
    return f".cache/precision/{key_device(device)}.json"
