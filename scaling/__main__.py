"""`python -m scaling` is `scaling`."""

from __future__ import annotations

import gc
import signal
from typing import NoReturn


def main() -> NoReturn:
    """Entry point of the console script."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        # While modules are imported Ctrl-C ends the process: a KeyboardInterrupt would show a
        # traceback, or get lost in a callback of the import machinery.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from scaling.cli import main as cli

    # What is imported lives until the process ends. Looking through it for garbage, at the exit
    # above all, took an eighth of the time of an answer.
    gc.freeze()
    signal.signal(signal.SIGINT, before)
    cli()


if __name__ == "__main__":
    main()
