"""An option that does nothing is a mistake of ours: every option of every verb shows an effect, or
is refused where it has none.

An effect is another exit code, another answer, another message or another file. What needs a
trained sweep or Ray is shown by a test elsewhere, which is named here and has to be there.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import CODE, REPOSITORY, Said, call, write_table
from test_bad_input import RUNS

from scaling.cli import cli

NO = ("--no-bootstrap",)
ASK = {
    "fit": ("t.csv",),
    "allocate": ("t.csv", "--flops", "1e16"),
    "predict": ("t.csv", "--params", "1e7", "--tokens", "1e9"),
    "compare": ("t.csv", "u.csv", "--flops", "1e16"),
    "backtest": ("t.csv", "--families", "chinchilla,tied"),
}
DEVICE = ("t.csv", "--device", "h100", "--mfu", "0.4")


@dataclass(frozen=True)
class Case:
    """Two command lines that differ in one option; `needs` is the verb's context without it."""

    verb: str
    option: str
    needs: tuple[str, ...]
    given: tuple[str, ...]
    instead: tuple[str, ...] = ()


def list_cases() -> list[Case]:
    cases: list[Case] = []

    def add(verb: str, words: tuple[str, ...], *given: str, instead: tuple[str, ...] = ()) -> None:
        cases.append(Case(verb, given[0], words, given, instead))

    for verb, words in ASK.items():
        quiet = words if verb == "backtest" else words + NO
        add(verb, quiet, "--json")
        json = (*quiet, "--json")
        add(verb, json, "--huber-delta", "0.1")
        add(verb, json, "--columns", "loss=other")
        add(verb, json, "--loss-unit", "bits")
        add(verb, json, "--count", "total")
        add(verb, json, "--flops-range", "1e15:")
        add(verb, json, "--first-epoch")
        add(verb, json, "--min-ratio", "10")
        add(verb, json, "--best-recipe")
        add(verb, json, "--state", "lr=0.01")
        add(verb, json, "--where", "lr=0.01")
        add(verb, json, "--last-of-run")  # refused: the table has no training curves
        for option, table in (("--drop-bad", "bad.csv"), ("--anyway", "mixed.csv")):
            add(verb, tuple(word.replace("t.csv", table) for word in json), option)
        if verb == "backtest":
            continue
        add(verb, json, "--family", "tied")
        add(verb, json, "--approach", "isoflop")
        few = (*words, "--json", "--bootstrap", "20")
        add(verb, (*words, "--json"), "--bootstrap", "20", instead=("--bootstrap", "30"))
        add(verb, (*words, "--json"), *NO, instead=("--bootstrap", "20"))
        add(verb, few, "--level", "0.5")
        add(verb, few, "--seed", "1")
        if verb != "compare":
            add(verb, quiet, "--group-by", "lr")
        if verb != "fit":
            ends = {"allocate": "--flops", "predict": "--tokens", "compare": "--flops"}
            add(verb, (*quiet, ends[verb], "1e23"), "--far")
    metrics = {verb: (*ASK[verb], *NO, "--json") for verb in ("fit", "allocate", "predict")}
    for verb, words in (metrics | {"report": ("t.csv", "--root", ".")}).items():
        add(verb, words, "--metric", "other")
        add(verb, (*words, "--metric", "other"), "--higher-is-better")  # refused without --bound
        add(verb, (*words, "--metric", "other", "--higher-is-better"), "--bound", "100")
    add("backtest", ("t.csv",), "--families", "tied,kaplan", instead=("--families", "chinchilla"))
    add("compare", ("t.csv", "u.csv", *NO, "--json"), "--flops", "1e16")
    add("compare", ("t.csv", "u.csv", *NO, "--json"), "--columns-b", "loss=other")
    for verb, words in (("fit", ("t.csv",)), ("compare", ("t.csv", "u.csv"))):
        add(verb, (*words, *NO), "--of", "N")
        for option, value in (("--at", "1e8"), ("--floor", "1.5"), ("--exponent", "0.3")):
            add(verb, (*words, *NO), option, value)  # refused
            add(verb, (*words, *NO, "--of", "N"), option, value)
        for option, value in (("--family", "tied"), ("--approach", "isoflop"), ("--count", "total"),
                              ("--huber-delta", "0.1"), ("--anyway", "")):  # fmt: skip
            add(verb, (*words, *NO, "--of", "N"), option, *filter(None, (value,)))  # refused
    add("fit", ("t.csv", *NO), "--far")  # refused, because nothing is forecast
    add("fit", ("t.csv", *NO, "--of", "N", "--at", "1e14"), "--far")
    for option, values in (("--params", ("1e6", "1e7")), ("--tokens", ("1e9", "1e8"))):
        words = ("t.csv", *NO, "--params", "1e6", "--tokens", "1e9")
        add("predict", words, option, values[1], instead=(option, values[0]))
    add("predict", (*ASK["predict"], *NO), "--unique-tokens", "1e8")
    quiet = ("t.csv", *NO, "--json")
    add("allocate", quiet, "--flops", "1e16", instead=("--flops", "1e15"))
    for option, value, more in (
        ("--params", "1e7", ()),
        ("--tokens", "1e9", ()),
        ("--tokens-per-param", "50", ()),
        ("--inference-tokens", "1e12", ()),
        ("--unique-tokens", "1e8", ()),
        ("--serving-memory", "10MB", ()),
        ("--bytes-per-param", "1", ("--serving-memory", "10MB")),
    ):
        add("allocate", (*quiet, "--flops", "1e16", *more), option, value)
    add("allocate", quiet, "--target-loss", "3", instead=("--target-loss", "3.1"))
    add("allocate", (*quiet, "--flops", "1e16"), "--verbose")
    add("fit", ("t.csv", *NO), "--verbose")
    timed = (*DEVICE, *NO, "--json")
    deadline = (*timed, "--devices", "1", "--days", "0.001")
    for option, value in (("--devices", "2"), ("--days", "0.002"), ("--mfu", "0.2")):
        add("allocate", deadline, option, value)
    add("allocate", (*timed, "--dollars", "1e-3"), "--price-per-hour", "2")
    add("allocate", (*timed, "--price-per-hour", "2"), "--dollars", "1e-3")
    add("allocate", (*timed, "--devices", "1", "--days", "0.001"), "--device", "a100")
    named = (*quiet, "--mfu", "0.4", "--devices", "1", "--days", "0.001")
    add("allocate", named, "--peak-flops", "1e15", instead=("--device", "h100"))

    add("read", ("t.csv",), "--json")
    for verb, words in (("read", ()), ("report", ("--root", "."))):
        for option, value in (("--columns", "loss=other"), ("--loss-unit", "bits"),
                              ("--state", "lr=0.01"), ("--where", "lr=0.01")):  # fmt: skip
            add(verb, ("t.csv", *words), option, value)
        add(verb, ("bad.csv", *words), "--drop-bad")
    add("report", ("mixed.csv", "--root", "."), "--anyway")
    add("report", ("t.csv", "--root", "."), "--last-of-run")  # refused

    folder = ("code", "--root", ".")
    add("report", folder, "--family", "tied")
    add("report", folder, "--flops-range", "3e10:")
    add("report", folder, "--first-epoch")
    add("report", folder, "--min-ratio", "20")
    add("report", folder, "--best-recipe")
    add("report", folder, "--format", "md")
    add("report", (*folder, "--format", "md"), "--backtest")
    add("report", folder, "--backtest")
    add("report", ("code",), "--root", "elsewhere")
    add("verify", ("code",), "--json")
    add("status", ("code",), "--json")

    draft = ("mine", "--output", "mine.yaml")
    text = ("--text", "text")
    draft = (*draft, *text)
    add("init", draft, "--minutes", "0.001", instead=("--total-flops", "1e11"))  # refused
    add("init", (*draft, "--total-flops", "1e11"), "--root", "elsewhere")
    add("init", draft, "--run-flops", "2e10", instead=("--total-flops", "1e11"))
    add("init", draft, "--total-flops", "1e11", instead=("--total-flops", "2e11"))
    add("init", (*draft, "--total-flops", "1e11"), "--forecast", "1e15")
    add("init", ("mine", "--total-flops", "1e11", *text), "--text", "t.csv")
    add("init", ("mine", *text, "--total-flops", "1e11"), "--output", "other.yaml")
    add("init", ("mine", *text, "--total-flops", "1e11", "--output", "t.csv"), "--force")

    sweep = ("s.yaml", "--no-benchmark")
    add("plan", ("s.yaml",), "--no-benchmark")
    add("plan", sweep, "--json")
    add("plan", sweep, "--root", "elsewhere")
    add("plan", sweep, "--cpus", "2")  # refused, as is the next
    add("plan", sweep, "--price-per-hour", "1")
    there = ("s.yaml", "--devices", "8")
    add("plan", there, "--target", "h100", instead=("--target", "a100"))
    add("plan", there, "--peak-flops", "1e15", instead=("--target", "h100"))
    add("plan", ("s.yaml", "--target", "h100"), "--devices", "8")  # refused without
    add("plan", (*there, "--target", "h100"), "--mfu", "0.3")
    add("plan", sweep, "--validate")
    add("plan", sweep, "--prior-law", "code")
    add("plan", sweep, "--noise", "0.01")
    return cases


# Options that need a trained sweep, Ray or minutes, and the file that tests their effect.
ELSEWHERE = {
    ("allocate", "--anyway"): "tests/test_cli.py::--anyway",
    ("predict", "--anyway"): "tests/test_cli.py::--anyway",
    ("forecast", "*"): "tests/test_forecasting.py::--near",
    ("plan", "--simulate"): "tests/test_planning.py::--simulate",
    ("run", "--root"): "tests/test_last_net.py::--root",
    ("run", "--executor"): "tests/test_cli.py::--executor",
    ("run", "--address"): "tests/orchestration/test_clusters.py::address",
    ("run", "--track"): "tests/trackers/test_trackers.py::track",
    ("run", "--retrain"): "tests/ledger/test_commit.py::find_outdated",
    ("run", "--verbose"): "tests/test_cli.py::--verbose",
    ("run", "--validate"): "tests/test_forecasting.py::--validate",
    ("submit", "*"): "tests/orchestration/test_clusters.py::submit",
    ("suggest", "*"): "tests/design/test_suggestion.py::suggest",
    ("abilities", "*"): "tests/verbs/test_asking_abilities.py::OPTIONS",
    ("few-shot", "*"): "tests/verbs/test_asking_few_shot.py::--json",
    ("tokenizers", "*"): "tests/test_cli_tokenizers.py::tokenizers",
    ("knowledge", "*"): "tests/verbs/test_knowing.py::knowledge",
    ("bias", "*"): "tests/verbs/test_knowing.py::--pairs",
    ("sample", "*"): "tests/verbs/test_sampling.py::sample",
    ("export", "*"): "tests/verbs/test_exporting.py::--output",
    ("recipes", "*"): "tests/test_cli_recipes.py::recipes",
    ("transfer", "*"): "tests/test_cli_starts.py::OPTIONS",
    ("status", "--watch"): "tests/test_watching.py::--watch",
    ("status", "--verbose"): "tests/test_watching.py::verbose=True",
    ("logs", "--follow"): "tests/test_watching.py::follow",
    ("retry", "--failed"): "tests/test_watching.py::--failed",
    ("retry", "--diverged"): "tests/test_watching.py::--diverged",
    ("verify", "--repair"): "tests/test_cli.py::--repair",
    ("track", "--to"): "tests/trackers/test_trackers.py::--to",
}
CASES = list_cases()


def list_options() -> set[tuple[str, str]]:
    return {
        (verb, parameter.opts[0])
        for verb, command in cli.commands.items()
        for parameter in command.params
        if parameter.opts[0].startswith("--")
    }


def test_every_option_of_every_verb_is_tried() -> None:
    tried = {(case.verb, case.option) for case in CASES} | ELSEWHERE.keys()
    whole = {verb for verb, option in ELSEWHERE if option == "*"}
    assert whole <= cli.commands.keys()
    left = {(verb, option) for verb, option in list_options() - tried if verb not in whole}
    assert left == set()
    assert {one for one in tried if one[1] != "*"} <= list_options()


@pytest.mark.parametrize("where", sorted(set(ELSEWHERE.values())))
def test_every_file_named_for_an_option_mentions_it(where: str) -> None:
    path, _, words = where.partition("::")
    assert words in (REPOSITORY / path).read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = ["N,D,loss,other,U,lr"]
    for n, d, loss in RUNS:
        for rate, more in ((0.01, 0.0), (0.02, 0.01)):
            noise = 1e-3 * ((n * 7 + d * 13 + rate * 1e4) % 11 - 5)
            rows.append(f"{n!r},{d!r},{loss + more + noise!r},{loss + 1.1 * more!r},1e9,{rate}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "u.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "bad.csv").write_text("\n".join([*rows, "1e6,1e8,nan,2,1e9,0.01"]) + "\n")
    (tmp_path / "s.yaml").write_text(
        "name: a\ncorpus: {source: synthetic, tokens: 300000}\nmodel: {seq_len: 32}\n"
        "grid: {cells: [{params: 8e3, tokens: 3e4}]}\n"
    )
    (tmp_path / "text").mkdir()
    for at in range(64):
        words = "".join(f"{at} {(at + 1) * line * line} words of a text\n" for line in range(200))
        (tmp_path / "text" / f"{at}.txt").write_text(words)
    millions = [(n / 1e6 if at % 2 else n, d, loss) for at, (n, d, loss) in enumerate(RUNS)]
    write_table(tmp_path / "mixed.csv", millions)
    return tmp_path


def observe(folder: Path, words: tuple[str, ...]) -> tuple[Said, dict[str, str]]:
    said = call(*words)
    kept = {
        str(path.relative_to(folder)): re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", text)
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".html", ".md", ".yaml", ".csv") or path.name == "manifest.json"
        if path.is_file()
        for text in [path.read_text()]
    }
    return said, kept | {path.name: "" for path in folder.iterdir() if path.is_dir()}


Seen = tuple[Said, dict[str, str]]
# Cached answers of verbs that only read tables: many options are compared with the same line.
ANSWERS: dict[tuple[str, ...], Seen] = {}


def observe_without(folder: Path, case: Case) -> Seen:
    words = (case.verb, *case.needs, *case.instead)
    if words in ANSWERS:
        return ANSWERS[words]
    there = sorted(folder.rglob("*"))
    found = observe(folder, words)
    if case.verb in (*ASK, "read"):
        assert sorted(folder.rglob("*")) == there
        ANSWERS[words] = found
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.verb} {' '.join(case.given)} {len(case.needs)}"
)
def test_an_option_has_an_effect_or_is_refused(folder: Path, case: Case) -> None:
    if "code" in (*case.needs, *case.given):
        shutil.copytree(CODE, folder / "code")
    without, before = observe_without(folder, case)
    for made in ("reports", "mine.yaml", "other.yaml", "sweeps"):
        path = folder / made
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    with_it, after = observe(folder, (case.verb, *case.needs, *case.given))
    assert "Traceback" not in with_it.errors
    assert (with_it, after) != (without, before)
