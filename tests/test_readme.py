"""The README's keys, files, links and numbers agree with the repository."""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Any, get_args, get_origin

from commands import REPOSITORY, start
from pydantic import BaseModel
from test_docs import assert_same_but_for_rounding

from scaling.sweep import grids, spec
from tools.key_page import show_default

README = (REPOSITORY / "README.md").read_text()
KEYS = (REPOSITORY / "docs" / "sweep-file.md").read_text()
GRIDS = grids.GRIDS


def list_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(key, default, meaning) of every key a sweep file may hold."""
    for name, field in model.model_fields.items():
        if name == "grid":
            seen = set()
            for grid in GRIDS:
                rows = [row for row in list_keys(grid, "grid.") if row[0] not in seen]
                seen |= {row[0] for row in rows}
                yield from rows
        elif (section := find_section(field.annotation)) is not None:
            yield from list_keys(section, f"{prefix}{name}.")
        else:
            key = f"{prefix}{field.alias or name}"
            default = "required" if field.is_required() else show_default(key, field.default)
            yield key, default, field.description or ""


def find_section(annotation: Any) -> type[BaseModel] | None:
    """The model behind a key that is a section, optional or not."""
    kinds = get_args(annotation) if get_origin(annotation) is UnionType else (annotation,)
    sections = [one for one in kinds if isinstance(one, type) and issubclass(one, BaseModel)]
    return sections[0] if sections else None


def test_every_key_of_a_sweep_file_is_documented() -> None:
    assert "](docs/sweep-file.md)" in README
    rows = {f"| `{key}` | {default} | {text} |" for key, default, text in list_keys(spec.SweepSpec)}
    written = [line for line in KEYS.splitlines() if line.startswith("| `")]
    assert {"|".join(line.split("|")[:4]) + "|" for line in written} == rows


def test_the_readme_has_at_most_120_lines() -> None:
    assert len(README.splitlines()) <= 120


def test_the_answer_shown_is_that_of_the_reference() -> None:
    words = re.search(r"^\$ scaling (fit results/reference.*)$", README, flags=re.M)
    assert words is not None
    shown = README[words.end() + 1 :].split("```")[0].split("$ scaling")[0].strip()
    done = start(*words[1].split(), cwd=REPOSITORY)
    assert done.code == 0, done.errors
    assert_same_but_for_rounding(done.out.strip(), shown, rel=0.01)
