"""Claims about one trainer on two nodes, with threads in place of workers and without Ray."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from own import make_request, prepare
from test_own_trainer import living, read_only_result

from scaling.ledger.commit import Ledger
from scaling.ledger.team import NodeEnd, Team
from scaling.orchestration.attempt import AttemptOutcome, run_attempt
from scaling.orchestration.cluster import count_teams
from scaling.training.own.member import join_run
from scaling.workflow.preparing import Sweep, prepare_sweep
from scaling.workflow.training import open_ledger
from scaling.workflow.watching import read_log

TWO = "grid: {params: [10e6], tokens: [1e6]}\nresources: {nodes_per_run: 2}\n"
ASKED = """\
rank = os.environ["NODE_RANK"]
def stop(*_):
    open(folder + "/asked-" + rank, "w").write("")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
open(folder + "/here-" + rank, "w").write("")
while not os.path.exists(folder + "/here-" + str(1 - int(rank))):
    time.sleep(.01)
"""


def train_on_two(
    sweep: Sweep, ledger: Ledger, *, dies: NodeEnd | None = None, taken: bool = False
) -> AttemptOutcome:
    """One attempt; its second node runs in a thread, or dies silently with `dies`."""
    run = sweep.plan.cells[0].run
    request = make_request(sweep, ledger, run, ledger.advance_term())
    folder, how = ledger.attempt_folder(run.run_id, request.attempt_id), request.execution.own
    assert how.nodes == 2
    team = Team(folder, 2)

    def join() -> None:
        assert how is not None
        if dies is not None:
            team.join(1, lambda: False)
            team.tell(1, dies)  # as the driver would
            return
        here = folder / "run" / "here-1"
        stop = here.exists if taken else bool
        team.tell(1, join_run(run, attempt=folder, how=how, rank=1, should_stop=stop))

    second = threading.Thread(target=join)
    second.start()
    outcome = run_attempt(request, tick=lambda: None)
    team.stop()
    second.join()
    assert not living(ledger)
    return outcome


def list_asked(ledger: Ledger) -> set[str]:
    return {path.name for path in ledger.folder.glob("runs/*/attempts/*/run/asked-*")}


def test_only_the_first_node_measures_and_all_get_the_rendezvous(tmp_path: Path) -> None:
    body = ASKED + "print(os.environ['MASTER_ADDR'], os.environ['MASTER_PORT'], sys.argv[1:])\n"
    body += "if rank == '0':\n    step(4)\n    measured()\n"
    sweep, _ = prepare(tmp_path, body, rest=TWO, grace=20)
    path = tmp_path / "sweep.yaml"
    words = '"{nodes}", "{node_rank}", "{master_addr}", "{master_port}"'
    path.write_text(path.read_text().replace('"{run_file}"', words))
    sweep = prepare_sweep(path, root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    assert train_on_two(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    folder = ledger.attempt_folder(result.run.run_id, result.attempt_id)
    first, second = ((folder / name).read_text() for name in ("log.txt", "log-1.txt"))
    address, port = second.split()[:2]
    assert address == "127.0.0.1"
    assert second.strip() == f"{address} {port} ['2', '1', '{address}', '{port}']"
    assert f"{address} {port} ['2', '0', '{address}', '{port}']" in first
    assert f"node 1: {second.strip()}" in list(read_log(ledger, result.run))
    assert not list_asked(ledger)


@pytest.mark.parametrize(
    ("body", "cause", "why"),
    [
        ("sys.exit(3)", "exception", "its trainer ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "crash", "its trainer was ended by signal 9"),
        ("print('No space left on device'); sys.exit(1)", "environment", "the trainer says 'No sp"),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_node_that_fails_ends_the_other_and_is_named(
    tmp_path: Path, body: str, cause: str, why: str, rank: int
) -> None:
    other = "print('the last line', flush=True)\n"
    wait = "time.sleep(60)\n"
    failing = f"{ASKED}{other}if rank == '{rank}':\n    {body}\n{wait}"
    sweep, ledger = prepare(tmp_path, failing, rest=TWO, grace=20)
    outcome = train_on_two(sweep, ledger)
    assert (outcome.kind, outcome.cause) == ("failed", cause)
    assert f"node {rank}: {why}" in outcome.message
    assert f"node {1 - rank}" not in outcome.message
    assert list_asked(ledger) == {f"asked-{1 - rank}"}
    assert not ledger.read_results().results


def test_a_trainer_that_ignores_sigterm_on_another_node_is_killed(tmp_path: Path) -> None:
    deaf = "if rank == '1': signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    body = ASKED.replace('open(folder + "/here', deaf + 'open(folder + "/here')
    body += "if rank == '0': sys.exit(3)\ntime.sleep(60)\n"
    sweep, ledger = prepare(tmp_path, body, rest=TWO)
    assert train_on_two(sweep, ledger).message == "node 0: its trainer ended with exit code 3"
    assert not list_asked(ledger)


def test_a_worker_that_dies_silently_ends_the_run(tmp_path: Path) -> None:
    body = ASKED.partition("while not")[0] + "time.sleep(60)\n"
    sweep, ledger = prepare(tmp_path, body, rest=TWO, grace=20)
    outcome = train_on_two(sweep, ledger, dies=NodeEnd(why="its worker died", cause="crash"))
    assert (outcome.cause, outcome.message) == ("crash", "node 1: its worker died")


def test_a_node_that_is_taken_away_costs_the_run_no_retry(tmp_path: Path) -> None:
    sweep, ledger = prepare(tmp_path, ASKED + "time.sleep(60)\n", rest=TWO, grace=20)
    outcome = train_on_two(sweep, ledger, taken=True)
    assert (outcome.cause, outcome.message) == (
        "preempted", "node 1: its worker was told to end (SIGTERM)",
    )  # fmt: skip
    assert list_asked(ledger) == {"asked-0", "asked-1"}


def test_a_loss_that_is_not_finite_is_the_runs_own_on_all_nodes(tmp_path: Path) -> None:
    # The second node fails after the first: it is asked to end, and ends as badly.
    body = ASKED + "if rank == '0':\n    step(1, loss=float('nan'))\n    sys.exit(1)\n"
    body += "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\ntime.sleep(60)\n"
    sweep, ledger = prepare(tmp_path, body, rest=TWO, grace=20)
    assert train_on_two(sweep, ledger).kind == "diverged"


def test_a_function_measures_on_the_first_node_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import scaling\n"
        "def train(run):\n"
        "    assert run.nodes == 2\n"
        "    run.report(run.node_rank, run.tokens, 3.0)\n"
        "    loss = 2.5 + run.node_rank\n"
        "    return scaling.Measured(loss=loss, tokens=run.tokens, params=run.params)\n"
    )
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "name: mine\ntrainer:\n  python: mine:train\n  files: [mine.py]\n  data: shelf\n"
        "  models: [{name: a, params: 10e6}]\n" + TWO
    )
    sweep = prepare_sweep(path, root=tmp_path)
    ledger = open_ledger(sweep, root=tmp_path, retrain=False)
    assert train_on_two(sweep, ledger).kind == "finished"
    result = read_only_result(ledger)
    assert result.loss == 2.5
    folder = ledger.attempt_folder(result.run.run_id, result.attempt_id)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("rooms", "nodes", "count"),
    [
        ((4, 4), 1, 8),
        ((4, 4), 2, 4),
        ((8, 1), 2, 1),  # every attempt needs the small node
        ((3, 2, 1), 2, 3),
        ((2, 0, 0), 2, 0),
        ((), 2, 0),
    ],
)
def test_attempts_on_different_nodes_find_room(
    rooms: tuple[int, ...], nodes: int, count: int
) -> None:
    assert count_teams(rooms, nodes) == count
