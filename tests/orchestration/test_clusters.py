"""Claims about a cluster that is joined: three nodes of Ray's own test cluster on this machine."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from synthetic import (
    expected_loss,
    make_cells,
    make_corpus,
    make_ledger,
    start_driver,
    wait_until,
)

from scaling.ledger.integrity import verify

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]

JOBS = importlib.util.find_spec("aiohttp_cors") is not None  # part of ray[default]
SWEEP = """\
name: tiny
corpus: {source: python-stdlib}
model: {seq_len: 32}
grid: {budgets: [1.8e9], sizes: 4, span: 2.1, prior: {params: 8400, exponent: 0}}
"""

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one core each; the first has a dashboard where the extra is installed."""
    kept = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = f"{REPOSITORY}{os.pathsep}{HERE}"  # for workers and jobs
    # A short path, because socket paths are limited; Ray also writes the cluster's address there.
    folder = tempfile.mkdtemp(prefix="rt-", dir="/tmp")
    os.environ["RAY_TMPDIR"] = folder
    Path(folder, "ray").mkdir()
    cluster_utils = importlib.import_module("ray.cluster_utils")
    with socket.socket() as free:  # another Ray on this machine may use the default port
        free.bind(("127.0.0.1", 0))
        agent = free.getsockname()[1]
    head = {"num_cpus": 1, "include_dashboard": JOBS, "dashboard_port": 0}
    one = cluster_utils.Cluster(
        initialize_head=True, head_node_args=head | {"dashboard_agent_listen_port": agent}
    )
    for _ in range(2):
        one.add_node(num_cpus=1)
    yield one
    one.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.clear()
    os.environ.update(kept)


def prepare(folder: Path, behaviour: dict[str, Any] | None = None) -> None:
    (make_corpus(folder, behaviour) / "manifest.json").write_text("{}")


def run_in_driver(code: str, address: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `code` connected to the cluster as a driver would be, and return its output."""
    head = f"import ray; ray.init(address={address!r}, log_to_driver=False)\n"
    return subprocess.run(
        [sys.executable, "-c", head + code],
        capture_output=True,
        text=True,
        env=os.environ | variables,
    )


def list_hosts_of_attempts(folder: Path, nodes: Any) -> dict[int, Any]:
    """pid of each worker that trains -> the node whose raylet is its parent."""
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in nodes}
    beats = [json.loads(path.read_text()) for path in folder.rglob("heartbeat")]
    found = {}
    for beat in beats:
        if psutil.pid_exists(beat["pid"]):
            parent = psutil.Process(beat["pid"]).ppid()
            if parent in raylets:
                found[beat["pid"]] = raylets[parent]
    return found


def test_a_node_is_killed_and_one_is_added_and_nothing_is_lost(
    cluster: Any, tmp_path: Path
) -> None:
    prepare(tmp_path, {"*": {"step_seconds": 0.1}})
    driver = start_driver(tmp_path, 9, 60, "auto")  # reads the address that "ray start" wrote
    workers: dict[int, Any] = {}

    def is_busy_elsewhere() -> bool:
        assert driver.poll() is None, driver.communicate()
        workers.update(list_hosts_of_attempts(tmp_path, cluster.worker_nodes))
        saved = list(tmp_path.rglob("checkpoint-*.pt"))
        return bool(workers) and len(saved) >= 2

    wait_until(is_busy_elsewhere)
    victim = next(iter(workers.values()))
    cluster.remove_node(victim, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    said, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors
    assert json.loads(said) == {"finished": 9, "trained": 9}
    # Not counted as the run's failure.
    assert ": preempted, will continue from a checkpoint" in errors
    cells = make_cells(9, steps=60)
    ledger = make_ledger(tmp_path)
    results = ledger.read_results(check="files").results
    assert {r.run.run_id: r.loss for r in results.values()} == {
        cell.run.run_id: expected_loss(cell.run) for cell in cells
    }
    assert max(len(ledger.list_attempts(cell.run.run_id)) for cell in cells) == 2
    # Left by killed processes.
    assert {finding.kind for finding in verify(ledger, cells)} <= {"stray"}
    assert not list(ledger.folder.glob(".preflight*"))


def test_a_node_that_does_not_see_the_folder_is_named_before_anything_is_trained(
    cluster: Any, tmp_path: Path
) -> None:
    # All nodes are on one machine, so the folder is one that only the driver can reach, through its
    # working directory.
    code = f"""
import pathlib
from scaling.orchestration import cluster
from scaling.errors import EnvironmentFault
class Elsewhere(cluster.Preflight):
    def _open_probe(self):
        nonce = super()._open_probe()
        self._there, self._probe = self._probe, self._probe.with_name("not-here")
        return nonce
folder = pathlib.Path({str(tmp_path)!r})
(folder / "manifest.json").write_text("{{}}")
asked = Elsewhere(ray, folder, folder)
asked.begin(ray.nodes())
try:
    asked.finish()
except EnvironmentFault as fault:
    print(fault)
"""
    done = run_in_driver(code, cluster.address)
    assert "not every node of the cluster can take part" in done.stdout, done.stderr
    assert done.stdout.count("does not see") == 3
    assert "on a file system that every node mounts at the same path" in done.stdout


def test_an_avoided_node_is_given_no_more_attempts(cluster: Any) -> None:
    code = """
from scaling.orchestration.executors import Needs
from scaling.orchestration.executors.ray import RayExecutor
executor = RayExecutor(Needs(address="joined below"))
executor._ray = ray
executor._task = ray.remote(num_cpus=1)(lambda _: ray.get_runtime_context().get_node_id())
bad, *others = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
assert executor.avoid(bad)
for number in range(6):
    executor.submit(number)
ran = ray.get(list(executor._running), timeout=60)
print("avoided" if bad not in ran else "given runs", [executor.avoid(one) for one in others])
"""
    done = run_in_driver(code, cluster.address)
    assert "avoided [True, False]" in done.stdout, done.stderr


def test_nodes_without_the_corpus_are_named(cluster: Any, tmp_path: Path) -> None:
    make_corpus(tmp_path)  # without its manifest
    driver = start_driver(tmp_path, 1, 1, cluster.address)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 5
    assert errors.count("does not see the corpus in") == 3
    assert not list(tmp_path.glob("results/demo/runs/*"))


def test_another_version_of_ray_is_reported_with_both_versions(
    cluster: Any, tmp_path: Path
) -> None:
    prepare(tmp_path)
    # Ray compares the version that this process claims.
    code = f"""
import ray, sys, pathlib
ray.__version__ = "2.59.0"
sys.path.insert(0, {str(HERE)!r})
import drive
sys.exit(drive.main(pathlib.Path({str(tmp_path)!r}), 1, {cluster.address!r}, 1))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 5, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert f"runs Ray: {importlib.import_module('ray').__version__}, Python: " in last
    assert "this process runs Ray: 2.59.0, Python: " in last
    assert "Traceback" not in done.stderr


def test_a_cluster_that_needs_another_token_is_reported(tmp_path: Path) -> None:
    folder = tempfile.mkdtemp(prefix="rt-", dir="/tmp")
    code = f"""
import os, sys
os.environ.update(
    RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="a" * 64, RAY_USAGE_STATS_ENABLED="0",
    RAY_TMPDIR={folder!r},
)
from ray.cluster_utils import Cluster
one = Cluster(initialize_head=True, head_node_args={{"num_cpus": 1, "include_dashboard": False}})
print(one.address, flush=True)
sys.stdin.readline()
one.shutdown()
"""
    head = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        address = head.stdout.readline().strip()
        prepare(tmp_path)
        words = [str(HERE / "drive.py"), str(tmp_path), "1", address, "1"]
        variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 64}
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, text=True, env=os.environ | variables
        )
        assert done.returncode == 5, done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert f"the cluster at '{address}' answers, but does not let this process join" in last
        assert "RAY_AUTH_TOKEN" in last
    finally:
        head.communicate("\n")
        shutil.rmtree(folder, ignore_errors=True)


def test_a_request_that_no_node_can_run_is_refused_at_once(cluster: Any) -> None:
    code = f"""
from scaling.orchestration.executors import Needs
from scaling.orchestration.executors.ray import RayExecutor
from scaling.errors import EnvironmentFault
ray.shutdown()
for need in ({{"cpus_per_run": 64}}, {{"memory_per_run": 2**50}}):
    try:
        RayExecutor(Needs(address={cluster.address!r}, **need)).start()
    except EnvironmentFault as fault:
        print(fault)
"""
    done = run_in_driver(code, cluster.address)
    first, second = done.stdout.strip().splitlines()
    assert first.startswith("one run needs 64 CPU cores, the cluster has 3 node(s), the largest")
    assert "1 CPU core and 1048576.0 GiB of memory" in second
    assert "with 1 CPU cores and " in second


@pytest.mark.skipif(not JOBS, reason="the extra [cluster] is not installed")
def test_a_submitted_sweep_is_run_by_the_cluster_and_its_answer_comes_back(
    cluster: Any, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(SWEEP)
    address = f"http://{cluster.webui_url}"
    words = ["submit", "tiny.yaml", "--address", address, "--python", sys.executable]
    command = [sys.executable, "-m", "scaling", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode in (0, 3, 4), done.stderr + done.stdout
    assert "fit of 4 runs: " in done.stdout
    assert "is taken; results: results/tiny" in done.stderr
    assert len(list(tmp_path.glob("results/tiny/runs/*/result.json"))) == 4
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == done.returncode  # the job's own exit code
    assert "runs are in the ledger; training" not in again.stdout


def test_an_autoscaler_sees_the_attempts_that_wait(cluster: Any, tmp_path: Path) -> None:
    prepare(tmp_path, {"*": {"step_seconds": 0.1}})
    driver = start_driver(tmp_path, 40, 200, cluster.address)
    try:
        wait_until(lambda: bool(list(tmp_path.rglob("heartbeat"))))
        # The demand by shape, as an autoscaler reads it from the GCS.
        code = f"""
import time
from ray.autoscaler.v2.sdk import get_cluster_status
for _ in range(100):
    demand = get_cluster_status({cluster.address!r}).resource_demands.ray_task_actor_demand
    counts = [one.bundles_by_count[0] for one in demand]
    if sum(one.count for one in counts) >= 16:
        break
    time.sleep(.2)
print([(one.bundle["CPU"], one.bundle["memory"]) for one in counts],
      sum(one.count for one in counts))
"""
        done = run_in_driver(code, cluster.address)
    finally:
        driver.kill()
        driver.communicate()
    assert done.stdout.startswith("[(1.0, "), done.stderr + done.stdout
    assert int(done.stdout.split()[-1]) >= 16
