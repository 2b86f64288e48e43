"""A sweep file with several tokenizers starts one Ray after another in one process."""

import subprocess
import sys

import pytest

TWICE = """
from scaling.orchestration.executors.ray import RayExecutor

for _ in range(2):
    executor = RayExecutor(cpus=1)
    executor.start()
    print("started")
    executor.close()
"""


@pytest.mark.ray
@pytest.mark.slow
def test_a_second_ray_starts_in_the_same_process() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True)
    assert done.stdout.split() == ["started", "started"], done.stderr
