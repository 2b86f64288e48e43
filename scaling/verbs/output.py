"""Output of a verb for machines: JSON."""

from __future__ import annotations

import json
from typing import Any


def dump_json(value: Any) -> str:
    """Write JSON as every verb does, without NaN or Infinity."""
    return json.dumps(value, indent=2, allow_nan=False)
