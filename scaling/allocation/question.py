"""Question: what is asked of a fit, in the user's terms; what is not asked is None.

Caps on training compute C, of which the tightest binds:

    flops                      C ≤ flops
    money                      C ≤ dollars / price_per_hour · 3600 · FLOP/s of one device
    deadline                   C ≤ count · days · 86 400 · FLOP/s of one device

Conditions on the model: N = params, D = tokens, D / N = tokens_per_param, L(N, D) = target_loss,
N · bytes_per_param ≤ serving_memory. Circumstances: unique_tokens (more tokens than that repeat),
inference_tokens (how many the model will serve; solving.py says what is minimised then).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from scaling.errors import QueryError
from scaling.units import format_flops
from scaling.units.losses import NATS, LossScale

CapName = Literal["flops", "money", "deadline"]

SECONDS_PER_HOUR = 3600.0
HOURS_PER_DAY = 24.0
# A model served in BF16.
BYTES_PER_PARAM = 2.0
# Every realistic input lies within; products and cubes of such values do not overflow.
_SANE = (1e-15, 1e45)
_NAMES = {"flops": "The budget [FLOPs]", "count": "The number of devices"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The devices that train: their speed, number, price and deadline.

    Attributes:
        name: The device's name, for messages.
        flops_per_second: Speed of one device in training [FLOP/s]: its peak times MFU, or a
            measured speed.
        count: Number of devices; with `days` a deadline.
        days: Days until training has to end.
        price_per_hour: Price of one device [dollars/hour].
        dollars: Money for training; with `price_per_hour` a cap on C.

    Raises:
        QueryError: A number is not positive and finite, or `days` lacks `count`, or `dollars` lacks
            `price_per_hour`.
    """

    name: str
    flops_per_second: float
    count: float | None = None
    days: float | None = None
    price_per_hour: float | None = None
    dollars: float | None = None

    def __post_init__(self) -> None:
        _verify_positive(self)
        if self.days is not None and self.count is None:
            raise QueryError("A deadline needs the number of devices: say count (--devices).")
        if self.dollars is not None and self.price_per_hour is None:
            raise QueryError(
                "An amount of money needs the price of one device: say price_per_hour "
                "(--price-per-hour)."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A limit on training compute [FLOPs], and the condition behind it."""

    name: CapName
    flops: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question to a fit; all conditions may be combined.

    Attributes:
        flops: Cap on training compute C [FLOPs].
        hardware: Money, devices and deadline, which cap C too.
        params: Given N, in the fit's convention.
        tokens: Given D.
        tokens_per_param: Given D / N.
        target_loss: Loss to reach [nats/token].
        inference_tokens: Tokens the model will process in service.
        unique_tokens: Distinct tokens available for training; a larger D repeats them.
        serving_memory: Memory for the weights of the served model [bytes].
        bytes_per_param: Memory of one parameter of the served model [bytes].

    Raises:
        QueryError: A number is not positive and finite.
    """

    flops: float | None = None
    hardware: Hardware | None = None
    params: float | None = None
    tokens: float | None = None
    tokens_per_param: float | None = None
    target_loss: float | None = None
    inference_tokens: float | None = None
    unique_tokens: float | None = None
    serving_memory: float | None = None
    bytes_per_param: float = BYTES_PER_PARAM

    def __post_init__(self) -> None:
        _verify_positive(self)

    @property
    def is_plain(self) -> bool:
        """True if it only caps training compute, which every approach can answer."""
        return self == Question(
            flops=self.flops, hardware=self.hardware, bytes_per_param=self.bytes_per_param
        )

    def list_caps(self) -> tuple[Cap, ...]:
        """Every limit on training compute, the tightest first.

        Raises:
            QueryError: A limit is beyond any sane range.
        """
        caps = []
        if self.flops is not None:
            caps.append(Cap(name="flops", flops=self.flops, words="as asked"))
        if self.hardware is not None:
            caps += _list_caps(self.hardware)
        for cap in caps:
            _verify_number(f"The budget [FLOPs] from {cap.name}", cap.flops)
        return tuple(sorted(caps, key=lambda cap: cap.flops))

    def to_contract(self, scale: LossScale = NATS) -> dict[str, Any]:
        """Return the conditions that were set, as JSON."""
        asked = {name: value for name, value in dataclasses.asdict(self).items() if value}
        if self.serving_memory is None:
            del asked["bytes_per_param"]
        if self.target_loss is not None:
            asked["target_loss"] = scale.to(self.target_loss)
        if self.hardware is not None:
            hardware = dataclasses.asdict(self.hardware)
            asked["hardware"] = {name: value for name, value in hardware.items() if value}
        return asked


def _list_caps(hardware: Hardware) -> list[Cap]:
    caps = []
    speed = hardware.flops_per_second
    if hardware.dollars is not None and hardware.price_per_hour is not None:
        hours = hardware.dollars / hardware.price_per_hour
        words = (
            f"${hardware.dollars:,.10g} at ${hardware.price_per_hour:g} an hour: {hours:.3g} hours "
            f"of one {hardware.name} at {format_flops(speed)} FLOP/s"
        )
        caps.append(Cap(name="money", flops=hours * SECONDS_PER_HOUR * speed, words=words))
    if hardware.days is not None and hardware.count is not None:
        hours = hardware.count * hardware.days * HOURS_PER_DAY
        words = (
            f"{hardware.count:g} × {hardware.name} for {hardware.days:g} days: {hours:.3g} hours "
            f"of one at {format_flops(speed)} FLOP/s"
        )
        caps.append(Cap(name="deadline", flops=hours * SECONDS_PER_HOUR * speed, words=words))
    return caps


def _verify_positive(asked: Question | Hardware) -> None:
    """Verify that every given number is positive, finite and within a sane range.

    Raises:
        QueryError: A number is not.
    """
    for field in dataclasses.fields(asked):
        value = getattr(asked, field.name)
        if isinstance(value, (int, float)):
            _verify_number(_NAMES.get(field.name, field.name), value)


def _verify_number(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise QueryError(f"{name} is {value:g}; ask for a positive, finite number.")
    if not _SANE[0] <= value <= _SANE[1]:
        raise QueryError(
            f"{name} is {value:g}, outside any sane range ({_SANE[0]:g} to {_SANE[1]:g})."
        )
