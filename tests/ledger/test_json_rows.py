"""Claims about tables in JSON: digits are kept, every bad line is named, nothing is guessed."""

import json

import pytest
import test_cells
from test_cells import refuse

from scaling.tables.reading import read_table

COLUMNS = {"N": "config.n_params", "D": "config.data.tokens", "loss": "summary.val/loss"}


def write(folder, text, name="runs.jsonl"):
    return test_cells.write(folder, text, name)


def make_run(state="finished", **summary):
    config = {"n_params": 1000000, "data": {"tokens": 2e7}}
    return {"name": "a", "state": state, "config": config, "summary": summary, "tags": ["x"]}


@pytest.mark.parametrize("name", ["runs.jsonl", "runs.NDJSON"])
def test_nested_objects_are_dotted_columns(tmp_path, name):
    text = "\n".join(json.dumps(make_run(**{"val/loss": loss})) for loss in (3.5, 3.4))
    table = read_table(write(tmp_path, text, name), columns=COLUMNS)
    assert table.params.tolist() == [1e6, 1e6]
    assert table.tokens.tolist() == [2e7, 2e7]
    assert table.loss.tolist() == [3.5, 3.4]


def test_a_json_list_reads_like_json_lines(tmp_path):
    runs = [make_run(**{"val/loss": loss}) for loss in (3.5, 3.4, 3.3)]
    lines = "\n".join(map(json.dumps, runs))
    from_lines = read_table(write(tmp_path, lines), columns=COLUMNS)
    for indent in (None, 2):
        listed = write(tmp_path, json.dumps(runs, indent=indent), "runs.json")
        assert read_table(listed, columns=COLUMNS).digest == from_lines.digest


def test_one_object_is_one_run(tmp_path):
    text = json.dumps(make_run(**{"val/loss": 3.5}), indent=1)
    assert len(read_table(write(tmp_path, text, "run.json"), columns=COLUMNS)) == 1


def test_json_strings_are_parsed_in_the_fields_where_wandb_sends_them(tmp_path):
    node = {
        "state": "finished",
        "config": json.dumps({"N": {"value": 1e6, "desc": None}, "D": {"value": 2e7}}),
        "summaryMetrics": json.dumps({"loss": 3.5}),
        "notes": '{"N": 5}',
    }
    columns = {"N": "config.N.value", "D": "config.D.value", "loss": "summaryMetrics.loss"}
    table = read_table(write(tmp_path, json.dumps([node]), "runs.json"), columns=columns)
    assert (table.params[0], table.tokens[0], table.loss[0]) == (1e6, 2e7, 3.5)


def test_mlflow_s_described_run_is_read(tmp_path):
    run = {
        "info": {"run_id": "f1", "status": "FINISHED"},
        "data": {"metrics": {"loss": 3.5}, "params": {"N": "1000000", "D": "2e7"}, "tags": {}},
    }
    failed = {**run, "info": {"run_id": "f2", "status": "KILLED"}}
    columns = {"N": "data.params.N", "D": "data.params.D", "loss": "data.metrics.loss"}
    path = write(tmp_path, json.dumps(run) + "\n" + json.dumps(failed) + "\n")
    (problem,) = refuse(path, columns=columns)
    assert "runs.jsonl:2: info.status: 1 of 2 runs did not finish (KILLED 1)" in problem
    assert read_table(path, columns=columns, drop_bad=True).params.tolist() == [1e6]


def test_unfinished_runs_are_counted(tmp_path):
    runs = [make_run(state, **{"val/loss": 3.5}) for state in ("finished", "crashed", "running")]
    path = write(tmp_path, "\n".join(map(json.dumps, runs)))
    (problem,) = refuse(path, columns=COLUMNS)
    assert "runs.jsonl:2: state: 2 of 3 runs did not finish (crashed 1, running 1)" in problem


def test_a_line_of_its_own_for_every_element_of_a_list(tmp_path):
    text = '[\n{"N": 1, "D": 2, "loss": 3},\n\n{"N": 1, "D": 2,\n "loss": -3}, {"N": "x"}]'
    problems = refuse(write(tmp_path, text, "runs.json"))
    assert [problem.split("runs.json:")[1].split(": ")[:2] for problem in problems] == [
        ["4", "loss"],
        ["5", "N"],
        ["5", "D"],
        ["5", "loss"],
    ]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ('{"N": 1, "D": 2, "loss": NaN}', "loss: NaN is not a finite number"),
        ('{"N": 1, "D": 2, "loss": -Infinity}', "loss: -Infinity is not a finite number"),
        ('{"N": 1, "D": 2, "loss": 1e999}', "loss: 1e999 is not a finite number"),
        ('{"N": 1, "D": 2, "loss": "NaN"}', "loss: NaN is not a finite number"),
        ('{"N": 1, "D": 2, "loss": true}', "loss: a truth value 'true'"),
        ('{"N": 1, "D": 2, "loss": null}', "loss: empty"),
        ('{"N": 1, "D": 2}', "loss: empty"),
        ('{"N": 1, "D": 2, "loss": [3, 4]}', "loss: text '[2 values]'"),
        ('{"N": 1, "D": 2, "loss": {"min": 3}}', "loss: text '{…}'"),
        ('{"N": 1, "D": 2, "loss": 3, "loss": 4}', "loss stands twice in one object"),
        ('{"N": 1, "D": 2, "loss": 3, "x": {"y": 1, "y": 1}}', "x.y stands twice in one object"),
        ('{"N": 1, "D": 2, "loss": 3', "not JSON"),
        ("[1, 2, 3]", "a list where an object is needed"),
        ("3.5", "'3.5' where an object is needed"),
        ("null", "'' where an object is needed"),
        ('{"x": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"x": ' * 960 + "1" + "}" * 960, "nested too deeply"),
        (json.dumps({"config": '{"x": ' * 960 + "1" + "}" * 960}), "nested too deeply"),
    ],
)
def test_a_bad_line_is_named_and_can_be_left_out(tmp_path, line, seen):
    path = write(tmp_path, '{"N": 1, "D": 2, "loss": 3}\n' + line + "\n")
    (problem,) = refuse(path)
    assert f"runs.jsonl:2: {seen}" in problem
    table = read_table(path, drop_bad=True)
    assert table.run == ("1",)
    assert len(table.rejected) == 1


def test_a_dotted_key_that_repeats_a_nested_one_is_refused(tmp_path):
    line = '{"N": 1, "D": 2, "loss": 3, "c": {"lr": 1}, "c.lr": 2}'
    (problem,) = refuse(write(tmp_path, line), columns={"lr": "c.lr"})
    assert "c.lr is given twice" in problem


def test_integers_keep_every_digit(tmp_path):
    flops = 6 * 10**12 * 10**14 + 1
    line = json.dumps({"N": 10**12, "D": 10**14, "loss": 2, "C": flops})
    assert read_table(write(tmp_path, line)).flops[0] == float(flops)
    huge = '{"N": ' + "9" * 5000 + ', "D": 2, "loss": 3}'
    assert "not a finite number" in refuse(write(tmp_path, huge))[0]


def test_unicode_line_separators_do_not_end_a_line(tmp_path):
    line = '{"N": 1, "D": 2, "loss": 3, "note": "a\u2028b\u0085c"}\r\n'
    assert read_table(write(tmp_path, "\ufeff" + line * 2)).run == ("1", "2")


@pytest.mark.parametrize(
    ("name", "text", "seen"),
    [
        ("runs.json", "", "the file is empty"),
        ("runs.json", "[]", "the file is empty"),
        ("runs.json", '[{"N": 1}, ]', "not readable as JSON"),
        ("runs.json", '[{"N": 1}] 5', "expected the end"),
        ("runs.json", '[{"N": 1} {"N": 2}]', "expected ','"),
        ("runs.json", '{"N": 1}\n{"N": 2}\n', "name the file .jsonl"),
        ("runs.json", "[" * 100_000, "nested too deeply"),
        ("runs.json", '{"N": {"0": 1}, "D": {"0": 2}}', "read as JSON, the file has N, D"),
        ("runs.jsonl", "\n \n", "the file is empty"),
        ("runs.jsonl", "1\n2\n", "runs.jsonl:1: '1' where an object is needed"),
        ("runs.jsonl", "{}\n", "an object without values"),
        ("runs.jsonl", '{"N": 1}\0\n', "NUL"),
        ("runs.jsonl", '{"params": 1}\n', '"--columns N=params"'),
    ],
)
def test_files_that_are_not_a_table_are_refused(tmp_path, name, text, seen):
    assert seen in refuse(write(tmp_path, text, name))[0]
