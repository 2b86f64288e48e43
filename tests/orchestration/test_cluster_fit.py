"""Claims about joining and submitting that need no cluster: what fits, and what is reported."""

import contextlib
import errno
import os
import re
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scaling.errors import EnvironmentFault, UsageError
from scaling.orchestration import cluster, jobs
from scaling.orchestration.cluster import (
    Need,
    check_fit,
    examine_node,
    explain_refusal,
    find_address,
    is_autoscaled,
)
from scaling.orchestration.executors import Needs
from scaling.orchestration.executors.registry import find_executor
from scaling.orchestration.jobs import JobRequest, SubmittedJob, submit_job

SETTINGS_FRAME = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # RFC 9113, section 6.5
NODES = ({"CPU": 4.0, "memory": 8.0 * 2**30}, {"CPU": 16.0, "memory": 2.0 * 2**30})


@pytest.mark.parametrize(
    ("need", "counts"),
    [
        (Need(cpus=1), (4, 16)),
        (Need(cpus=3), (1, 5)),
        (Need(cpus=1, memory=2**30), (4, 2)),
        (Need(cpus=1, memory=2**33), (1, 0)),
    ],
)
def test_a_node_carries_as_many_runs_as_its_scarcest_resource(
    need: Need, counts: tuple[int, int]
) -> None:
    assert tuple(need.count(node) for node in NODES) == counts


def test_a_request_that_fits_no_node_is_refused_with_need_and_capacity() -> None:
    check_fit(Need(cpus=16), NODES, autoscaled=False)
    # Each node has one of the two, neither has both.
    with pytest.raises(EnvironmentFault, match=r"needs 16 CPU cores and 4.0 GiB of memory, the cl"):
        check_fit(Need(cpus=16, memory=2**32), NODES, autoscaled=False)
    check_fit(Need(cpus=16, memory=2**32), NODES, autoscaled=True)


def test_missing_gpus_or_nodes_are_an_error_of_the_sweep_file() -> None:
    nodes = [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0, "GPU": 4.0}, {"CPU": 8.0}]
    check_fit(Need(cpus=8, gpus=4, nodes=2), nodes, autoscaled=False)
    for need, said in (
        (
            Need(cpus=8, gpus=8),
            "needs 8 CPU cores and 8 GPUs, the cluster has 3 node.s., the large",
        ),
        (Need(cpus=8, gpus=8), "4 GPUs. Lower resources.gpus_per_run in the sweep file: a run's G"),
        (Need(cpus=8, gpus=4, nodes=3), "8 CPU cores and 4 GPUs on each of 3 nodes"),
        (Need(cpus=1, nodes=4), "Lower resources.nodes_per_run in the sweep file, or join a large"),
    ):
        with pytest.raises(UsageError, match=said):
            check_fit(need, nodes, autoscaled=False)
    assert [Need(cpus=2, gpus=2).count(node) for node in nodes] == [2, 2, 0]


@pytest.mark.parametrize("name", ["ray", "inline"])
def test_runs_on_several_nodes_need_a_cluster(name: str) -> None:
    with pytest.raises(UsageError, match="one run is for 2 nodes"):
        find_executor(name).open(Needs(nodes_per_run=2))


def test_an_autoscalers_nodes_are_recognised_by_their_label() -> None:
    assert not is_autoscaled([{"Labels": {"ray.io/node-id": "a"}}, {}])
    assert is_autoscaled([{"Labels": {"ray.io/node-group": "small"}}])


def test_a_version_mismatch_names_both_sides_once() -> None:
    error = RuntimeError(
        "Version mismatch: The cluster was started with:\n    Ray: 2.52.0\n    Python: 3.12.1\n"
        "This process on node x was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    said = str(explain_refusal(error, "head:6379"))
    assert "runs Ray: 2.52.0, Python: 3.12.1; this process runs Ray: 2.60.0, Python: 3.11.7" in said


def test_auto_reads_the_variable_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def connect(place: Any, timeout: float) -> Any:
        asked.append(place)
        return contextlib.nullcontext(
            SimpleNamespace(sendall=lambda data: None, recv=lambda size: SETTINGS_FRAME)
        )

    monkeypatch.setattr(cluster.socket, "create_connection", connect)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("10.0.0.1:6379\n")
    (tmp_path / "ray" / "ray_current_cluster").chmod(0o644)
    assert find_address("auto") == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6380")
    assert find_address("auto") == "10.0.0.2:6380"
    assert find_address("[::1]:6381") == "[::1]:6381"
    assert asked == [("10.0.0.1", 6379), ("10.0.0.2", 6380), ("::1", 6381)]


@pytest.mark.parametrize(
    ("owner", "mode", "why"),
    [
        (0, 0o666, "can be written by other users"),
        (0, 0o664, "can be written by other users"),
        (65534, 0o644, "belongs to another user"),
    ],
)
def test_auto_ignores_a_file_that_another_user_could_have_written(
    owner: int, mode: int, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if owner and os.getuid() != 0:
        pytest.skip("only root can give a file to another user")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    planted = tmp_path / "ray" / "ray_current_cluster"
    planted.parent.mkdir()
    planted.write_text("10.0.0.1:6379\n")
    planted.chmod(mode)
    if owner:
        os.chown(planted, owner, owner)
    with pytest.raises(EnvironmentFault, match=rf"ray_current_cluster {why}.*HOST:PORT"):
        find_address("auto")


@contextlib.contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """The address of a server that sends `answer` to every client, and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                connection.recv(1000)
                connection.sendall(answer)
                connection.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", SETTINGS_FRAME[:4]])
def test_a_listener_that_is_not_a_gcs_is_not_waited_for(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_REACH_SECONDS", 0.3)
    with listening(answer) as address, pytest.raises(ConnectionError, match="no answer of a GCS"):
        find_address(address)


def test_a_server_that_greets_like_a_gcs_is_accepted() -> None:
    with listening(SETTINGS_FRAME + b"more") as address:
        assert find_address(address) == address


# --- what a node finds ------------------------------------------------------------------------


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder's probe with its nonce, and a corpus beside it."""
    monkeypatch.setattr(cluster, "_VISIBLE_SECONDS", 0.0)
    folder = tmp_path / "results" / ".preflight-1"
    folder.mkdir(parents=True)
    (folder / "nonce.tmp").write_text("nonce")
    (tmp_path / "manifest.json").write_text("{}")
    return folder


def ask(probe: Path, node: str = "a") -> cluster.NodeAnswer:
    return examine_node(str(probe), "nonce", node, str(probe.parents[1] / "manifest.json"))


def test_one_of_the_nodes_that_see_a_folder_wins(probe: Path) -> None:
    answers = [ask(probe, node) for node in "abc"]
    assert [answer.problem for answer in answers] == ["", "", ""]
    assert [answer.won for answer in answers] == [True, False, False]


def break_view(probe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (probe / "nonce.tmp").write_text("of another folder at the same path")


def break_links(probe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Any, target: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)


def break_corpus(probe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (probe.parents[1] / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (break_view, "does not see .*results as the driver does"),
        (break_links, "refuses hard links"),
        (break_corpus, "does not see the corpus"),
    ],
)
def test_a_nodes_problem_is_reported(
    probe: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    what: str,
) -> None:
    spoil(probe, monkeypatch)
    assert re.search(f"host .* {what}|{what}", ask(probe).problem)


# --- jobs -------------------------------------------------------------------------------------


class Client:
    """A stand-in for Ray Jobs: a log that grows until the job has ended."""

    def __init__(self, logs: list[str], exit_code: int | None) -> None:
        self._logs, self._exit_code = logs, exit_code

    def get_job_status(self, job_id: str) -> Any:
        return SimpleNamespace(value="RUNNING" if len(self._logs) > 1 else "SUCCEEDED")

    def get_job_logs(self, job_id: str) -> str:
        return self._logs.pop(0) if len(self._logs) > 1 else self._logs[0]

    def get_job_info(self, job_id: str) -> Any:
        status = SimpleNamespace(value="STOPPED")
        return SimpleNamespace(driver_exit_code=self._exit_code, status=status, message="stopped")


def test_a_jobs_output_is_shown_in_whole_lines_and_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scaling.orchestration.jobs._POLL_SECONDS", 0.0)
    logs = ["", "one\ntw", "one\ntwo\nth", "one\ntwo\nthree"]
    job = SubmittedJob(Client(logs, 3), "job")
    assert list(job.follow()) == ["one", "two", "three"]
    assert job.find_exit_code() == 3


def test_a_job_that_was_stopped_has_no_exit_code() -> None:
    with pytest.raises(EnvironmentFault, match="ended as STOPPED"):
        SubmittedJob(Client(["x"], None), "job").find_exit_code()


def test_a_cluster_that_stops_answering_is_reported() -> None:
    with pytest.raises(EnvironmentFault, match="no longer answers"):
        list(SubmittedJob(SimpleNamespace(get_job_status=None), "job").follow())


def test_paths_with_spaces_reach_the_job_intact(tmp_path: Path) -> None:
    sweep = tmp_path / "my sweeps" / "a;b.yaml"
    request = JobRequest(address="http://x", sweep_file=sweep, root=tmp_path, python=sys.executable)
    words = shlex.split(request.command)
    assert words[:4] == [sys.executable, "-m", "scaling", "run"]
    assert words[4:] == [str(sweep), "--root", str(tmp_path), "--address", "auto"]


def test_a_ray_address_is_refused_as_an_address_of_ray_jobs() -> None:
    request = JobRequest(address="head:6379", sweep_file=Path("a.yaml"), root=Path())
    with pytest.raises(UsageError, match="http://head:8265"):
        submit_job(request)


def test_an_agent_that_does_not_answer_is_not_blamed_on_the_dashboard() -> None:
    error = RuntimeError("No available agent to submit job, please try again later.")
    said = str(jobs._explain(error, "http://head:8265"))
    assert "Another Ray on the head node may hold the port of its agent" in said
    assert "started with its dashboard" not in said
    assert "started with its dashboard" in str(jobs._explain(OSError("refused"), "http://head:1"))
