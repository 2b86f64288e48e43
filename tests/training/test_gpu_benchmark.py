"""The GPU benchmark runs, here on the processor, and its table has every variant."""

import re
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_variant_is_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)  # compiling takes minutes
    import gpu_step

    monkeypatch.setattr(gpu_step, "SHAPES", (("tiny", 16, 2, 32, 256, 16, 2),))
    monkeypatch.setattr(gpu_step, "_SECONDS", 0.01)
    gpu_step.compare_on("cpu", [], rounds=1)
    last = capsys.readouterr().out.splitlines()[-1]
    assert len(re.findall(r"[\d,]+ \( *\d+%\)", last)) == 3, last
    assert last.startswith("tiny")
