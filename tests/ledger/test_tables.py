"""Claims about foreign tables: what is read, what is refused, and the messages."""

import numpy as np
import pytest
import test_cells

from scaling.errors import TableError
from scaling.tables.reading import read_table
from scaling.tables.run_table import make_table, select_rows, sort_rows


def write(folder, text, encoding="utf-8"):
    path = folder / "runs.csv"
    path.write_bytes(text.encode(encoding))
    return path


def refuse(folder, text, encoding="utf-8", **options):
    return test_cells.refuse(write(folder, text, encoding), **options)


def test_contract_columns_are_read(tmp_path):
    table = read_table(
        write(
            tmp_path,
            "run,N,D,loss,C,budget,U,seed,lr,group\n"
            "a,1e6,2e7,3.5,1.2e14,1e14,2e7,0,0.01,t1\n"
            "b,2e6,1e7,3.6,1.2e14,1e14,1e7,1,0.02,t2\n",
        )
    )
    assert table.params.tolist() == [1e6, 2e6]
    assert table.tokens.tolist() == [2e7, 1e7]
    assert table.loss.tolist() == [3.5, 3.6]
    assert table.flops.tolist() == [1.2e14, 1.2e14]
    assert table.seed.tolist() == [0, 1]
    assert table.group == ("t1", "t2")
    assert table.cost.name == "table"
    assert table.convention is None


def test_columns_can_be_mapped(tmp_path):
    path = write(tmp_path, "params,tok,val\n1e6,2e7,3\n")
    table = read_table(path, columns={"N": "params", "D": "tok", "loss": "val"})
    assert (table.params[0], table.tokens[0], table.loss[0]) == (1e6, 2e7, 3.0)
    assert table.cost.name == "6ND"


def test_missing_columns_are_all_named_with_a_suggestion(tmp_path):
    problems = refuse(tmp_path, "params,tokens,val_loss\n1,2,3\n")
    assert len(problems) == 3
    assert '--columns N=params"?' in problems[0]
    assert '--columns D=tokens"?' in problems[1]
    assert '--columns loss=val_loss"?' in problems[2]
    assert all("runs.csv:1: " in problem for problem in problems)


def test_mapping_to_an_absent_column_is_named(tmp_path):
    (problem,) = refuse(tmp_path, "N,D,loss,peak_lr\n1,2,3,4\n", columns={"lr": "peaklr"})
    assert "peaklr: no such column" in problem
    assert '--columns lr=peak_lr"?' in problem


def test_unknown_contract_name_is_named(tmp_path):
    (problem,) = refuse(tmp_path, "N,D,loss\n1,2,3\n", columns={"Loss": "loss"})
    assert "'Loss' is not a column of the contract" in problem
    assert "did you mean loss?" in problem


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        ("nan", "not a finite number"),
        ("inf", "not a finite number"),
        ("1e400", "not a finite number"),
        ("-2.5", "not above 0"),
        ("0", "not above 0"),
        ("abc", "text 'abc'"),
        ("True", "a truth value"),
        ("", "empty"),
        ("1_0", "underscore"),
    ],
)
def test_bad_cell_is_named_with_line_and_column(tmp_path, cell, seen):
    (problem,) = refuse(tmp_path, f"N,D,loss\n1e6,2e7,3\n1e6,2e7,{cell}\n")
    assert "runs.csv:3: loss: " in problem
    assert seen in problem
    assert "--drop-bad" in problem


def test_every_problem_is_listed_at_once(tmp_path):
    problems = refuse(tmp_path, "N,D,loss,C\nnan,2e7,-3,1\n1e6,x,3,\n\n1e6,2e7\n0,1,1,1\n")
    assert [p.split(":")[1] for p in problems] == ["2", "2", "3", "5", "6"]


def test_drop_bad_keeps_the_rest_and_lists_one_line_per_row(tmp_path):
    path = write(tmp_path, "N,D,loss\n1e6,2e7,3\nnan,-1,x\n2e6,2e7,2.9\n")
    table = read_table(path, drop_bad=True)
    assert table.params.tolist() == [1e6, 2e6]
    assert table.run == ("1", "3")
    assert len(table.rejected) == 1
    assert "runs.csv:3: N: " in table.rejected[0]


def test_an_empty_remainder_is_an_error_even_with_drop_bad(tmp_path):
    (problem,) = refuse(tmp_path, "N,D,loss\nnan,2,3\n", drop_bad=True)
    assert "nothing is left" in problem


@pytest.mark.parametrize(
    ("text", "encoding", "seen"),
    [
        ("", "utf-8", "empty"),
        ("N,D,loss\n", "utf-8", "no rows"),
        ("N,D,loss\n1,2,3\n", "utf-16-le", "NUL"),
        ("N,D,loss\n1,2,é\n", "latin-1", "not UTF-8"),
        ("N,D,loss\n1,2,\0\n", "utf-8", "NUL"),
        ("N,D,loss,N\n1,2,3,4\n", "utf-8", "2 times in the header"),
        ('N,D,loss\n1,2,"3\n', "utf-8", "check its quotes"),
        ("N,D,loss\n1,2,3,4\n", "utf-8", "4 cells where the header has 3"),
    ],
)
def test_files_that_are_not_a_table_are_refused(tmp_path, text, encoding, seen):
    assert seen in refuse(tmp_path, text, encoding)[0]


def test_absent_file_is_refused(tmp_path):
    with pytest.raises(TableError, match="cannot be read"):
        read_table(tmp_path / "none.csv")


def test_byte_order_mark_is_not_part_of_a_name(tmp_path):
    assert len(read_table(write(tmp_path, "N,D,loss\n1,2,3\n", "utf-8-sig"))) == 1


def test_integers_beyond_64_bits_are_exact(tmp_path):
    huge = 6 * 10**12 * 10**14 + 1
    table = read_table(write(tmp_path, f"N,D,loss,C\n{10**12},{10**14},2,{huge}\n"))
    assert table.flops[0] == float(huge)


@pytest.mark.parametrize("unit", ["bits", "bpb"])
def test_bits_become_nats(tmp_path, unit):
    table = read_table(write(tmp_path, "N,D,loss\n1,2,1\n"), loss_unit=unit)
    assert table.loss[0] == pytest.approx(np.log(2.0), rel=1e-15)
    assert table.loss_unit == unit


def test_a_blank_optional_column_is_absent(tmp_path):
    assert read_table(write(tmp_path, "N,D,loss,seed\n1,2,3,\n")).seed is None


def test_partly_stated_flops_follow_the_stated_rows(tmp_path):
    table = read_table(write(tmp_path, "N,D,loss,C\n10,10,3,800\n10,20,3,\n"))
    assert table.flops.tolist() == pytest.approx([800.0, 1600.0])
    assert "1 of 2 rows state no C" in table.notes[0]


def test_mixed_flop_accounting_is_noted(tmp_path):
    rows = "".join(f"10,10,3,{100 * kappa}\n" for kappa in (6, 18, 6, 18))
    table = read_table(write(tmp_path, "N,D,loss,C\n" + rows))
    assert "several ways of counting FLOPs" in table.notes[0]


def test_conventions_of_flops_are_named_with_their_rows(tmp_path):
    sizes = (10, 20, 40, 80)
    rows = "".join(f"{n},10,3,{n * 10 * 6}\n{n},20,3,{n * 20 * 2}\n" for n in sizes)
    (note,) = read_table(write(tmp_path, "N,D,loss,C\n" + rows)).notes
    assert "C/(6·N·D) is 0.333 in 4 rows (2, 4, 6, 8); 1 in 4 rows (1, 3, 5, 7)" in note
    assert "State C in one way" in note


def test_a_steep_but_smooth_cost_is_not_a_second_convention(tmp_path):
    # Attention and head weigh more in small models; each ratio is right for its size.
    rows = "".join(
        f"{n},10,3,{60 * n * (1 + 1000 / n)}\n" for n in (100, 200, 400, 800, 1600, 3200)
    )
    notes = read_table(write(tmp_path, "N,D,loss,C\n" + rows)).notes
    assert not any("C/(6·N·D) is" in note for note in notes)


def test_duplicates_are_kept(tmp_path):
    assert len(read_table(write(tmp_path, "N,D,loss\n1,2,3\n1,2,3\n"))) == 2


def test_digest_ignores_row_order_and_follows_values():
    rng = np.random.default_rng(0)
    params, tokens, loss = rng.uniform(1, 2, (3, 20))
    table = make_table(params, tokens, loss=loss)
    order = rng.permutation(20)
    assert select_rows(table, order).digest == table.digest
    assert sort_rows(select_rows(table, order)).params.tolist() == sort_rows(table).params.tolist()
    assert make_table(params, tokens, loss=loss * (1 + 1e-15)).digest != table.digest
    assert make_table(params, tokens, loss=loss, convention="matmul").digest != table.digest


def test_arrays_are_verified():
    with pytest.raises(TableError, match="positive finite"):
        make_table([1.0, 2.0], [1.0, np.nan], loss=[1.0, 1.0])
    with pytest.raises(TableError, match="shape"):
        make_table([1.0, 2.0], [1.0], loss=[1.0, 1.0])
