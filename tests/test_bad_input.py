"""Bad input exits 2 with every problem at once, one line each with its place, and no traceback."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Said, call

SWEEP = "name: a\ncorpus: {source: text, paths: [data]}\ngrid: {budgets: [1e8]}\n"
RUNS = [
    (params, tokens, 1.7 + 400 / params**0.34 + 2000 / tokens**0.37)
    for params in (1e6, 3e6, 1e7, 3e7, 1e8)
    for tokens in (1e8, 3e8, 1e9, 3e9)
]
TABLE = "N,D,loss\n" + "".join(f"{n!r},{d!r},{loss!r}\n" for n, d, loss in RUNS)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for number in range(20):
        (tmp_path / "data" / f"{number}.txt").write_text(f"{number} hello world " * 400)
    return tmp_path


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """SIGALRM ends a command that would wait for ever, e.g. for a pipe without a writer."""

    def give_up(signum: int, frame: object) -> None:
        raise TimeoutError("a minute has passed")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def check_refusal(said: Said, *parts: str) -> None:
    assert (said.code, said.out) == (2, "")
    assert all(part in said.errors for part in parts), said.errors
    assert "Traceback" not in said.errors
    assert all(line.isprintable() for line in said.errors.splitlines())


# --- the corpus and the grid, beyond the sweep file -------------------------------------------


@pytest.mark.parametrize(
    ("paths", "parts"),
    [
        ("[nothing]", ["'nothing': nothing there"]),
        ("[empty]", ["'empty': the folder holds no file"]),
        ("[pipe]", ["'pipe': not a regular file or folder"]),
        ("[/dev/zero]", ["'/dev/zero': not a regular file or folder"]),
        ("[none.txt]", ["holds no text"]),
        ("[one.txt]", ["too few to hold any out. Add text."]),
        ("[magic.bin]", ["magic.bin: byte 0 is not UTF-8 text. Convert the file or leave it out."]),
        ("[nothing, pipe, magic.bin]", ["'nothing'", "'pipe'", "magic.bin"]),
    ],
)
def test_unreadable_text_is_reported_at_its_place(root: Path, paths: str, parts: list[str]) -> None:
    (root / "empty").mkdir()
    os.mkfifo(root / "pipe")
    (root / "none.txt").touch()
    (root / "one.txt").write_text("x")
    (root / "magic.bin").write_bytes(b"\x93NUMPY\0\xff")
    (root / "s.yaml").write_text(SWEEP.replace("[data]", paths))
    for verb in (["plan"], ["run", "--executor", "inline"]):
        said = call(*verb, "s.yaml")
        check_refusal(said, *parts)
        assert all(
            line.startswith("s.yaml:2:31: corpus.paths: ") for line in said.errors.splitlines()
        )
    assert not (root / "results" / "a").exists()


@pytest.mark.parametrize(
    ("sweep", "says"),
    [
        (SWEEP + "model: {seq_len: 65536}\n", "the grid has no cell: no buildable model"),
        (SWEEP.replace("budgets: [1e8]", "params: [1e4], tokens: [64]"), "too few to warm up"),
        (SWEEP.replace("budgets: [1e8]", "params: [1e4], tokens: [1e15]"), "max_epochs is 4"),
        (
            SWEEP.replace("budgets: [1e8]", "params: [1e12], tokens: [6e5]").replace(
                "[data]", "[data], max_epochs: 99"
            )
            + "recipe: {batch_sequences: 1}\n",
            "GiB to train",
        ),
    ],
)
def test_a_grid_that_cannot_be_trained_is_reported_at_its_place(
    root: Path, sweep: str, says: str
) -> None:
    (root / "s.yaml").write_text(sweep)
    said = call("plan", "s.yaml")
    check_refusal(said, says)
    assert said.errors.startswith("s.yaml:3:7: grid: ")


@pytest.mark.parametrize(
    ("corpus", "evaluate", "parts"),
    [
        (
            "source: closed_world, tokens: 6e4, people: 40e3, attributes: 2, values: 8",
            "[]",
            ["40000 people cannot have distinct names", "80000 statements of 6 tokens do not fit"],
        ),
        (
            "source: closed_world, tokens: 6e4, people: 9, attributes: 2, values: 1, exponent: -1",
            "[]",
            ["corpus.values: ", "corpus.exponent: "],
        ),
        (
            "source: biased_people, tokens: 6e4, people: 101, skew: 0.9",
            "[]",
            ["Set corpus.people to a multiple of 20, 40 or more"],
        ),
        ("source: biased_people, tokens: 6e4, people: 100, skew: [0.4, 1]", "[]", ["corpus.skew"]),
        (
            "source: biased_people, tokens: 6e4, people: 100, skew: 0.9",
            "[closed_world_error, bias_argmax, closed_world_bound]",
            [
                "closed_world_error: it needs corpus.source closed_world, and this is",
                "closed_world_bound: it needs corpus.source closed_world",
            ],
        ),
        (
            "source: markov_chains, tokens: 2e4, states: 1, chains: -1",
            "[few_shot]",
            ["corpus.states: expected at least 2", "corpus.chains.0: expected at least 0"],
        ),
        (
            "source: markov_chains, tokens: 2e4, states: 6",
            "[few_shot]",
            ["Set model.seq_len to 36 or more, or corpus.states to 5 or fewer."],
        ),
        (
            "source: letter_maps, tokens: 2e4, letters: 17",
            "[few_shot]",
            ["Set model.seq_len to 34 or more, or corpus.letters to 16 or fewer."],
        ),
        (
            "source: brackets, tokens: 2e4",
            "[few_shot, few_shot_seen]",
            [
                "few_shot: it needs corpus.source markov_chains or letter_maps, and this is "
                "brackets",
                "few_shot_seen: it needs corpus.source markov_chains or letter_maps",
            ],
        ),
        (
            "source: markov_chains, tokens: 2e4, states: 3",
            "[few_shot_seen, {few_shot: {sequences: 1}}]",
            [
                "few_shot_seen: it needs a fixed set of training chains",
                "Set corpus.chains, or leave it out",
                "few_shot: sequences is 1. Set it to a whole number, 2",
            ],
        ),
    ],
)
def test_what_a_source_cannot_show_is_refused_with_every_reason(
    root: Path, corpus: str, evaluate: str, parts: list[str]
) -> None:
    (root / "s.yaml").write_text(
        f"name: a\ncorpus: {{{corpus}}}\nmodel: {{seq_len: 32}}\n"
        f"grid: {{params: [8e3], tokens: [3e4]}}\nevaluate: {evaluate}\n"
    )
    check_refusal(call("plan", "s.yaml", "--no-benchmark"), *parts)


def test_every_key_of_the_resources_is_checked_at_once(root: Path) -> None:
    (root / "s.yaml").write_text(
        SWEEP + "resources: {time_limit: 0, stall_limit: -3, cpus_per_run: 2.5, cpus_per_rn: 1}\n"
    )
    said = call("plan", "s.yaml")
    check_refusal(said, "Did you mean 'cpus_per_run'?")
    assert [line.split(": ")[0] for line in said.errors.splitlines()] == [
        "s.yaml:4:25", "s.yaml:4:41", "s.yaml:4:59", "s.yaml:4:64",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "endless", "large"])
def test_a_path_that_is_not_a_sweep_file_is_refused_unread(root: Path, kind: str) -> None:
    paths = {"missing": "no.yaml", "folder": ".", "endless": "/dev/zero"}
    path = Path(paths.get(kind, "s.yaml"))
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "large":
        with path.open("wb") as file:
            file.truncate(100 * 2**20)
    check_refusal(call("plan", path), str(path))


# --- tables and questions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "parts"),
    [
        ("", ["t.csv:1: the file is empty"]),
        ("N,D,loss\n", ["t.csv: no rows"]),
        ("N,D\n1,2\n", ["t.csv:1: loss: no such column"]),
        (TABLE + "1e6,1e8,-1\n", ["t.csv:22: loss: -1 is not above 0"]),
        (TABLE + "big,1e8,2\n", ["t.csv:22: N: text 'big'"]),
        (
            TABLE + "1e6,1e8,nan\nx,0,inf\n1e400,1e8,2\n",
            ["t.csv:22: loss: nan", "t.csv:23: N: text", "t.csv:23: D: 0", "t.csv:24: N: 1e400"],
        ),
        (
            TABLE + "1e-300,1e8,2\n1e6,1e-300,2\n1e6,1e8,1e-300\n1e6,1e8,٣\n1e6,1e8,３\n",
            [
                "t.csv:22: N: 1e-300 is too small to compute with (at least 1e-09)",
                "t.csv:23: D: 1e-300 is too small",
                "t.csv:24: loss: 1e-300 is too small",
                "t.csv:25: loss: '٣' is written in digits of another script; write 0 to 9",
                "t.csv:26: loss: '３' is written in digits of another script",
            ],
        ),
        (
            TABLE + f"1e6,1e8,{'2' * 200_000}\n",
            ["t.csv:22: a cell of more than 131072 characters, the longest that is read"],
        ),
        ("\x1b]0;x,D,loss\n1,2,3\n", ["t.csv:1: N: no such column"]),
        (
            "N,D,loss\n1e6,1e8,nan\n3e6,1e8,nan\n",
            ["t.csv:2: loss: nan is not a finite number", "t.csv:3: loss: nan"],
        ),
    ],
)
def test_every_bad_row_of_a_table_is_listed(root: Path, table: str, parts: list[str]) -> None:
    (root / "t.csv").write_text(table)
    for words in ((), ("--json",)):
        check_refusal(call("fit", "t.csv", "--no-bootstrap", *words), *parts)


def test_bad_rows_are_left_out_when_asked_and_duplicates_are_kept(root: Path) -> None:
    (root / "t.csv").write_text(TABLE + "1e6,1e8,nan\n" + TABLE.split("\n", 1)[1])
    said = call("fit", "t.csv", "--no-bootstrap", "--drop-bad", "--json")
    assert said.code == 0
    assert "t.csv:22: loss: nan is not a finite number" in said.errors
    answer = json.loads(said.out)
    assert answer["n"] == 40
    (check,) = [one for one in answer["checks"] if one["code"] == "duplicate_cells"]
    assert check["passed"] is False


@pytest.mark.parametrize(
    "words",
    [
        ("allocate", "t.csv", "--flops", "0"),
        ("allocate", "t.csv", "--flops=-1"),
        ("allocate", "t.csv", "--flops", "1e400"),
        ("allocate", "t.csv", "--flops", "nan"),
        ("allocate", "t.csv", "--flops", "1e40"),
        ("predict", "t.csv", "--params", "0", "--tokens", "1e9"),
        ("predict", "t.csv", "--params", "1e6", "--tokens=-5"),
        ("predict", "t.csv", "--params", "1e400", "--tokens", "1e9"),
    ],
)
def test_a_question_without_an_answer_is_a_usage_error(root: Path, words: tuple[str, ...]) -> None:
    (root / "t.csv").write_text(TABLE)
    check_refusal(call(*words, "--no-bootstrap"))


@pytest.mark.parametrize("verb", ["fit", "allocate", "predict", "report", "status", "verify"])
@pytest.mark.parametrize("kind", ["missing", "empty folder", "pipe", "escape"])
def test_a_path_that_is_neither_results_nor_table_is_named(
    root: Path, verb: str, kind: str
) -> None:
    path = {"missing": "none", "escape": "a\x1b]0;x\x07b"}.get(kind, "thing")
    if kind == "empty folder":
        Path(path).mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    more = {"allocate": ["--flops", "1e9"], "predict": ["--params", "1e6", "--tokens", "1e9"]}
    check_refusal(call(verb, path, *more.get(verb, [])), path.split("\x1b")[0])
