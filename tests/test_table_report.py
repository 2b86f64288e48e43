"""Claims about `scaling report` and `suggest` of a table: what the verbs print, in one file."""

import json

import pytest
from click.testing import CliRunner

from scaling.cli import cli

E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28  # Hoffmann et al. 2022, eq. 10
RUNS = [
    (n, d, E + A / n**ALPHA + B / d**BETA)
    for n in (70, 160, 410, 1000, 2800)
    for d in (2, 10, 30, 100)
]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "runs.csv"
    lines = [
        f"{n}M,{d}B,{E + A / (n * 1e6) ** ALPHA + B / (d * 1e9) ** BETA!r}" for n, d, _ in RUNS
    ]
    path.write_text("\n".join(["size,tokens,loss", *lines]) + "\n")
    return path


def ask(*words):
    done = CliRunner().invoke(cli, list(map(str, words)), standalone_mode=False)
    assert done.exception is None, done.exception
    return done


def test_a_table_has_a_report(table, tmp_path):
    done = ask("report", table, "--root", tmp_path, "--columns", "N=size,D=tokens")
    page = tmp_path / "reports" / "runs" / "report.md"
    assert done.stdout.strip() == str(page)
    text = page.read_text()
    assert "20 runs are fitted" in text
    assert "- size: 20 cells are read as people write numbers: '70M' is 70000000" in text
    assert "E      1.69" in text
    assert text.count("inside the data") == 1  # at the largest budget, not at ten times it


def test_a_table_has_a_suggestion(table):
    words = ("--spend", "1e21", "--forecast", "1e22", "--noise", "0.003", "--json")
    found = json.loads(ask("suggest", table, "--columns", "N=size,D=tokens", *words).stdout)
    assert sum(cell["flops"] for cell in found["cells"]) <= 1e21
    assert found["expected_error"]["after"] < found["expected_error"]["before"]
    for cell in found["cells"]:
        assert cell["flops"] == pytest.approx(6 * cell["params"] * cell["tokens"], rel=1e-9)
