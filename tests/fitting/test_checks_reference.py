"""The ledger gives every check its input: the sweep on code is judged on all of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling.fitting.checks.training import check_training
from scaling.workflow.stored import read_runs

CODE = Path(__file__).parents[2] / "results" / "code"


@pytest.fixture(scope="module")
def table():
    return read_runs(CODE)[0]


def test_the_reference_sweep_states_what_the_training_checks_need(table):
    # Its runs predate the recording of clipped steps.
    unjudged = [one.code for one in check_training(table) if one.passed is None]
    assert unjudged == ["clipped_steps"]


def test_the_tables_schedule_agrees_with_the_index(table):
    index = pd.read_csv(CODE / "index" / "runs.csv").set_index("run_id").loc[list(table.run)]
    assert np.array_equal(table.steps, index.steps)
    assert np.array_equal(table.batch_tokens, index.batch_tokens)
    # A run consists of warmup, a constant part and the decay.
    assert np.all(table.warmup_steps + table.decay_steps < table.steps)
