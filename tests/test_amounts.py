"""Claims about numbers as people write them, in flags and sweep files."""

import json
import math
import random

import click
import pytest
from commands import call, write_table

from scaling.allocation.datasheets import find_device
from scaling.cli import cli
from scaling.errors import SpecError
from scaling.sweep.reading import parse_sweep

E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28  # Hoffmann et al. 2022, eq. 10
RUNS = [
    (n, d, E + A / n**ALPHA + B / d**BETA)
    for n in (7e7, 1.6e8, 4.1e8, 1e9, 2.8e9)
    for d in (2e9, 1e10, 3e10, 1e11)
]


@pytest.fixture
def ask(tmp_path):
    path = write_table(tmp_path / "runs.csv", RUNS)

    def run(verb, *words):
        return call(verb, path, *words, "--no-bootstrap", "--json")

    return run


def test_a_budget_is_read_in_any_notation_and_noted_once(ask):
    plain, *others = [ask("allocate", "--flops", one) for one in
                      ("1e21", "10^21", "1 ZFLOP", "1,000,000,000,000,000,000,000")]  # fmt: skip
    (answer,) = json.loads(plain.out)["answers"]
    # Optimum under C = 6·N·D: N* = G (C/6)^(β/(α+β)), G = (αA/βB)^(1/(α+β)); their eq. 4.
    best = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (1e21 / 6) ** (BETA / (ALPHA + BETA))
    assert answer["params"] == pytest.approx(best, rel=1e-4)
    assert "note" not in plain.errors
    for one in others:
        assert json.loads(one.out) == json.loads(plain.out)
        assert one.errors.count("is 1e+21 FLOP") == 1


def test_a_model_and_its_tokens_may_be_written_in_words(ask):
    said = ask("predict", "--params", "1.4B", "--tokens", "300B tokens")
    (answer,) = json.loads(said.out)["predictions"]
    expected = E + A / 1.4e9**ALPHA + B / 300e9**BETA
    assert answer["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("words", [("--flops", "1,234"), ("--flops", "300B tokens")])
def test_an_ambiguous_number_is_refused(words, tmp_path):
    done = call("allocate", tmp_path, *words)
    assert done.code == 2
    assert "may be 1234 or 1.234" in done.errors or "tokens where one of FLOP" in done.errors


SWEEP = """\
name: a
corpus: {{source: synthetic, tokens: {tokens}}}
model: {{family: transformer}}
grid: {{params: [{params}], tokens: [10k]}}
"""


def test_a_sweep_file_may_write_70M():
    text = SWEEP.format(tokens="2M", params="70k, 1e5")
    spec = parse_sweep(text.encode(), source="a.yaml")
    assert spec.corpus.tokens == 2_000_000
    assert spec.grid.params == (70_000.0, 100_000.0)
    assert spec.grid.tokens == (10_000.0,)


def test_an_ambiguous_number_in_a_sweep_file_is_refused():
    text = SWEEP.format(tokens='"20,000"', params="1e5")
    with pytest.raises(SpecError, match=r"may be 20000 or 20\.000"):
        parse_sweep(text.encode(), source="a.yaml")


# Twice the table's peak: with 2:4 sparsity, as vendors' pages print it.
@pytest.mark.parametrize(
    ("name", "peak"),
    [("H800", 1979e12), ("RTX A6000", 309.7e12), ("rtx5090", 419e12), ("MI350X", 4613.7e12)],
)
def test_devices_have_their_dense_peak(name, peak):
    assert find_device(name).peak_flops == pytest.approx(peak / 2, rel=1e-3)


def test_a_peak_may_be_stated_in_place_of_a_name(ask):
    named = ask("allocate", "--device", "h100", "--mfu", "0.4", "--devices", "8", "--days", "1")
    stated = ask("allocate", "--peak-flops", "989.4 TFLOPs", "--mfu", "0.4", "--devices", "8",
                 "--days", "1")  # fmt: skip
    one, other = (json.loads(said.out)["answers"][0]["flops"] for said in (named, stated))
    assert one == other
    both = ask(
        "allocate", "--peak-flops", "1e15", "--device", "h100", "--mfu", "0.4", "--days", "1"
    )
    assert "leave one out" in both.errors


def test_a_target_loss_is_in_the_unit_of_the_table(tmp_path):
    # A table and a target in bits give the same answer as both in nats.
    answers = []
    for unit, scale in (("nats", 1.0), ("bits", math.log(2))):
        rows = [(n, d, loss / scale) for n, d, loss in RUNS]
        path = write_table(tmp_path / f"{unit}.csv", rows)
        words = ("--loss-unit", unit, "--target-loss", repr(2.2 / scale), "--no-bootstrap")
        done = call("allocate", path, *words, "--json")
        answers.append(json.loads(done.out)["answers"][0])
    for key in ("params", "tokens", "flops"):
        assert answers[1][key] == pytest.approx(answers[0][key], rel=1e-6)


def test_an_answer_at_the_end_of_its_interval_says_why(tmp_path):
    """Without noise only the allowance for untried recipes is left, which lowers N* only."""
    exact, noisy = tmp_path / "exact.csv", tmp_path / "noisy.csv"
    for path, sigma in ((exact, 0.0), (noisy, 0.003)):
        rng = random.Random(1)
        rows = [(n, d, loss * math.exp(sigma * rng.gauss(0, 1))) for n, d, loss in RUNS]
        write_table(path, rows)
    said = []
    for path in (exact, noisy):
        words = ("--flops", "1e22", "--bootstrap", "200", "--family", "chinchilla")
        said.append(call("allocate", path, *words).out)
    assert "moves N* to one side only" in said[0]
    assert "one side only" not in said[1]


def list_number_options():
    """(verb, option) of every option that takes a number."""
    kinds = (click.types.FloatParamType, click.types.IntParamType)
    for verb, command in cli.commands.items():
        for option in command.params:
            if isinstance(option.type, kinds):
                yield verb, option.opts[0]


@pytest.mark.parametrize(("verb", "option"), list(list_number_options()))
def test_digits_of_other_scripts_are_refused_in_every_option(verb, option):
    """Python accepts such digits, but nobody writes a budget in them."""
    for text in ("\u0661\u0660", "1e\u0662\u0661", "\uff11\uff12"):  # Arabic, mixed, full width
        done = call(verb, "x", option, text)
        assert done.code == 2
        assert "digits of another script" in done.errors
    done = call(verb, "x", option, "10")
    assert "script" not in done.out + done.errors


@pytest.mark.parametrize("words", [("--of", "N", "--floor"), ("--family",), ("--flops-range",)])
def test_digits_of_other_scripts_are_refused_inside_words(tmp_path, words):
    path = write_table(tmp_path / "t.csv", RUNS)
    value = {"--family": "floor:\u0661.6", "--flops-range": "\u0661e18:"}.get(words[-1], "\u0661.6")
    assert call("fit", path, *words, value).code == 2
