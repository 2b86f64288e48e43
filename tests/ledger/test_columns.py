"""Claims about columns beside N, D and loss, and the checks that use them."""

import math

import pytest
from click.testing import CliRunner
from test_tables import refuse, write

from scaling.cli import cli
from scaling.fitting.every_approach import fit_runs
from scaling.tables.columns import TABLE_COLUMNS
from scaling.tables.reading import read_table
from scaling.tables.run_table import select_rows

SCHEDULE = ("loss_se", "batch_tokens", "steps", "warmup_steps", "decay_steps")
CODES = (
    "eval_noise", "too_few_steps", "warmup_too_long", "undercooled", "mixed_tokenisers",
    "numerics_changed", "residual_trend",
)  # fmt: skip


def make_rows(
    steps=4000.0, warmup=100.0, decay=800.0, error=0.01, corpus="c4", numerics="bf16", noise=0.004
):
    """A grid of 25 runs of a known law, the first with the given schedule, as CSV lines."""
    lines = ["N,D,loss,loss_se,batch_tokens,steps,warmup_steps,decay_steps,corpus,numerics"]
    for at in range(25):
        n, d = 1e6 * 2 ** (at % 5), 2e7 * 2 ** (at // 5)
        loss = (1.7 + 400 / n**0.34 + 410 / d**0.28) * (1 + noise * math.sin(7.0 * at))
        own = (steps, warmup, decay, corpus, numerics)
        taken = own if at == 0 else (4000, 100, 800, "c4", "bf16")
        lines.append(
            f"{n},{d},{loss},{error},{d / 4000},{taken[0]},{taken[1]},{taken[2]},{taken[3]},"
            f"{taken[4]}"
        )
    return "\n".join(lines) + "\n"


def judge(folder, code, **rows):
    table = read_table(write(folder, make_rows(**rows)))
    (found,) = [one for one in fit_runs(table, bootstrap=None).checks if one.code == code]
    return found


def test_every_column_is_read_under_its_name(tmp_path):
    names = [one.name for one in TABLE_COLUMNS]
    cells = [("7", "8")[name == "D"] if one.kind != "text" else f"a {name}"
             for one, name in zip(TABLE_COLUMNS, names, strict=True)]  # fmt: skip
    cells[names.index("warmup_steps")] = "0"
    cells[names.index("run")] = "r"
    second = [*cells]
    second[names.index("D")] = "9"  # two points of one run
    text = "\n".join(",".join(one) for one in (names, cells, second)) + "\n"
    table = read_table(write(tmp_path, text))
    for field in (
        "params", "loss", "flops", "budget", "unique_tokens", "seed", "learning_rate",
        "loss_se", "batch_tokens", "steps", "decay_steps", "clipped", "clipped_after_warmup",
    ):  # fmt: skip
        assert getattr(table, field).tolist() == [7.0, 7.0]
    assert table.tokens.tolist() == [8.0, 9.0]
    assert table.warmup_steps.tolist() == [0.0, 0.0]
    for field in ("group", "corpus", "numerics", "schedule"):
        assert getattr(table, field) == (f"a {field}",) * 2
    assert table.trajectory == ("r", "r")


def test_the_help_names_every_column():
    said = CliRunner().invoke(cli, ["fit", "--help"]).output
    words = (
        said.split("D=tokens,...")[1]
        .split("--loss-unit")[0]
        .replace(",", " ")
        .replace(".", " ")
        .split()
    )
    assert [one.name for one in TABLE_COLUMNS if one.name not in words] == []


def test_a_schedule_under_foreign_names_is_mapped(tmp_path):
    path = write(tmp_path, "N,D,loss,opt/warmup,max_steps\n1e6,2e7,3,10,100\n")
    table = read_table(path, columns={"warmup_steps": "opt/warmup", "steps": "max_steps"})
    assert table.warmup_steps.tolist() == [10.0]
    assert table.steps.tolist() == [100.0]


@pytest.mark.parametrize("column", SCHEDULE)
@pytest.mark.parametrize(
    ("cell", "seen"),
    [("nan", "not a finite number"), ("-1", "0"), ("abc", "text 'abc'"), ("1e41", "beyond any")],
)
def test_a_malformed_cell_is_named_with_its_place(tmp_path, column, cell, seen):
    (problem,) = refuse(tmp_path, f"N,D,loss,{column}\n1,2,3,{cell}\n")
    assert f"runs.csv:2: {column}: " in problem
    assert seen in problem
    assert "--drop-bad" in problem


def test_zero_is_allowed_in_a_schedule_but_not_as_a_standard_error(tmp_path):
    table = read_table(write(tmp_path, "N,D,loss,warmup_steps,decay_steps\n1,2,3,0,0\n"))
    assert (table.warmup_steps[0], table.decay_steps[0]) == (0.0, 0.0)
    (problem,) = refuse(tmp_path, "N,D,loss,loss_se\n1,2,3,0\n")
    assert "loss_se: 0 is not above 0" in problem


def test_a_part_longer_than_its_run_is_malformed(tmp_path):
    text = "N,D,loss,warmup_steps,steps\n1,2,3,200,100\n1,3,3,100,100\n"
    (problem,) = refuse(tmp_path, text)
    assert "runs.csv:2: warmup_steps: 200 of 100 steps" in problem
    assert len(read_table(write(tmp_path, text), drop_bad=True)) == 1


def test_an_error_of_evaluation_has_the_unit_of_the_loss(tmp_path):
    path = write(tmp_path, "N,D,loss,loss_se\n1,2,3,0.5\n")
    table = read_table(path, loss_unit="bits")
    assert table.loss_se[0] / table.loss[0] == pytest.approx(0.5 / 3, rel=1e-12)


def test_a_batch_in_sequences_is_noted(tmp_path):
    text = "N,D,loss,batch_tokens,steps\n1e6,2e9,3,{},1000\n"
    (note,) = read_table(write(tmp_path, text.format(1000))).notes
    assert "D is 2e+03 times batch_tokens" in note
    assert read_table(write(tmp_path, text.format(2e6))).notes == ()


@pytest.mark.parametrize(
    ("code", "odd"),
    [
        ("too_few_steps", {"steps": 900, "warmup": 20, "decay": 400}),
        ("warmup_too_long", {"warmup": 900}),
        ("undercooled", {"decay": 0}),
        ("mixed_tokenisers", {"corpus": "pile"}),
        ("numerics_changed", {"numerics": "fp32"}),
    ],
)
def test_a_check_fails_on_a_table_that_states_its_column(tmp_path, code, odd):
    assert judge(tmp_path, code).passed is True
    assert judge(tmp_path, code, **odd).passed is False


def test_errors_that_could_explain_the_residuals_fire_where_windows_may_differ(tmp_path):
    noisy = {"noise": 0.04, "error": 0.3}
    # With one corpus the errors are mostly shared.
    assert judge(tmp_path, "eval_noise", **noisy).passed is True
    assert judge(tmp_path, "eval_noise", **noisy, corpus="pile").passed is False


@pytest.mark.parametrize("code", CODES)
def test_a_check_is_null_without_its_column(tmp_path, code):
    lines = [",".join(line.split(",")[:3]) for line in make_rows().splitlines()]
    table = read_table(write(tmp_path, "\n".join(lines) + "\n"))
    (found,) = [one for one in fit_runs(table, bootstrap=None).checks if one.code == code]
    if code == "residual_trend":  # N, D and C are always present
        assert "steps" not in found.seen
    else:
        assert found.passed is None


def test_rows_without_the_value_are_not_judged(tmp_path):
    found = judge(tmp_path, "warmup_too_long", warmup="")
    assert found.passed is True
    assert "of 24 runs" in found.seen
    assert found.seen.endswith("; 1 runs do not say.")


def test_residuals_are_tested_against_the_stated_batch(tmp_path):
    assert "tokens per batch" in judge(tmp_path, "residual_trend").seen


def test_the_digest_covers_the_columns_that_checks_read(tmp_path):
    plain, other = (
        read_table(write(tmp_path, make_rows(**change))) for change in ({}, {"decay": 700})
    )
    assert plain.digest != other.digest
    assert select_rows(plain, range(25)).digest == plain.digest
