"""The families there are, by name: adding one is its file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.laws.chinchilla import CHINCHILLA, NO_FLOOR, TIED
from scaling.laws.compute import COMPUTE
from scaling.laws.data_constrained import DATA_CONSTRAINED
from scaling.laws.family import LawFamily
from scaling.laws.farseer import FARSEER
from scaling.laws.kaplan import KAPLAN

FAMILIES: Mapping[str, LawFamily] = {
    family.name: family
    for family in (CHINCHILLA, TIED, NO_FLOOR, KAPLAN, COMPUTE, DATA_CONSTRAINED, FARSEER)
}
