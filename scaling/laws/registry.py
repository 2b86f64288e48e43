"""Registry of the families by name; a new family needs its file and one line here."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from scaling.errors import UsageError
from scaling.laws.chinchilla import CHINCHILLA, NO_FLOOR, TIED, hold_floor
from scaling.laws.compute import COMPUTE
from scaling.laws.coupled import COUPLED
from scaling.laws.data_constrained import DATA_CONSTRAINED
from scaling.laws.droppo import DROPPO
from scaling.laws.ensemble import ALIAS, ENSEMBLE
from scaling.laws.family import Law, LawFamily
from scaling.laws.farseer import FARSEER
from scaling.laws.kaplan import KAPLAN
from scaling.laws.over_training import OVER_TRAINING
from scaling.units import FloatArray
from scaling.units.losses import LossScale

FAMILIES: dict[str, LawFamily] = {
    family.name: family
    for family in (
        CHINCHILLA,
        TIED,
        OVER_TRAINING,
        NO_FLOOR,
        KAPLAN,
        DROPPO,
        COUPLED,
        FARSEER,
        COMPUTE,
        DATA_CONSTRAINED,
    )
}

_HELD = "floor:"


def find_family(name: str) -> LawFamily:
    """The family of that name; `floor:1.69` is Chinchilla's with E held at 1.69 nats/token.

    Raises:
        UsageError: No family has that name.
    """
    if name in FAMILIES:
        return FAMILIES[name]
    if name.startswith(_HELD):
        try:
            floor = float(name.removeprefix(_HELD)) if name.isascii() else math.nan
        except ValueError:
            floor = math.nan
        if math.isfinite(floor) and floor >= 0.0:
            return hold_floor(floor)
        raise UsageError(f"family {name!r}: E must be a number of nats/token, e.g. floor:1.69.")
    import difflib  # only a name that is unknown needs it

    close = difflib.get_close_matches(name, FAMILIES, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise UsageError(f"family {name!r} is unknown; there are {name_families()} and ensemble.{hint}")


def find_law(name: str) -> Law:
    """The law of a stored fit: a family, or the ensemble of several.

    Raises:
        UsageError: No law has that name.
    """
    return ENSEMBLE if name in (ENSEMBLE.name, ALIAS) else find_family(name)


def name_families() -> str:
    """Every name that `find_family` knows, separated by commas."""
    return ", ".join((*FAMILIES, f"{_HELD}VALUE"))


def list_scored() -> tuple[str, ...]:
    """The laws that a backtest scores by default."""
    return tuple(name for name, family in FAMILIES.items() if family.scored)


def read_law(name: str, letters: Mapping[str, float]) -> tuple[Law, FloatArray]:
    """The law of a stored fit, and its coefficients in the law's order, shape (p,)."""
    law = find_law(name)
    return law, np.array([letters[letter] for letter in law.param_names])


def rescale_name(name: str, scale: LossScale, *, into_nats: bool = False) -> str:
    """Convert the name of a law to a unit of losses: only `floor:1.69` contains a loss, its E.

    Args:
        name: The name as a user or a fit writes it; an unknown name is kept, to be refused later.
        scale: The unit.
        into_nats: Convert from the unit into nats instead of from nats into the unit.
    """
    if not name.startswith(_HELD):
        return name
    try:
        floor = float(name.removeprefix(_HELD) if name.isascii() else "")
    except ValueError:
        return name
    if into_nats:
        return f"{_HELD}{scale.from_(floor)!r}"  # all digits, so that it round-trips
    return f"{_HELD}{scale.to(floor):.12g}"
