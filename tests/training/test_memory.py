"""Both engines report out-of-memory errors, and a smaller micro-batch needs less memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Memory is limited to 1 GB: 400,000 sequences of 32 tokens need tens of GB, 4 sequences almost
# none.
CODE = """
import dataclasses, resource, sys
import numpy as np, psutil
from test_engines import SHAPES, make_run
from scaling.orchestration.attempt import classify_failure
from scaling.training.engines.{name} import {kind} as Engine

few, many = 4, 400_000
run = make_run(SHAPES[0])
run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, batch_sequences=many))
tokens = np.zeros((many, run.shape.seq_len + 1), dtype=np.int64)
limit = psutil.Process().memory_info().vms + 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    Engine(run).add_gradient(tokens, 1.0)
except Exception as error:
    print(classify_failure(error, "here")[0])
engine = Engine(run, **({{"sequences": few}} if "{name}" == "fused" else {{}}))
engine.add_gradient(tokens[:few], few / many)
print("trained")
"""


@pytest.mark.parametrize(("name", "kind"), [("fused", "FusedEngine"), ("eager", "EagerEngine")])
def test_a_failed_allocation_is_classified_as_out_of_memory(name: str, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(name=name, kind=kind)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.stdout.split() == ["out_of_memory", "trained"], done.stderr
