"""The suite gives the same verdict wherever it is started."""

import signal
import subprocess
import sys
from pathlib import Path

ASKED = ("SIGINT", "SIGTERM", "SIGHUP")


def test_children_of_the_suite_ignore_no_signal_that_it_sends() -> None:
    code = f"import signal; print(*(signal.getsignal(getattr(signal, s)) for s in {ASKED!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "SIG_IGN" not in done.stdout
    assert "default_int_handler" in done.stdout


def test_a_suite_started_with_signals_ignored_restores_them() -> None:
    def ignore() -> None:
        for name in ASKED:
            signal.signal(getattr(signal, name), signal.SIG_IGN)

    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-k", "children", __file__]
    done = subprocess.run(
        words, capture_output=True, text=True, preexec_fn=ignore, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
