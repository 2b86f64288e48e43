"""Every error of the system, foreseen or not, becomes one sentence and an exit code, and finished
work is kept."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import CODE, REPOSITORY
from test_security import SWEEP

from scaling.cli import cli
from scaling.verbs.exits import find_exit_code
from scaling.verbs.streams import LastingStream

ALLOCATE = ("allocate", str(CODE), "--flops", "1e11", "--no-bootstrap")


def run(*words: str, cwd: Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | more.pop("env", {})
    more.setdefault("stdout", subprocess.PIPE)
    more.setdefault("stderr", subprocess.PIPE)
    return subprocess.run(
        [sys.executable, "-m", "scaling", *words], cwd=cwd, env=environment, timeout=300, **more
    )


def write_sweep(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(SWEEP)
    numbers = (f"{number * number % 997:x}" for number in range(60_000))
    (folder / "words.txt").write_text(" ".join(numbers))


def close_stream(number: int) -> Callable[[], None]:
    return lambda: os.close(number)


def test_a_full_standard_output_is_reported_and_exits_5(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run(*ALLOCATE, cwd=tmp_path, stdout=full)
    assert done.returncode == 5
    assert done.stderr.decode().splitlines()[-1] == (
        "standard output: No space left on device; the answer is lost"
    )


@pytest.mark.parametrize("kind", ["full", "closed", "gone"])
def test_an_unwritable_standard_error_does_not_stop_a_command(tmp_path: Path, kind: str) -> None:
    if kind == "full":
        with open("/dev/full", "wb") as full:
            done = run(*ALLOCATE, cwd=tmp_path, stderr=full)
    elif kind == "closed":
        done = run(*ALLOCATE, cwd=tmp_path, stderr=None, preexec_fn=close_stream(2))
    else:
        reads, writes = os.pipe()
        os.close(reads)
        done = run(*ALLOCATE, cwd=tmp_path, stderr=writes)
        os.close(writes)
    assert done.returncode == 0
    assert b"N*" in done.stdout or b"params" in done.stdout


@pytest.mark.slow
def test_a_closed_stream_is_not_reused_for_the_next_file(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    done = run(
        "run", "tiny.yaml", "--executor", "inline", cwd=tmp_path, stderr=None, stdout=None,
        preexec_fn=lambda: (os.close(1), os.close(2)),
    )  # fmt: skip
    assert done.returncode in (0, 4)
    assert run("verify", "results/tiny", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_a_full_standard_output_does_not_stop_a_sweep(tmp_path: Path) -> None:
    """Only the answer is lost: both runs, the index and the page are there."""
    write_sweep(tmp_path)
    with open("/dev/full", "wb") as full:
        done = run("run", "tiny.yaml", "--executor", "inline", cwd=tmp_path, stdout=full)
    assert done.returncode == 5
    assert len(list(tmp_path.glob("results/tiny/runs/*/result.json"))) == 2
    assert (tmp_path / "reports" / "tiny" / "index.html").exists()


def test_characters_outside_the_encoding_are_escaped(tmp_path: Path) -> None:
    with open(tmp_path / "said", "wb") as raw:
        stream = LastingStream(raw, encoding="ascii", errors="backslashreplace")
        stream.write("N* \u221d C, in r\udcff\n")
        stream.flush()
    assert (tmp_path / "said").read_bytes() == rb"N* \u221d C, in r\udcff" + b"\n"


@pytest.mark.slow
def test_a_root_folder_may_have_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    root = os.fsdecode(b"r\xff")
    done = run("run", "tiny.yaml", "--executor", "inline", "--root", root, cwd=tmp_path)
    assert done.returncode in (0, 4), done.stderr
    assert b"Traceback" not in done.stderr
    for verb in ("status", "verify", "fit", "report"):
        more = ["--root", root] if verb == "report" else []
        done = run(verb, f"{root}/results/tiny", *more, cwd=tmp_path)
        assert done.returncode in (0, 4), (verb, done.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "tiny.yaml", "--executor", "inline", "--root", "LONG"),
        ("status", "LONG"),
        ("fit", "LONG"),
        ("plan", "LONG"),
        ("report", str(CODE), "--root", "LONG"),
        ("init", "a", "--total-flops", "5e12", "--output", "LONG"),
    ],
    ids=lambda words: words[0],
)
def test_a_name_that_the_file_system_refuses_is_a_usage_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    write_sweep(tmp_path)
    monkeypatch.chdir(tmp_path)
    asked = [word.replace("LONG", "x" * 300) for word in words]
    assert find_exit_code(lambda: cli.main(asked, standalone_mode=False)) == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_corpus_path_of_an_unknown_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SWEEP.replace("words.txt", "~nobody-of-that-name/x"))
    done = run("plan", "s.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert b"there is no such user's home" in done.stderr


@pytest.mark.slow
def test_a_limit_on_file_sizes_is_an_environment_fault(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    done = run(
        "run", "tiny.yaml", "--executor", "inline", cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )  # fmt: skip
    assert (done.returncode, b"Traceback" in done.stderr) == (5, False), done.stderr
    assert b"ulimit -f" in done.stderr
    assert b"To continue" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(errno.ENOSPC, "", "/a"), 5, "/a: No space left on device. Free some space"),
        (OSError(errno.ENOTCONN, "", "/a"), 5, "/a: Transport endpoint is not connected."),
        (OSError(errno.EAGAIN, ""), 5, "the system: Resource temporarily unavailable."),
        (FileNotFoundError(errno.ENOENT, "", "/a"), 2, "/a: No such file or directory. Name"),
        (MemoryError(), 5, "memory, or another limit"),
        (RuntimeError("can't start new thread"), 5, "memory, or another limit"),
        (ImportError("x.so: failed to map segment from shared object"), 5, "memory, or another"),
    ],
)
def test_every_error_of_the_system_becomes_a_sentence(
    error: Exception, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    assert find_exit_code(work) == code
    said = capsys.readouterr().err
    assert said.startswith(says)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("error", [RuntimeError("ours"), ValueError("ours"), OSError("ours")])
def test_a_bug_in_the_program_keeps_its_traceback(error: Exception) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error), match="ours"):
        find_exit_code(work)
