"""Claims about stored throughputs: used for the same device and never for another."""

import dataclasses
from pathlib import Path

from scaling.ledger.machine import (
    Device,
    find_device,
    join_points,
    read_throughput,
    write_throughput,
)
from scaling.sweep.shapes import make_shape
from scaling.sweep.throughput import StepTime, Throughput

DEVICE = Device(processor="P", torch="2.13", python="3.11", family="t", trainer="ab", engine="")


def make_point(width: int, seconds: float = 0.01) -> StepTime:
    return StepTime(
        shape=make_shape(256, 128, d_model=width, n_layers=2),
        batch_sequences=2,
        start_seconds=0.1,
        step_seconds=seconds,
        evaluation_seconds=1e-6,
    )


def make_throughput(*points: StepTime) -> Throughput:
    return Throughput(device="P", measured_at="2026-01-01T00:00:00+00:00", points=points)


def test_a_stored_measurement_is_read_back(tmp_path: Path) -> None:
    measured = make_throughput(make_point(8), make_point(16))
    write_throughput(tmp_path, DEVICE, measured)
    assert read_throughput(tmp_path, DEVICE) == measured


def test_a_measurement_is_not_used_for_another_device_or_trainer(tmp_path: Path) -> None:
    write_throughput(tmp_path, DEVICE, make_throughput(make_point(8)))
    for changed in ("processor", "torch", "python", "family", "trainer", "engine"):
        other = dataclasses.replace(DEVICE, **{changed: "another"})
        assert read_throughput(tmp_path, other) is None


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    write_throughput(tmp_path, DEVICE, make_throughput(make_point(8)))
    (path,) = (tmp_path / ".cache" / "throughput").iterdir()
    path.write_bytes(path.read_bytes().replace(b"0.01", b"0.02"))
    assert read_throughput(tmp_path, DEVICE) is None


def test_a_new_measurement_replaces_the_old_of_its_configuration() -> None:
    old = make_throughput(make_point(8, 1.0), make_point(16, 2.0))
    joined = join_points(old, make_throughput(make_point(16, 3.0)))
    times = {point.shape.d_model: point.step_seconds for point in joined.points}
    assert times == {8: 1.0, 16: 3.0}


def test_this_machines_description_names_processor_and_torch() -> None:
    device = find_device("transformer", vocab_size=256, seq_len=128, settings={"head_size": 16})
    assert device.processor
    assert device.torch in device.sentence
