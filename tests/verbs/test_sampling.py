"""`scaling sample`: what it prints, and every request that it refuses."""

import json
from pathlib import Path

import pytest
from commands import Said, call
from sibling_sweeps import train_here

from scaling.errors import IntegrityError

SWEEPS = {
    "text": """\
corpus: {source: text, paths: [text.txt], tokenizer: characters}
model: {seq_len: 16, head_size: 8}
grid: {params: [1300], tokens: [15e3, 16e3]}
""",
    "ids": """\
corpus: {source: synthetic, tokens: 40e3}
model: {family: lstm, seq_len: 16}
grid: {params: [1300], tokens: [15e3]}
""",
    "bare": """\
corpus: {source: text, paths: [text.txt]}
model: {seq_len: 16, family: rnn}
grid: {params: [1300], tokens: [15e3]}
keep_weights: false
""",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled")
    (folder / "text.txt").write_text("\n\n".join(f"{at} and {at + at}." for at in range(3000)))
    for name, text in SWEEPS.items():
        train_here(folder, name, text)
    return folder


def ask(root: Path, name: str, *words: str) -> Said:
    return call("sample", root / "results" / name, *words)


def test_text_follows_the_prompt_and_is_reproducible(root: Path) -> None:
    words = ("--prompt", "12 and ", "--tokens", "8")
    first, again = (ask(root, "text", *words) for _ in range(2))
    assert first.out.startswith("12 and ")
    assert first.out == again.out
    assert "the lowest loss of" in first.errors
    told = json.loads(ask(root, "text", *words, "--json").out)
    assert len(told["tokens"]) <= 8
    assert first.out == "12 and " + told["text"] + "\n"
    others = [ask(root, "text", *words, "--seed", str(seed)).out for seed in range(1, 6)]
    assert any(one != first.out for one in others)


def test_greedy_text_takes_the_likeliest_token(root: Path) -> None:
    words = ("--prompt", "12 a", "--json")
    greedy = ask(root, "text", *words, "--temperature", "0").out
    (told, alone) = (
        json.loads(one) for one in (greedy, ask(root, "text", *words, "--top-k", "1").out)
    )
    assert told["tokens"] == alone["tokens"]
    narrow = json.loads(ask(root, "text", *words, "--top-p", "1e-9", "--seed", "4").out)
    assert told["tokens"] == narrow["tokens"]


def test_the_next_tokens_are_listed_with_probabilities(root: Path) -> None:
    told = json.loads(ask(root, "text", "--prompt", "12 a", "--top", "1000", "--json").out)
    shares = [one["probability"] for one in told["next"]]
    assert sum(shares) == pytest.approx(1.0, abs=1e-9)
    assert shares == sorted(shares, reverse=True)
    first = told["next"][0]
    lines = ask(root, "text", "--prompt", "12 a", "--top", "2").out.splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:2] == [str(first["id"]), repr(first["text"])]
    greedy = ("--prompt", "12 a", "--temperature", "0", "--tokens", "1", "--json")
    assert json.loads(ask(root, "text", *greedy).out)["tokens"] == [first["id"]]


def test_a_corpus_without_text_is_sampled_in_ids(root: Path) -> None:
    said = ask(root, "ids", "--prompt", "3 1", "--tokens", "5").out
    assert said.startswith("3 1")
    told = json.loads(ask(root, "ids", "--prompt", "3 1", "--tokens", "5", "--json").out)
    assert told["text"].split() == [str(one) for one in told["tokens"]]
    assert len(told["tokens"]) == 5


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("text", ("--run", "zz"), "no planned run begins with 'zz'"),
        ("text", ("--prompt", "1234567890123456"), "Shorten the prompt to at most 15 tokens"),
        ("text", ("--prompt", "1234", "--tokens", "13"), "Ask for --tokens 12 at most"),
        ("text", ("--top", "3", "--tokens", "2"), "leave --tokens out"),
        ("ids", (), "the prompt is empty"),
        ("ids", ("--prompt", "3 99"), "'99' is no id"),
        ("bare", (), "keep_weights is false in its sweep file.\nSet it to true, then"),
    ],
)
def test_an_impossible_request_is_refused_with_the_remedy(root, name, words, sentence) -> None:
    said = ask(root, name, *words)
    assert said.code == 2
    assert sentence in said.errors


def test_an_unknown_run_is_answered_by_the_nearest(root: Path) -> None:
    (run_id, _) = sorted(path.name for path in (root / "results" / "text" / "runs").iterdir())
    near = run_id[:3] + ("0" if run_id[3] != "0" else "1") + run_id[4:]
    assert f"Did you mean {run_id}" in ask(root, "text", "--run", near).errors
    assert json.loads(ask(root, "text", "--run", run_id[:8], "--json").out)["run_id"] == run_id


def test_missing_weights_or_tokenizers_are_named(root: Path) -> None:
    cache = root / "results" / ".cache" / "corpora"
    cache.rename(cache.with_name("away"))
    said = ask(root, "text")
    assert said.code == 2
    assert 'not here.\n"scaling plan SWEEP.yaml" prepares it again' in said.errors
    cache.with_name("away").rename(cache)
    weights = sorted((root / "results" / "ids").glob("runs/*/attempts/*/weights.pt"))[0]
    weights.rename(weights.with_suffix(".away"))
    said = ask(root, "ids", "--prompt", "1")
    assert said.code == IntegrityError.exit_code
    assert "weights.pt" in said.errors
    weights.with_suffix(".away").rename(weights)
