"""The exchange between a run and a user's own trainer: three files in the run's folder.

run.json        written for it: what to train            (docs/own-trainer.md has every key)
metrics.jsonl   it appends {"step", "tokens", "loss"}: heartbeat, and the curve
measured.json   it writes last: the measurement; without it there is no result
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import IntegrityError
from scaling.files.durable import read_plain
from scaling.ledger.results import TrainerFault
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.execution import Execution, OwnExecution
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import NamedModel

RUN_FILE, METRICS_FILE, MEASURED_FILE = "run.json", "metrics.jsonl", "measured.json"
WRITTEN_FILES = frozenset({RUN_FILE, METRICS_FILE, MEASURED_FILE})
PROTOCOL_VERSION = 1
_MEASURED_BYTES, _METRICS_BYTES = 2**20, 256 * 2**20
_PROBE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_KEYS = ("loss", "loss_se", "tokens", "params", "flops", "train_loss", "unit", "probes")
_REQUIRED, _COUNTED = ("loss", "tokens", "params"), ("tokens", "params")
_NUMBERS = ("loss", "loss_se", "tokens", "params", "flops", "train_loss")
_PROBE_KEYS = {"value", "standard_error", "unit", "higher_is_better", "bound"}
_IN_NATS: dict[str, Callable[[float], float]] = {
    "nats": float,
    "bits": lambda loss: loss * math.log(2.0),
    "ppl": math.log,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A trainer's measurement after its checks.

    Attributes:
        loss: Loss [nats/token]; None if it is not finite, so that the run diverged.
        loss_se, train_loss: Standard error and training loss [nats/token]; None if not stated.
        tokens: D that was trained on.
        flops: C [FLOPs]; None if not stated.
        probes: Probes as the trainer reported them.
    """

    loss: float | None
    loss_se: float | None
    train_loss: float | None
    tokens: int
    flops: int | None
    probes: Mapping[str, Mapping[str, Any]]


def describe_run(
    run: RunSpec, *, folder: Path, resume: Path | None, corpus: Path | None, execution: Execution
) -> dict[str, Any]:
    """The content of run.json."""
    shape, own = run.shape, execution.own or OwnExecution()
    if isinstance(shape, NamedModel):
        fields = {"model": shape.name, "settings": json.loads(shape.settings)}
    else:
        fields = {"model": shape.family, "settings": run.to_json()["shape"]}
    recipe = run.to_json()["recipe"] if run.has_recipe else None
    return {
        "schema_version": PROTOCOL_VERSION,
        "run_id": run.run_id,
        **fields,
        "params": count_matmul_params(run.shape),
        "tokens": run.tokens,
        "seed": run.seed,
        "budget": run.flops,
        "batch_sequences": recipe and recipe["batch_sequences"],
        "sequence_length": run.shape.seq_len if recipe else None,
        "learning_rate": recipe and recipe["learning_rate"],
        "recipe": recipe,
        "folder": str(folder),
        "resume_folder": None if resume is None else str(resume),
        "corpus": None if corpus is None else str(corpus),
        "gpus": execution.gpus or 0,
        "cpus": own.cpus,
        "nodes": own.nodes,
    }


def read_measured(folder: Path, run: RunSpec, how: OwnExecution, *, tail: str) -> Reported:
    """Read the measurement that the trainer of `run` left in measured.json.

    Raises:
        TrainerFault: The file is missing, malformed, or the measurement of another run.
    """
    try:
        given = json.loads(read_plain(folder, MEASURED_FILE, limit=_MEASURED_BYTES))
        _check_form(given)
        _check_run(given, run, how)
        return _convert(given, how)
    except FileNotFoundError:
        what = f"its trainer ended well (exit code 0) without writing {MEASURED_FILE}"
        raise TrainerFault(what, tail=tail) from None
    except _WrongError as error:
        raise TrainerFault(f"{MEASURED_FILE}: {error}", tail=tail) from None
    except (IntegrityError, ValueError, RecursionError, OSError) as error:
        what = f"{MEASURED_FILE} is not JSON ({str(error)[:100]})"
        raise TrainerFault(what, tail=tail) from error


class _WrongError(Exception):
    """A measurement is wrong; the message says how."""


def _check_form(given: object) -> None:
    if not isinstance(given, dict):
        raise _WrongError("is not an object")
    if unknown := sorted(str(key)[:40] for key in given.keys() - set(_KEYS)):
        raise _WrongError(f"the key {unknown[0]} is unknown; known: {', '.join(_KEYS)}")
    for key in _REQUIRED:
        if key not in given:
            raise _WrongError(f"{key} is missing")
    for key in _NUMBERS:
        value = given.get(key)
        if type(value) not in (int, float) and not (value is None and key not in _COUNTED):
            raise _WrongError(f"{key} is {str(value)[:40]!r}, which is no number")
    for key, least in (("flops", 1), ("loss_se", 0)):
        if given.get(key) is not None and not least <= given[key] < math.inf:
            raise _WrongError(f"{key} is {given[key]}")


def _check_run(given: Mapping[str, Any], run: RunSpec, how: OwnExecution) -> None:
    """Verify that loss, N and D belong to the run that was asked for."""
    unit, loss = given.get("unit", how.loss_unit), given["loss"]
    if unit != how.loss_unit:
        raise _WrongError(
            f"the loss is in {str(unit)[:40]}, and trainer.loss_unit is {how.loss_unit}"
        )
    params, tokens = count_matmul_params(run.shape), given["tokens"]
    if given["params"] != params:
        raise _WrongError(f"it trained {given['params']} parameters, asked for were {params}")
    if not abs(tokens / run.tokens - 1) <= how.tolerance:
        raise _WrongError(
            f"it trained on {tokens} tokens, asked for were {run.tokens} "
            f"(trainer.tolerance {how.tolerance:g})"
        )
    if loss is not None and math.isfinite(loss) and loss <= (1 if unit == "ppl" else 0):
        raise _WrongError(f"a loss of {loss} {unit} is none that a model can have")


def _convert(given: Mapping[str, Any], how: OwnExecution) -> Reported:
    loss, error, train = (_finite(given.get(key)) for key in ("loss", "loss_se", "train_loss"))
    slope = {"nats": 1.0, "bits": math.log(2.0), "ppl": 1.0 / (loss or 1.0)}[how.loss_unit]
    flops = given.get("flops")
    return Reported(
        loss=None if loss is None else _IN_NATS[how.loss_unit](loss),
        loss_se=None if loss is None or error is None else error * slope,
        train_loss=_IN_NATS[how.loss_unit](train) if train is not None and train > 0 else None,
        tokens=round(given["tokens"]),
        flops=None if flops is None else round(flops),
        probes=_read_probes(given.get("probes") or {}),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _read_probes(given: object) -> dict[str, dict[str, Any]]:
    if not isinstance(given, dict):
        raise _WrongError("probes is not an object")
    found = {}
    for name, value in given.items():
        one = value if isinstance(value, dict) else {"value": value}
        number = type(one.get("value")) in (int, float) and math.isfinite(one["value"])
        if not _PROBE.fullmatch(name) or not number or one.keys() - _PROBE_KEYS:
            form = '{"name": 0.8} or {"name": {"value": 0.8, "standard_error": 0.01, '
            form += '"unit": "", "higher_is_better": true, "bound": 1}}'
            raise _WrongError(f"probe {name[:40]!r} is not as {form}")
        found[name] = one
    return found


def read_rows(folder: Path, name: str = METRICS_FILE) -> list[dict[str, float]]:
    """Read the complete rows of a curve: step, tokens and loss, with growing steps."""
    try:
        lines = read_plain(folder, name, limit=_METRICS_BYTES).splitlines()
    except (OSError, IntegrityError):
        return []
    return join_rows([], filter(None, map(parse_row, lines)))


def parse_row(line: bytes) -> dict[str, float] | None:
    """Parse a line of metrics.jsonl; None if it is not a row of a curve."""
    try:
        row = json.loads(line)
        step, tokens, loss = row["step"], row["tokens"], row["loss"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = type(step) is int and type(tokens) in (int, float) and type(loss) in (int, float)
    if not whole or not 0 <= tokens < math.inf:
        return None
    return {"step": step, "tokens": int(tokens), "loss": float(loss)}


def join_rows(
    before: list[dict[str, float]], after: Iterable[dict[str, float]]
) -> list[dict[str, float]]:
    """Join a curve and its continuation: keep the earlier rows that precede the first later one."""
    rows = list(before)
    for at, row in enumerate(after):
        while at == 0 and rows and rows[-1]["step"] >= row["step"]:
            rows.pop()
        if not rows or row["step"] > rows[-1]["step"]:
            rows.append(row)
    return rows


def write_rows(rows: Iterable[dict[str, float]]) -> str:
    """Write rows as lines of JSON, without a loss that is not finite."""
    kept = ({k: v for k, v in row.items() if math.isfinite(v)} for row in rows)
    return "".join(json.dumps(row) + "\n" for row in kept)
