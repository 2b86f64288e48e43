"""Exit codes that are answers, not errors (those are in errors.py)."""

from __future__ import annotations

SOME_RUNS_FAILED = 3
NO_USABLE_FIT = 4
DAMAGED = 7
SIGNAL_BASE = 128
