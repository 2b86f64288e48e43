"""Where measured throughputs are kept: results/.cache/throughput/<key>.json.

    key = SHA-256 of processor or GPU · torch · Python · family of shapes · trainer's source ·
          engine · precision

so that another machine, another torch or a faster trainer is measured anew, and nothing has to be
thrown away by hand. Configurations are added as plans ask for them. A file that is damaged is as
good as none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import IntegrityError
from scaling.files.durable import blaming_machine, read_document, write_durably
from scaling.files.sealed import build_value, canonical_json, open_document, seal_document
from scaling.sweep.throughput import StepTime, Throughput

_LIMIT_BYTES = 10 * 2**20
_ENGINE_VARIABLE = "SCALING_ENGINE"  # as in training.engines, which must not be imported here
_ENGINES = ("fused", "eager", "cuda")
_TRAINER = ("training", "sweep/families")  # folders of the trainer's source


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a throughput holds for.

    Attributes:
        processor: Model name; a GPU's where runs are computed on one.
        torch, python: Versions.
        family: Name of the family and the settings of its ladder.
        trainer: Digest of the trainer's source.
        engine: Which of its engines the environment asks for; empty: the trainer's choice.
        precision: Precision of products; `auto` where that is what is to be found out.
    """

    processor: str
    torch: str
    python: str
    family: str
    trainer: str
    engine: str
    precision: str = "float32"

    @property
    def sentence(self) -> str:
        """For people."""
        return f"{self.processor}, torch {self.torch}"


def find_device(
    family: str,
    *,
    vocab_size: int,
    seq_len: int,
    settings: Mapping[str, int],
    precision: str = "float32",
    gpu: str | None = None,
) -> Device:
    """This machine, for one family of shapes; torch is not imported.

    Args:
        family, vocab_size, seq_len, settings: What the ladder of shapes follows from.
        precision: Precision of products.
        gpu: Name of the GPU that runs are computed on; None: the processor.
    """
    import importlib.metadata  # takes .02 s, not needed to read a folder

    source = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(path for folder in _TRAINER for path in (package / folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            source.update(path.read_bytes())
    ladder = {"vocab": vocab_size, "seq": seq_len, **settings}
    asked = os.environ.get(_ENGINE_VARIABLE, "")
    return Device(
        processor=gpu or name_processor(),
        torch=importlib.metadata.version("torch"),
        python=platform.python_version(),
        family=" ".join((family, *(f"{name} {size}" for name, size in ladder.items()))),
        trainer=source.hexdigest()[:16],
        engine=asked if asked in _ENGINES else "",  # any other name is refused later and not stored
        precision=precision,
    )


def read_throughput(results: Path, device: Device) -> Throughput | None:
    """What was measured of `device`; None if nothing was, or it cannot be used.

    Args:
        results: The folder in which sweeps' results and .cache/ lie.
    """
    try:
        document = read_document(
            results, f".cache/throughput/{key_device(device)}.json", limit=_LIMIT_BYTES
        )
        body, _ = open_document(document)
        points = tuple(build_value(StepTime, one, "point") for one in body["points"])
        return Throughput(
            device=str(body["device"]), measured_at=str(body["measured_at"]), points=points
        )
    except (OSError, IntegrityError, KeyError, TypeError):
        return None


def write_throughput(results: Path, device: Device, throughput: Throughput) -> None:
    """Keep what was measured.

    Raises:
        EnvironmentFault: The disk is full or read-only.
    """
    path = results / ".cache" / "throughput" / f"{key_device(device)}.json"
    with blaming_machine(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    body = dataclasses.asdict(throughput)
    write_durably(path, seal_document(body | {"of": dataclasses.asdict(device)}))


def join_points(old: Throughput | None, new: Throughput) -> Throughput:
    """The new measurement, with what only the old one knows."""
    fresh = {point.configuration for point in new.points}
    kept = [point for point in (old.points if old else ()) if point.configuration not in fresh]
    return dataclasses.replace(new, points=(*kept, *new.points))


def key_device(device: Device) -> str:
    """Name of what is kept for a device."""
    return hashlib.sha256(canonical_json(dataclasses.asdict(device))).hexdigest()[:16]


def name_processor() -> str:
    """Model name of this machine's processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()
