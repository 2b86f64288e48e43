"""A trainer on the second and every further node of a run: started, watched and ended there.

The first node runs the attempt (`command.py`): it prepares its folder, commits the measurement and
says when all is over. `ledger/team.py` describes how the nodes communicate.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from scaling.ledger.marked import end_marked, name_mark
from scaling.ledger.team import NodeEnd, Team
from scaling.sweep.execution import OwnExecution
from scaling.sweep.runspec import RunSpec
from scaling.training.own.ending import describe_end
from scaling.training.own.protocol import RUN_FILE
from scaling.training.own.starting import RUN_FOLDER, start_trainer

_TAKEN_AWAY = NodeEnd(why="its worker was told to end (SIGTERM)", cause="preempted")


def join_run(
    run: RunSpec, *, attempt: Path, how: OwnExecution, rank: int, should_stop: Callable[[], bool]
) -> NodeEnd:
    """Take part in an attempt of another node; returns how it ended here.

    Args:
        run: The run.
        attempt: Folder of the attempt.
        how: Settings for running the trainer.
        rank: Rank of this node; not 0.
        should_stop: Returns whether this machine is taken away.
    """
    team = Team(attempt, how.nodes)
    place = team.join(rank, should_stop)
    if place is None:
        return _TAKEN_AWAY if should_stop() else NodeEnd()
    home = attempt.parents[3]
    end_marked(name_mark(home, run.run_id), but=name_mark(home, run.run_id, attempt.name))
    described = json.loads((attempt / RUN_FOLDER / RUN_FILE).read_bytes())
    try:
        process = start_trainer(run, attempt, described, how, place)
    except OSError as error:
        return NodeEnd(why=f"its command cannot be started: {error}")
    try:
        code = process.wait(lambda: team.is_stopped() or should_stop(), grace=how.grace)
    finally:
        left = process.end()
    if should_stop() and not team.is_stopped():
        return _TAKEN_AWAY
    return describe_end(process, code, () if process.was_asked else left)
