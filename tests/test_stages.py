"""A long stage is named once after a second: only the innermost one, and never on stdout."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import tell

from scaling.units import stages
from scaling.units.stages import show_stages, stage

_LONG = 60.0  # [s] longer than any stage of these tests


class Told:
    """The lines shown, with a way to wait for the next one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = threading.Semaphore(0)

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._more.release()

    def wait(self) -> None:
        assert self._more.acquire(timeout=30.0)


@pytest.fixture
def told() -> Iterator[Told]:
    yield Told()
    show_stages(None)


def test_a_long_stage_is_named_once(told: Told) -> None:
    show_stages(told, after=0.0)
    with stage("reading"):
        told.wait()
    with stage("reading"), stage("fitting"):
        told.wait()
    assert told.lines == ["reading …", "fitting …"]


def test_the_share_done_is_printed_every_ten_seconds(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    show_stages(told, after=0.0)
    with stage("tokenizing") as note:
        told.wait()
        for second in range(0, 25, 5):
            now[0] = float(second)
            note(second / 25)
    assert told.lines == ["tokenizing …", "tokenizing: 40%", "tokenizing: 80%"]


def list_waiting() -> list[str]:
    """Stages that will be named unless they end before."""
    timers = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    return [str(one.args[0]) for one in timers if not one.finished.is_set()]


def test_a_short_stage_is_not_named(told: Told) -> None:
    show_stages(told, after=_LONG)
    with stage("reading"):
        assert list_waiting() == ["reading"]
    assert (list_waiting(), told.lines) == ([], [])


def test_the_outer_stage_waits_for_the_inner(told: Told) -> None:
    show_stages(told, after=_LONG)
    with stage("outer"):
        with stage("inner"):
            assert list_waiting() == ["inner"]
        assert list_waiting() == ["outer"]


def test_a_stage_ends_with_its_error(told: Told) -> None:
    show_stages(told, after=_LONG)
    with pytest.raises(ValueError), stage("reading"):
        raise ValueError
    assert list_waiting() == []


def test_a_library_call_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with stage("reading"):
        assert list_waiting() == []
    assert capsys.readouterr() == ("", "")


class Record:
    """Records every stage that is entered."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def enter(self, what: str) -> None:
        self.names.append(what)

    def leave(self) -> None:
        """Nothing."""

    def note(self, share: float) -> None:
        """Nothing."""


SWEEP = """\
name: named
corpus: {source: text, paths: [text], tokenizer: characters}
model: {seq_len: 16, head_size: 8}
grid: {params: [400], tokens: [30e3]}
recipe: {batch_sequences: 8}
"""


def test_every_step_before_the_first_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text").mkdir()
    for at in range(64):
        (tmp_path / "text" / f"{at}.txt").write_text(f"{at} some words of a text\n" * 40)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    record = Record()
    monkeypatch.setattr(stages, "_watch", record)
    assert json.loads(tell("plan", "sweep.yaml", "--json", cwd=tmp_path))["cells"]
    expected = ("planning", "preparing corpus text: reading", "training the tokenizer characters")
    expected += ("tokenizing", "writing shards", "measuring the throughput")
    for words in expected:
        assert any(words in name for name in record.names), (words, record.names)
