"""Claims about one law per value of a column, and about tables with different columns."""

import json

import pytest
from commands import tell, write_table

SIZES, COUNTS = (7e7, 1.6e8, 4.1e8, 1e9, 2.8e9), (2e9, 1e10, 3e10, 1e11)
LAWS = {"c4": (1.69, 406.4, 410.7, 0.34, 0.28), "comma": (1.8, 500.0, 2000.0, 0.35, 0.36)}


def evaluate(law, n, d):
    return law[0] + law[1] / n ** law[3] + law[2] / d ** law[4]


@pytest.fixture
def table(tmp_path):
    rows = [(n, d, evaluate(law, n, d), data) for data, law in LAWS.items()
            for n in SIZES for d in COUNTS]  # fmt: skip
    return write_table(tmp_path / "runs.csv", rows, head="N,D,loss,data")


def ask(verb, *words):
    return tell(verb, *words, "--no-bootstrap")


def test_each_group_gets_its_own_law(table):
    groups = json.loads(ask("fit", table, "--group-by", "data", "--json"))["groups"]
    assert [one["key"] for one in groups] == ["c4", "comma"]
    for one in groups:
        law = one["law"]["params"]
        assert list(law.values()) == pytest.approx(LAWS[one["key"]], rel=1e-4)
        assert one["n"] == 20


def test_groups_stand_side_by_side_in_text(table):
    said = ask("fit", table, "--group-by", "data").splitlines()
    assert said[0].split()[:3] == ["data", "runs", "E"]
    assert [line.split()[0] for line in said[1:3]] == ["c4", "comma"]


def test_each_group_predicts_from_its_own_law(table):
    words = ("--group-by", "data", "--params", "1e9", "--tokens", "3e10", "--json")
    groups = json.loads(ask("predict", table, *words))["groups"]
    for one in groups:
        (answer,) = one["predictions"]
        assert answer["loss"] == pytest.approx(evaluate(LAWS[one["key"]], 1e9, 3e10), rel=1e-6)


def test_a_table_with_other_column_names_is_compared(table, tmp_path):
    rows = [(n, d, evaluate(LAWS["c4"], n, d)) for n in SIZES for d in COUNTS]
    other = write_table(tmp_path / "other.csv", rows, head="size,tokens,val")
    same = write_table(tmp_path / "same.csv", rows)
    words = ("--columns-b", "N=size,D=tokens,loss=val", "--flops", "1e20", "--json")
    answer = json.loads(ask("compare", same, other, *words))
    assert answer["multiplier"] == pytest.approx(1.0, rel=1e-6)
