"""Claims about tables that state roles, as the index of a results folder does."""

import pytest
from test_tables import refuse, write

from scaling.tables.reading import read_table

HEAD = "run_id,role,status,N,D,loss,varied,varied_run,varied_factor\n"
GRID = "a,grid,finished,1e6,2e7,3,,,\nb,replicate,finished,2e6,2e7,2.9,,,\n"


def test_other_roles_are_left_out_and_counted(tmp_path):
    rows = "c,validation,finished,4e6,2e7,2.8,,,\nd,,finished,4e6,2e7,2.7,,,\n"
    table = read_table(write(tmp_path, HEAD + GRID + rows))
    assert table.run == ("a", "b")
    assert "left out, as from the results folder: 1 outside the plan, 1 val" in table.notes[0]


def test_a_run_of_the_grid_that_diverged_is_counted_and_no_bad_row(tmp_path):
    table = read_table(write(tmp_path, HEAD + GRID + "c,grid,diverged,4e6,2e7,,,,\n"))
    assert (table.run, table.diverged, table.rejected) == (("a", "b"), ("c",), ())


def test_bracket_rows_are_read_as_brackets(tmp_path):
    rows = (
        "c,bracket,finished,1e6,2e7,3.5,learning_rate,a,2.0\n"
        "d,bracket,diverged,1e6,2e7,9,learning_rate,a,4.0\n"
        "e,bracket,finished,1e6,2e7,3.25,batch,a,0.5\n"
    )
    (bracket,) = read_table(write(tmp_path, HEAD + GRID + rows)).brackets
    assert (bracket.run, bracket.params, bracket.tokens, bracket.loss) == ("a", 1e6, 2e7, 3.0)
    assert bracket.learning_rates == ((2.0, 3.5), (4.0, None))
    assert bracket.batches == ((0.5, 3.25),)


@pytest.mark.parametrize(
    ("cells", "seen"),
    [
        ("3,width,a,2", "varied: 'width' is neither learning_rate nor batch"),
        ("3,batch,a,0", "varied_factor: '0' is not above 0"),
        ("oops,batch,a,2", "loss: 'oops' is not above 0"),
    ],
)
def test_a_malformed_bracket_is_named_with_its_place(tmp_path, cells, seen):
    (problem,) = refuse(tmp_path, HEAD + GRID + f"c,bracket,finished,1e6,2e7,{cells}\n")
    assert f"runs.csv:4: {seen}" in problem


def test_a_role_nobody_knows_is_kept_and_noted(tmp_path):
    table = read_table(write(tmp_path, "N,D,loss,role\n1e6,2e7,3,baseline\n2e6,2e7,3,\n"))
    assert len(table) == 2
    assert "role: 'baseline' is no role of a run that is known here" in table.notes[0]


def test_a_role_may_stand_under_another_name(tmp_path):
    text = "N,D,loss,kind\n1e6,2e7,3,grid\n2e6,2e7,3,bracket\n"
    assert len(read_table(write(tmp_path, text), columns={"role": "kind"})) == 1


def test_an_index_of_an_older_version_says_what_may_differ(tmp_path):
    notes = read_table(write(tmp_path, HEAD + GRID)).notes
    assert "an index without vocab_size, seq_len, d_model, n_layers, head_size" in notes[0]
    assert "--repair" in notes[0]


def test_no_row_of_a_fitted_role_is_no_table(tmp_path):
    (problem,) = refuse(tmp_path, HEAD + "c,validation,finished,4e6,2e7,2.8,,,\n")
    assert "no run of a role that is fitted" in problem
