"""From a results folder to its page: each command on the page gives the answer beside it."""

import base64
import csv
import json
import re
import shlex
from pathlib import Path

import pytest
from commands import CODE, tell

from scaling.fitting.fitted import Fit
from scaling.report.sensitivity import Variant
from scaling.tables.filters import Filters
from scaling.workflow.fits import FitOptions, fit_filtered
from scaling.workflow.reporting import report_sweep
from scaling.workflow.stored import open_results, read_runs
from scaling.workflow.variants import compare_variants


@pytest.fixture(scope="module")
def fit() -> Fit:
    table, stored = read_runs(CODE)
    return fit_filtered(table, stored, FitOptions(), Filters()).fit


@pytest.fixture(scope="module")
def variants(fit: Fit) -> tuple[Variant, ...]:
    from scaling.workflow.reporting import answer_forecast

    table, stored = read_runs(CODE)
    assert stored is not None
    return compare_variants(table, stored, fit, answer_forecast(stored, fit), Filters(), ())


def test_methods_laws_and_choices_of_runs_are_compared(variants: tuple[Variant, ...]) -> None:
    assert {one.group for one in variants} == {"method", "law", "runs"}
    assert all(one.answer is not None or one.reason for one in variants)
    runs = [one for one in variants if one.group == "runs"]
    assert all(one.runs is not None and one.runs < 42 for one in runs)


@pytest.mark.slow
def test_every_choice_is_what_its_command_answers(variants: tuple[Variant, ...]) -> None:
    for one in variants:
        if one.answer is None:
            continue
        words = shlex.split(one.command)[1:]
        (said,) = json.loads(tell(*words, "--json"))["answers"]
        assert said["params"] == pytest.approx(one.answer.params, rel=1e-9), one.command
        assert said["tokens"] == pytest.approx(one.answer.tokens, rel=1e-9), one.command


def test_report_in_markdown_names_the_command_that_makes_it(tmp_path: Path) -> None:
    said = tell("report", CODE, "--root", tmp_path, "--format", "md")
    path = tmp_path / "reports" / "code" / "report.md"
    assert said.strip() == str(path)
    text = path.read_text(encoding="utf-8")
    assert f"scaling report {CODE} --format md" in text
    assert "The same question under other choices" in text


def test_the_page_s_csv_is_a_table_that_fit_reads(tmp_path: Path) -> None:
    stored = open_results(CODE)
    page, fit, _ = report_sweep(stored, root=tmp_path)
    found = re.search(r'href="data:text/csv;base64,([^"]*)"', page.read_text(encoding="utf-8"))
    assert found is not None
    rows = list(csv.DictReader(base64.b64decode(found[1]).decode().splitlines()))
    fitted = [row for row in rows if row["role"] in ("grid", "replicate")]
    assert len(fitted) == fit.n
    table = tmp_path / "runs.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(fitted)
    delta = str(fit.objective.delta) if fit.objective else ""
    words = ("fit", table, "--no-bootstrap", "--huber-delta", delta, "--json")
    law = json.loads(tell(*words))["law"]["params"]
    assert fit.law is not None
    assert law == pytest.approx(dict(fit.law.params), rel=1e-6)
