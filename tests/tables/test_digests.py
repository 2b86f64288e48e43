"""Digests of tables stay what they were: stored fits and registered forecasts are named by them."""

from pathlib import Path

import numpy as np
import pytest

from scaling.sweep.cost_model import SIX_ND
from scaling.tables.reading import read_table
from scaling.tables.run_table import make_table
from scaling.workflow.stored import read_runs

CODE = Path(__file__).parents[2] / "results" / "code"
NUMBERS = (
    "flops", "budget", "unique_tokens", "learning_rate", "loss_se", "batch_tokens", "steps",
    "warmup_steps", "decay_steps", "clipped", "clipped_after_warmup",
)  # fmt: skip
TEXTS = ("group", "corpus", "numerics", "trajectory", "schedule")


@pytest.mark.parametrize(
    ("how", "digest"),
    [
        ({}, "c3d8f1d9d6ba353309a5f2d28ebae9371c7e47a39132ca039b73a9c0844e869a"),
        ({"count": "total"}, "0973e4dd522b292eb1d07a4d12ee5392e973e430451a1beb8bca76a893aa828a"),
        ({"head_flops": False}, "268c52928e7df6f774980379931d46b00a7fb5697d8280ffdd556c7bca584f7c"),
    ],
)
def test_a_results_folder_keeps_its_digest(how, digest):
    assert read_runs(CODE, **how)[0].digest == digest


def test_a_file_keeps_its_digest(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("N,D,loss,seed,corpus,steps\n1e6,2e7,3.5,0,a,100\n2e6,4e7,3.25,1,b,200\n")
    found = read_table(path).digest
    assert found == "039ea553ce7b6b9c03ea1c7b7c52cfa06b7113eba92d7d1549d0e627dd5b0a2b"


def test_a_table_with_every_column_keeps_its_digest():
    """All columns differ, and the cost model is exact on every processor."""
    size = np.arange(1.0, 5.0)
    numbers = {name: size * (at + 2) for at, name in enumerate(NUMBERS)}
    texts = {name: [f"{name[at % len(name)]}{at}" for at in range(4)] for name in TEXTS}
    table = make_table(
        1e6 * size, 1e7 * size, loss=4.0 - size / 8, seed=[3, 1, 2, 0], cost=SIX_ND,
        **numbers, **texts,
    )  # fmt: skip
    assert table.digest == "6f1cff1f79a1a6f9750e133f9fca0c08c028d4129c95774cf7b71ff7da3b8126"
    for name in (*NUMBERS, *TEXTS):
        fewer = {one: values for one, values in (numbers | texts).items() if one != name}
        part = make_table(
            1e6 * size, 1e7 * size, loss=4.0 - size / 8, seed=[3, 1, 2, 0], cost=SIX_ND, **fewer
        )
        assert part.digest != table.digest, name
