"""`scaling fit --metric` says whether the metric follows a law, as Python and the page do."""

import json
from pathlib import Path

import pytest
from commands import CODE, call

import scaling
from scaling.words.metric_laws import list_commands, say_control, say_forecast, say_law

WORLD = CODE.with_name("closed-world")
LAW, REFUSED = "closed_world_hallucination", "closed_world_error"


@pytest.fixture(scope="module")
def laws() -> dict[str, scaling.MetricLaw]:
    return {one.name: one for one in scaling.find_metric_laws(WORLD, LAW, REFUSED)}


def test_python_finds_the_law_that_the_command_prints(laws, tmp_path: Path) -> None:
    """Two D carry no law of N and D, so the exit code is 4, and a law of N is quoted."""
    said = call("fit", WORLD, "--metric", LAW, "--no-bootstrap", "--json")
    assert said.code == 4
    assert json.loads(said.out)["judged"] == json.loads(json.dumps(laws[LAW].to_contract()))
    assert laws[LAW].supported
    text = call("fit", WORLD, "--metric", LAW, "--no-bootstrap").out
    assert f"a law of {LAW}: supported" in text
    assert "E + A/N^α on D = 4.8M, 15 runs" in text
    assert text.count("a hit") == 1


def test_a_law_that_is_not_supported_shows_no_coefficients(laws) -> None:
    assert say_law(laws[REFUSED]).startswith("None: misfit: ")
    assert "a miss" in say_forecast(laws[REFUSED])
    assert laws[REFUSED].to_contract()["law"] is None


def test_the_loss_has_no_such_answer() -> None:
    assert "judged" not in json.loads(call("fit", WORLD, "--no-bootstrap", "--json").out)


def test_controls_and_commands_are_those_of_the_probe(laws) -> None:
    here = ("closed_world_hallucination", "closed_world_bound", "closed_world_seen_once")
    assert say_control(LAW, here) == (
        "Drawn in other lines: closed_world_bound, closed_world_seen_once."
    )
    assert say_control("recall_accuracy", (), 0.0625) == "Guessing scores 0.0625 (dotted)."
    assert list_commands(laws[LAW], "results/a b") == [
        f"scaling fit 'results/a b' --metric {LAW}",
        "scaling knowledge 'results/a b'",
    ]
