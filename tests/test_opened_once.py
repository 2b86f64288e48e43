"""A command reads every file of a results folder once, and parses and plans its sweep once."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import CODE, tell

from scaling.ledger.commit import Ledger
from scaling.sweep import reading
from scaling.workflow import stored

FEW = ("--bootstrap", "20")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(CODE, tmp_path / "code", ignore=shutil.ignore_patterns("fits"))


class Counting:
    """How often a command reads a folder's files, and parses and plans its sweep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: Counter[str] = Counter()
        self.called: Counter[str] = Counter()
        self._patch = monkeypatch
        self._count_call(Ledger, "read_results")
        self._count_call(Ledger, "read_sweep")
        self._count_call(reading, "parse_sweep")
        self._count_call(stored, "plan_sweep")
        self._count_call(stored, "tabulate")
        self._count_reads()

    def _count_call(self, home: Any, name: str) -> None:
        plain: Callable[..., Any] = getattr(home, name)

        def counted(*args: Any, **more: Any) -> Any:
            self.called[name] += 1
            return plain(*args, **more)

        self._patch.setattr(home, name, counted)

    def _count_reads(self) -> None:
        from scaling.files import durable

        plain = durable._open_plain

        def counted(root: Path, path: str, **more: Any) -> Any:
            self.read[path] += 1
            return plain(root, path, **more)

        self._patch.setattr(durable, "_open_plain", counted)


def results_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("runs/*/result.json")}


@pytest.mark.parametrize(
    ("words", "tables"),
    [
        (("allocate", "--flops", "1e12", *FEW), 1),
        (("predict", "--params", "1e5", "--tokens", "4e6", *FEW), 1),
        (("fit", *FEW), 1),
        (("status",), 0),
        (("report", "--format", "md"), 3),  # once for each way to count N
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_a_folder_is_opened_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], tables: int
) -> None:
    more = ("--root", str(folder.parent)) if words[0] == "report" else ()
    count = Counting(monkeypatch)
    tell(*words, str(folder), *more)
    assert count.called["parse_sweep"] == count.called["plan_sweep"] == 1
    assert count.called["read_results"] == count.called["read_sweep"] == 1
    assert count.called["tabulate"] == tables
    assert {path: count.read[path] for path in results_of(folder)} == dict.fromkeys(
        results_of(folder), 1
    )
    assert count.read["sweep.yaml"] == count.read["sweep.json"] == 1


def test_a_known_fit_is_found_without_parsing_or_planning(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell("allocate", str(folder), "--flops", "1e12", *FEW)
    count = Counting(monkeypatch)
    tell("allocate", str(folder), "--flops", "1e12", *FEW)
    assert count.called == {"read_results": 1, "read_sweep": 1}
    assert all(count.read[path] == 1 for path in results_of(folder))


def test_reading_a_folder_twice_is_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counters notice a second opening, as the claims above require."""
    count = Counting(monkeypatch)
    stored.open_results(folder)
    stored.open_results(folder)
    assert count.called["parse_sweep"] == count.called["read_results"] == 2
    assert set(count.read.values()) == {2}
