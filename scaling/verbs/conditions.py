"""Options of `allocate` for questions in the user's own terms, and their conversion."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.errors import QueryError
from scaling.units import format_flops
from scaling.units.numbers import NumberError, read_number
from scaling.verbs.completing import complete_device
from scaling.verbs.options import FLOPS, PARAMS, TOKENS, Amount, Real, join_options

if TYPE_CHECKING:
    from scaling.allocation import Hardware, Question

# No model fits in fewer bytes; someone who writes 80 means gigabytes.
_FEWEST_BYTES = 1e4
_HARDWARE = ("device", "peak_flops", "devices", "days", "mfu", "dollars", "price_per_hour")
_CONDITIONS = (
    "params", "tokens", "tokens_per_param", "target_loss", "inference_tokens", "unique_tokens",
)  # fmt: skip


_OPTIONS: tuple[tuple[str, Any, str], ...] = (
    ("--dollars", Amount(), "Money for training; with --price-per-hour and --device."),
    ("--price-per-hour", Real(), "Price of one device [dollars/hour]."),
    (
        "--device",
        str,
        "What trains: a100, h100, tpu-v5p, ...; or measured: what trained this folder.",
    ),
    ("--peak-flops", FLOPS, "Peak FLOP/s of one device, in place of --device."),
    ("--devices", Real(), "How many; with --days a deadline."),
    ("--days", Real(), "Until training has to end."),
    ("--mfu", Real(), "Share of the device's peak that training reaches, e.g. 0.4."),
    ("--params", PARAMS, "N is given, as the fit counts it."),
    ("--tokens", TOKENS, "D is given."),
    ("--tokens-per-param", Real(), "D / N is given."),
    ("--target-loss", Real(), "Loss to reach at the least cost, in --loss-unit."),
    ("--inference-tokens", TOKENS, "Tokens the model will process when served."),
    ("--unique-tokens", TOKENS, "Different tokens there are to train on."),
    ("--serving-memory", str, "Memory for the served weights: 8e10, 80GB, 80GiB."),
    ("--bytes-per-param", Real(), "Bytes of a served parameter.  [default: 2, BF16]"),
)
_ALIASES = {"--unique-tokens": ("--unique",)}  # its name in `predict`
_COMPLETE = {"--device": complete_device}
# Budgets in other terms, and conditions on the model.
condition_options = join_options(
    *(
        click.option(
            name,
            *_ALIASES.get(name, ()),
            type=kind,
            help=text,
            shell_complete=_COMPLETE.get(name),
        )
        for name, kind, text in _OPTIONS
    )
)
CONDITION_NAMES = tuple(name.removeprefix("--").replace("-", "_") for name, _, _ in _OPTIONS)


def make_questions(
    source: Path, flops: tuple[float, ...], said: dict[str, Any]
) -> tuple[Question, ...]:
    """Make a question for each budget, under the same conditions; one question without FLOPs.

    Raises:
        QueryError: An option lacks another that it needs, or is not a valid number.
    """
    from scaling.allocation import Question

    asked = {name: said[name] for name in _CONDITIONS}
    if said["serving_memory"] is not None:
        asked["serving_memory"] = _read_bytes(said["serving_memory"])
    if said["bytes_per_param"] is not None:
        if said["serving_memory"] is None and said["inference_tokens"] is None:
            raise QueryError("--bytes-per-param is about serving: add --serving-memory.")
        asked["bytes_per_param"] = said["bytes_per_param"]
    hardware = _make_hardware(source, said)
    budgets: tuple[float | None, ...] = flops or (None,)
    return tuple(Question(flops=one, hardware=hardware, **asked) for one in budgets)


def _read_bytes(text: str) -> float:
    """Read 8e10, 80GB or 80GiB as a number of bytes."""
    try:
        number = read_number(text, of="bytes")
    except NumberError:
        number = math.nan
    if math.isnan(number) and text.strip().lower() != "nan":
        raise QueryError(
            f"--serving-memory {text!r} is no amount of memory; write 8e10, 80GB or 80GiB."
        )
    if 0.0 < number < _FEWEST_BYTES and text.strip()[-1:].isdigit():
        raise QueryError(
            f"--serving-memory {text} is {number:g} bytes, too few for a model; add the unit, as "
            f"in {number:g}GB."
        )
    return number


def _make_hardware(source: Path, said: dict[str, Any]) -> Hardware | None:
    from scaling.allocation import find_device

    given = [f"--{name.replace('_', '-')}" for name in _HARDWARE if said[name] is not None]
    if not given:
        return None
    if said["peak_flops"] is not None:
        return _make_stated(said)
    if said["device"] is None:
        raise QueryError(
            f"{', '.join(given)}: say on which --device (h100, a100, ..., or measured: the machine "
            "that trained a results folder), or of which --peak-flops."
        )
    mfu = said["mfu"]
    if said["device"].strip().casefold() == "measured":
        if mfu is not None:
            raise QueryError("--device measured knows its speed; leave --mfu out.")
        name, speed = _measure(source)
    else:
        device = find_device(said["device"])
        if mfu is None:
            raise QueryError(
                f"--device {device.name} does {format_flops(device.peak_flops)} FLOP/s at its "
                "peak, which training does not reach: say which share with --mfu (Llama 3 405B: "
                "0.38 to 0.43 on H100; arXiv:2407.21783)."
            )
        if not 0.0 < mfu <= 1.0:
            raise QueryError(f"--mfu is {mfu:g}; it is a share of the peak, above 0, at most 1.")
        name, speed = f"{device.name} at {mfu:.3g} of its peak", mfu * device.peak_flops
    return _make_count(name, speed, said)


def _make_stated(said: dict[str, Any]) -> Hardware:
    """Make hardware from a stated peak instead of a name."""
    peak, mfu = said["peak_flops"], said["mfu"]
    if said["device"] is not None:
        raise QueryError(
            "--device and --peak-flops both give the speed of a device; leave one out."
        )
    if not (math.isfinite(peak) and peak > 0):
        raise QueryError(f"--peak-flops is {peak:g}; say the FLOP/s of one device, as in 9.9e14.")
    if mfu is None or not 0.0 < mfu <= 1.0:
        raise QueryError(
            "--peak-flops is not reached in training: say which share with --mfu, above 0, at "
            "most 1 (Llama 3 405B: 0.38 to 0.43 on H100; arXiv:2407.21783)."
        )
    return _make_count(f"{format_flops(peak)} FLOP/s at {mfu:.3g} of it", mfu * peak, said)


def _make_count(name: str, speed: float, said: dict[str, Any]) -> Hardware:
    from scaling.allocation import Hardware

    same = {key: said[key] for key in ("days", "price_per_hour", "dollars")}
    return Hardware(name=name, flops_per_second=speed, count=said["devices"], **same)


def _measure(source: Path) -> tuple[str, float]:
    from scaling.ledger.commit import Ledger
    from scaling.ledger.speed import measure_speed, name_machine

    if not source.is_dir():
        raise QueryError(
            f"{source} is a table and has measured no machine; name a --device and its --mfu."
        )
    ledger = Ledger.open(source)
    return name_machine(ledger), measure_speed(ledger)
