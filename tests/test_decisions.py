"""Decisions are numbered, dated and short, and no text cites a document outside the repository."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = (REPOSITORY / "docs" / "decisions").glob("*.md")
DECISIONS = sorted(path for path in PAGES if path.name != "README.md")
HEADINGS = ["Context", "Decision", "Evidence", "Rejected"]
MOST_LINES = 25  # a decision fits one screen; longer results belong in docs/measurements


def test_decision_numbers_are_consecutive() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name[:4])
def test_a_decision_is_dated_short_and_has_the_four_headings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# {path.name[:4]}. ")
    assert len(re.findall(r"^Date: \d{4}-\d\d-\d\d$", text, flags=re.M)) == 1
    assert re.findall(r"^\*\*(\w+)\.\*\* \S", text, flags=re.M) == HEADINGS
    assert len(text.splitlines()) <= MOST_LINES


def test_no_text_names_a_document_outside_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    here = {Path(name).name for name in listed}
    for name in listed:
        named = re.findall(
            r"\b[A-Z]{4,}\.md\b|(?<=decisions/)\d{4}-[\w-]+\.md|(?<=measurements/)[\w-]+\.md",
            (REPOSITORY / name).read_text(encoding="utf-8"),
        )
        assert set(named) <= here, name
