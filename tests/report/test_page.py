"""What a reader of the report can rely on."""

import base64
import dataclasses
import hashlib
import html
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from simulated import SWEEP, make_data, standard_data, with_hostile_text, with_results, with_status

import scaling.report
from scaling.allocation import Allocation
from scaling.fitting.fitted import FitStatus, Interval
from scaling.report.answers import mark_distance
from scaling.report.data import ReportData
from scaling.report.markdown import render_markdown
from scaling.report.page import render_page, write_report
from scaling.units import format_count, format_flops
from scaling.words.checks import CATALOGUE, name_entry
from scaling.words.statuses import STATUSES

PAYLOADS = (
    "<script>alert(1)</script>",
    "{{7*7}}{% for x in y %}",
    r"$\frac{$",
    "\x1b]0;owned\x07",
    '=cmd("calc")',
    "\u202egnp.exe\ud800",
    '"><img src=x onerror=alert(1)>',
)


SCRIPT = re.compile(r"<script[^>]*>(.*?)</script>", flags=re.S)
OWN_SCRIPTS = {
    (Path(scaling.report.__file__).parent / name).read_text(encoding="utf-8")
    for name in ("solver.js", "calculator.js", "page.js", "vendor/plotly-basic.min.js")
}


def cut_scripts(page: str) -> str:
    """The page with its scripts removed."""
    return SCRIPT.sub(" ", page)


def read_text(page: str) -> str:
    """The visible text: tags, style and scripts removed."""
    body = re.sub(r"<style>.*?</style>", " ", cut_scripts(page), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def read_sound(data: ReportData) -> str:
    """The visible text of a page, which states no absent number."""
    text = read_text(render_page(data))
    assert not re.search(r"\b(nan|inf|None|NaN|Infinity|null)\b", text)
    return text


@pytest.fixture(scope="module")
def page() -> str:
    return render_page(standard_data())


def test_answer_comes_first_with_the_allocation_s_numbers(page: str) -> None:
    one = standard_data().allocations[0]
    text = read_text(page)
    sentence = (
        f"For {format_flops(one.flops)} FLOPs , train about {format_count(one.params)} parameters "
        f"on {format_count(one.tokens)} tokens"
    )
    assert sentence in text
    assert text.index(sentence) < text.index("Which size is best")
    assert one.params_interval is not None
    ends = (one.params_interval.low, one.params_interval.high)
    assert "90 % interval: parameters {} to {},".format(*map(format_count, ends)) in text
    assert "bits per byte" in text
    assert "needs at most 5 % more compute" in text


@pytest.mark.parametrize(
    ("flops", "words", "tone"),
    [
        (1e10, "below the smallest trained budget", "good"),
        (1e11, "inside the range of budgets that were trained", "good"),
        (2e12, "beyond the largest trained budget", "good"),
        (6e12, "more than half of that", "amber"),
        (6e13, "further out than the data are wide", "red"),
    ],
)
def test_distance_beyond_the_data_is_graded(flops: float, words: str, tone: str) -> None:
    data = standard_data()  # budgets span 1.34 decades
    marker = mark_distance(dataclasses.replace(data.allocations[0], flops=flops), data.fit)
    assert marker.tone == tone
    assert words in marker.text


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_renders_and_says_why(status: FitStatus) -> None:
    text = read_sound(with_status(standard_data(), status, "the reason given"))
    assert STATUSES[status].page in text
    assert ("the reason given" in text) == (status != "converged")
    answered = status not in ("not_converged", "failed")
    assert ("train about" in text) == answered
    assert ("No answer" in text) != answered


def test_fit_without_bootstrap_says_that_it_has_no_interval() -> None:
    assert "No interval" in read_sound(make_data(bootstrap=None))


@pytest.mark.parametrize(
    "grid",
    [
        "{budgets: [1.4e11], sizes: 5}",
        "{params: [7e3, 15e3, 33e3], tokens: [1e5, 2e5, 4e5, 8e5]}",
        "{cells: [{params: 1e4, tokens: 2e5}]}",
        "{budgets: [3e10, 6e10, 1.2e11, 2.4e11, 4.8e11, 9.6e11, 1.9e12], sizes: 9}",
    ],
)
def test_every_kind_of_grid_renders(grid: str) -> None:
    sweep = re.sub(r"grid: .*", f"grid: {grid}", SWEEP).replace("forecast: [6e12]", "forecast: []")
    data = make_data(sweep, bootstrap=20)
    text = read_sound(data)
    assert all(cell.run.run_id in text for cell in data.plan.cells)


def test_runs_that_failed_diverged_or_are_missing_are_all_shown() -> None:
    data = standard_data()
    ids = [cell.run.run_id for cell in data.plan.cells]
    results = dict(data.results)
    del results[ids[0]], results[ids[1]]
    results[ids[2]] = dataclasses.replace(
        results[ids[2]],
        status="diverged",
        loss=None,
        loss_se=None,
        bits_per_byte=None,
        train_loss=None,
        reason="the training loss is not finite by step 7",
    )
    text = read_sound(
        dataclasses.replace(
            with_results(data, results),
            failures={ids[0]: "out of memory"},
            damaged=("x.json: torn",),
        )
    )
    assert all(run_id in text for run_id in ids)
    counted = (
        f"{len(ids)} runs: {len(ids) - 3} fitted, 1 diverged, 1 failed, 1 without a result yet"
    )
    assert counted in text
    for words in ("out of memory", "no result yet", "not finite by step 7", "x.json: torn"):
        assert words in text


def test_sweep_without_a_result_still_has_a_report() -> None:
    data = with_status(standard_data(), "failed", "No run has finished.")
    fit = dataclasses.replace(data.fit, n=0, covered=None, checks=(), replicate_sigma=None)
    empty = dataclasses.replace(with_results(data, {}), curves={}, fit=fit)
    assert "No answer: No run has finished." in read_sound(empty)


def test_missing_and_infinite_numbers_are_never_printed() -> None:
    data = standard_data()
    one = dataclasses.replace(
        data.allocations[0],
        loss=None,
        loss_interval=None,
        shape=None,
        flat_basin=None,
        tokens_interval=Interval(1e5, float("inf"), 0.9),
        params_interval=Interval(float("-inf"), float("inf"), 0.9),
    )
    counts: dict[str, Allocation | None] = {"matmul": one, "total": None}
    results = {
        run_id: dataclasses.replace(result, loss_se=None, bits_per_byte=None)
        for run_id, result in data.results.items()
    }
    broken = dataclasses.replace(
        data,
        allocations=(one,),
        allocations_by_count=counts,
        results=results,  # type: ignore[arg-type]
    )
    assert "above 100k without an upper end" in read_sound(broken)


def test_every_run_id_and_check_is_on_the_page(page: str) -> None:
    data = standard_data()
    text = read_text(page)
    assert all(run_id in text for run_id in data.results)
    assert len(data.fit.checks) >= 24
    for check in (*data.fit.checks, *data.allocations[0].checks):
        assert check.code in text
        assert " ".join(check.seen.split()) in text


def test_failed_checks_alone_name_what_to_do(page: str) -> None:
    data = standard_data()
    failed = {name_entry(check) for check in data.fit.checks if check.passed is False}
    assert failed
    assert (
        failed
        <= set(re.findall(rf"{CATALOGUE}#\w+", page))
        <= failed
        | {name_entry(check) for check in data.allocations[0].checks if check.passed is False}
    )
    assert all(f"What to do: {one}\n" in render_markdown(data) for one in failed)


def test_page_needs_nothing_from_outside(page: str) -> None:
    page = cut_scripts(page)
    assert "http" not in page.replace("http-equiv", "")
    assert not re.search(r"<(iframe|object|embed|form|base)\b", page)
    assert not re.search(r"\son\w+=", page)
    assert "@import" not in page
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {
        f"#{name}" for name in re.findall(r'id="([^"]*)"', page)
    }
    assert "default-src 'none'" in page


def test_only_the_package_s_own_scripts_run(page: str) -> None:
    assert all(not re.search(r"\bsrc\b", tag) for tag in re.findall(r"<script[^>]*>", page))
    policy = re.search(r"script-src ([^;]*);", page)
    assert policy is not None
    digests = {
        f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'"
        for one in OWN_SCRIPTS
    }
    assert set(policy[1].split()) == digests
    run = set(SCRIPT.findall(re.sub(r"<script type=\"application/json\".*?</script>", "", page)))
    assert run == OWN_SCRIPTS


def test_vendored_plotly_is_the_published_file() -> None:
    file = Path(scaling.report.__file__).parent / "vendor" / "plotly-basic.min.js"
    assert b"plotly.js (basic - minified) v4.1.1" in file.read_bytes()[:200]
    # SHA-256 of plotly.js-basic-dist-min 4.1.1 as published on npm.
    published = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == published


def test_data_for_scripts_is_json_that_cannot_end_its_block(page: str) -> None:
    blocks = re.findall(r'<script type="application/json" id="(\w+)">(.*?)</script>', page)
    assert [name for name, _ in blocks] == ["figures", "answers"]
    for _, text in blocks:
        json.loads(text)
        assert not set("<>&") & set(text)


def test_the_page_carries_every_run_as_a_table_that_fits_again(tmp_path: Path) -> None:
    page = render_page(dataclasses.replace(standard_data(), csv="N,D,loss\n1,2,3\n"))
    found = re.search(r'href="data:text/csv;base64,([^"]*)" download="simulated-runs.csv"', page)
    assert found is not None
    assert base64.b64decode(found[1]) == b"N,D,loss\n1,2,3\n"
    assert "All 1 results as CSV" in read_text(page)


def test_ids_are_unique_and_every_reference_has_its_target(page: str) -> None:
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"', page)) <= set(ids)
    assert set(re.findall(r'aria-labelledby="([^"]*)"', page)) <= set(ids)


def test_hostile_text_stays_inert() -> None:
    page = render_page(with_hostile_text(PAYLOADS))
    page.encode("utf-8")
    assert set(SCRIPT.findall(page)) & OWN_SCRIPTS == OWN_SCRIPTS
    page = cut_scripts(page)
    assert not re.search(r"<(script|img)\b", page)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800]", page)
    assert "{{7*7}}" in page
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page, flags=re.S)[0]
    assert r"$\frac{$" in read_text(page)


def test_users_matplotlibrc_does_not_change_the_page(page: str) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 31, "lines.linewidth": 9, "svg.fonttype": "path"}):
        assert render_page(standard_data()) == page
        assert matplotlib.rcParams["font.size"] == 31


def test_hundred_runs_stay_below_three_megabytes(page: str) -> None:
    # The quickstart's design; plotly adds 1.2 MB.
    assert len(cut_scripts(page).encode()) < 1_000_000
    budgets = ", ".join(f"{budget:.4g}" for budget in np.geomspace(3e10, 1e12, 10))
    sweep = re.sub(r"grid: .*", f"grid: {{budgets: [{budgets}], sizes: 10, span: 8}}", SWEEP)
    data = make_data(sweep.replace("replicates: 4", "replicates: 12"), bootstrap=20)
    assert len(data.plan.cells) > 85
    assert len(render_page(data).encode()) < 3_000_000


def test_a_report_is_one_complete_file(tmp_path: Path, page: str) -> None:
    folder = tmp_path / "reports" / "simulated"
    path = write_report(standard_data(), folder)
    assert path == folder / "index.html"
    assert path.read_text(encoding="utf-8") == page
    write_report(with_status(standard_data(), "failed", "another"), folder)
    assert "another" in path.read_text(encoding="utf-8")
    assert [file.name for file in folder.iterdir()] == ["index.html"]


def test_importing_the_reports_types_does_not_load_matplotlib() -> None:
    code = "import sys, scaling, scaling.report.page; print('matplotlib' in sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "False"


def test_every_figure_has_a_text_alternative(page: str) -> None:
    page = cut_scripts(page)
    pictures = re.findall(r"<svg ([^>]*)>", page)
    assert len(pictures) == 22  # eleven figures, each for wide and narrow pages
    assert all(re.search(r'role="img" aria-label="[^"]{30,}"', one) for one in pictures)
    assert page.count("<figcaption>") == 11
    headings = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(headings))


def test_the_page_reports_the_fitted_parameters(page: str) -> None:
    data: ReportData = standard_data()
    assert data.fit.law is not None
    text = read_text(page)
    assert f"{data.fit.law.params['E']:.4g}" in text
    assert f"Fitted to {data.fit.n} runs" in text
