"""Claims about tables as programs and people write them: the runs that are read are those that were
written, to the last bit, and what cannot be read is refused once, with the remedy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scaling.errors import TableError
from scaling.tables.reading import judge_table, read_table
from scaling.tables.rows import join_rejected
from scaling.tables.states import read_state_rule

E, A, B, ALPHA, BETA = 1.8172, 482.01, 2085.43, 0.3478, 0.3658  # Besiroglu et al. 2404.10102
RUNS = [
    (n, d, round(E + A / n**ALPHA + B / d**BETA, 5))
    for n in (7e7, 1.6e8, 4.1e8, 1e9)
    for d in (2e9, 1e10, 1e11)
]
OPTIONS = {"N": "config.n_params", "D": "tokens", "loss": "val_loss"}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def assert_read(path: Path, **how: object) -> None:
    table = read_table(path, **how)  # type: ignore[arg-type]
    read = list(zip(table.params, table.tokens, table.loss, strict=True))
    assert read == RUNS


def refuse(path: Path, **how: object) -> list[str]:
    with pytest.raises(TableError) as caught:
        read_table(path, **how)  # type: ignore[arg-type]
    return list(caught.value.problems)


def write_separated(mark: str) -> Callable[[], str]:
    def text() -> str:
        return mark.join(("N", "D", "loss")) + "\n" + "".join(
            mark.join((f"{n:.0f}", f"{d:.0f}", f"{loss}")) + "\n" for n, d, loss in RUNS
        )  # fmt: skip

    return text


def write_aligned() -> str:
    """The format in which pandas prints a frame without its index."""
    rows = [("N", "D", "loss"), *((f"{n:.0f}", f"{d:.0f}", f"{loss}") for n, d, loss in RUNS)]
    return "\n".join("  ".join(cell.rjust(14) for cell in row) for row in rows) + "\n"


def write_document() -> str:
    """A Markdown document with one table."""
    rows = "".join(f"| {n / 1e6:g}M | {d / 1e9:g}B | {loss} |\n" for n, d, loss in RUNS)
    return f"# Results\n\nAll runs finished.\n\n| N | D | loss |\n|:--|--:|---|\n{rows}\nThe end.\n"


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("bars.txt", write_separated("|")),
        ("blanks.txt", write_separated(" ")),
        ("tabs.txt", write_separated("\t")),
        ("aligned.txt", write_aligned),
        ("README.md", write_document),
    ],
)
def test_separators_are_recognised(tmp_path: Path, name: str, make: Callable[[], str]) -> None:
    assert_read(write(tmp_path / name, make()))


def test_two_tables_in_one_document_are_refused(tmp_path: Path) -> None:
    other = "| size | price |\n|---|---|\n| 1 | 2 |\n\n"
    path = write(tmp_path / "a.md", other + write_document())
    assert refuse(path) == [f"{path}: several tables in one file; write the one of the runs to a "
                            "file of its own"]  # fmt: skip


def test_a_blank_within_a_name_is_not_a_separator(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "val loss\n3.1\n2.9\n")
    assert all("the file has val loss" in problem for problem in refuse(path))


def as_mlflow_rest() -> object:
    """A response of POST /api/2.0/mlflow/runs/search: params and metrics are lists of key,
    value."""
    return {
        "runs": [
            {
                "info": {"run_id": f"r{at}", "status": "FINISHED"},
                "data": {
                    "params": [{"key": "n_params", "value": f"{n:.0f}"},
                               {"key": "tokens", "value": f"{d:.0f}"}],
                    "metrics": [{"key": "val_loss", "value": loss, "step": 9, "timestamp": 1}],
                },
            }
            for at, (n, d, loss) in enumerate(RUNS)
        ],
        "next_page_token": "x",
    }  # fmt: skip


def test_mlflows_rest_response_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps(as_mlflow_rest()))
    where = {
        "N": "data.params.n_params",
        "D": "data.params.tokens",
        "loss": "data.metrics.val_loss",
    }
    assert_read(path, columns=where)


def test_rows_nested_in_a_file_are_found(tmp_path: Path) -> None:
    rows = [{"N": n, "D": d, "loss": loss} for n, d, loss in RUNS]
    whole = {"experiment": "x", "results": {"version": 2, "ladder": {"runs": rows}}}
    assert_read(write(tmp_path / "a.json", json.dumps(whole)))
    whole["results"]["other"] = [{"N": 1.0}, {"N": 2.0}]  # type: ignore[index]
    assert refuse(write(tmp_path / "b.json", json.dumps(whole)))  # ambiguous


def test_a_wide_table_of_budgets_proposes_budgets(tmp_path: Path) -> None:
    sizes, budgets = (7e7, 1.6e8, 4.1e8), ("1e18", "1e19", "1e20")
    loss = {
        (n, c): E + A / n**ALPHA + B / (float(c) / 6 / n) ** BETA for n in sizes for c in budgets
    }
    rows = "".join(f"{n:.0f},{','.join(repr(loss[n, c]) for c in budgets)}\n" for n in sizes)
    path = write(tmp_path / "a.csv", f"params,{','.join(budgets)}\n{rows}")
    (problem,) = refuse(path)
    said = problem.rpartition("--columns ")[2]
    assert said == "N=params,C=header,D=header/(6*params),loss=cell"
    table = read_table(path, columns=dict(one.split("=", 1) for one in said.split(",")))
    assert table.flops is not None
    np.testing.assert_allclose(table.flops, 6 * table.params * table.tokens, rtol=1e-12)
    assert sorted(table.loss) == sorted(loss.values())


def test_columns_missing_for_one_reason_are_one_problem(tmp_path: Path) -> None:
    log = {"log_history": [{"step": 10 * at, "eval_loss": 4.0 - at} for at in (1, 2)]}
    (problem,) = refuse(write(tmp_path / "trainer_state.json", json.dumps(log)))
    assert "N, D, loss: no such column" in problem
    assert problem.count("--columns N=7e7,D=step*524288,loss=eval_loss") == 1
    (alone,) = refuse(write(tmp_path / "c.csv", "C,loss\n1e18,3\n"))
    assert "N, D: no such column" in alone
    assert "--of C" in alone


STATES = [
    ("ST", "CD", ("CA", "TO", "NF", "F", "OOM", "PD", "R")),  # squeue
    ("State", "COMPLETED", ("CANCELLED by 1000", "OUT_OF_ME+", "CANCELLED+", "NODE_FAIL")),  # sacct
    ("phase", "Succeeded", ("Failed", "Pending", "OOMKilled")),
    ("TrainingJobStatus", "Completed", ("InProgress", "Stopped", "Failed")),
    ("sys/failed", "False", ("True", "true")),
    ("crashed", "0", ("1",)),
    ("status", "completed", ("in_progress", "aborted", "queued")),
    ("trial_status", "Terminated", ("Error", "Paused")),
]


@pytest.mark.parametrize(("column", "done", "undone"), STATES)
def test_unfinished_rows_of_every_program_are_left_out(
    tmp_path: Path, column: str, done: str, undone: tuple[str, ...]
) -> None:
    rows = [f"{n:.0f},{d:.0f},{loss},{done}" for n, d, loss in RUNS]
    rows += [f"7e7,3e9,9.0,{word}" for word in undone]
    path = write(tmp_path / "a.csv", "\n".join([f"N,D,loss,{column}", *rows]) + "\n")
    (problem,) = refuse(path)
    assert f"{len(undone)} of {len(rows)} runs did not finish" in problem
    assert f"--state {column}={done}" in problem
    assert_read(path, drop_bad=True)
    assert_read(path, states=read_state_rule(f"{column}={done}"))
    assert len(read_table(path, states=read_state_rule("any"))) == len(rows)


def test_a_state_column_takes_precedence_over_a_boolean_one(tmp_path: Path) -> None:
    rows = [f"{n:.0f},{d:.0f},{loss},False,finished" for n, d, loss in RUNS]
    path = write(tmp_path / "a.csv", "\n".join(
        ["N,D,loss,failed,state", *rows, "7e7,3e9,9,False,running"]) + "\n")  # fmt: skip
    assert "running 1" in refuse(path)[0]


def test_rows_left_out_for_one_reason_are_one_line() -> None:
    lines = [f"a.csv:{at}: state: 'ERROR', the run did not finish" for at in range(2, 12)]
    lines += ["a.csv:40: loss: 'x' is no number", "something else"]
    assert join_rejected(lines) == [
        "a.csv:2, 3, 4, 5, 6 and 5 more: state: 'ERROR', the run did not finish",
        "a.csv:40: loss: 'x' is no number",
        "something else",
    ]


def mix(column: int, factor: Callable[[float], float]) -> str:
    """The table with every second row of a column in another unit."""
    rows = []
    for at, run in enumerate(RUNS):
        cells = list(run)
        if at % 2:
            cells[column] = factor(cells[column])
        rows.append(",".join(map(repr, cells)))
    return "\n".join(["N,D,loss", *rows]) + "\n"


@pytest.mark.parametrize(
    ("column", "factor"),
    [(0, lambda n: n / 1e6), (0, lambda n: n / 1e9), (1, lambda d: d / 1e9), (2, math.exp)],
    ids=["N in millions", "N in billions", "D in billions", "loss as perplexity"],
)
def test_two_units_in_one_column_are_refused(
    tmp_path: Path, column: int, factor: Callable[[float], float]
) -> None:
    path = write(tmp_path / "a.csv", mix(column, factor))
    (problem,) = refuse(path)
    assert "several units in one column" in problem
    assert len(read_table(path, anyway=True)) == len(RUNS)


@pytest.mark.parametrize("unit", ["GFLOP", "PFLOP", "ZFLOP", "PF-days"])
def test_small_compute_is_reported_as_a_unit_not_as_a_bad_cell(tmp_path: Path, unit: str) -> None:
    scale = {"GFLOP": 1e9, "PFLOP": 1e15, "ZFLOP": 1e21, "PF-days": 8.64e19}[unit]
    rows = [f"{n:.0f},{d:.0f},{6 * n * d / scale!r},{loss}" for n, d, loss in RUNS]
    path = write(tmp_path / "a.csv", "\n".join(["N,D,compute,loss", *rows]) + "\n")
    (doubt,) = judge_table(read_table(path, columns={"C": "compute"}))
    assert f"C=compute[{unit}]" in doubt.remedy
    table = read_table(path, columns={"C": f"compute[{unit}]"})
    assert judge_table(table) == ()
    np.testing.assert_allclose(table.flops, 6 * table.params * table.tokens, rtol=1e-12)


@pytest.mark.parametrize(("column", "factor", "unit"), [("D", 1e6, "D=D[M]"), ("N", 1e6, "N=N[M]")])
def test_an_odd_ratio_names_the_unit_of_the_smaller(
    tmp_path: Path, column: str, factor: float, unit: str
) -> None:
    """Each column is plausible by itself, but D/N is not."""
    place = "ND".index(column)
    rows = [[f"{value / (factor if at == place else 1)!r}" for at, value in enumerate(run[:2])]
            + [str(run[2])] for run in RUNS]  # fmt: skip
    scaled = [[str(float(cell) * 1e3) for cell in row[:2]] + row[2:] for row in rows]
    path = write(tmp_path / "a.csv", "\n".join(["N,D,loss", *map(",".join, scaled)]) + "\n")
    (doubt,) = judge_table(read_table(path, anyway=True))
    assert unit in doubt.remedy


@pytest.mark.parametrize(
    ("name", "unit"),
    [("bits_per_byte", "bpb"), ("val_bpb", "bpb"), ("bits/token", "bits"), ("val_ppl", "ppl"),
     ("eval_perplexity", "ppl")],
)  # fmt: skip
def test_the_name_of_a_loss_states_its_unit(tmp_path: Path, name: str, unit: str) -> None:
    rows = "".join(f"{n:.0f},{d:.0f},{loss}\n" for n, d, loss in RUNS)
    table = read_table(write(tmp_path / "a.csv", f"N,D,{name}\n{rows}"), columns={"loss": name})
    (note,) = [one for one in table.notes if "--loss-unit" in one]
    assert note.endswith(f"say --loss-unit {unit}")
