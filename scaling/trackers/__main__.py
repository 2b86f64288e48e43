"""The process beside a driver that sends its runs to a tracker.

usage: python -m scaling.trackers RESULTS NAME        run_ids come on standard input, one a line
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from scaling.ledger.commit import Ledger
from scaling.trackers import open_tracker
from scaling.trackers.protocol import TRACKERS
from scaling.trackers.sending import find_folder, list_unsent, send_results


def main(results: Path, name: str) -> int:
    """Send the results that are named on standard input, then what is still unsent; 0 or 1."""
    tracker_name = next(one for one in TRACKERS if one == name)
    ledger = Ledger.open(results)
    folder = find_folder(ledger, tracker_name)
    tracker = None

    def read_ids() -> Iterator[str]:
        for line in sys.stdin:
            yield line.strip()
        yield from list_unsent(ledger, tracker_name)  # runs that did not fit into the pipe

    try:
        tracker = open_tracker(tracker_name, project=ledger.name, folder=folder)
        send_results(ledger, tracker_name, tracker, read_ids())
    except Exception as error:  # the driver shows the last line of the log
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split())[:500]}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
