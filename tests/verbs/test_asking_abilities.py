"""Claims about `scaling abilities` on a table and a results folder, and about the page's
section."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from ability_worlds import SIZES, independent, make_runs
from commands import CODE, Said, call, write_table

import scaling
from scaling.errors import NoFitError
from scaling.ledger.probes import commit_probe
from scaling.sweep.probes import PROBES, AskedProbe, Probe
from scaling.workflow.abilities import find_chance, judge_stored
from scaling.workflow.reporting import report_sweep
from scaling.workflow.stored import open_results, tabulate_sweep

ASKED = ("runs.csv", "--sharp", "exact", "--smooth", "answers", "--null", "chained")
LOSS = (*ASKED, "--smooth", "loss", "--json")
# For each option: the command line without it and with it.
OPTIONS = {
    "--sharp": (ASKED[:5], ("runs.csv", "--sharp", "chained", *ASKED[3:5])),
    "--smooth": (ASKED, (*ASKED, "--smooth", "loss")),
    "--null": (ASKED[:5], ASKED),
    "--chance": (ASKED, (*ASKED, "--chance", "0.2")),
    "--bound": (ASKED, (*ASKED, "--bound", "2")),
    "--threshold": (ASKED, (*ASKED, "--threshold", "0.3")),
    "--columns": (ASKED, (*ASKED, "--columns", "N=half")),
    "--loss-unit": (LOSS, (*LOSS, "--loss-unit", "bits")),
    "--drop-bad": (("bad.csv", *ASKED[1:]), ("bad.csv", *ASKED[1:], "--drop-bad")),
    "--state": (ASKED, (*ASKED, "--state", "seed=1")),
    "--where": (ASKED, (*ASKED, "--where", "seed=1")),
    "--anyway": (("mixed.csv", *ASKED[1:]), ("mixed.csv", *ASKED[1:], "--anyway")),
    "--json": (ASKED, (*ASKED, "--json")),
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in which the jump is due to the metric, one with a malformed row, and one whose N
    mixes units."""
    folder = tmp_path_factory.mktemp("tables")
    # Five sizes are too few for a forecast.
    runs = make_runs(independent, seeds=6, sizes=SIZES[::2])
    by = {one.name: one.values for one in runs.metrics}
    scores = [by[name] for name in ("answer_loss", "answer_exact", "answer_null")]
    rows = [
        (n, n / 2, d, 1.0 + answers, at % 6, exact, answers, chained)
        for at, (n, d, answers, exact, chained) in enumerate(
            np.transpose([runs.params, runs.tokens, *scores]).tolist()
        )
    ]
    head = "N,half,D,loss,seed,exact,answers,chained"
    write_table(folder / "runs.csv", rows, head=head)
    write_table(folder / "bad.csv", [*rows, ("nan", 1, 3e6, 2, 1, 0.5, 0.5, 0.5)], head=head)
    mixed = [row if at % 2 else (row[0] / 1e6, *row[1:]) for at, row in enumerate(rows)]
    write_table(folder / "mixed.csv", mixed, head=head)
    return folder


def ask(home: Path, *words: str) -> Said:
    return call("abilities", *words, cwd=home)


def test_an_ability_is_printed_in_at_most_twenty_lines(home: Path) -> None:
    said = ask(home, *ASKED)
    assert said.code == 4  # no size reaches .9, and five sizes are too few for a forecast
    assert len(said.out.splitlines()) <= 20
    assert "is the metric's: exact is what independent token errors give (p^L)" in said.out
    assert "5 sizes; 6 are needed" in said.out


def test_the_json_contains_every_part(home: Path) -> None:
    said = ask(home, *ASKED, "--threshold", "0.3", "--json")
    assert said.code == 0
    found = json.loads(said.out)
    assert found["schema_version"] == 1
    assert found["reason"] == ""
    (one,) = found["abilities"]
    assert one["verdict"] == "metric"
    assert one["success"]["midpoint"] > 1e5
    assert [part["code"] for part in one["predictability"]["criteria"]] == [
        "monotone", "span", "unimodal", "held_out",
    ]  # fmt: skip
    assert len(one["cells"]) == 5
    assert all(re.fullmatch(r"[a-z][a-z_]*", key) for key in one)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_an_effect(home: Path, option: str) -> None:
    without, with_it = (ask(home, *words) for words in OPTIONS[option])
    assert without != with_it
    assert "Traceback" not in with_it.errors


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("runs.csv",), ("is a table", "--sharp")),
        (("runs.csv", "--smooth", "answers"), ("--smooth and --null stand beside",)),
        (("runs.csv", "--sharp", "exat", "--smooth", "answer"), ("exat", "answer")),
        ((*ASKED, "--chance", "0.95"), ("chance is 0.95, success from 0.9, the bound 1",)),
        ((*ASKED, "--threshold", "1.5"), ("success from 1.5, the bound 1",)),
        ((*ASKED, "--bound", "0.1"), ("rows lie outside 0 … 0.1", "--bound")),
        (("runs.csv", "--sharp", "loss"), ("loss is no share",)),
        ((*ASKED, "--null", "exact"), ("name three different scores",)),
        ((*ASKED, "--chance", "nan"), ("not a finite number",)),
        (("nothing.csv", *ASKED[1:]), ("nothing.csv",)),
    ],
)
def test_bad_questions_exit_2_with_the_reason(
    home: Path, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    said = ask(home, *words)
    assert said.code == 2
    assert all(part in said.errors for part in parts), said.errors
    assert said.out == ""


# --- a results folder --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped sweep on code with sealed values of an ability that rises with N."""
    path = shutil.copytree(CODE, tmp_path_factory.mktemp("results") / "code")
    stored = open_results(path)
    finished = [one for one in stored.results.recorded.values() if one.status == "finished"]
    losses = [one.loss for one in finished if one.loss is not None]
    for result in finished:
        assert result.loss is not None
        share = 0.97 * (max(losses) - result.loss) / (max(losses) - min(losses))
        for name, value in (("answer_exact", share), ("answer_null", share)):
            commit_probe(stored.ledger, result, make_probe(name), value, 0.01)
        commit_probe(stored.ledger, result, make_probe("answer_loss"), result.loss, 0.01)
    return path


def make_probe(name: str) -> AskedProbe:
    lower = name == "answer_loss"
    return AskedProbe(
        Probe(
            name=name, version=1, unit="nats/token" if lower else "", measure="", meaning="",
            direction="lower" if lower else "higher", bound=None if lower else 1.0,
        )
    )  # fmt: skip


def test_a_folder_names_its_abilities_itself(folder: Path) -> None:
    said = call("abilities", folder, "--threshold", "0.5", "--json")
    (one,) = json.loads(said.out)["abilities"]
    assert (one["sharp"], one["smooth"], one["null"]) == (
        "answer_exact", "answer_loss", "answer_null",
    )  # fmt: skip
    assert one["null_comparison"]["agreement"] == "agrees"
    assert one["success"]["variables"] in ("N", "N and D")
    assert said.code == 0


def test_a_folder_without_abilities_exits_4_with_json(tmp_path: Path) -> None:
    said = call("abilities", CODE, "--json")
    assert said.code == 4
    found = json.loads(said.out)
    assert found["abilities"] == []
    assert "no metric is a share with a bound" in found["reason"]
    with pytest.raises(NoFitError):
        scaling.find_abilities(CODE)


def test_a_folder_s_losses_are_in_nats(folder: Path) -> None:
    said = call("abilities", folder, "--loss-unit", "bits")
    assert said.code == 2
    assert "a folder is in nats" in said.errors


def test_python_gives_the_same_as_the_command_line(folder: Path) -> None:
    (found,) = scaling.find_abilities(folder, threshold=0.5)
    said = json.loads(call("abilities", folder, "--threshold", "0.5", "--json").out)
    assert json.loads(json.dumps(found.to_contract())) == said["abilities"][0]


def test_python_takes_a_table_of_runs() -> None:
    (found,) = scaling.find_abilities(make_runs(independent, seeds=3))
    assert found.names.null == "answer_null"


@pytest.mark.slow
def test_the_page_of_a_sweep_has_a_section_of_its_abilities(folder: Path, tmp_path: Path) -> None:
    path, _, _ = report_sweep(open_results(folder), root=tmp_path)
    page = path.read_text(encoding="utf-8")
    assert '<a href="#abilities">Abilities</a>' in page
    assert "answer_exact beside answer_loss" in page


def test_only_abilities_that_can_be_judged_are_shown(folder: Path) -> None:
    stored = open_results(folder)
    (one,) = judge_stored(stored, tabulate_sweep(stored))
    assert one.names.sharp == "answer_exact"
    other = open_results(CODE)
    assert judge_stored(other, tabulate_sweep(other)) == ()


@pytest.mark.parametrize(
    ("probe", "corpus", "chance"),
    [
        ("recall_accuracy", {"source": "pairs", "pairs": (8,)}, 1 / 8),
        ("recall_accuracy", {"source": "pairs", "pairs": (2, 8)}, 5 / 16),  # the mean
        ("answer_accuracy", {"source": "arithmetic"}, 0.1),
        ("answer_accuracy_free", {"source": "copying", "vocab_size": 22}, 0.05),
        ("answer_exact", {"source": "arithmetic"}, 0.0),
        ("recall_accuracy", {}, 0.0),  # a corpus that says nothing
        ("of_a_trainer", {"source": "pairs", "pairs": (8,)}, 0.0),
    ],
)
def test_a_source_says_what_guessing_scores(
    folder: Path, probe: str, corpus: dict[str, object], chance: float
) -> None:
    stored = open_results(folder)
    changed = stored.spec.corpus.model_copy(update=corpus)
    spec = stored.spec.model_copy(update={"corpus": changed})
    assert find_chance(dataclasses.replace(stored, spec=spec), probe) == pytest.approx(chance)


def test_an_option_says_how_many_pairs_are_guessed_among(folder: Path) -> None:
    stored = open_results(folder)
    corpus = stored.spec.corpus.model_copy(update={"source": "pairs", "pairs": (2, 8)})
    asked = AskedProbe(PROBES["recall_accuracy"], {"pairs": 4})
    spec = stored.spec.model_copy(update={"corpus": corpus, "evaluate": (asked,)})
    assert find_chance(dataclasses.replace(stored, spec=spec), "recall_accuracy") == 0.25
