"""Claims about questions without an answer: the two conditions that clash, and what is possible."""

import math
import re

import pytest
from known_fit import find_loss, make_exact_fit

from scaling.allocation import DEVICES, Hardware, Question, allocate, find_device
from scaling.errors import QueryError


@pytest.fixture(scope="module")
def exact():
    return make_exact_fit()


@pytest.mark.parametrize(
    ("asked", "said", "nearest"),
    [
        (
            {"flops": 1e21, "params": 2e9, "tokens": 1e12},
            "flops contradicts params and tokens: those take 1.2e22 FLOPs, flops allows 1e21",
            "2B parameters on 83.3B tokens",
        ),
        (
            {"target_loss": 2.0, "params": 2e9, "tokens": 1e11},
            r"target_loss contradicts params and tokens: those reach 2\.2943 nats/token, not 2",
            "a loss of|tokens for that size",
        ),
        (
            {"target_loss": 2.0, "params": 1e9},
            "params contradicts target_loss: with params as given no model reaches 2 nats/token",
            "above 2.1",
        ),
        (
            {"target_loss": 2.0, "tokens": 1e10},
            "tokens contradicts target_loss: with tokens as given no model reaches 2 nats/token",
            "above 2.2",
        ),
        (
            {"tokens_per_param": 20, "params": 1e9, "tokens": 1e11},
            "tokens_per_param contradicts params and tokens: .* 100 tokens per parameter, not 20",
            "20B tokens for that ratio",
        ),
        (
            {"serving_memory": 1e9, "params": 1e9, "flops": 1e21},
            "serving_memory contradicts params: 1B parameters do not fit where 500M do",
            "500M parameters",
        ),
        (
            {"serving_memory": 1e9, "target_loss": 2.1},
            "serving_memory contradicts target_loss: 500M parameters do not reach 2.1 nats/token",
            r"a loss above 2\.27",
        ),
        (
            {"serving_memory": 4e9, "target_loss": 2.15, "tokens": 4e11},
            "serving_memory contradicts target_loss: with tokens as given",
            r"a loss of 2\.2",
        ),
        (
            {"flops": 1e21, "target_loss": 2.1},
            "flops contradicts target_loss: 2.1 nats/token takes 2.*e22 FLOPs, flops allows",
            "nats/token with 1e21 FLOPs",
        ),
        (
            {"flops": 1e21, "target_loss": 2.1, "inference_tokens": 1e12},
            "flops contradicts target_loss",
            "nats/token with 1e21 FLOPs",
        ),
        (
            {"flops": 1e21, "target_loss": 2.1, "params": 8e9},
            "flops contradicts target_loss",
            "nats/token with 1e21 FLOPs",
        ),
    ],
)
def test_contradictory_conditions_are_refused_with_the_nearest_possible_value(
    exact, asked, said, nearest
):
    with pytest.raises(QueryError, match=said) as caught:
        allocate(exact, Question(**asked))
    assert str(caught.value).count("\n") == 1
    assert re.search(nearest, str(caught.value).split("\n")[1])


def test_the_value_named_as_possible_is_accepted(exact):
    with pytest.raises(QueryError, match="Nearest") as caught:
        allocate(exact, Question(flops=1e21, target_loss=2.1))
    loss = float(str(caught.value).split("possible: ")[1].split()[0])
    # The message has four decimals, so one more unit of the last may be needed.
    assert allocate(exact, Question(flops=1e21, target_loss=loss + 1e-4)).flops <= 1e21
    assert loss == pytest.approx(allocate(exact, 1e21).loss, abs=1e-4)


def test_a_contradiction_states_the_money_behind_the_budget(exact):
    hardware = Hardware(name="a100", flops_per_second=1e14, dollars=1000, price_per_hour=2)
    with pytest.raises(QueryError, match=r"money contradicts target_loss.*\$1,000 at \$2 an hour"):
        allocate(exact, Question(hardware=hardware, target_loss=2.1))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"target_loss": 1.8}, r"No compute reaches a loss of 1\.8 nats"),  # below the floor
        ({}, "leaves compute open"),
        ({"params": 1e9}, "leaves compute open"),
        ({"inference_tokens": 1e12}, "leaves compute open"),
    ],
)
def test_conditions_that_no_model_meets_are_refused(exact, asked, said):
    with pytest.raises(QueryError, match=said):
        allocate(exact, Question(**asked))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 1e300])
@pytest.mark.parametrize(
    "name", ["flops", "params", "tokens", "target_loss", "unique_tokens", "serving_memory"]
)
def test_impossible_numbers_are_refused(name, value):
    with pytest.raises(QueryError, match=r"positive, finite|outside any sane range"):
        Question(**{name: value})


def test_money_needs_a_price_and_a_deadline_needs_devices():
    with pytest.raises(QueryError, match="price_per_hour"):
        Hardware(name="h100", flops_per_second=1e14, dollars=100)
    with pytest.raises(QueryError, match="number of devices"):
        Hardware(name="h100", flops_per_second=1e14, days=10)
    rich = Hardware(name="h100", flops_per_second=1e40, dollars=1e10, price_per_hour=1e-10)
    with pytest.raises(QueryError, match=r"from money is .* outside any sane range"):
        Question(hardware=rich).list_caps()


@pytest.mark.parametrize(
    "asked",
    [
        {"flops": 1e21, "tokens": 1e15},
        {"flops": 1e21, "params": 1e15},
        {"flops": 1e21, "inference_tokens": 1e20},
    ],
)
def test_conditions_far_from_the_data_are_refused(exact, asked):
    with pytest.raises(QueryError, match=r"decades (above|below) the data"):
        allocate(exact, Question(**asked))


def test_a_model_of_less_than_one_parameter_is_refused(exact):
    with pytest.raises(QueryError, match="which no model has"):
        allocate(exact, Question(flops=1e12, tokens=1e12), far=True)


def test_device_names_are_found_in_any_spelling():
    assert find_device("H100") is find_device("NVIDIA h100") is DEVICES["h100"]
    assert find_device("TPU v5p").peak_flops == 459e12
    assert find_device("A100").peak_flops == 312e12  # NVIDIA's datasheet, dense
    assert all(device.source and 1e12 < device.peak_flops < 1e16 for device in DEVICES.values())


@pytest.mark.parametrize(
    ("asked", "meant"), [("h1000", "h100"), ("a1000", "a100"), ("mi300", "mi300x")]
)
def test_an_unknown_device_is_refused_with_the_nearest_name(asked, meant):
    with pytest.raises(QueryError, match=f'Did you mean "{meant}"'):
        find_device(asked)


def test_an_absurd_device_name_gets_no_suggestion():
    with pytest.raises(QueryError, match=r"unknown\. There are t4") as caught:
        find_device("abacus of wood")
    assert "mean" not in str(caught.value)


def test_the_loss_quoted_in_the_expected_messages_is_right():
    assert find_loss(2e9, 1e11) == pytest.approx(2.2943, abs=5e-5)
