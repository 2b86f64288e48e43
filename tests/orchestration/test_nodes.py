"""Claims about runs on several nodes and GPUs: raylets with declared GPUs, on this machine."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from own import prepare
from power_cut import HEAD, NODE, PORT, TwoMachines, why_not
from synthetic import wait_until

from scaling.ledger.commit import Ledger
from scaling.ledger.integrity import verify
from scaling.ledger.marked import list_marked, name_mark

REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.ray, pytest.mark.slow]

ONE_RUN = "grid: {params: [10e6], tokens: [1e6]}\n"
TWO_NODES = ONE_RUN + "resources: {nodes_per_run: 2}\n"
# Each process reports its node, and they add up their ranks.
GLOO = """\
import datetime, psutil, torch, torch.distributed as dist
rank = int(os.environ["NODE_RANK"])
assert sys.argv[2:] == [os.environ[name] for name in
                        ("NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")]
dist.init_process_group("gloo", rank=rank, world_size=int(os.environ["NNODES"]),
                        timeout=datetime.timedelta(seconds=120))
told = torch.tensor([rank + 1.0])
dist.all_reduce(told)
raylet = psutil.Process(os.getppid()).ppid()
everyone = [None] * dist.get_world_size()
dist.all_gather_object(everyone, [raylet, os.environ["MASTER_ADDR"]])
print("rank", rank, "of", len(everyone), flush=True)
if rank == 0:
    step(4)
    json.dump(everyone, open(folder + "/everyone", "w"))
    measured(probes={"sum": told.item()})
dist.destroy_process_group()
"""
WORDS = '"{run_file}", "{nodes}", "{node_rank}", "{master_addr}", "{master_port}"'
# Checkpoints after every step; reports its node, and that it was asked to stop.
LONG = """\
rank = os.environ["NODE_RANK"]
open(folder + "/at-" + rank, "w").write(str(os.getpid()))
def stop(*_):
    open(folder + "/asked-" + rank, "w").write("")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
%s
start = int(open(resume + "/checkpoint").read()) if resume else 0
for at in range(start + 1, 101):
    if rank == "0":
        step(at, of=100)
        open(folder + "/new", "w").write(str(at))
        os.rename(folder + "/new", folder + "/checkpoint")
    time.sleep(0.01 if resume else 0.1)
if rank == "0":
    measured()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one core, one of them with four GPUs that are only declared."""
    kept = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    # A short path, because socket paths are limited.
    folder = tempfile.mkdtemp(prefix="rt-", dir="/tmp")
    os.environ["RAY_TMPDIR"] = folder
    Path(folder, "ray").mkdir()
    cluster_utils = importlib.import_module("ray.cluster_utils")
    one = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    one.add_node(num_cpus=1)
    one.add_node(num_cpus=2, num_gpus=4)
    yield one
    one.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
    os.environ.clear()
    os.environ.update(kept)


def start(folder: Path, address: str) -> subprocess.Popen[str]:
    words = ["run", "sweep.yaml", "--address", address]
    return subprocess.Popen(
        [sys.executable, "-m", "scaling", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_only_run(ledger: Ledger) -> tuple[str, tuple[str, ...]]:
    """Its run_id, and its attempts, newest first."""
    (run_id,) = (path.name for path in (ledger.folder / "runs").iterdir())
    return run_id, ledger.list_attempts(run_id)


def wait_for_node(ledger: Ledger, rank: int) -> psutil.Process:
    """The trainer's process there, once the first node has a checkpoint."""
    found: list[Path] = []

    def is_there() -> bool:
        found[:] = ledger.folder.glob(f"runs/*/attempts/*/run/at-{rank}")
        there = bool(found) and (found[0].parent / "checkpoint").exists()
        return there and bool(found[0].read_text())  # it may be made and not yet written

    wait_until(is_there, 240.0)
    return psutil.Process(int(found[0].read_text()))


def test_two_nodes_reduce_with_gloo(cluster: Any, tmp_path: Path) -> None:
    _, ledger = prepare(tmp_path, GLOO, rest=TWO_NODES)
    path = tmp_path / "sweep.yaml"
    path.write_text(path.read_text().replace('"{run_file}"', WORDS))
    _, errors = start(tmp_path, cluster.address).communicate(timeout=300)
    run_id, (attempt,) = read_only_run(ledger)
    folder = ledger.attempt_folder(run_id, attempt)
    assert ledger.has_result(run_id), errors
    assert json.loads((folder / "probes.json").read_text()) == {"sum": {"value": 3.0}}
    first, second = json.loads((folder / "run" / "everyone").read_text())
    assert first[0] != second[0]  # two raylets
    assert first[1] == second[1]  # one rendezvous
    assert "rank 0 of 2" in (folder / "log.txt").read_text()
    assert "rank 1 of 2" in (folder / "log-1.txt").read_text()
    assert not list_marked(name_mark(ledger.folder))


def test_one_node_that_fails_ends_all(cluster: Any, tmp_path: Path) -> None:
    body = LONG % "if rank == '1': print('the last line', flush=True); sys.exit(3)"
    _, ledger = prepare(tmp_path, body.replace("0.1)", "3)"), rest=TWO_NODES)
    _, errors = start(tmp_path, cluster.address).communicate(timeout=300)
    run_id, attempts = read_only_run(ledger)
    assert len(attempts) == 2, errors  # the same failure twice gives up the run
    failure = ledger.read_failure(run_id, attempts[0])
    assert failure.message == "node 1: its trainer ended with exit code 3"
    assert "node 1: the last line" in failure.traceback
    for attempt in attempts:
        assert not (ledger.attempt_folder(run_id, attempt) / "run" / "asked-1").exists()
    assert not list_marked(name_mark(ledger.folder))


@pytest.mark.parametrize("victim", ["trainer", "worker", "node"])
def test_a_death_on_one_node_is_continued_on_all_nodes(
    cluster: Any, tmp_path: Path, victim: str
) -> None:
    _, ledger = prepare(tmp_path, LONG % "", rest=TWO_NODES)
    driver = start(tmp_path, cluster.address)
    second = wait_for_node(ledger, 1)
    worker = second.parent()
    raylet = worker.parent()
    struck = {"trainer": second, "worker": worker, "node": raylet}[victim]
    nodes = [
        node
        for node in cluster.list_all_nodes()
        if raylet is not None and node.all_processes["raylet"][0].process.pid == raylet.pid
    ]
    if victim == "node" and nodes[0] is cluster.head_node:
        struck, victim = worker, "worker"  # killing the head would end the cluster
    if victim == "node":
        cluster.remove_node(nodes[0], allow_graceful=False)
    else:
        struck.kill()
    _, errors = driver.communicate(timeout=300)
    if victim == "node":
        cluster.add_node(num_cpus=1)
    run_id, (newest, first) = read_only_run(ledger)
    assert ledger.has_result(run_id), errors
    # The attempt was continued.
    assert (ledger.attempt_folder(run_id, first) / "run").exists() is False
    failure = ledger.read_failure(run_id, first)
    assert failure.message.startswith("node 1: "), failure
    result = ledger.find_result(run_id)
    assert result.flops_spent < result.flops
    assert newest == result.attempt_id
    assert {one.kind for one in verify(ledger)} <= {"index", "stray"}
    assert not list_marked(name_mark(ledger.folder))


def test_a_sweep_that_is_stopped_stops_on_all_nodes(cluster: Any, tmp_path: Path) -> None:
    _, ledger = prepare(tmp_path, LONG % "", rest=TWO_NODES, grace=20)
    driver = start(tmp_path, cluster.address)
    wait_for_node(ledger, 1)
    driver.send_signal(signal.SIGINT)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 130, errors
    run_id, (attempt,) = read_only_run(ledger)
    folder = ledger.attempt_folder(run_id, attempt) / "run"
    assert (folder / "asked-0").exists()
    assert (folder / "asked-1").exists()
    assert not list_marked(name_mark(ledger.folder))
    _, errors = start(tmp_path, cluster.address).communicate(timeout=300)
    result = ledger.find_result(run_id)
    assert result is not None, errors
    assert result.flops_spent < result.flops


def test_gpus_of_a_run_are_on_one_node_and_unshared(cluster: Any, tmp_path: Path) -> None:
    told = "open(folder + '/gpus', 'w').write(os.environ['CUDA_VISIBLE_DEVICES'])\n"
    wait = "begun = time.time()\nwhile time.time() < begun + 3: time.sleep(.1)\n"
    times = "open(folder + '/times', 'w').write(json.dumps([begun, time.time()]))\nmeasured()\n"
    rest = "grid: {params: [10e6, 20e6, 40e6], tokens: [1e6]}\nresources: {gpus_per_run: 2}\n"
    _, ledger = prepare(tmp_path, told + wait + times, rest=rest)
    _, errors = start(tmp_path, cluster.address).communicate(timeout=300)
    folders = list(ledger.folder.glob("runs/*/attempts/*/run"))
    assert len(ledger.read_results().results) == 3, errors
    seen = [(one / "gpus").read_text() for one in folders]
    assert all(len(set(gpus.split(","))) == 2 for gpus in seen)
    spans = [json.loads((one / "times").read_text()) for one in folders]
    for at, (begun, _) in enumerate(spans):
        beside = [i for i, (b, e) in enumerate(spans) if i != at and b <= begun <= e]
        assert not any(set(seen[i].split(",")) & set(seen[at].split(",")) for i in beside)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("{gpus_per_run: 8}", "1 CPU core and 8 GPUs, the cluster has 3 node(s), the largest with"),
        ("{nodes_per_run: 9}", "1 CPU core on each of 9 nodes, the cluster has 3 node(s)"),
        ("{nodes_per_run: 2, gpus_per_run: 1}", "1 CPU core and 1 of a GPU on each of 2 nodes"),
    ],
)
def test_a_request_beyond_all_nodes_is_refused_with_need_and_capacity(
    cluster: Any, tmp_path: Path, asked: str, why: str
) -> None:
    _, ledger = prepare(tmp_path, rest=f"{ONE_RUN}resources: {asked}\n")
    driver = start(tmp_path, cluster.address)
    _, errors = driver.communicate(timeout=120)
    assert driver.returncode == 2, errors
    assert why in errors
    assert not list((ledger.folder / "runs").glob("*/attempts/*"))


def test_gloo_reduces_between_two_machines(tmp_path: Path) -> None:
    """Two network namespaces with a cable between them: no address of one is one of the other."""
    if reason := why_not():
        pytest.skip(reason)
    keys = "  env: {GLOO_SOCKET_IFNAME: cable}\n"
    _, ledger = prepare(tmp_path, GLOO, keys=keys, rest=TWO_NODES)
    path = tmp_path / "sweep.yaml"
    path.write_text(path.read_text().replace('"{run_file}"', WORDS))
    machines = TwoMachines(settings={})  # no power is cut here
    address = f"{HEAD}:{PORT}"
    joined = f"""
import ray, time
ray.init(address={address!r}, log_to_driver=False)
while sum(node["Alive"] for node in ray.nodes()) < 2:
    time.sleep(0.2)
"""
    try:
        for words in (["-c", joined], ["-m", "scaling", "run", "sweep.yaml", "--address", address]):
            done = subprocess.run(
                machines.inside(0, [sys.executable, *words]),
                env=machines.environment, cwd=tmp_path, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
    finally:
        machines.close()
    assert "finished, loss" in done.stderr, done.stderr
    run_id, (attempt,) = read_only_run(ledger)
    folder = ledger.attempt_folder(run_id, attempt)
    assert json.loads((folder / "probes.json").read_text()) == {"sum": {"value": 3.0}}
    everyone = json.loads((folder / "run" / "everyone").read_text())
    assert {address for _, address in everyone} <= {HEAD, NODE}
