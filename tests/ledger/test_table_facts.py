"""Claims about `scaling read`: it prints what was understood before anything is fitted."""

import json

from click.testing import CliRunner

from scaling.cli import cli

LINES = [f"{n}M,{d},{2 + 1 / n + 1 / d!r},finished" for n in (70, 160, 410) for d in (2, 5, 10)]
TEXT = "size,tokens,loss,state\n" + "\n".join(LINES) + "\n"


def read(folder, text, *words):
    path = folder / "runs.csv"
    path.write_text(text)
    return CliRunner().invoke(cli, ["read", str(path), *words], standalone_mode=False)


def test_columns_units_and_missing_columns_are_reported(tmp_path):
    done = read(tmp_path, TEXT, "--columns", "N=size,D=tokens[B]", "--json")
    facts = json.loads(done.stdout)
    assert (facts["rows"], facts["cells"]) == (9, 9)
    by_name = {one["name"]: one for one in facts["columns"]}
    assert by_name["N"]["values"] == [70e6, 410e6]
    assert by_name["D"]["source"] == "tokens[B]"
    assert by_name["D"]["values"] == [2e9, 10e9]
    assert facts["doubts"] == facts["problems"] == []
    assert "'70M' is 70000000" in facts["notes"][0]
    assert {one["name"] for one in facts["missing"]} >= {"seed", "lr", "C"}
    assert done.return_value == 0


def test_doubts_and_problems_are_reported_and_the_rest_is_read(tmp_path):
    text = TEXT.replace("70M,2,", "70M,x,").replace("finished\n160M", "crashed\n160M", 1)
    done = read(tmp_path, text, "--columns", "N=size,D=tokens")
    assert "7 runs" in done.stdout
    assert "problem: " in done.stdout
    assert "1 of 9 runs did not finish (crashed 1)" in done.stdout
    assert '"D=tokens[B]"' in done.stdout
    assert done.return_value == 2
