"""Tables that determine no answer give an exit code, a status, a reason and a remedy; never a
traceback, and never a number without its warning."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import write_table

from scaling import cli
from scaling.laws.chinchilla import CHINCHILLA

LAW = np.array([1.69, 406.4, 410.7, 0.34, 0.28])
Row = tuple[object, object, object]


def list_runs(params: list[float], tokens: list[float]) -> list[Row]:
    """Runs of every N with every D, with .3 % noise around Hoffmann's law."""
    rng = np.random.default_rng(0)
    pairs = [(n, d) for n in params for d in tokens]
    return [
        (n, d, float(CHINCHILLA.loss(LAW, np.array(n), np.array(d)) * np.exp(noise)))
        for (n, d), noise in zip(pairs, 0.003 * rng.standard_normal(len(pairs)), strict=True)
    ]


SIZES = np.geomspace(1e7, 1e9, 6).tolist()
COUNTS = np.geomspace(1e9, 1e11, 6).tolist()
GRID = list_runs(SIZES, COUNTS)
LINE = [list_runs([n], [20 * n])[0] for n in np.geomspace(1e7, 1e9, 12)]

CARRY_NOTHING = {
    "one point": (GRID[:1], "needs at least 10"),
    "two points": (GRID[:8:7], "needs at least 10"),
    "three points": (GRID[:15:7], "needs at least 10"),
    "one size": (list_runs([1e8], np.geomspace(1e9, 1e11, 12).tolist()), "1 distinct N"),
    "one count": (list_runs(np.geomspace(1e7, 1e9, 12).tolist(), [1e10]), "1 distinct D"),
    "one ratio": (LINE, "All runs lie on one ratio"),
    "one run, thirty times": (GRID[:1] * 30, "1 distinct (N, D)"),
}


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    """Runs a verb on rows and gives exit code, standard output and standard error."""

    def run(rows: list[Row], verb: str, *words: str) -> tuple[int, str, str]:
        path = write_table(tmp_path / "runs.csv", rows)
        monkeypatch.setattr(sys, "argv", ["scaling", verb, str(path), *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()  # main writes to the process's streams
        return int(end.value.code or 0), out, err

    return run


@pytest.mark.parametrize("name", CARRY_NOTHING)
def test_a_design_that_determines_no_law_exits_4_with_the_reason(ask, name: str) -> None:
    rows, reason = CARRY_NOTHING[name]
    code, out, _ = ask(rows, "fit", "--json")
    assert code == 4
    answer = json.loads(out)
    assert answer["law"] is None
    assert answer["status"] == "failed"
    assert reason in answer["reason"]
    assert "Add " in answer["reason"]


@pytest.mark.parametrize("name", ["three points", "one ratio"])
@pytest.mark.parametrize(
    "question",
    [("allocate", "--flops", "1e20"), ("predict", "--params", "1e8", "--tokens", "1e10")],
    ids=lambda words: words[0],
)
def test_such_a_design_answers_no_question(ask, name: str, question: tuple[str, ...]) -> None:
    rows, reason = CARRY_NOTHING[name]
    code, out, err = ask(rows, *question, "--json")
    assert code == 4
    answer = json.loads(out)
    assert answer["law"] is None
    assert answer.get("answers", answer.get("predictions")) == []
    assert reason in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", CARRY_NOTHING)
@pytest.mark.parametrize("verb", ["compare", "backtest"])
def test_such_a_design_is_not_compared_or_scored(ask, tmp_path: Path, verb: str, name: str) -> None:
    rows, reason = CARRY_NOTHING[name]
    words = (str(tmp_path / "runs.csv"), "--flops", "1e20") if verb == "compare" else ()
    code, out, err = ask(rows, verb, *words, "--json")
    assert code == 4
    assert "Traceback" not in err
    if verb == "compare":
        assert reason in err
    else:
        answer = json.loads(out)
        assert answer["chosen"] is None
        assert [one["score"] for one in answer["laws"]] == [None] * len(answer["laws"])


def test_one_huge_outlier_is_named_with_every_answer(ask) -> None:
    rows = [*GRID, (1e8, 1e10, 900.0)]
    code, out, _ = ask(rows, "allocate", "--flops", "1e20", "--json", "--no-bootstrap")
    assert code == 0
    (answer,) = json.loads(out)["answers"]
    (check,) = [one for one in answer["checks"] if one["code"] == "outliers"]
    assert check["passed"] is False
    assert "900" in check["seen"]
    _, out, _ = ask(GRID, "allocate", "--flops", "1e20", "--json", "--no-bootstrap")
    (clean,) = json.loads(out)["answers"]
    assert answer["params"] == pytest.approx(clean["params"], rel=0.05)


@pytest.mark.slow
def test_a_million_rows_are_fitted(ask) -> None:
    rng = np.random.default_rng(0)
    params, tokens = np.exp(rng.uniform(16, 22, 10**6)), np.exp(rng.uniform(20, 26, 10**6))
    loss = CHINCHILLA.loss(LAW, params, tokens) * np.exp(0.003 * rng.standard_normal(10**6))
    rows = list(zip(params.tolist(), tokens.tolist(), loss.tolist(), strict=True))
    code, out, _ = ask(rows, "fit", "--json", "--bootstrap", "10")
    assert code == 0
    law = json.loads(out)["law"]["params"]
    # σ = .3 % over a million runs gives each parameter to 1e-4.
    np.testing.assert_allclose(list(law.values()), LAW, rtol=3e-3)
