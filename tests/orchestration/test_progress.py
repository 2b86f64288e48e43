"""Claims about progress: plain lines without a terminal, and no control characters."""

import errno
import io
import re
import time

import pytest

from scaling.orchestration.progress import (
    LiveProgress,
    Meter,
    PlainProgress,
    Snapshot,
    open_progress,
)
from scaling.units import clean_line


def make_snapshot(tokens: float = 0.0, flops: float = 0.0) -> Snapshot:
    return Snapshot(
        total=24,
        finished=12,
        running=2,
        diverged=0,
        failed=1,
        tokens=tokens,
        flops=flops,
        flops_left=1e9 - flops,
    )


def test_rates_and_time_left_follow_from_flops(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    meter = Meter()
    meter.add(make_snapshot())
    meter.add(make_snapshot(tokens=5e5, flops=1e8))  # a tenth in ten seconds
    assert meter.describe() == (
        "12 of 24 runs · 2 running · 1 failed · 50k tokens/s · 1 min 30 s left"
    )


def test_a_stall_is_not_shown_as_a_rate() -> None:
    meter = Meter()
    assert meter.describe() == ""
    meter.add(make_snapshot())
    meter.add(make_snapshot())
    assert meter.describe() == "12 of 24 runs · 2 running · 1 failed"


def test_plain_lines_come_every_ten_seconds_and_events_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = open_progress(stream)
    assert isinstance(progress, PlainProgress)
    for second in range(25):
        now[0] = float(second)
        progress.show(make_snapshot())
    progress.say("done")
    assert len(stream.getvalue().splitlines()) == 3


def test_escapes_in_a_message_do_not_reach_the_terminal() -> None:
    hostile = "loss\x1b]0;owned\x07 [red]x[/red] [/] \x9b31m\r\nnext"
    streams = io.StringIO(), io.StringIO()
    live = LiveProgress(streams[0])
    live.say(hostile)
    live.show(make_snapshot())
    live.close()
    PlainProgress(streams[1]).say(hostile)
    for stream in streams:
        assert not re.search(r"[\x1b\x07\x9b\r]", stream.getvalue())
        assert "[red]x[/red] [/]" in stream.getvalue()
    assert clean_line("a\nb") == "a b"


@pytest.mark.parametrize("make", [PlainProgress, LiveProgress])
def test_a_closed_terminal_does_not_stop_the_sweep(
    make: type[PlainProgress | LiveProgress],
) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.EIO, "Input/output error")

    progress = make(Closed())
    progress.say("a line")
    progress.show(make_snapshot())
    progress.close()
