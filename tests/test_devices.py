"""GPUs that this machine lacks: what a plan says about them, refuses, and requests from Ray."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import start, tell
from known_run import plan_run

from scaling.errors import EnvironmentFault, SpecError
from scaling.orchestration.cluster import Need, check_fit
from scaling.orchestration.executors import Needs
from scaling.orchestration.executors import ray as ray_module
from scaling.orchestration.executors.ray import ATTEMPTS_PER_WORKER, RayExecutor
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.gpu_memory import check_gpu_memory, estimate_gpu_memory
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import load_sweep, parse_sweep
from scaling.sweep.runspec import RunSpec
from scaling.training import device, gain
from scaling.workflow import devices
from scaling.workflow.preparing import prepare_sweep

GIB = 2**30
SWEEP = """name: a
corpus: {source: synthetic, tokens: 1e6}
model: {seq_len: 128}
grid: {params: [%s], tokens: [3e5]}
resources: {gpus_per_run: %s}
"""


def make_run(width: int, layers: int, *, sequences: int = 8) -> RunSpec:
    return plan_run(width, layers, 1e7, batch_sequences=sequences)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = device.Gpu(name="NVIDIA Test", memory=16 * GIB, count=2)
    monkeypatch.setattr(device, "find_gpu", lambda: found)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root where the corpus is prepared once; nothing is trained."""
    return tmp_path_factory.mktemp("devices")


def write_sweep(folder: Path, *, params: str = "2e4", share: str = "0.25") -> Path:
    path = folder / "a.yaml"
    path.write_text(SWEEP % (params, share))
    return path


# --- memory -----------------------------------------------------------------------------------


def test_memory_grows_with_the_model_and_the_batch() -> None:
    small, large = make_run(64, 2), make_run(1024, 12)
    assert estimate_gpu_memory(small, "mixed") < estimate_gpu_memory(large, "mixed")
    bigger = estimate_gpu_memory(make_run(64, 2, sequences=512), "mixed")
    assert bigger > estimate_gpu_memory(small, "mixed")
    assert estimate_gpu_memory(small, "mixed") < estimate_gpu_memory(small, "float32")


def test_a_share_that_is_too_small_is_refused_with_one_that_is_not() -> None:
    run = make_run(1024, 12)
    need = estimate_gpu_memory(run, "mixed")
    memory = 4 * need
    check_gpu_memory([run], "mixed", share=0.26, memory=memory, name="G")
    with pytest.raises(SpecError, match=r"needs about .* GiB to train; 0\.2 of G is .*0\.25"):
        check_gpu_memory([run], "mixed", share=0.2, memory=memory, name="G")
    with pytest.raises(SpecError, match="Ask for smaller models, or for a smaller batch"):
        check_gpu_memory([run], "mixed", share=1.0, memory=need // 2, name="G")


def test_the_plan_refuses_what_its_share_cannot_hold(root: Path, gpu: None) -> None:
    prepare_sweep(write_sweep(root), root=root)
    path = write_sweep(root, share="0.05")  # 0.8 GiB, less than CUDA's context takes
    with pytest.raises(SpecError, match=r"a\.yaml:5:27: resources\.gpus_per_run: a model of 2"):
        prepare_sweep(path, root=root)


# --- where there is none ----------------------------------------------------------------------


def test_a_plan_without_the_gpu_says_what_it_leaves_out(root: Path) -> None:
    write_sweep(root)
    said = tell("plan", "a.yaml", cwd=root)
    assert "warning: no GPU is seen here" in said
    assert "time: not measured" in said


@pytest.mark.parametrize("executor", ["ray", "inline"])
def test_a_run_without_the_gpu_ends_before_anything_is_started(root, executor) -> None:
    write_sweep(root)
    done = start("run", "a.yaml", "--executor", executor, cwd=root)
    assert done.code == 5
    assert "gpus_per_run is 0.25, and no CUDA GPU is seen here" in done.errors
    assert not list(root.glob("results/a/runs/*"))


@pytest.mark.parametrize("share", ["0", "1.5", "-1", "true"])
def test_a_share_is_above_zero_and_at_most_one(share: str) -> None:
    with pytest.raises(SpecError, match=r"a\.yaml:5:27: resources\.gpus_per_run: expected"):
        parse_sweep((SWEEP % ("2e4", share)).encode(), source="a.yaml")


# --- time and throughput ----------------------------------------------------------------------


def test_measurements_of_a_gpu_and_a_processor_are_kept_apart(root: Path, gpu: None) -> None:
    sweep = prepare_sweep(write_sweep(root), root=root)
    on_gpu = devices.name_device(sweep.spec, sweep.corpus.facts, precision="mixed")
    assert on_gpu.processor == "NVIDIA Test"
    bare = sweep.spec.model_copy(
        update={"resources": sweep.spec.resources.model_copy(update={"gpus_per_run": None})}
    )
    here = devices.name_device(bare, sweep.corpus.facts, precision="mixed")
    assert here.processor != on_gpu.processor


def test_runs_that_share_a_gpu_are_not_assumed_to_save_time(gpu: None) -> None:
    spec = parse_sweep((SWEEP % ("2e4", "0.25")).encode(), source="a.yaml")
    assert devices.count_slots(spec, cpus=16) == 2  # counts GPUs, not shares
    assert devices.count_slots(spec, cpus=1) == 1


def test_a_gpu_is_measured_in_another_process_and_a_processor_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[float | None] = []

    def measure(runs, *, gpus=None, cache=None):
        called.append(gpus)
        return [1.5 for _ in runs]

    monkeypatch.setattr(gain, "measure_gains", measure)
    spec = parse_sweep((SWEEP % ("2e4", "0.25")).encode(), source="a.yaml")
    shared = spec.resources
    alone = shared.model_copy(update={"gpus_per_run": None})
    assert devices.measure_apart([make_run(64, 2)], alone, cache=tmp_path) == [1.5]
    assert called == [None]
    monkeypatch.undo()
    # The other process claims the GPU, and its error is passed back.
    with pytest.raises(EnvironmentFault, match="gpus_per_run is 1, and no CUDA GPU is seen"):
        devices.measure_apart((), shared, cache=tmp_path)


# --- Ray --------------------------------------------------------------------------------------


class FakeRay:
    """Records what the executor requests from Ray."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(self, resources: dict[str, float]) -> None:
        self.resources, self.started, self.asked = resources, {}, {}

    def init(self, **settings):
        self.started = settings

    def nodes(self):
        return [{"Alive": True, "NodeID": "a", "Resources": self.resources, "Labels": {}}]

    def remote(self, **options):
        self.asked = options
        return lambda function: function

    def shutdown(self): ...


def start_ray(monkeypatch, resources: dict[str, float], gpus: float | None) -> tuple[FakeRay, int]:
    fake = FakeRay(resources)
    monkeypatch.setattr(ray_module.importlib, "import_module", lambda name: fake)
    executor = RayExecutor(Needs(gpus_per_run=gpus), cpus=4)
    try:
        executor.start()
        return fake, executor.capacity()
    finally:
        executor.close()


def test_ray_is_asked_for_the_share_of_a_gpu(monkeypatch) -> None:
    fake, capacity = start_ray(monkeypatch, {"CPU": 4.0, "GPU": 1.0}, 0.25)
    assert fake.started["num_gpus"] is None  # Ray detects them
    assert (fake.asked["num_gpus"], fake.asked["max_calls"]) == (0.25, ATTEMPTS_PER_WORKER)
    assert capacity == 4


def test_a_worker_is_not_used_again_where_ray_might_give_it_another_gpu(monkeypatch) -> None:
    fake, _ = start_ray(monkeypatch, {"CPU": 4.0, "GPU": 2.0}, 0.5)
    assert fake.asked["max_calls"] == 1


def test_a_sweep_without_gpus_requests_none(monkeypatch) -> None:
    fake, _ = start_ray(monkeypatch, {"CPU": 4.0}, None)
    assert (fake.started["num_gpus"], fake.asked["num_gpus"]) == (0, 0)


def test_a_ray_that_finds_no_gpu_is_not_waited_for(monkeypatch) -> None:
    with pytest.raises(EnvironmentFault, match=r"needs 1 CPU core and 0\.25 of a GPU.*0 GPUs"):
        start_ray(monkeypatch, {"CPU": 4.0}, 0.25)


def test_a_share_does_not_span_two_gpus() -> None:
    need = Need(cpus=1, gpus=0.4)
    assert need.count({"CPU": 16.0, "GPU": 2.0}) == 4
    assert need.count({"CPU": 3.0, "GPU": 2.0}) == 3
    assert not need.fits({"CPU": 16.0})
    assert Need(cpus=1, gpus=0.1).count({"CPU": 16.0, "GPU": 1.0}) == 10
    check_fit(need, [{"CPU": 1.0, "GPU": 1.0}], autoscaled=False)


# --- the sweep that ships ---------------------------------------------------------------------


def test_the_gpu_s_sweep_repeats_no_token_and_fits_its_share() -> None:
    """As far as a machine without the corpus and the GPU can tell."""
    spec = load_sweep(Path(__file__).parents[1] / "sweeps" / "gpu-reference.yaml")
    facts = CorpusFacts(
        digest="ab" * 32,
        vocab_size=4096,
        train_tokens=2_500_000_000,  # 10 GB of text
        validation_tokens=10**6,
        train_bytes=10**10,
        validation_bytes=4 * 10**6,
        validation_documents=500,
        unigram_entropy=6.5,
        overlap=0.05,
    )
    plan = plan_sweep(spec, facts)
    assert (plan.rejected, plan.warnings) == ((), ())
    budgets = sorted({cell.budget for cell in plan.cells if cell.budget is not None})
    assert len(budgets) == 5
    assert budgets[-1] / budgets[0] >= 1000
    share = spec.resources.gpus_per_run
    assert share is not None
    runs = [cell.run for cell in plan.cells]
    check_gpu_memory(runs, "float32", share=share, memory=80 * GIB, name="a GPU of 80 GiB")
