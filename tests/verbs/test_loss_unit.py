"""Claims about `--loss-unit`: the table, the question, what is printed and JSON are in one unit.

Runs are of one known law in nats, so that every number has a closed form: bits are nats over ln 2,
perplexities their exponential, and the optimum is that of Hoffmann et al. 2022, eq. 4.
"""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from commands import CODE, call, write_table

from scaling.ledger.commit import Ledger
from scaling.units.losses import LOSS_UNITS, LossScale

E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658  # Besiroglu et al. 2404.10102
WRITE = {
    "nats": lambda nats: nats,
    "bits": lambda nats: nats / math.log(2),
    "bpb": lambda nats: nats / math.log(2),  # from nats per byte
    "ppl": math.exp,
}
LABEL = {"nats": "nats/token", "bits": "bits/token", "bpb": "bits/byte", "ppl": "perplexity"}
# A noise-free table determines the coefficients to about 1e-9.
CLOSE = 1e-6


def evaluate(n: float, d: float) -> float:
    return E + A / n**ALPHA + B / d**BETA


def find_best(flops: float) -> tuple[float, float]:
    """Hoffmann et al., eq. 4."""
    g = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA))
    n = g * (flops / 6) ** (BETA / (ALPHA + BETA))
    return n, flops / 6 / n


RUNS = [
    (n, d, evaluate(n, d)) for n in (7e7, 1.6e8, 4.1e8, 1e9, 2.8e9) for d in (2e9, 1e10, 3e10, 1e11)
]
units = pytest.mark.parametrize("unit", LOSS_UNITS)


def list_rows(unit: str) -> list[tuple[float, float, float]]:
    return [(n, d, WRITE[unit](loss)) for n, d, loss in RUNS]


@pytest.fixture
def ask(tmp_path):
    def run(unit: str, verb: str, *words: str, code: int = 0) -> str:
        path = write_table(tmp_path / f"{unit}.csv", list_rows(unit))
        flag = () if unit == "nats" else ("--loss-unit", unit)
        law = () if "--family" in words else ("--family", "chinchilla")
        few = () if "--no-bootstrap" in words else ("--bootstrap", "30")
        fixed = [verb, str(path), *flag, *law, *few]
        done = call(*fixed, *words)
        assert done.code == code, done.errors
        return done.out or done.errors

    return run


def test_converting_to_a_unit_and_back_is_exact() -> None:
    losses = np.array([0.3, 1.69, 11.0])
    for scale in (*map(LossScale, LOSS_UNITS), LossScale("bpb", 4.3)):
        np.testing.assert_allclose(scale.from_(scale.to(losses)), losses, rtol=1e-14)
        assert scale.from_(scale.to(2.5)) == pytest.approx(2.5, rel=1e-14)
    assert LossScale("bpb", 4.3).to(2.5) == pytest.approx(2.5 / math.log(2) / 4.3, rel=1e-14)


@units
def test_the_laws_parameters_are_in_the_unit_where_possible(ask, unit: str) -> None:
    found = json.loads(ask(unit, "fit", "--json"))
    assert found["schema_version"] == (1 if unit == "nats" else 2)
    assert found["loss_unit"] == unit
    write = WRITE["nats" if unit == "ppl" else unit]  # the law is of ln ppl
    assert found["law"].get("loss_unit", "nats") == ("nats" if unit == "ppl" else unit)
    for name, right in (("E", E), ("A", A), ("B", B)):
        assert found["law"]["params"][name] == pytest.approx(write(right), rel=CLOSE)
        low, high = found["law"]["intervals"][name]
        assert low <= write(right) * (1 + CLOSE)
        assert high >= write(right) * (1 - CLOSE)
    assert found["law"]["params"]["alpha"] == pytest.approx(ALPHA, rel=CLOSE)


@units
def test_a_target_and_its_answer_are_in_the_unit(ask, unit: str) -> None:
    n, d = find_best(1e22)
    target = WRITE[unit](evaluate(n, d))
    found = json.loads(ask(unit, "allocate", "--target-loss", repr(target), "--json"))
    assert (found["loss_unit"], found["schema_version"]) == (unit, 1 if unit == "nats" else 2)
    (answer,) = found["answers"]
    # C depends on the loss as a power, which amplifies rounding.
    assert answer["flops"] == pytest.approx(1e22, rel=1e-4)
    assert answer["params"] == pytest.approx(n, rel=1e-4)
    assert answer["loss"] == pytest.approx(target, rel=1e-9)
    assert answer["question"]["target_loss"] == pytest.approx(target, rel=1e-9)
    said = ask(unit, "allocate", "--target-loss", repr(target))
    assert f"For a loss of {target:g} {LABEL[unit]}" in said
    assert all(one == LABEL[unit] for one in re.findall(r"nats/token|bits/\w+|perplexity", said))


@units
def test_a_prediction_is_in_the_unit(ask, unit: str) -> None:
    right = WRITE[unit](evaluate(3e9, 6e10))
    words = ("--params", "3e9", "--tokens", "6e10")
    (found,) = json.loads(ask(unit, "predict", *words, "--json"))["predictions"]
    assert found["loss"] == pytest.approx(right, rel=CLOSE)
    low, high = found["intervals"]["new_run"]
    assert low <= right * (1 + CLOSE)
    assert high >= right * (1 - CLOSE)
    assert f"loss {right:.4f} {LABEL[unit]}" in ask(unit, "predict", *words)


@units
def test_a_measured_loss_beside_the_forecast_is_in_the_unit(ask, unit: str) -> None:
    n, d, loss = RUNS[0]
    words = ("--params", repr(n), "--tokens", repr(d), "--json")
    (found,) = json.loads(ask(unit, "predict", *words))["predictions"]
    assert found["measured"]["loss"] == pytest.approx(WRITE[unit](loss), rel=1e-12)


@units
def test_a_refusal_states_losses_in_the_unit(ask, unit: str) -> None:
    lowest = WRITE[unit](1.8)  # below E
    said = ask(unit, "allocate", "--target-loss", repr(lowest), "--no-bootstrap", code=2)
    shown = re.search(r"a loss of ([\d.]+) (\S+) by this law", said)
    assert shown is not None, said
    assert float(shown[1]) == pytest.approx(lowest, rel=2e-4)  # to the digits printed
    assert shown[2] == LABEL[unit]


@units
def test_a_pinned_floor_is_stated_in_the_unit(tmp_path, ask, unit: str) -> None:
    ask(unit, "fit", "--json")  # writes the table
    words = ["fit", str(tmp_path / f"{unit}.csv"), "--no-bootstrap", "--json"]
    words += ["--family", f"floor:{WRITE[unit](E)!r}"]
    words += [] if unit == "nats" else ["--loss-unit", unit]
    found = json.loads(call(*words).out)
    family = found["law"]["family"]
    assert unit == "ppl" or family == f"floor:{WRITE[unit](E):.12g}"
    assert all(family in note for note in found["notes"] if "floor:" in note)
    held = float(family.removeprefix("floor:"))
    inside = unit == "ppl"
    assert held == pytest.approx(E if inside else WRITE[unit](E), rel=1e-9)
    right = A if inside else WRITE[unit](A)
    assert found["law"]["params"]["A"] == pytest.approx(right, rel=CLOSE)


def test_parameters_inside_a_power_stay_in_nats_and_are_labelled(ask) -> None:
    words = ("--family", "kaplan", "--no-bootstrap", "--json")
    nats, bits = (json.loads(ask(unit, "fit", *words))["law"] for unit in ("nats", "bits"))
    assert bits["loss_unit"] == "nats"
    assert bits["params"] == pytest.approx(nats["params"], rel=1e-9)


@units
def test_a_law_of_one_variable_is_in_the_unit(tmp_path, unit: str) -> None:
    rows = [
        (c, WRITE[unit](1.2 + 1853.0 * c**-0.186)) for c in np.geomspace(1e17, 1e21, 9).tolist()
    ]
    path = write_table(tmp_path / "c.csv", rows, head="C,loss")
    right = 1.2 + 1853.0 * 1e26**-0.186
    words = ["fit", path, "--of", "C", "--at", "1e26", "--far", "--loss-unit", unit]
    found = json.loads(call(*words, "--json").out)
    assert found["forecasts"][0]["loss"] == pytest.approx(WRITE[unit](right), rel=CLOSE)
    law = WRITE["nats" if unit == "ppl" else unit]
    assert found["law"]["params"]["E"] == pytest.approx(law(1.2), rel=CLOSE)
    held = [*words, "--json", "--floor", repr(WRITE[unit](1.2))]
    again = json.loads(call(*held).out)
    assert again["law"]["params"]["E"] == pytest.approx(law(1.2), rel=1e-12)
    assert f"{WRITE[unit](right):.4f} {LABEL[unit]}" in call(*words).out


@pytest.mark.parametrize("unit", ["bits", "bpb", "ppl"])
def test_a_registered_forecast_and_its_outcome_are_in_the_unit(tmp_path, ask, unit: str) -> None:
    right = WRITE[unit](evaluate(*find_best(1e22)))
    words = ("--root", str(tmp_path), "--flops", "1e22", "--json")
    (said,) = json.loads(ask(unit, "forecast", *words))["forecasts"]
    assert said["loss"] == pytest.approx(right, rel=CLOSE)
    (told,) = json.loads(ask(unit, "forecast", *words, "--outcome", repr(right)))["forecasts"]
    assert told["outcome"]["loss"] == pytest.approx(right, rel=1e-12)
    assert f"{right:.4f}" in ask(unit, "forecast", "--root", str(tmp_path))
    other = call("forecast", str(tmp_path / f"{unit}.csv"), "--root", str(tmp_path), "--json")
    (plain,) = json.loads(other.out)["forecasts"] or [None]
    if unit == "bpb":  # nats per byte cannot be converted to nats per token
        assert plain is None
        assert "--loss-unit bpb" in other.errors
    else:
        assert plain["loss"] == pytest.approx(evaluate(*find_best(1e22)), rel=CLOSE)


def test_an_own_sweep_answers_in_bits_per_byte_of_its_held_out_text() -> None:
    facts = Ledger.open(CODE).corpus
    per_token = facts.validation_bytes / facts.validation_tokens
    words = ["predict", str(CODE), "--params", "1e5", "--tokens", "1e7", "--no-bootstrap"]
    words += ["--family", "chinchilla", "--json"]
    nats, bits, bpb = (
        json.loads(call(*words, "--loss-unit", unit).out)["predictions"][0]
        for unit in ("nats", "bits", "bpb")
    )
    assert bits["loss"] == pytest.approx(nats["loss"] / math.log(2), rel=1e-12)
    assert bpb["loss"] == pytest.approx(nats["loss"] / math.log(2) / per_token, rel=1e-12)


def test_numbers_inside_sentences_are_converted() -> None:
    said = "Losses span 2.31 … 4.621 nats/token; E is 1.7 … 1.8 nats here."
    bits = LossScale("bits").reword(said)
    assert bits == "Losses span 3.333 … 6.667 bits/token; E is 2.453 … 2.597 bits here."
    ppl = LossScale("ppl").reword(said)
    assert ppl == "Losses span 10.07 … 101.6 perplexity; E is 1.7 … 1.8 nats here."
    assert LossScale("nats").reword(said) == said


@units
def test_groups_are_in_the_unit_too(tmp_path, unit: str) -> None:
    """Two recipes, the second .1 nats above the first everywhere: their losses at one (N, D)."""
    rows = [
        (n, d, WRITE[unit](loss + more), name)
        for name, more in (("a", 0.0), ("b", 0.1))
        for n, d, loss in RUNS
    ]
    path = write_table(tmp_path / "two.csv", rows, head="N,D,loss,recipe")
    words = ["predict", path, "--params", "3e9", "--tokens", "6e10", "--group-by", "recipe"]
    words += ["--loss-unit", unit, "--family", "chinchilla", "--no-bootstrap"]
    found = json.loads(call(*words, "--json").out)
    assert (found["loss_unit"], found["schema_version"]) == (unit, 1 if unit == "nats" else 2)
    for one, more in zip(found["groups"], (0.0, 0.1), strict=True):
        right = WRITE[unit](evaluate(3e9, 6e10) + more)
        assert one["predictions"][0]["loss"] == pytest.approx(right, rel=CLOSE)
    assert call(*words).out.count(LABEL[unit]) == 2


@units
def test_a_comparison_of_tables_is_in_the_unit(tmp_path, unit: str) -> None:
    """Both tables have the same law, so each has the budget's lowest loss, in closed form."""
    first, second = (write_table(tmp_path / name, list_rows(unit)) for name in ("a.csv", "b.csv"))
    words = ["compare", first, second, "--flops", "1e21"]
    words += ["--loss-unit", unit, "--no-bootstrap"]
    found = json.loads(call(*words, "--json").out)
    right = WRITE[unit](evaluate(*find_best(1e21)))
    assert found["loss"] == pytest.approx([right, right], rel=CLOSE)
    assert found["multiplier"] == pytest.approx(1.0, rel=1e-4)
    assert found["loss_unit"] == unit
    assert f"{right:.4f} {LABEL[unit]}" in call(*words).out


@units
def test_values_read_from_a_table_are_shown_in_the_unit(tmp_path, unit: str) -> None:
    path = write_table(tmp_path / "a.csv", list_rows(unit))
    losses = [loss for *_, loss in list_rows(unit)]
    found = json.loads(call("read", path, "--loss-unit", unit, "--json").out)
    (column,) = [one for one in found["columns"] if one["name"] == "loss"]
    assert column["values"] == [min(losses), max(losses)]
    assert column["unit"] == LABEL[unit]
    assert found["doubts"] == []
