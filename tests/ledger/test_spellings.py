"""Claims about one table in many spellings: read as the same runs, or refused in a sentence.

The runs are Hoffmann's law without noise, so the right N, D, loss and answer are known in closed
form.
"""

import gzip
import json
import math

import numpy as np
import pytest
from test_cells import refuse, write

from scaling.tables.filters import Filters, apply_filters
from scaling.tables.reading import read_table
from scaling.tables.states import read_state_rule

# Hoffmann et al. 2022, arXiv:2203.15556, eq. 10.
E, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28
SIZES = (70e6, 160e6, 410e6, 1e9, 1.4e9, 2.8e9)
COUNTS = (2e9, 5e9, 10e9, 30e9, 100e9)
RUNS = [(n, d, E + A / n**ALPHA + B / d**BETA) for n in SIZES for d in COUNTS]


def spell(header, row, runs=RUNS):
    lines = [row(*run) for run in runs]
    return "\n".join([header, *lines]) + "\n"


def is_right(table, rtol=1e-12):
    """Whether N, D and loss are those of RUNS, in order."""
    expected = np.array(RUNS).T
    for values, right in zip((table.params, table.tokens, table.loss), expected, strict=True):
        np.testing.assert_allclose(values, right, rtol=rtol)  # rounding of products and logarithms
    return True


SPELLINGS = {
    "suffixes": (
        "size,tokens,loss", lambda n, d, y: f"{n / 1e6:g}M,{d / 1e9:g}B,{y!r}",
        {"columns": {"N": "size", "D": "tokens"}},
    ),
    "thousands in quotes": ("N,D,loss", lambda n, d, y: f'"{n:,.0f}","{d:,.0f}",{y!r}', {}),
    "semicolons and decimal commas": (
        "N;D;loss", lambda n, d, y: f"{n:.0f};{d:.0f};{str(y).replace('.', ',')}", {},
    ),
    "tabs": ("N\tD\tloss", lambda n, d, y: f"{n}\t{d}\t{y!r}", {}),
    "markdown": ("| N | D | loss |\n|---|---|---|", lambda n, d, y: f"| {n} | {d} | {y!r} |", {}),
    "steps and batch": (
        "N,steps,batch_tokens,loss", lambda n, d, y: f"{n},{d / 5e5},500000,{y!r}",
        {"columns": {"D": "steps*batch_tokens"}},
    ),
    "tokens per parameter": (
        "N,ratio,loss", lambda n, d, y: f"{n},{d / n!r},{y!r}", {"columns": {"D": "N*ratio"}},
    ),
    "epochs of a known text": (
        "N,epochs,loss", lambda n, d, y: f"{n},{d / 2e9!r},{y!r}", {"columns": {"D": "epochs*2e9"}},
    ),
    "compute and size": (
        "N,C,loss", lambda n, d, y: f"{n},{6 * n * d!r},{y!r}", {"columns": {"D": "C/(6*N)"}},
    ),
    "billions": (
        "params (B),tokens (B),val loss", lambda n, d, y: f"{n / 1e9!r},{d / 1e9!r},{y!r}",
        {"columns": {"N": "params (B)[B]", "D": "tokens (B)*1e9", "loss": "val loss"}},
    ),
    "logarithms": (
        "n,d,loss", lambda n, d, y: f"{math.log10(n)!r},{math.log10(d)!r},{y!r}",
        {"columns": {"N": "10^n", "D": "d[log10]"}},
    ),
    "bits": (
        "N,D,bits", lambda n, d, y: f"{n},{d},{y / math.log(2)!r}",
        {"columns": {"loss": "bits"}, "loss_unit": "bits"},
    ),
    "perplexity": (
        "N,D,ppl", lambda n, d, y: f"{n},{d},{math.exp(y)!r}",
        {"columns": {"loss": "ppl"}, "loss_unit": "ppl"},
    ),
    "a comma in a name": (
        'N,D,"loss, val"', lambda n, d, y: f"{n},{d},{y!r}", {"columns": {"loss": "`loss, val`"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_gives_the_same_runs(tmp_path, name):
    header, row, options = SPELLINGS[name]
    path = write(tmp_path, spell(header, row))
    # Ratios and logarithms have 17 digits, of which 10^x keeps 14.
    assert is_right(read_table(path, **options), rtol=1e-12)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_spreadsheets_export_is_read(tmp_path, encoding):
    path = tmp_path / "runs.csv"
    path.write_bytes(spell("N,D,loss", lambda *run: ",".join(map(repr, run))).encode(encoding))
    assert is_right(read_table(path))


def test_a_compressed_file_is_read(tmp_path):
    path = tmp_path / "runs.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write(spell("N,D,loss", lambda *run: ",".join(map(repr, run))))
    assert is_right(read_table(path))
    path.write_bytes(b"N,D,loss\n")
    assert "not readable as gzip" in refuse(path)[0]


ROWS = [{"N": n, "D": d, "loss": loss} for n, d, loss in RUNS]
LABELS = [str(index) for index in range(len(ROWS))]
COLUMNS = {name: [row[name] for row in ROWS] for name in ("N", "D", "loss")}
JSON = {
    "records": ROWS,
    "a list under a key": {"runs": ROWS, "project": "x"},
    "a list beside what else is known": {"project": {"entity": "x"}, "runs": ROWS},
    "objects by name": {f"run{index}": row for index, row in enumerate(ROWS)},
    "objects by name under a key": {"runs": {f"run{i}": row for i, row in enumerate(ROWS)}},
    "pandas columns": {n: dict(zip(LABELS, c, strict=True)) for n, c in COLUMNS.items()},
    "pandas index": dict(zip(LABELS, ROWS, strict=True)),
    "pandas split": {
        "columns": list(COLUMNS), "index": LABELS, "data": [list(row.values()) for row in ROWS],
    },
    "pandas table": {"schema": {"fields": []}, "data": ROWS},
    "lists": COLUMNS,
    "nested": [{"config": {"N": row["N"], "D": row["D"]}, "loss": row["loss"]} for row in ROWS],
}  # fmt: skip


@pytest.mark.parametrize("name", JSON)
def test_every_shape_of_json_gives_the_same_runs(tmp_path, name):
    columns = {"N": "config.N", "D": "config.D"} if name == "nested" else {}
    path = write(tmp_path, json.dumps(JSON[name]), "runs.json")
    assert is_right(read_table(path, columns=columns))


def test_one_run_of_two_nested_objects_is_not_two_runs(tmp_path):
    run = {"config": {"N": 7e7, "D": 2e9}, "summary": {"loss": 3.5}}
    columns = {"N": "config.N", "D": "config.D", "loss": "summary.loss"}
    assert len(read_table(write(tmp_path, json.dumps(run), "runs.json"), columns=columns)) == 1


def test_a_file_of_several_lists_is_refused(tmp_path):
    path = write(tmp_path, json.dumps({"train": ROWS, "eval": ROWS}), "runs.json")
    (problem,) = refuse(path)
    assert "several lists of objects ('train', 'eval')" in problem


def test_a_wide_table_of_sizes_is_read_where_its_rows_say_d(tmp_path):
    lines = [",".join([str(d), *(repr(E + A / n**ALPHA + B / d**BETA) for n in SIZES)])
             for d in COUNTS]  # fmt: skip
    header = "D," + ",".join(f"{n / 1e6:g}M" for n in SIZES)
    table = read_table(write(tmp_path, "\n".join([header, *lines]) + "\n"))
    order = np.lexsort((table.tokens, table.params))
    np.testing.assert_allclose(table.loss[order], [loss for *_, loss in RUNS], rtol=1e-12)
    assert "a wide table: the 6 columns 70M … 2800M" in table.notes[0]


def test_an_ambiguous_wide_table_is_refused_with_what_to_state(tmp_path):
    path = write(tmp_path, "tokens,1e18,1e19,1e20\n1e9,3,2.9,2.8\n2e9,3,2.8,2.7\n")
    problems = refuse(path)
    assert "--columns D=tokens,C=header,N=header/(6*tokens),loss=cell" in problems[0]
    columns = {"C": "header", "D": "tokens", "N": "header/(6*tokens)", "loss": "cell"}
    table = read_table(path, columns=columns)
    np.testing.assert_allclose(table.flops, [1e18, 1e19, 1e20] * 2)


CURVES = "\n".join(
    ["Step,a - loss,a - loss__MIN,b - loss", *(f"{s},{4 - s / 100},{s},{3 - s / 100}" for s in (
        10, 20, 30))]
)  # fmt: skip


def test_a_chart_s_export_becomes_points_of_runs(tmp_path):
    path = write(tmp_path, CURVES + "\n")
    assert "states neither N nor D of its 2 runs" in refuse(path)[0]
    table = read_table(path, columns={"N": "7e7", "D": "Step*1e6"})
    assert sorted(set(table.trajectory)) == ["a", "b"]
    (kept, effects) = apply_filters(table, Filters(last_of_run=True))
    assert sorted(kept.loss.tolist()) == [2.7, 3.7]
    assert kept.trajectory is None
    assert effects[0].left_out == 4


def test_a_trainer_s_log_says_what_it_lacks(tmp_path):
    log = {
        "global_step": 20,
        "log_history": [{"step": s, "eval_loss": 4 - s / 10} for s in (10, 20)],
    }
    path = write(tmp_path, json.dumps(log), "trainer_state.json")
    assert "states neither N nor D: say them, as in --columns N=7e7" in refuse(path)[0]
    columns = {"N": "7e7", "D": "step*1e6", "loss": "eval_loss"}
    assert read_table(path, columns=columns).loss.tolist() == [3.0, 2.0]


def test_a_tensorboard_export_says_what_it_lacks(tmp_path):
    path = write(tmp_path, "Wall time,Step,Value\n1.7e9,10,4\n1.7e9,20,3\n")
    assert "--columns N=7e7,D=Step*524288,loss=Value" in refuse(path)[0]
    columns = {"N": "7e7", "D": "Step*1e6", "loss": "Value"}
    assert read_table(path, columns=columns).tokens.tolist() == [1e7, 2e7]


def test_a_folder_of_tables_is_one_table(tmp_path):
    for n in SIZES:
        rows = [run for run in RUNS if run[0] == n]
        write(tmp_path, spell("N,D,loss", lambda *run: ",".join(map(repr, run)), rows), f"{n}.csv")
    table = read_table(tmp_path)
    assert sorted(table.params.tolist()) == sorted(n for n, *_ in RUNS)
    assert "6 files are read as one table" in table.notes[0]
    write(tmp_path, "a,b\n1,2\n", "other.csv")
    assert "other.csv has other columns" in refuse(tmp_path)[0]


CURVE_ROWS = [(n, d * part, E + A / n**ALPHA + B / (d * part) ** BETA + (1 - part))
              for n in SIZES for d in (2e9, 1e11) for part in (0.25, 0.5, 1.0)]  # fmt: skip


def test_curves_are_recognised_and_their_ends_kept(tmp_path):
    names = [f"r{at // 3}" for at in range(len(CURVE_ROWS))]
    lines = [f"{name},{n},{d},{loss!r}"
             for name, (n, d, loss) in zip(names, CURVE_ROWS, strict=True)]  # fmt: skip
    table = read_table(write(tmp_path, "\n".join(["run_name,N,D,loss", *lines]) + "\n"))
    assert table.trajectory == tuple(names)
    assert "run_name names training runs" in table.notes[0]
    kept, _ = apply_filters(table, Filters(last_of_run=True))
    ends = [loss for n, d, loss in CURVE_ROWS if d in (2e9, 1e11)]
    np.testing.assert_allclose(np.sort(kept.loss), np.sort(ends), rtol=1e-15)


def test_names_of_single_runs_do_not_make_curves(tmp_path):
    lines = [f"r{at},{n},{d},{loss!r}" for at, (n, d, loss) in enumerate(RUNS)]
    table = read_table(write(tmp_path, "\n".join(["run_name,N,D,loss", *lines]) + "\n"))
    assert table.trajectory is None
    assert table.notes == ()


def test_a_bad_column_is_one_problem_and_can_be_left_out(tmp_path):
    path = write(tmp_path, spell("N,D,loss,loss_se", lambda n, d, y: f"{n},{d},{y!r},0"))
    (problem,) = refuse(path)
    assert "runs.csv:2: loss_se: 0 is not above 0, and so in 30 of 30 rows" in problem
    assert "--columns loss_se=" in problem
    (problem,) = refuse(path, drop_bad=True)
    assert "--columns loss_se=" in problem
    assert is_right(read_table(path, columns={"loss_se": ""}))


def test_the_words_of_a_state_say_which_rows_count(tmp_path):
    words = ["TERMINATED"] * 20 + ["ERROR"] * 6 + ["odd"] * 4
    lines = [f"{n},{d},{loss!r},{word}" for (n, d, loss), word in zip(RUNS, words, strict=True)]
    path = write(tmp_path, "\n".join(["N,D,loss,Status", *lines]) + "\n")
    assert "Status: 6 of 30 runs did not finish (ERROR 6)" in refuse(path)[0]
    assert len(read_table(path, drop_bad=True)) == 24
    only = read_table(path, states=read_state_rule("Status=terminated"))
    assert len(only) == 20
    assert only.rejected == ()
    assert "10 of 30 rows left out by --state (ERROR 6, odd 4)" in only.notes[0]
    assert len(read_table(path, states=read_state_rule("any"))) == 30


def test_rows_are_chosen_by_what_other_columns_say(tmp_path):
    lines = [f"{n},{d},{loss!r},{'comma' if at % 2 else 'c4'},{3e-4 if at % 3 else '0.001'}"
             for at, (n, d, loss) in enumerate(RUNS)]  # fmt: skip
    path = write(tmp_path, "\n".join(["N,D,loss,data,lr", *lines]) + "\n")
    both = read_table(path, where=(("data", "comma"), ("lr", "3e-4")))
    assert len(both) == sum(1 for at in range(30) if at % 2 and at % 3)
    assert "have data = comma and lr = 3e-4" in both.notes[0]
    assert "--where corpus: no such column" in refuse(path, where=(("corpus", "x"),))[0]
    assert "nothing is left" in refuse(path, where=(("data", "pile"),))[0]


@pytest.mark.parametrize(
    ("header", "row", "hint"),
    [
        ("N,steps,batch_tokens,loss", "1,2,3,4", "--columns 'D=steps*batch_tokens'"),
        ("N,C,loss", "1,2,3", "--columns 'D=C/(6*N)'"),
        ("D,C,loss", "1,2,3", "--columns 'N=C/(6*D)'"),
        ("N,tokens_per_param,loss", "1,2,3", "--columns 'D=N*tokens_per_param'"),
        ("N,epochs,loss", "1,2,3", "--columns 'D=epochs*2e9'"),
        ("N,iteration,gbsz,seq_len,loss", "1,2,3,4,5", "'D=iteration*gbsz*seq_len'"),
        ("N,D,val_bpb,flops", "1,2,3,4", "--columns loss=val_bpb --loss-unit bpb"),
        ("N,tokens_trained,loss", "1,2,3", "--columns D=tokens_trained"),
        ("config.n_params.value,D,loss", "1,2,3", "--columns N=config.n_params.value"),
        ("params (B),D,loss", "1,2,3", "--columns 'N=params (B)[B]'"),
        ("n,D,loss,run", "1,2,3,4", "--columns N=n"),
        ("model_M,D,loss", "70,2e9,3", "--columns 'N=model_M[M]'"),
        ("N,D,flops,eval/loss", "1,2,3,4", "--columns loss=eval/loss"),
    ],
)
def test_a_missing_column_is_proposed_or_derived(tmp_path, header, row, hint):
    (problem,) = refuse(write(tmp_path, f"{header}\n{row}\n"))
    assert hint in problem


def test_only_losses_are_proposed_as_loss(tmp_path):
    (problem,) = refuse(write(tmp_path, "N,D,flops,batch_size,lr\n1,2,3,4,5\n"))
    assert "did you mean" not in problem


@pytest.mark.parametrize(
    ("cells", "seen"), [("1,234", "may be 1234 or 1.234"), ("3,5", "write 3.5")]
)
def test_an_ambiguous_comma_is_refused_with_both_readings(tmp_path, cells, seen):
    path = write(tmp_path, f'N,D,loss,lr\n1e6,2e7,3,"{cells}"\n1e6,3e7,3,1\n')
    if cells == "3,5":  # the file's only comma is followed by one digit: a decimal mark
        assert read_table(path).learning_rate.tolist() == [3.5, 1.0]
    else:
        assert seen in refuse(path)[0]
