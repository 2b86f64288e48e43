"""Exit codes: of answers, and of the errors that errors.py gives one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from scaling.errors import ScalingError
from scaling.units import clean_text

SOME_RUNS_FAILED = 3
NO_USABLE_FIT = 4
DAMAGED = 7
SIGNAL_BASE = 128


def find_exit_code(work: Callable[[], Any]) -> int:
    """The exit code that `work` comes to; an error is said on standard error."""
    try:
        code = work()
    except ScalingError as error:
        click.echo(clean_text(str(error)), err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output left; nothing is wrong
        sys.stderr.close()
        return 0
    return code if isinstance(code, int) else 0
