"""What a page holds beside words: scripts known by their digest, data, a file; nothing of it can
end the block it stands in.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from markupsafe import Markup

from scaling.words.plain import ABSENT, replace_unprintable


@dataclass(frozen=True, slots=True)
class Script:
    """A script of the page and the digest by which its policy knows it."""

    text: Markup
    digest: str


def embed_script(name: str) -> Script:
    """A file of this package as a script."""
    text = resources.files("scaling.report").joinpath(name).read_text(encoding="utf-8")
    assert "</script" not in text.lower()  # it would end the script element
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), digest)


def embed_json(value: Any) -> Markup:
    """JSON for a script block: nothing in it can end the block or begin a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text))


def embed_csv(text: str) -> Markup:
    """Address of a file that the page itself holds."""
    return Markup("data:text/csv;base64," + base64.b64encode(text.encode("utf-8")).decode())


def make_printable(value: Any) -> Any:
    """What the template prints for a value."""
    if isinstance(value, Markup):
        return value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ABSENT
    return replace_unprintable(str(value))


def write_variables(variables: Mapping[str, str]) -> Markup:
    """CSS variables as declarations."""
    return Markup(" ".join(f"{name}: {color};" for name, color in variables.items()))
