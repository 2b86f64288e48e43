"""Exit codes: of answers, and of the errors that errors.py gives one.

The last net: what the system refuses and nobody foresaw is one sentence, never a traceback. Only
mistakes of this program have one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import click

from scaling.errors import EnvironmentFault, ScalingError, UsageError
from scaling.files.durable import explain_fault
from scaling.units import clean_text
from scaling.verbs.streams import find_lost_answer

SOME_RUNS_FAILED = 3
NO_USABLE_FIT = 4
DAMAGED = 7
SIGNAL_BASE = 128

# Errors in what the user typed, rather than in the machine.
_WRITTEN_WRONGLY = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)
# Messages of out-of-resource errors without a class of their own: threads, shared libraries.
_NO_ROOM = ("can't start new thread", "failed to map segment", "Cannot allocate memory")


def find_exit_code(work: Callable[[], Any]) -> int:
    """The exit code that `work` comes to; an error is said on standard error."""
    try:
        code = _find_code(work)
    except ScalingError as error:
        click.echo(clean_text(str(error)), err=True)
        return error.exit_code
    lost = find_lost_answer()
    if lost is not None:
        click.echo(f"standard output: {os.strerror(lost.errno or 0)}; the answer is lost", err=True)
        # 130 and 143 take precedence, then 7.
        return code if code >= SIGNAL_BASE or code == DAMAGED else EnvironmentFault.exit_code
    return code


def _find_code(work: Callable[[], Any]) -> int:
    try:
        code = work()
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output has closed it, which is fine
        return 0
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        refusal = explain_refusal(error)
        if refusal is None:
            raise
        raise refusal from error
    return code if isinstance(code, int) else 0


def explain_refusal(error: Exception) -> ScalingError | None:
    """What the system refused, in a sentence; None for a mistake of ours."""
    if isinstance(error, OSError) and error.errno is not None:
        where = error.filename
        name = os.fsdecode(where) if isinstance(where, str | bytes) else ""
        if error.errno in _WRITTEN_WRONGLY and name:
            return UsageError(f"{name}: {os.strerror(error.errno)}. Name another file or folder.")
        known = explain_fault(error, name or "the system")
        return known or EnvironmentFault(
            f"{name or 'the system'}: {os.strerror(error.errno)}. The same command continues once "
            "that is mended."
        )
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_ROOM):
        return EnvironmentFault(
            "memory, or another limit of this process, is used up. Free some or raise the limit "
            '("ulimit -a"); the same command then continues.'
        )
    return None
