"""The report as Markdown, its checklist, its other choices, and how it is cited."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest
from simulated import standard_data, with_status
from test_page import PAYLOADS

from scaling import laws
from scaling.allocation import Allocation
from scaling.fitting.fitted import Check
from scaling.laws.registry import FAMILIES, find_family
from scaling.report.checklist import fill_checklist
from scaling.report.citation import cite_report
from scaling.report.markdown import render_markdown, write_markdown
from scaling.report.rows import list_versions
from scaling.report.sensitivity import Variant, describe_spread, list_variants
from scaling.sweep.reading import parse_sweep
from scaling.units import format_count


def make_variants(*factors: float) -> tuple[Variant, ...]:
    """The first answer with its size scaled."""
    one = standard_data().allocations[0]
    return tuple(
        Variant(
            group="runs",
            words=f"times {factor}",
            command="scaling allocate x",
            runs=20,
            answer=dataclasses.replace(one, params=factor * one.params),
        )
        for factor in factors
    )


def test_markdown_agrees_with_the_page(tmp_path: Path) -> None:
    data = dataclasses.replace(standard_data(), variants=make_variants(0.5, 2.0))
    text = render_markdown(data)
    one = data.allocations[0]
    assert f"train about **{format_count(one.params)} parameters**" in text
    assert all(run_id in text for run_id in data.results)
    assert "times 0.5" in text
    assert text.startswith("# Scaling report: simulated\n")
    assert write_markdown(data, tmp_path).read_text(encoding="utf-8") == text


def test_markdown_of_a_sweep_without_an_answer_gives_the_reason() -> None:
    data = with_status(standard_data(), "failed", "No run has finished.")
    assert "No answer. No run has finished." in render_markdown(data)


def test_hostile_text_is_only_text_in_markdown() -> None:
    data = standard_data()
    everything = " ".join(PAYLOADS) + " `` ``` [x](javascript:1) ![](y) | a"
    check = Check(code="x", passed=False, seen=everything, advice=everything)
    fit = dataclasses.replace(data.fit, reason=everything, checks=(check,))
    hostile = dataclasses.replace(
        data, name=everything, fit=fit, damaged=(everything,), sweep_yaml=f"{everything}\n````\n"
    )
    text = render_markdown(hostile)
    outside = re.sub(r"(`{3,})\w*\n.*?\n\1\n", "", text, flags=re.S)
    assert "alert" in outside
    assert not re.search(r"(?<!\\)(<|`|\[x|!\[)", outside)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e\ud800]", text)
    text.encode("utf-8")


def test_every_group_of_the_checklist_is_answered() -> None:
    groups = fill_checklist(standard_data())
    assert len(groups) == 5
    for group in groups:
        assert len(group.rows) >= 4
        assert all(question.endswith("?") and answer for question, answer in group.rows)
    text = str(groups)
    assert "29 runs" in text  # the quickstart's design
    assert "100 bootstrap refits" in text
    assert not re.search(r"\b(None|nan|inf)\b", text)


# Columns of the sheet in which the checklist's authors answered for 50 papers, by section
# (github.com/hadasah/scaling_laws, sheet.csv, commit d2223c9).
SHEET = {
    "Training Code?": "training code",
    "Analysis Code?": "analysis code",
    "Check-points?": "models kept",
    "Metric Scores?": "measured values",
    "Power Law Form": "form of the law",
    "Purpose of Power Law": "What is it for",
    "# Power Law parameters": "how many",
    "# of scaling laws": "How many laws",
    "Training Runs / Law": "How many models",
    "Max. Training FLOPs": "largest run",
    "Max. Training Params, Data": "of which sizes, on how much data",
    "Data Described?": "On which data",
    "Hyperparameters Described?": "hyperparameters chosen",
    "How are model params counted; flop counts definition": "counted",
    "Data points per law?": "How many points of each run",
    "Scaling law metric": "Which metric",
    "Modification of final metric?": "metric changed",
    "Subsets of Data Used": "left out, or fitted apart",
    "Bootstrapping?": "resampled",
    "Curve-fitting Method": "By which algorithm",
    "Loss Objective": "Which objective",
    "Hyperparameters Reported?": "settings of its own",
    "Initialization": "From where does it start",
    "Are scaling laws validated?": "validated",
}


@pytest.mark.parametrize("words", SHEET.values(), ids=SHEET.keys())
def test_every_item_of_the_checklist_is_asked(words: str) -> None:
    asked = [question for group in fill_checklist(standard_data()) for question, _ in group.rows]
    assert any(words in question for question in asked)


def test_a_checklist_without_a_law_says_why() -> None:
    data = with_status(standard_data(), "failed", "Too few runs.")
    assert "Too few runs." in str(fill_checklist(data)[1])


def test_the_checklist_says_when_no_weights_are_kept() -> None:
    spec = standard_data().spec.model_copy(update={"keep_weights": False})
    data = dataclasses.replace(standard_data(), spec=spec)
    assert "keep_weights: false" in str(fill_checklist(data)[0])
    assert "keep_weights" not in str(fill_checklist(standard_data())[0])


def test_every_family_has_an_origin_that_the_laws_cite() -> None:
    files = [path.read_text() for path in Path(laws.__file__).parent.glob("*.py")]
    cited = "".join(ast.get_docstring(ast.parse(text)) or "" for text in files)
    for family in (*FAMILIES.values(), find_family("floor:1.69")):
        (number,) = re.findall(r"arXiv:([0-9.]+[0-9])", family.words.origin)
        assert number in cited, family.name


def test_the_checklist_answers_for_the_law_that_was_fitted() -> None:
    data = standard_data()
    assert data.fit.law is not None
    law = dataclasses.replace(data.fit.law, family="kaplan")
    kaplans = dataclasses.replace(data, fit=dataclasses.replace(data.fit, law=law))
    for one, seen, unseen in ((data, "2203.15556", "2001.08361"),
                              (kaplans, "2001.08361", "2203.15556")):  # fmt: skip
        said = dict(fill_checklist(one)[1].rows)
        answer = said["Where does the form come from, and what does it assume?"]
        assert seen in answer
        assert unseen not in answer


def test_the_checklist_says_what_the_runs_recorded_and_no_more() -> None:
    data = standard_data()
    question = "Is the training code open?"
    assert dict(fill_checklist(data)[0].rows)[question] == "not recorded"
    versions = {"scaling": "0.9", "commit": "ab" * 20, "source": "cd" * 8}
    first, *others = data.results
    stated = {first: dataclasses.replace(data.results[first], versions=versions)}
    said = dict(fill_checklist(dataclasses.replace(data, results=data.results | stated))[0].rows)
    assert "version 0.9, commit abab" in said[question]
    assert f"not recorded by {len(others)} runs" in said[question]
    assert "yes" not in said[question]


def test_the_checklist_counts_the_models_that_are_kept() -> None:
    data = standard_data()
    question = "Are the models kept?"
    assert dict(fill_checklist(data)[0].rows)[question] == "no result names its weights"
    first = next(iter(data.results))
    kept = {first: dataclasses.replace(data.results[first], files={"weights.pt": "0" * 64})}
    said = dict(fill_checklist(dataclasses.replace(data, results=data.results | kept))[0].rows)
    assert f"1 of {len(data.results)} results name their final weights" in said[question]


def test_the_checklist_names_what_the_sweep_file_states_of_the_recipe() -> None:
    data = standard_data()
    question = "How were hyperparameters chosen, and do they change with scale?"
    text = data.sweep_yaml + "\nrecipe: {learning_rate: 0.01}\n"
    stated = dataclasses.replace(data, spec=parse_sweep(text.encode(), source="sweep.yaml"))
    for one, seen in ((data, False), (stated, True)):
        answer = dict(fill_checklist(one)[2].rows)[question]
        assert ("stated in the sweep file: learning_rate" in answer) == seen


def test_the_page_shows_the_versions_of_the_runs() -> None:
    results = standard_data().results
    one, two, *rest = results
    versions = {"python": "3.11.7", "ray": "2.60.0"}
    stated = results | {one: dataclasses.replace(results[one], versions=versions)}
    stated[two] = dataclasses.replace(results[two], versions={"python": "3.12.0"})
    rows = dict(list_versions(stated, {"scaling": "0.1.0"}))
    assert rows["python"] == "3.11.7 (1 runs); 3.12.0 (1 runs)"
    assert rows["ray"] == "2.60.0 (1 runs); not recorded (1 runs)"
    assert rows["not recorded"] == f"by {len(rest)} of {len(results)} runs"
    assert rows["this page was written by"] == "scaling 0.1.0"


def test_the_spread_counts_the_answers_inside_the_interval() -> None:
    used: Allocation = standard_data().allocations[0]
    sentence = describe_spread(make_variants(0.01, 1.0, 100.0), used)
    assert "(×1e+04)" in sentence
    assert "1 of the 3 sizes" in sentence
    assert describe_spread(make_variants(1.0), used) == ""


def test_a_choice_without_an_answer_keeps_its_reason() -> None:
    failed = Variant(
        group="law", words="Kaplan's form", command="c", runs=None, answer=None, reason="no fit"
    )
    ((heading, rows),) = list_variants((failed,))
    assert heading == "Laws"
    assert rows[0][0] == "Kaplan's form: no fit"


def test_bibtex_escapes_what_tex_would_interpret() -> None:
    entry = cite_report(dataclasses.replace(standard_data(), name=r"a}\input{x}%$"))
    assert entry.startswith("@misc{scaling-a--input-x---,")
    assert "month = {1}" in entry
    title = re.search(r"title = \{(.*)\},", entry)
    assert title is not None
    assert not set("\\{}%$") & set(title[1])
