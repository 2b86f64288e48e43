"""A node that loses power: no connection is reset, and its runs resume elsewhere in seconds."""

from pathlib import Path

import pytest
from power_cut import TwoMachines, list_beating, measure_cut, start_driver, why_not
from synthetic import expected_loss, make_cells, make_corpus, make_ledger

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# From the cut to the new attempt, with the head's settings from docs/clusters.md: at most
# 1 + (1 + 2) · 4 s of health checks, 2 s between two polls, and a worker's start.
BOUND_SECONDS = 20.0


def test_runs_of_a_node_that_loses_power_resume_within_twenty_seconds(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    corpus = make_corpus(tmp_path, {"*": {"step_seconds": 0.1}})
    (corpus / "manifest.json").write_text("{}")
    machines = TwoMachines()
    try:
        driver = start_driver(machines, tmp_path, 3, 40)
        seconds = measure_cut(machines, lambda: list_beating(tmp_path))
        said, _ = driver.communicate(timeout=120)
    finally:
        machines.close()
    assert driver.returncode == 0, said
    assert "(its node is gone)" in said
    assert seconds <= BOUND_SECONDS
    results = make_ledger(tmp_path).read_results(check="files").results
    assert {run_id: one.loss for run_id, one in results.items()} == {
        cell.run.run_id: expected_loss(cell.run) for cell in make_cells(3, steps=40)
    }
