"""What the end of somebody's own trainer amounts to, on one node and on several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scaling.errors import EnvironmentFault, ScalingError
from scaling.ledger.results import TrainerFault
from scaling.ledger.signs import FailureCause
from scaling.ledger.team import NodeEnd
from scaling.training.own.process import TrainerProcess

_DISK_FULL = "No space left on device"
# Precedence of the causes that a run's nodes report: if one node is lost, the others fail too.
_WEIGHT: tuple[FailureCause, ...] = ("environment", "preempted", "crash", "exception")


def describe_end(process: TrainerProcess, code: int | None, left: Sequence[str]) -> NodeEnd:
    """How its process ended, whatever it measured.

    Args:
        process: It, ended.
        code: Its exit code, as `TrainerProcess.wait` gives it.
        left: Names of what outlived it.
    """
    tail = process.read_tail()
    if code is None:
        return NodeEnd()
    if code != 0 and _DISK_FULL in tail:
        return NodeEnd(why=f"the trainer says {_DISK_FULL!r}", cause="environment", tail=tail)
    if code < 0:
        return NodeEnd(why=f"its trainer was ended by signal {-code}", cause="crash", tail=tail)
    if code > 0:
        return NodeEnd(why=f"its trainer ended with exit code {code}", tail=tail)
    if left:
        names = ", ".join(sorted(set(left)))[:100]
        what = f"its trainer left processes behind, which were killed: {names}"
        return NodeEnd(why=what, tail=tail)
    return NodeEnd(tail=tail)


def explain_failure(wrong: Mapping[int, NodeEnd], nodes: int, where: object) -> ScalingError:
    """The failure of a run, from what went wrong on its nodes.

    Args:
        wrong: By rank.
        nodes: How many there are.
        where: Names the attempt, where its machine is to blame.
    """
    cause = min((end.cause for end in wrong.values()), key=_WEIGHT.index)
    names = {rank: f"node {rank}: " if nodes > 1 else "" for rank in wrong}
    what = "; ".join(f"{names[rank]}{end.why}" for rank, end in wrong.items())
    if cause == "environment":
        return EnvironmentFault(f"{where}: {what}.")
    tail = "\n".join(f"{names[rank]}{end.tail}" for rank, end in wrong.items() if end.tail)
    return TrainerFault(what, tail=tail, cause=cause)
