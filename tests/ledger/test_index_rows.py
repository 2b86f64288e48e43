"""Claims about tables that state roles, as the index of a results folder does."""

import pytest
from test_tables import refuse, write

from scaling.sweep.cost_model import make_ladder_cost
from scaling.sweep.counting import count_flops_per_token, count_params
from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.ladder import LARGEST_PARAMS, list_ladder
from scaling.tables.reading import read_table

HEAD = "run_id,role,status,N,D,loss,varied,varied_run,varied_factor\n"
GRID = "a,grid,finished,1e6,2e7,3,,,\nb,replicate,finished,2e6,2e7,2.9,,,\n"


def test_other_roles_are_left_out_and_counted(tmp_path):
    rows = "c,validation,finished,4e6,2e7,2.8,,,\nd,,finished,4e6,2e7,2.7,,,\n"
    table = read_table(write(tmp_path, HEAD + GRID + rows))
    assert table.run == ("a", "b")
    assert "left out, as from the results folder: 1 outside the plan, 1 val" in table.notes[0]


def test_a_diverged_grid_run_is_counted_and_is_not_a_bad_row(tmp_path):
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


def test_an_unknown_role_is_kept_and_noted(tmp_path):
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


def test_an_index_without_a_fitted_role_is_refused(tmp_path):
    (problem,) = refuse(tmp_path, HEAD + "c,validation,finished,4e6,2e7,2.8,,,\n")
    assert "no run of a role that is fitted" in problem


SHAPES = "run_id,role,status,N,D,C,loss,vocab_size,seq_len,d_model,n_layers,head_size"


def write_index(tmp_path, families, *, column=True, **settings):
    """Two runs of each family's ladder, as an index states them."""
    lines = [SHAPES + (",family" if column else "")]
    for family in families:
        for shape in list_ladder(256, 128, family=family, max_params=1e5, **settings)[-2:]:
            size, tokens = count_params(shape, "matmul"), 1e6
            head = getattr(shape, "head_size", "")
            cells = [f"r{len(lines)}", "grid", "finished", size, tokens,
                     tokens * count_flops_per_token(shape), 3.0,
                     256, 128, shape.d_model, shape.n_layers, head]  # fmt: skip
            lines.append(",".join(map(str, cells + [family] * column)))
    return read_table(write(tmp_path, "\n".join(lines) + "\n"))


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_an_index_uses_the_ladder_of_its_family(tmp_path, family):
    table = write_index(tmp_path, [family])
    assert (table.family, table.convention) == (family, "matmul")
    ladder = list_ladder(256, 128, family=family, max_params=LARGEST_PARAMS)
    assert table.cost == make_ladder_cost(ladder, "matmul")


def test_an_index_without_a_family_is_read_as_transformers(tmp_path):
    table = write_index(tmp_path, ["transformer"], column=False)
    assert (table.family, table.convention) == ("transformer", "matmul")
    # An LSTM's shape does not give a transformer's N and C, so it is ignored.
    assert write_index(tmp_path, ["lstm"], column=False).convention is None


def test_rows_of_several_families_are_read_by_their_n_and_c_and_noted(tmp_path):
    table = write_index(tmp_path, ["lstm", "transformer"])
    assert (table.family, table.convention) == (None, None)
    assert any("several families: lstm, transformer" in note for note in table.notes)


def test_an_unknown_family_is_named_and_its_shapes_are_ignored(tmp_path):
    path = write(tmp_path, SHAPES + ",family\na,grid,finished,1e4,1e6,6e10,3,256,128,8,2,,mamba\n")
    table = read_table(path)
    assert (table.family, table.convention) == ("mamba", None)


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_an_index_of_one_depth_is_of_the_ladder_of_that_depth(tmp_path, family):
    table = write_index(tmp_path, [family], layers=1)
    ladder = list_ladder(256, 128, family=family, max_params=LARGEST_PARAMS, layers=1)
    assert table.cost == make_ladder_cost(ladder, "matmul")
