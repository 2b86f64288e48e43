"""Values of a sweep file: numbers as people write them, within the range that can be computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, PydanticKnownError, core_schema

from scaling.sweep.ladder import LARGEST_PARAMS
from scaling.units.numbers import NumberError, read_number

_Value = TypeVar("_Value", int, float, str)

LARGEST_BUDGET = 1e40  # for D and C: far beyond any training run, well within float64
REFUSED = "refused"  # the type of an error whose message is a whole sentence


def _read_amount(value: Any) -> Any:
    """Read `70M`, `10^21` or `1,000,000`; an ambiguous number is refused with both readings."""
    if not isinstance(value, str):
        return value
    try:
        return read_number(value)
    except NumberError as error:
        if "," in str(error):
            raise PydanticCustomError("number", "{why}.", {"why": str(error)}) from None
        return value


def read_count(value: Any) -> Any:
    """Read a count: `1e6` is one; `2.5` and `true` are not."""
    value = _read_amount(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    return value


Count = Annotated[int, BeforeValidator(read_count), Field(strict=True, ge=1, lt=2**63)]
Seed = Annotated[int, BeforeValidator(read_count), Field(strict=True, ge=0, lt=2**32)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Positive = Annotated[
    float,
    Field(strict=True, gt=0, lt=LARGEST_BUDGET, allow_inf_nan=False),
    BeforeValidator(_read_amount),
]
Params = Annotated[
    float,
    Field(strict=True, gt=0, le=LARGEST_PARAMS, allow_inf_nan=False),
    BeforeValidator(_read_amount),
]


def _read_bytes(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return read_number(value, of="bytes")
    except NumberError:
        raise PydanticCustomError(
            "bytes", "expected an amount of memory such as 60GB, got {text}.", {"text": repr(value)}
        ) from None


Bytes = Annotated[
    float,
    Field(strict=True, ge=1e6, lt=1e18, allow_inf_nan=False),
    BeforeValidator(_read_bytes),
]
Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]


def _share_or_whole(value: float) -> float:
    if value > 1 and not value.is_integer():
        refuse(f"expected a share of one GPU, or a whole number of them, got {value:g}.")
    return value


GpuShare = Annotated[
    float,
    Field(strict=True, gt=0, le=4096, allow_inf_nan=False),
    AfterValidator(_share_or_whole),
]
AskedPrecision = Annotated[
    Literal["auto", "float32", "mixed"],
    BeforeValidator(lambda value: "float32" if value == "fp32" else value),
    WithJsonSchema({"enum": ["auto", "float32", "fp32", "mixed"], "type": "string"}),
]


class OneOf:
    """Annotation of a text that must be a name in a registry, looked up when it is read."""

    def __init__(self, registry: Mapping[str, object]) -> None:
        self._registry = registry

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        names = list(self._registry)
        known = {"const": names[0]} if len(names) == 1 else {"enum": names}
        return {**known, "type": "string"}

    def _read(self, value: object) -> str:
        if isinstance(value, str) and value in self._registry:
            return value
        *names, last = map(repr, self._registry)
        expected = f"{', '.join(names)} or {last}" if names else last
        raise PydanticKnownError("literal_error", {"expected": expected})


class SpecModel(BaseModel):
    """A section of a sweep file: unknown keys are refused, values are strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def distinct(what: str) -> AfterValidator:
    """Annotation of a tuple that holds no value twice; `what` names its values in the message."""
    return AfterValidator(lambda values: refuse_doubles(values, what))


def refuse_doubles(values: tuple[_Value, ...], what: str) -> tuple[_Value, ...]:
    """Return the values, or refuse them if one is given twice; `what` names them in the message."""
    seen: set[_Value] = set()
    for value in values:
        if value in seen:
            refuse(f"the {what} {value} is given twice.")
        seen.add(value)
    return values


def refuse(why: str, *at: str | int) -> NoReturn:
    """Refuse a value with a whole sentence; `at` is the path of what is wrong, below the value."""
    raise PydanticCustomError(REFUSED, "{why}", {"why": why, "at": at})
