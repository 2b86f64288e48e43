"""Claims about a plan for other machines: `scaling plan --target`."""

import json
import re
from pathlib import Path

import pytest
from commands import Said, call, tell

from scaling.allocation.datasheets import DEVICES
from scaling.errors import SpecError
from scaling.sweep.gpu_memory import estimate_gpu_memory
from scaling.sweep.target import ASSUMED_MFU
from scaling.workflow import preparing
from scaling.workflow.preparing import prepare_sweep

PEAK, HOUR = DEVICES["h100"].peak_flops, 3600.0
# Three runs of 4 devices each: C is 3e18, 6e18 and, by the stated FLOPs per token, 8e18.
OWN = """name: own
trainer:
  command: [torchrun, train.py, "{run_file}"]
  files: [train.py]
  data: fineweb
  models:
    - {name: small, params: 100e6}
    - {name: large, params: 1e9, flops_per_token: 8e9}
grid:
  cells:
    - {params: 1e8, tokens: 5e9}
    - {params: 1e8, tokens: 1e10}
    - {params: 1e9, tokens: 1e9}
resources: {gpus_per_run: 4}
"""
FLOPS = [6e8 * 5e9, 6e8 * 1e10, 8e9 * 1e9]
BUILT_IN = """name: a
corpus: {source: jsonl, paths: [text.jsonl], field: text, tokenizer: bytes, max_epochs: 9}
model: {seq_len: 32}
grid: {cells: [{params: %s, tokens: 1e5}]}
resources: {gpus_per_run: %s}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "train.py").touch()
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


def ask(path: Path, *words: object) -> Said:
    return call("plan", path, "--root", path.parent, *words)


def describe(path: Path, *words: object) -> dict:
    return json.loads(tell("plan", path, "--root", path.parent, *words, "--json"))


def write_built_in(folder: Path, *, params: str = "2e4", share: str = "1") -> Path:
    texts = (" ".join(str(at * step % 997) for step in range(1000)) for at in range(1, 40))
    lines = (json.dumps({"text": text}) + "\n" for text in texts)
    (folder / "text.jsonl").write_text("".join(lines))
    path = folder / "a.yaml"
    path.write_text(BUILT_IN % (params, share))
    return path


# --- time and money -----------------------------------------------------------------------------


def test_a_run_takes_its_flops_over_the_rate_of_its_devices(own: Path) -> None:
    plan = describe(own, "--target", "h100", "--devices", 8, "--mfu", 0.3)
    found = sorted(cell["seconds"] for cell in plan["cells"])
    assert found == pytest.approx(sorted(c / (4 * PEAK * 0.3) for c in FLOPS), rel=1e-12)
    assert plan["target"]["mfu_source"] == ""
    assert plan["target"]["source"] == DEVICES["h100"].source


def test_the_schedule_is_longest_first_on_what_fits_at_a_time(own: Path) -> None:
    # C of 8e18, 6e18 and 3e18 on two runs at a time: the last begins when the second one ends.
    plan = describe(own, "--target", "h100", "--devices", 10, "--mfu", 0.5, "--price-per-hour", 2)
    left, rate = plan["totals"]["left"], 4 * PEAK * 0.5
    assert left["slots"] == 2
    assert left["makespan_seconds"] == pytest.approx(9e18 / rate, rel=1e-9)
    assert left["critical_path_seconds"] == pytest.approx(8e18 / rate, rel=1e-9)
    assert left["seconds"] == pytest.approx(17e18 / rate, rel=1e-9)
    # ΣC / (peak · MFU), whatever the number of devices per run.
    assert left["device_hours"] == pytest.approx(17e18 / (PEAK * 0.5) / HOUR, rel=1e-9)
    assert left["held_device_hours"] == pytest.approx(10 * 9e18 / rate / HOUR, rel=1e-9)
    assert left["price"] == pytest.approx(2 * left["held_device_hours"])


def test_a_run_on_several_nodes_has_the_devices_of_all(own: Path) -> None:
    own.write_text(OWN.replace("gpus_per_run: 4", "gpus_per_run: 4, nodes_per_run: 2"))
    plan = describe(own, "--target", "h100", "--devices", 16, "--mfu", 0.3)
    found = max(cell["seconds"] for cell in plan["cells"])
    assert found == pytest.approx(8e18 / (2 * 4 * PEAK * 0.3), rel=1e-12)
    assert plan["totals"]["left"]["slots"] == 2
    assert plan["totals"]["sharded_memory_bytes"] == 16 * 10**9 / 8
    few = ask(own, "--target", "h100", "--devices", 7)
    assert few.code == 2
    assert "one run asks for 8 GPUs (resources.gpus_per_run × nodes_per_run)" in few.errors


def test_the_assumed_mfu_is_stated_with_its_source(own: Path) -> None:
    plan = describe(own, "--target", "h100", "--devices", 4)
    assert plan["target"]["mfu"] == ASSUMED_MFU
    said = ask(own, "--target", "h100", "--devices", 4).out
    assert "assumed: MFU 0.4 of 9.89e14 FLOP/s" in said
    assert "arXiv:2407.21783" in said
    stated = ask(own, "--target", "h100", "--devices", 4, "--mfu", 0.35).out
    assert "arXiv" not in stated


def test_a_stated_peak_stands_in_place_of_a_name(own: Path) -> None:
    named = describe(own, "--target", "a100", "--devices", 4)
    stated = describe(own, "--peak-flops", "312 TFLOPs", "--devices", 4)
    assert [c["seconds"] for c in named["cells"]] == [c["seconds"] for c in stated["cells"]]
    assert stated["target"]["source"] == ""


def test_the_text_states_hours_money_and_memory(own: Path) -> None:
    words = ("--target", "h100", "--devices", 64, "--price-per-hour", 2.5)
    said = ask(own, *words).out
    assert "time on 64 × h100, 4 for each run: 1 h 24 min for 3 runs, 16 at a time" in said
    assert "critical path: 1 h 24 min" in said
    assert "price: 225 for all devices until the last run ends, 29.8 for the device-hours" in said
    assert "memory of one device: up to 14.90 GiB" in said
    assert "3.73 GiB if the 4 of a run shard them" in said


# --- memory ---------------------------------------------------------------------------------------


def test_a_users_trainer_needs_sixteen_bytes_a_parameter_or_its_share(own: Path) -> None:
    plan = describe(own, "--target", "h100", "--devices", 8)
    by_params = {cell["counts"]["total"]: cell for cell in plan["cells"]}
    assert by_params[10**9]["device_memory_bytes"] == 16 * 10**9
    assert by_params[10**9]["sharded_memory_bytes"] == 4 * 10**9
    assert plan["totals"]["device_memory_bytes"] == 16 * 10**9
    assert plan["totals"]["sharded_memory_bytes"] == 4 * 10**9


def test_the_built_in_trainer_needs_what_a_run_checks(tmp_path: Path) -> None:
    path = write_built_in(tmp_path)
    (cell,) = describe(path, "--target", "h100", "--devices", 2)["cells"]
    (planned,) = prepare_sweep(path, root=tmp_path, runs_here=False).plan.cells
    assert cell["device_memory_bytes"] == estimate_gpu_memory(planned.run, "float32")
    assert cell["sharded_memory_bytes"] is None
    assert cell["seconds"] == pytest.approx(planned.run.flops / (PEAK * ASSUMED_MFU))


def test_models_beyond_this_machines_memory_are_planned_but_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "find_run_memory", lambda: 2**30)
    path = write_built_in(tmp_path, params="1e9")
    with pytest.raises(SpecError, match=r"GiB to train; one run may use 1\.0 GiB"):
        prepare_sweep(path, root=tmp_path)
    refused = call("run", path, "--root", tmp_path, "--executor", "inline")
    assert refused.code == 2
    assert "one run may use 1.0 GiB" in refused.errors
    plan = describe(path, "--target", "h100", "--devices", 1)
    # At least 16 bytes per parameter, plus activations.
    assert plan["totals"]["device_memory_bytes"] > 16e9
    assert not [line for line in plan["warnings"] if "GPU" in line]


def test_a_share_of_a_device_counts_as_one_run_at_a_time(tmp_path: Path) -> None:
    path = write_built_in(tmp_path, share="0.25")
    plan = describe(path, "--target", "h100", "--devices", 3)
    assert plan["totals"]["left"]["slots"] == 3


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--target h1000 --devices 8", 'Did you mean "h100"\\? There are t4, v100'),
        ("--target h100", "how many devices"),
        ("--target h100 --devices 0", "is not in the range"),
        ("--target h100 --devices 3", "one run asks for 4 GPUs"),
        ("--target h100 --devices 8 --mfu 40", "is not in the range"),
        ("--target h100 --devices 8 --mfu nan", "not a finite number"),
        ("--target h100 --peak-flops 1e15 --devices 8", "leave one"),
        ("--peak-flops 0 --devices 8", "say the FLOP/s of one"),
        ("--peak-flops inf --devices 8", "say the FLOP/s of one"),
        ("--devices 8", "name a --target"),
        ("--mfu 0.4", "name a --target"),
        ("--target h100 --devices 8 --cpus 2", "--cpus describes this machine"),
        ("--target h100 --devices 8 --no-benchmark", "--no-benchmark describes this machine"),
    ],
)
def test_invalid_questions_exit_2(own: Path, words: str, said: str) -> None:
    done = ask(own, *words.split())
    assert done.code == 2
    assert re.search(said, done.errors)
