"""The probes that a sweep file asks for, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from scaling.errors import SpecError
from scaling.sweep.fields import refuse
from scaling.sweep.probe_demands import Ground, list_unmet
from scaling.sweep.probes import PROBES, AskedProbe


def read_asked(value: Any) -> AskedProbe:
    """Read `tail_loss`, or `{tail_loss: {share: 0.5}}`, as written in a sweep file."""
    if isinstance(value, AskedProbe):
        return value
    given: Any = {value: None} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or len(given) != 1:
        refuse("write a probe's name, or {name: {option: value}}.")
    ((name, options),) = given.items()
    probe = PROBES.get(str(name))
    if probe is None:
        refuse(f"there is no probe {str(name)[:40]!r}. {_advise(str(name), PROBES)}")
    if not isinstance(options, Mapping | None):
        refuse(f"the options of {name} are a mapping, {{option: value}}.", name)
    for key, one in (options or {}).items():
        if key not in probe.options:
            advice = _advise(str(key), probe.options)
            refuse(f"{name} has no option {str(key)[:40]!r}. {advice}", name, key)
        default = probe.options[key]
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if isinstance(one, bool) if number else type(one) is not type(default):
            refuse(f"expected a value such as {default!r}, got {str(one)[:40]!r}.", name, key)
        if number and not isinstance(one, int | float):
            refuse(f"expected a number such as {default!r}, got {str(one)[:40]!r}.", name, key)
    changed = {key: one for key, one in (options or {}).items() if one != probe.options[key]}
    return AskedProbe(probe, changed)


def check_demands(asked: Sequence[AskedProbe], ground: Ground) -> None:
    """Refuse probes that cannot be measured in a sweep.

    Raises:
        SpecError: There are such probes; the message names them all.
    """
    unmet = [(one.probe.name, list_unmet(one.probe.demands, one.options, ground)) for one in asked]
    if problems := [f"{name}: {why}" for name, why in unmet if why]:
        raise SpecError(problems)


def _advise(name: str, known: Mapping[str, Any]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known) or 'none'}."


_SCHEMA = {"anyOf": [{"enum": sorted(PROBES)}, {"type": "object"}]}
Asked = Annotated[AskedProbe, PlainValidator(read_asked), WithJsonSchema(_SCHEMA)]
