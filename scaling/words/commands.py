"""Commands as a person would type them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def quote_command(words: Sequence[str]) -> str:
    """Quote words as a command line that can be pasted into a shell."""
    return " ".join(shlex.quote(word) for word in words)
