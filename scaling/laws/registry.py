"""The families there are, by name: adding one is its file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.laws.chinchilla import CHINCHILLA
from scaling.laws.family import LawFamily

FAMILIES: Mapping[str, LawFamily] = {CHINCHILLA.name: CHINCHILLA}
