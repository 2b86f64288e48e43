"""Results as the contract's JSON: a result by its fields, a number that JSON lacks as null."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


def to_contract(value: Any) -> Any:
    """The JSON of a value: by its own `to_contract` if it has one, of another dataclass by its
    fields, which are then keys of the contract."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [to_contract(one) for one in value]
    if isinstance(value, Mapping):
        return {key: to_contract(one) for key, one in value.items()}
    if hasattr(value, "to_contract"):
        return value.to_contract()
    return write_fields(value) if dataclasses.is_dataclass(value) else value


def write_fields(result: Any, **keys: str) -> dict[str, Any]:
    """The fields of a dataclass as JSON, in their order, under their names or the `keys` given."""
    return {
        keys.get(field.name, field.name): to_contract(getattr(result, field.name))
        for field in dataclasses.fields(result)
    }
