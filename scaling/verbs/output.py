"""What a verb writes: JSON for machines."""

from __future__ import annotations

import json
from typing import Any


def dump_json(value: Any) -> str:
    """JSON as every verb writes it; never NaN or Infinity."""
    return json.dumps(value, indent=2, allow_nan=False)
