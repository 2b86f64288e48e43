"""How fast a sweep's runs were trained: FLOP/s of one run, over all that finished."""

from __future__ import annotations

from scaling.errors import UsageError
from scaling.ledger.commit import Ledger
from scaling.ledger.results import RunResult

_MIN_SECONDS = 1.0  # of all runs together; in less, start-up dominates


def measure_speed(ledger: Ledger) -> float:
    """Training FLOPs that runs spent over the seconds they took, evaluation included [FLOP/s].

    Raises:
        UsageError: Nothing of any length was trained.
    """
    results = ledger.read_results(check="result").results.values()
    seconds = sum(one.seconds for one in results)
    if seconds < _MIN_SECONDS:
        raise UsageError(f"{ledger.folder}: no run has measured how fast this machine trains.")
    return sum(one.flops_spent for one in results) / seconds


def name_machine(ledger: Ledger) -> str:
    """What trained the runs, e.g. `cpu (AVX512), one run`."""

    def describe(result: RunResult) -> str:
        device, capability = (result.numerics.get(key, "") for key in ("device", "capability"))
        return f"{device} ({capability})" if capability else device

    results = ledger.read_results(check="result").results.values()
    return " or ".join(sorted({describe(one) for one in results})) + ", one run at a time"
