"""The table of laws in docs/science.md, written from the registry.

python -m tools.laws_table
"""

from __future__ import annotations

import sys

from scaling.laws.registry import FAMILIES
from scaling.words.letters import spell_letter

STAR = r"\*"


def write_laws_table() -> str:
    """Write one row per law: its name on the command line, its formula, its origin."""
    rows = [
        f"| `{name}` | {_write(family.equation, '·')} | {_write(family.words.origin, STAR)} |"
        for name, family in FAMILIES.items()
    ]
    return "\n".join(("| `--family` | L(N, D) | source |", "|---|---|---|", *rows)) + "\n"


def _write(text: str, star: str) -> str:
    """Write Greek letters, and no star that Markdown would take for emphasis."""
    return spell_letter(text).replace("*", star)


if __name__ == "__main__":
    sys.stdout.write(write_laws_table())
