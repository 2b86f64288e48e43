"""The command line from a test: in this process, or in its own if the claim is about processes;
and the tables it reads."""

import contextlib
import io
import subprocess
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scaling import cli
from scaling.verbs.exits import find_exit_code

REPOSITORY = Path(__file__).parents[1]
CODE = REPOSITORY / "results" / "code"
# Warnings that Python hides outside of tests.
SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@dataclass(frozen=True)
class Said:
    """Exit code and output that a process would have had."""

    code: int
    out: str
    errors: str


def call(*words: object, cwd: Path | str = ".") -> Said:
    """`scaling WORDS` in `cwd`, without starting a process."""
    out, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")
        for silent in SILENT:
            warnings.simplefilter("ignore", silent)
        warnings.showwarning = cli._show_warning
        code = find_exit_code(lambda: cli.cli.main([str(w) for w in words], standalone_mode=False))
    return Said(code, out.getvalue(), errors.getvalue())


def tell(*words: object, cwd: Path | str = ".") -> str:
    """What `scaling WORDS`, which succeeds, prints."""
    said = call(*words, cwd=cwd)
    assert said.code == 0, said.errors
    return said.out


def start(*words: object, cwd: Path | str = ".") -> Said:
    """`scaling WORDS` in `cwd`, run as a process to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "scaling", *map(str, words)], capture_output=True, text=True, cwd=cwd
    )
    return Said(done.returncode, done.stdout, done.stderr)


def write_table(path: Path, rows: Iterable[Iterable[object]], *, head: str = "N,D,loss") -> Path:
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path
