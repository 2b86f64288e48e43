"""`scaling knowledge` and `scaling bias` on trained sweeps, and the requests they refuse."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Said, call
from sibling_sweeps import train_here

from scaling.workflow.reporting import report_sweep
from scaling.workflow.sampling import find_run
from scaling.workflow.stored import open_results

SWEEPS = {
    "world": """\
corpus: {source: closed_world, tokens: 30e3, people: 60, attributes: 2, values: 4, exponent: 1}
model: {seq_len: 24, head_size: 8}
grid: {params: [1300, 2600], tokens: [15e3, 29e3]}
evaluate:
  - closed_world_error
  - closed_world_bits
  - closed_world_capacity
  - closed_world_confidence
  - closed_world_hallucination: {samples: 200}
  - closed_world_bound: {samples: 200}
  - closed_world_seen_once
  - closed_world_miscalibration: {samples: 200}
""",
    "people": """\
corpus: {source: biased_people, tokens: 30e3, people: 120, skew: [0.5, 0.9], exponent: 1}
model: {seq_len: 24, head_size: 8}
grid: {params: [1300, 2600], tokens: [29e3]}
evaluate: [bias_argmax, bias_argmax_group, bias_sampled, bias_counter_error, bias_typical_error]
""",
    "text": """\
corpus: {source: text, paths: [text.txt]}
model: {seq_len: 16, head_size: 8}
grid: {params: [1300], tokens: [15e3]}
""",
}
PAIRS = (
    {"first": "12 and 24.", "second": "13 and 24.", "differs": ["12", "13"]},
    {"first": "1 and 2.", "second": "1 and 9.", "differs": ["2", "9"]},
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("knowing")
    (folder / "text.txt").write_text("\n\n".join(f"{at} and {at + at}." for at in range(3000)))
    for name, text in SWEEPS.items():
        train_here(folder, name, text)
    write(folder, "pairs.jsonl", *map(json.dumps, PAIRS))
    return folder


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("".join(f"{one}\n" for one in lines))
    return path


def ask(root: Path, *words: object) -> Said:
    return call(*words, cwd=root)


def test_knowledge_prints_a_table_sentences_and_json(root: Path) -> None:
    said = ask(root, "knowledge", "results/world")
    assert said.code == 0, said.errors
    lines = said.out.splitlines()
    assert lines[0].startswith(
        "A world of 120 facts with 4 values each: 240 bits; the error of guessing"
    )
    assert lines[1].split()[:3] == ["D", "exposures", "N"]
    assert len([one for one in lines if one.startswith("  ")]) == 5
    told = json.loads(ask(root, "knowledge", "results/world", "--json").out)
    assert told["schema_version"] == 1
    assert told["world"] == {"facts": 120, "values": 4, "bits": 240.0}
    assert len(told["cells"]) == 4
    for cell in told["cells"]:
        assert 0 <= cell["error"] <= 1
        assert cell["bits"] <= 240
        assert cell["bits"] * cell["bits_per_parameter"] >= 0
        assert cell["bound"] == pytest.approx(cell["seen_once"] - cell["miscalibration"])
        assert cell["exposures"] == pytest.approx(cell["tokens"] / 6 / 120)
    assert len(told["floors"]) == 2


def test_bias_prints_a_table_sentences_and_json(root: Path) -> None:
    said = ask(root, "bias", "results/people")
    assert said.code == 0, said.errors
    assert "Arithmetic: argmax answers add" in said.out
    assert "skew 0.5" in said.out.splitlines()[0]
    told = json.loads(ask(root, "bias", "results/people", "--json").out)
    for cell in told["cells"]:
        assert [one["skew"] for one in cell["skews"]] == [0.5, 0.9]
        assert cell["argmax_group"] == pytest.approx(0.1, abs=0.06)
        # Tiny models know no individual: at most they give everyone the typical occupation.
        assert cell["argmax"] <= cell["argmax_group"] + 0.5
    assert told["counter"]["threshold"] == 0.5


@pytest.mark.parametrize("name", ["world", "people"])
def test_page_contains_the_same_sentences(root: Path, name: str) -> None:
    stored = open_results(root / "results" / name)
    page, *_ = report_sweep(stored, root=root)
    text = page.read_text(encoding="utf-8")
    verb = {"world": "knowledge", "people": "bias"}[name]
    first = next(
        one for one in ask(root, verb, f"results/{name}").out.splitlines() if one[0] not in " A"
    )
    assert first[:40].replace("'", "&#39;") in text
    assert "probe-" in text


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("knowledge", "results/people"), ["its corpus is biased_people, not closed_world"]),
        (("bias", "results/text"), ["its corpus is text, not biased_people", "Name the results"]),
        (("bias", "results/people", "--run", "0"), ["--run says which run scores --pairs"]),
        (("knowledge", "results/none"), ["results/none"]),
        (("bias", "results/text", "--pairs", "none.jsonl"), ["none.jsonl"]),
        (("bias", "results/text", "--pairs", "results"), ["no regular file"]),
        (("bias", "results/text", "--pairs", "pairs.jsonl", "--run", "zz"), ["with 'zz'"]),
    ],
)
def test_impossible_requests_are_refused(root: Path, words, parts) -> None:
    said = ask(root, *words)
    assert (said.code, said.out) == (2, "")
    assert all(one in said.errors for one in parts), said.errors
    assert "Traceback" not in said.errors


def test_pairs_are_scored_by_log_likelihood(root: Path) -> None:
    said = ask(root, "bias", "results/text", "--pairs", "pairs.jsonl")
    assert said.code == 0, said.errors
    assert "12 and 24." in said.out
    told = json.loads(ask(root, "bias", "results/text", "--pairs", "pairs.jsonl", "--json").out)
    found = find_run(root / "results" / "text", run=told["run_id"])
    model = found.load_model()
    for pair, row in zip(PAIRS, told["pairs"], strict=True):
        logs = []
        for name in ("first", "second"):
            ids = [0, *pair[name].encode()]
            total = 0.0
            for at in range(1, len(ids)):  # one token after another
                with torch.inference_mode():
                    shares = model(torch.tensor([ids[:at]])).double().softmax(-1)[0, -1]
                total += math.log(float(shares[ids[at]]))
            logs.append(total)
        assert row["difference"] == pytest.approx(logs[0] - logs[1], abs=1e-4)
    assert told["mean"] == pytest.approx(np.mean([one["difference"] for one in told["pairs"]]))
    assert told["n"] == 2


def test_all_wrong_lines_of_pairs_are_named_at_once(root: Path) -> None:
    good = json.dumps(PAIRS[0])
    lines = (
        "{", '{"first": "a"}', good,
        json.dumps({"first": "a b", "second": "a c", "differs": ["b", "d"]}),
        json.dumps({"first": "a b", "second": "c b ", "differs": ["a", "c"]}),
        json.dumps({"first": "a", "second": "a", "differs": ["a", "a"]}),
        json.dumps({"first": "a", "second": 3, "differs": ["a", "a"]}),
    )  # fmt: skip
    write(root, "bad.jsonl", *lines)
    said = ask(root, "bias", "results/text", "--pairs", "bad.jsonl")
    assert (said.code, said.out) == (2, "")
    assert [one.split(": ")[0] for one in said.errors.splitlines()] == [
        f"bad.jsonl:{line}" for line in (1, 2, 4, 5, 6, 7)
    ]
    assert "differ in more than 'b' and 'd'" in said.errors
    assert "the two sentences are the same" in said.errors
    write(root, "long.jsonl", json.dumps({"first": "a" * 30, "second": "b" + "a" * 29,
                                          "differs": ["a", "b"]}),
          json.dumps({"first": "a\0", "second": "b\0", "differs": ["a", "b"]}),
          json.dumps({"first": "a\ud800", "second": "b\ud800", "differs": ["a", "b"]}))  # fmt: skip
    said = ask(root, "bias", "results/text", "--pairs", "long.jsonl")
    assert said.code == 2
    assert len(said.errors.splitlines()) == 6  # both sentences of each
    for part in ("30 tokens follow the first, more than the context of 16", "ends a document",
                 "surrogate"):  # fmt: skip
        assert part in said.errors
    write(root, "empty.jsonl", "")
    assert "no pairs" in ask(root, "bias", "results/text", "--pairs", "empty.jsonl").errors


def test_pairs_of_token_ids_must_begin_alike(root: Path) -> None:
    write(root, "ids.jsonl", json.dumps({"first": "0 3 4 5", "second": "0 3 9 5",
                                         "differs": ["4", "9"]}))  # fmt: skip
    assert ask(root, "bias", "results/people", "--pairs", "ids.jsonl").code == 0
    write(root, "ids.jsonl", json.dumps({"first": "3 4", "second": "9 4", "differs": ["3", "9"]}),
          json.dumps({"first": "0 99", "second": "0 3", "differs": ["99", "3"]}))  # fmt: skip
    said = ask(root, "bias", "results/people", "--pairs", "ids.jsonl")
    assert said.code == 2
    assert "'99' is no id" in said.errors
    write(root, "ids.jsonl", json.dumps({"first": "3 4", "second": "9 4", "differs": ["3", "9"]}))
    said = ask(root, "bias", "results/people", "--pairs", "ids.jsonl")
    assert "differ in their first id" in said.errors


def test_runs_without_the_probes_are_refused(root: Path) -> None:
    text = SWEEPS["world"].partition("evaluate:")[0]
    train_here(root, "bare", text.replace("1300, 2600", "1300").replace("15e3, ", ""))
    said = ask(root, "knowledge", "results/bare")
    assert said.code == 4
    assert 'Name them under "evaluate"' in said.errors
