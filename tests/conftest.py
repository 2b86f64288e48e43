"""Every test starts with the signal handlers that a terminal's shell gives.

A script that starts the suite in the background, as many CI systems do, has SIGINT ignored in it,
and what is ignored stays so in every process that tests start and interrupt.
"""

import signal


def pytest_configure() -> None:
    """Also in each pytest-xdist worker. A Python handler becomes the default in child processes."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for one in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(one) is signal.SIG_IGN:
            signal.signal(one, signal.SIG_DFL)
