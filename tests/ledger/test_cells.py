"""Claims about exports of run trackers: columns are mapped, unfinished runs are rejected rows."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling.errors import TableError
from scaling.tables import rows
from scaling.tables.reading import read_table

# Header and states as in a real export of W&B's runs table: config values and logged metrics side
# by side without a prefix, nested names dotted.
WANDB = """\
"Name","State","Notes","User","Tags","Created","Runtime","Sweep","n_params","optim.lr","val/loss"
"a","finished","-","me","","2025-11-13T09:48:11.000Z","20000000","","1000000","0.01","3.5"
"b","crashed","-","me","","2025-11-13T09:48:11.000Z","20000000","","1000000","0.01",""
"c","running","-","me","","2025-11-13T09:48:11.000Z","20000000","","2000000","0.01","3.4"
"d","finished","-","me","","2025-11-13T09:48:11.000Z","20000000","","4000000","0.01","3.3"
"""
WANDB_COLUMNS = {"N": "n_params", "D": "Runtime", "loss": "val/loss", "lr": "optim.lr"}

MLFLOW = """\
run_id,experiment_id,status,artifact_uri,start_time,end_time,metrics.loss,params.N,params.D
f1,0,FINISHED,mlruns/0/f1,2024-01-01 00:00:00+00:00,2024-01-01 01:00:00+00:00,3.5,1000000,2e7
f2,0,FAILED,mlruns/0/f2,2024-01-01 00:00:00+00:00,,,1000000,2e7
f3,0,FINISHED,mlruns/0/f3,2024-01-01 00:00:00+00:00,2024-01-01 01:00:00+00:00,3.4,"2,000,000",2e7
"""
MLFLOW_COLUMNS = {"N": "params.N", "D": "params.D", "loss": "metrics.loss"}


def write(folder, text, name="runs.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refuse(path, **options):
    with pytest.raises(TableError) as caught:
        read_table(path, **options)
    return caught.value.problems


def test_unfinished_runs_of_wandb_are_one_problem_that_counts_them(tmp_path):
    # One message for the column: the missing loss of a crashed run is not a second problem.
    (problem,) = refuse(write(tmp_path, WANDB), columns=WANDB_COLUMNS)
    assert "runs.csv:3: State: 2 of 4 runs did not finish (crashed 1, running 1)" in problem
    assert "--drop-bad" in problem
    assert "--state State=finished" in problem
    assert "--state any" in problem


def test_finished_runs_of_wandb_are_kept_with_drop_bad(tmp_path):
    table = read_table(write(tmp_path, WANDB), columns=WANDB_COLUMNS, drop_bad=True)
    assert table.params.tolist() == [1e6, 4e6]
    assert table.learning_rate.tolist() == [0.01, 0.01]
    assert [one.split("runs.csv:")[1] for one in table.rejected] == [
        "3: State: 'crashed', the run did not finish",
        "4: State: 'running', the run did not finish",
    ]


def test_mlflow_params_are_text_and_judged_as_cells(tmp_path):
    (problem,) = refuse(write(tmp_path, MLFLOW), columns=MLFLOW_COLUMNS)
    assert "runs.csv:3: status: 1 of 3 runs did not finish (FAILED 1)" in problem
    table = read_table(write(tmp_path, MLFLOW), columns=MLFLOW_COLUMNS, drop_bad=True)
    assert table.params.tolist() == [1e6, 2e6]
    assert (
        "params.N: 1 cells are read as people write numbers: '2,000,000' is 2000000"
        in (table.notes[0])
    )


def test_a_tracker_s_column_is_suggested(tmp_path):
    problems = refuse(write(tmp_path, MLFLOW))
    assert '"--columns N=params.N"' in problems[0]
    assert '"--columns loss=metrics.loss"' in problems[2]
    (problem,) = refuse(write(tmp_path, WANDB), columns={"N": "n_params", "D": "Runtime"})
    assert '"--columns loss=val/loss"' in problem


def test_cells_that_are_whole_dictionaries_are_explained(tmp_path):
    text = "name,config,summary\na,\"{'N': 1}\",\"{'loss': 2}\"\n"
    assert "one JSON object per run" in refuse(write(tmp_path, text))[0]


def test_an_unknown_state_is_kept_and_noted(tmp_path):
    text = "N,D,loss,state\n1,2,3,finished\n1,3,3,resumed\n"
    table = read_table(write(tmp_path, text))
    assert len(table) == 2
    assert "state: 'resumed' is no state of a run" in table.notes[0]


def test_a_state_column_without_known_states_is_noted(tmp_path):
    table = read_table(write(tmp_path, "N,D,loss,state\n1,2,3,Ohio\n1,3,3,Utah\n"))
    assert "state: 'Ohio', 'Utah' are no states" in table.notes[0]
    assert "--state state=WORD" in table.notes[0]


def test_a_mapped_column_is_not_read_as_a_state(tmp_path):
    table = read_table(
        write(tmp_path, "N,D,loss,status\n1,2,3,failed\n"), columns={"group": "status"}
    )
    assert table.group == ("failed",)


def test_a_duplicate_column_that_is_not_used_is_no_problem(tmp_path):
    text = "N,D,loss,note,note\n1,2,3,x,y\n"
    assert len(read_table(write(tmp_path, text))) == 1


def test_tabs_separate_the_columns_of_a_tsv(tmp_path):
    table = read_table(write(tmp_path, "N\tD\tloss\tnote\n1\t2\t3\ta,b\n", "runs.tsv"))
    assert table.loss.tolist() == [3.0]
    (first, *_) = refuse(write(tmp_path, "N,D,loss\n1,2,3\n", "runs.tsv"))
    assert "separate columns by tabs, as in TSV" in first


def test_an_error_names_the_format_but_not_a_thousand_columns(tmp_path):
    header = ",".join(f"metric{index}" for index in range(1000))
    problem = refuse(write(tmp_path, f"{header}\n"))[0]
    assert "read as CSV" in problem
    assert "and 970 more" in problem
    assert len(problem) < 600


def test_a_file_too_large_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MAX_BYTES", 16)
    (problem,) = refuse(write(tmp_path, "N,D,loss\n" + "1,2,3\n" * 10))
    assert "larger than" in problem


CELL = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["1e6", "3", "nan", "-inf", "1e999", "0x10", "٣", " 5 ", "1_0", "", "true"]),
    st.floats().map(repr),
)
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), CELL),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["N", "D", "loss", "seed", "state", "config"]), inner),
    ),
    max_leaves=12,
)
SEPARATOR = st.sampled_from([",", "\t", "\n", "\r\n", '"', ";"])


def read_or_refuse(path):
    """A table can be fitted once read, or is refused with a place and a reason."""
    table, problems = None, ()
    try:
        table = read_table(path, drop_bad=True)
    except TableError as error:
        problems = error.problems
    assert all(str(path) in problem for problem in problems)
    if table is None:
        assert problems
        return
    assert len(table) > 0
    for values in (table.params, table.tokens, table.loss):
        assert all(0 < value < float("inf") for value in values)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(CELL, SEPARATOR), max_size=30), st.sampled_from(["csv", "tsv"]))
def test_hostile_text_is_read_or_refused(tmp_path, parts, suffix):
    mark = "\t" if suffix == "tsv" else ","
    path = tmp_path / f"runs.{suffix}"
    path.write_text(mark.join(["N", "D", "loss"]) + "\n" + "".join(parts), encoding="utf-8")
    read_or_refuse(path)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(VALUE, max_size=4), st.text(max_size=5), st.sampled_from(["json", "jsonl"]))
def test_hostile_json_is_read_or_refused(tmp_path, values, junk, suffix):
    good = {"N": 1, "D": 2, "loss": 3}
    lines = [json.dumps(value) for value in (good, *values)]
    text = "[" + ",".join(lines) + "]" if suffix == "json" else "\n".join(lines)
    path = tmp_path / f"runs.{suffix}"
    for content in (text, text + junk, text[: len(text) // 2]):
        path.write_text(content, encoding="utf-8", newline="")
        read_or_refuse(path)
