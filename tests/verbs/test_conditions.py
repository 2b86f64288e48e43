"""Claims about the options of allocate: they make a question, or exit 2 with a reason."""

import json
import re
from pathlib import Path

import pytest
from commands import CODE, Said, call, write_table

from scaling.ledger.commit import Ledger
from scaling.ledger.speed import measure_speed


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        (n, d, 1.7 + 400 / n**0.34 + 2000 / d**0.37)
        for n in (1e8, 2e8, 4e8, 8e8, 1.6e9)
        for d in (2e9, 4e9, 8e9, 2e10, 4e10)
    ]
    return write_table(tmp_path_factory.mktemp("table") / "runs.csv", rows)


def ask(source: Path, *words: str) -> Said:
    return call("allocate", source, "--bootstrap", "10", *words)


def ask_json(source: Path, *words: str) -> list[dict]:
    return json.loads(ask(source, *words, "--json").out)["answers"]


def assert_refused(source: Path, words: str, said: str, *, code: int) -> None:
    done = ask(source, *words.split())
    assert done.code == code
    assert re.search(said, done.errors)


def test_money_devices_and_a_deadline_make_one_question(table):
    words = "--device h100 --mfu 0.4 --devices 8 --days 0.5 --dollars 200 --price-per-hour 2.5"
    (answer,) = ask_json(table, *words.split())
    assert answer["binding"] == ["money"]
    assert answer["flops"] == pytest.approx(80 * 3600 * 0.4 * 989.4e12)
    assert answer["spending"]["dollars"] == pytest.approx(200)
    assert answer["spending"]["days"] == pytest.approx(80 / 8 / 24)
    assert any("0.5 days" in note for note in answer["notes"])


def test_several_budgets_share_the_other_conditions(table):
    answers = ask_json(table, "--flops", "1e20", "--flops", "1e21", "--params", "4e8")
    assert [answer["flops"] for answer in answers] == [1e20, 1e21]
    assert {answer["params"] for answer in answers} == {4e8}


@pytest.mark.parametrize(
    ("said", "bytes_"), [("2e9", 2e9), ("2GB", 2e9), ("2 GiB", 2 * 2**30), ("2000mb", 2e9)]
)
def test_memory_is_read_with_its_unit(table, said, bytes_):
    (answer,) = ask_json(table, "--flops", "1e21", "--serving-memory", said)
    assert answer["question"]["serving_memory"] == bytes_


def test_the_machine_that_trained_a_folder_is_a_device():
    words = ("--device", "measured", "--devices", "2", "--days", "0.001", "--count", "matmul")
    (answer,) = ask_json(CODE, *words)
    speed = measure_speed(Ledger.open(CODE))
    assert answer["flops"] == pytest.approx(2 * 86.4 * speed)
    assert answer["shape"]["params"] > 0


def test_memory_counts_every_stored_parameter_of_a_sweeps_shapes():
    (answer,) = ask_json(CODE, "--flops", "1e12", "--serving-memory", "60kB")
    assert answer["binding"] == ["serving_memory", "flops"]
    shape = answer["shape"]
    # 12·d² per layer, two embeddings and the norm gains, at two bytes each, fit the memory.
    d, layers = shape["d_model"], shape["n_layers"]
    stored = 12 * d * d * layers + 2 * 256 * d + (2 * layers + 1) * d + 2 * layers * 16
    assert 2 * stored <= 60_000
    assert answer["spending"]["serving_bytes"] == pytest.approx(60_000, rel=1e-6)


def test_the_text_says_what_decides_and_what_other_sizes_cost(table):
    said = ask(table, "--flops", "1e21", "--inference-tokens", "1e11").out
    assert "of training, decided by flops" in said
    assert "serving 100B tokens" in said
    assert "lifetime compute for the same loss at other sizes: N/4" in said
    assert "from cheapest to train to cheapest to serve" in said
    assert "assumed: serving a token is counted as 0.333 of training on it" in said


def test_a_plain_budget_says_what_half_and_twice_the_size_cost(table):
    said = ask(table, "--flops", "1e21").out
    assert said.startswith("For 1e21 FLOPs (")
    assert "compute for the same loss at other sizes: N/4" in said
    assert "from cheapest to train" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "leaves compute open"),
        ("--flops 0", "positive, finite"),
        ("--flops -1", "positive, finite"),
        ("--flops nan", "positive, finite"),
        ("--flops 1e400", "positive, finite"),
        ("--flops 1e300", "outside any sane range"),
        ("--params nan --tokens 1e9", "positive, finite"),
        ("--flops 1e21 --device h1000 --mfu 0.4", 'Did you mean "h100"'),
        ("--flops 1e21 --device h100", "say which share with --mfu"),
        ("--flops 1e21 --device h100 --mfu 40", "a share of the peak"),
        ("--flops 1e21 --device measured", "a table and has measured no machine"),
        ("--flops 1e21 --device measured --mfu 0.4", "leave --mfu out"),
        ("--device h100 --mfu 0.4 --days 3", "number of devices"),
        ("--device h100 --mfu 0.4 --dollars 3", "needs the price"),
        ("--dollars 3 --price-per-hour 2", "say on which --device"),
        ("--flops 1e21 --serving-memory much", "no amount of memory"),
        ("--flops 1e21 --serving-memory nan", "positive, finite"),
        ("--flops 1e21 --serving-memory 80", "add the unit, as in 80GB"),
        ("--device h100 --mfu 0.4 --devices 0 --days 1", "number of devices is 0"),
        ("--flops 1e40 --far", "not even with --far"),
        ("--flops 1e21 --bytes-per-param 1", "is about serving"),
        ("--flops 1e21 --params 1e9 --tokens 1e12", "flops contradicts params and tokens"),
        ("--flops 1e19 --target-loss 2.0", "flops contradicts target_loss"),
    ],
)
def test_invalid_questions_exit_2(table, words, said):
    assert_refused(table, words, said, code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--flops 1e21 --family compute", "does not say how to split"),
        ("--flops 1e21 --unique-tokens 1e8", "beyond 4 epochs"),
        ("--flops 1e21 --approach isoflop --params 1e9", "needs a law|no frontier"),
    ],
)
def test_questions_that_the_fit_cannot_answer_exit_4(table, words, said):
    assert_refused(table, words, said, code=4)


def test_memory_below_the_smallest_model_of_a_sweep_is_refused():
    words = "--flops 1e12 --serving-memory 1kB"
    assert_refused(CODE, words, "the smallest that can be built stores", code=2)
