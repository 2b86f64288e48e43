"""The families of models there are, by name: adding one is its file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from scaling.errors import IntegrityError
from scaling.files.sealed import build_value
from scaling.sweep.families import ModelFamily, ShapeWords
from scaling.sweep.families.listed import LISTED
from scaling.sweep.families.recurrent import LSTM, RNN
from scaling.sweep.families.transformer import TRANSFORMER
from scaling.sweep.shapes import ModelShape

# Families that the built-in trainer builds; `model.family` of a sweep file names one.
_BUILT: tuple[ModelFamily[Any], ...] = (TRANSFORMER, LSTM, RNN)
MODEL_FAMILIES: dict[str, ModelFamily[Any]] = {family.name: family for family in _BUILT}


def find_family(name: object) -> ModelFamily[Any]:
    """The family of that name, or that of models which a sweep file lists.

    Raises:
        KeyError: It is not known here.
    """
    return LISTED if name == LISTED.name else MODEL_FAMILIES[str(name)]


def family_of(shape: ModelShape) -> ModelFamily[Any]:
    """The family of a shape."""
    return find_family(shape.family)


def describe_shape(shape: ModelShape) -> ShapeWords:
    """A model in words, as its family has them."""
    return family_of(shape).words(shape)


def list_settings(shape: ModelShape) -> dict[str, int]:
    """What the ladder of a shape follows from, beside vocabulary, context and a depth that a sweep
    file fixed: no model tells whether one did."""
    names = (name for name in family_of(shape).settings if name != "layers")
    return {name: getattr(shape, name) for name in names}


def read_shape(value: object, where: str) -> ModelShape:
    """The shape in a JSON object, of the class that its family says.

    Raises:
        IntegrityError: It is of no family that is known here, or not one of its shapes.
    """
    name = value.get("family") if isinstance(value, Mapping) else None
    try:
        family = find_family(name)
    except KeyError as error:
        known = ", ".join(MODEL_FAMILIES)
        raise IntegrityError(f"{where} is of family {str(name)[:40]!r}; known: {known}") from error
    shape: ModelShape = build_value(family.shape, value, where)
    return shape


def read_shapes(value: object, where: str) -> tuple[ModelShape, ...]:
    """The shapes in a JSON list.

    Raises:
        IntegrityError: One of them is none.
    """
    if not isinstance(value, list):
        raise IntegrityError(f"{where} is no list of models")
    return tuple(read_shape(one, f"{where}.{at}") for at, one in enumerate(value))


# The shape of any family, as a field of a dataclass read from JSON (`build_value`).
AnyShape = Annotated[ModelShape, read_shape]
AnyShapes = Annotated[tuple[ModelShape, ...], read_shapes]
