"""Claims about `scaling report` and `suggest` of a table: a page without a sweep."""

import base64
import csv
import io
import json
import math
import re

import pytest
from commands import tell, write_table

E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28  # Hoffmann et al. 2022, eq. 10
RUNS = [
    (n, d, E + A / n**ALPHA + B / d**BETA)
    for n in (70, 160, 410, 1000, 2800)
    for d in (2, 10, 30, 100)
]


@pytest.fixture
def table(tmp_path):
    rows = [
        (f"{n}M", f"{d}B", E + A / (n * 1e6) ** ALPHA + B / (d * 1e9) ** BETA) for n, d, _ in RUNS
    ]
    return write_table(tmp_path / "runs.csv", rows, head="size,tokens,loss")


def test_a_table_has_a_report(table, tmp_path):
    words = ("report", table, "--root", tmp_path, "--columns", "N=size,D=tokens")
    done = tell(*words, "--format", "md")
    page = tmp_path / "reports" / "runs" / "report.md"
    assert done.strip() == str(page)
    text = page.read_text()
    assert "size: 20 cells are read as people write numbers: '70M' is 70000000" in text
    assert re.search(r"\| E \| 1\.69 \|", text)
    # Not at ten times that budget.
    assert text.count("inside the range of budgets that were trained") == 1
    assert "No forecast" not in text
    assert "The sweep file" not in text


def find_optimum(flops):
    """N* of Hoffmann et al. 2022, eq. 4, and the loss there."""
    n = (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (flops / 6) ** (BETA / (ALPHA + BETA))
    return n, E + A / n**ALPHA + B / (flops / 6 / n) ** BETA


@pytest.mark.parametrize(
    ("unit", "label", "write"),
    [
        ("nats", "nats/token", lambda nats: nats),
        ("bits", "bits/token", lambda nats: nats / math.log(2)),
        ("bpb", "bits/byte", lambda nats: nats / math.log(2)),
        ("ppl", "perplexity", math.exp),
    ],
)
def test_the_page_of_a_table_answers_in_its_unit(tmp_path, unit, label, write):
    rows = [(f"{n}e6", f"{d}e9", write(E + A / (n * 1e6) ** ALPHA + B / (d * 1e9) ** BETA))
            for n, d, _ in RUNS]  # fmt: skip
    path = write_table(tmp_path / "runs.csv", rows)
    done = tell("report", path, "--root", tmp_path, "--family", "chinchilla", "--loss-unit", unit)
    page = tmp_path / "reports" / "runs" / "index.html"
    assert done.strip() == str(page)
    text = page.read_text()
    body = re.sub(r"<svg.*?</svg>|<script.*?</script>|<style.*?</style>", "", text, flags=re.S)
    # The largest budget is 6 · 2.8e9 · 1e11; its answer has a closed form.
    n, loss = find_optimum(1.68e21)
    assert "<b>1.68e21 FLOPs</b>" in body
    assert f"{n / 1e9:.3g}B" in body
    assert f"{write(loss):.3f} {label}" in body
    others = {"nats/token", "bits/token", "bits/byte", "perplexity"} - {label}
    # For perplexity the law is of ln ppl.
    allowed = {"nats/token", "perplexity"} if unit == "ppl" else set()
    assert not [one for one in others - allowed if one in body]
    # Calculator, table of budgets and figures all use the unit.
    answers = json.loads(re.search(r'id="answers">(.*?)</script>', text, re.S)[1])
    assert answers["unit"] == label
    rows_shown = re.findall(r'<th scope="row">([\de]+)</th>(?:<td>[^<]*</td>){3}<td>([\d.]+)', body)
    assert len(rows_shown) >= 5
    for flops, said in rows_shown:
        wanted = write(find_optimum(float(flops))[1])
        assert float(said) == pytest.approx(wanted, abs=6e-4)  # printed to three decimals
    assert text.count(f"loss L [{label}]") >= 2
    # The CSV contains every row as written.
    link = re.search(r"data:text/csv;base64,([^\"]+)", text)[1]
    found = list(csv.DictReader(io.StringIO(base64.b64decode(link).decode())))
    assert len(found) == len(RUNS)
    assert float(found[3]["loss"]) == pytest.approx(rows[3][2], rel=1e-14)
    for absent in ("The sweep file", "training curves", "The recipe", "The corpus"):
        assert absent not in body
    assert "What was understood of the table" in body


def test_rows_left_out_are_on_the_page_with_the_reason(table, tmp_path):
    words = ("report", table, "--root", tmp_path, "--columns", "N=size,D=tokens")
    tell(*words, "--min-ratio", "2", "--family", "tied")
    text = (tmp_path / "reports" / "runs" / "index.html").read_text()
    low = sum(d * 1e9 / (n * 1e6) < 2 for n, d, _ in RUNS)
    assert text.count("left out by a filter") == low > 0
    assert f"declared rules left out {low} others" in text
    assert "scaling report" in text
    assert "--min-ratio 2.0" in text


def test_a_table_has_a_suggestion(table):
    words = ("--spend", "1e21", "--forecast", "1e22", "--noise", "0.003", "--json")
    found = json.loads(tell("suggest", table, "--columns", "N=size,D=tokens", *words))
    assert sum(cell["flops"] for cell in found["cells"]) <= 1e21
    assert found["expected_error"]["after"] < found["expected_error"]["before"]
    for cell in found["cells"]:
        assert cell["flops"] == pytest.approx(6 * cell["params"] * cell["tokens"], rel=1e-9)
