"""Sweep files: every problem at once, each at its place; YAML's traps refused."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.errors import SpecError
from scaling.sweep.reading import load_sweep, parse_sweep
from scaling.sweep.spec import count_cells, describe_schema
from scaling.sweep.strict_yaml import parse_yaml

SWEEPS = Path(__file__).parents[2] / "sweeps"
GOOD = "name: a\ncorpus: {source: python-stdlib}\ngrid: {budgets: [1e11]}\n"


def problems_of(text):
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(SpecError) as caught:
        parse_sweep(content, source="s.yaml")
    return caught.value.problems


def only_problem(text):
    problems = problems_of(text)
    assert len(problems) == 1, problems
    return problems[0]


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_sweeps_are_valid_and_say_what_they_are_for(path):
    spec = load_sweep(path)
    lines = path.read_text().splitlines()
    assert spec.name == path.stem
    assert [line.split(":")[0] for line in lines[:3]] == ["# Question", "# Cost", "# Expect"]
    jsonschema.validate(parse_yaml(path.read_bytes()).value, describe_schema())


def test_schema_file_is_current():
    stored = json.loads((SWEEPS / "schema.json").read_text())
    assert stored == describe_schema(), "run: python -m scaling.sweep.spec > sweeps/schema.json"


def test_every_problem_is_found_at_its_place():
    text = (
        "name: ../../x\n"
        "corpus: {source: text, tokeniser: bytes}\n"
        "grid: {budgets: [3e10, -1, true], size: 5}\n"
        "seeds: [0, 0]\n"
        "replicates: 2.5\n"
    )
    problems = problems_of(text)
    assert [problem.split(" ")[0] for problem in problems] == [
        "s.yaml:1:7:", "s.yaml:2:24:", "s.yaml:3:24:", "s.yaml:3:28:", "s.yaml:3:35:",
        "s.yaml:4:8:", "s.yaml:5:13:",
    ]  # fmt: skip
    assert "Did you mean 'tokenizer'?" in problems[1]
    assert "Did you mean 'sizes'?" in problems[4]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "this holds nothing"),
        ("- a\n- b\n", "this holds list"),
        ("just text", "this holds str"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "byte order mark"),
        (GOOD.encode("utf-16"), "UTF-16"),
        (GOOD.encode() + b"\0", "NUL byte"),
        (b"\xff\x00garbage\x80", "NUL byte"),
        (b"name: \x80", "not UTF-8"),
        (GOOD + "---\nname: b\n", "second document"),
        (GOOD + "\tforecast: [1]\n", "Indent with spaces"),
        (GOOD + "name: b\n", "given twice; first in line 1"),
        (GOOD + "replicates: 0123\n", "octal or decimal"),
        (GOOD + "replicates: " + "9" * 5000 + "\n", "5000 digits"),
        (GOOD + "forecast: [1e400]\n", "too large"),
        (GOOD + "forecast: [.inf]\n", "a finite number, got inf"),
        (GOOD + "forecast: [.nan]\n", "got nan"),
        (GOOD + "forecast: [1:30]\n", "expected a number, got '1:30'"),
        (GOOD + "forecast: [2020-01-01]\n", "expected a number, got '2020-01-01'"),
        (GOOD + "schedule: {trnk: true}\n", "Did you mean 'trunk'?"),
        (GOOD + "model: {seqlen: 64}\n", "Did you mean 'seq_len'?"),
        (GOOD + "keep_weights: no\n", "true or false, got 'no'"),
        (GOOD + "replicates: true\n", "a whole number, got True"),
        (GOOD + "forecast: &a [1e11]\n", "anchor &a"),
        (GOOD + "forecast: !!python/name:os.system []\n", "tag"),
        (GOOD + "<<: {name: b}\n", "merge key"),
        (GOOD + "x: " + "[" * 100_000, "levels deep"),
        ("a" * (1 << 20) + "b", "at most 1048576"),
        (GOOD + "model: {seq_len: 1000000000000}\n", "at most 65536"),
        (GOOD.replace("[1e11]", "[1e11], sizes: 1000000"), "at most 99"),
        (GOOD.replace("python-stdlib", "text"), "needs paths"),
        (GOOD.replace("name: a", "name: 2024-01-01x/"), "expected a name of"),
        (GOOD.replace("name: a", 'name: "\\x1b]0;x"'), "expected a name of"),
        (GOOD.replace("name: a", "name: " + "a" * 300), "expected a name of"),
        (GOOD.replace("name: a", "name: /etc/x"), "expected a name of"),
        (GOOD.replace("name: a", 'name: "a\\nb"'), "expected a name of"),
        (GOOD.replace("name: a", "name: '[/]'"), "expected a name of"),
        (GOOD.replace("name: a", "name: $\\frac{$"), "expected a name of"),
        (GOOD.replace("name: a", "name: <script>"), "expected a name of"),
        (GOOD.replace("name: a", "name: '{{7*7}}'"), "expected a name of"),
        (GOOD.replace("name: a", "name: =cmd()"), "expected a name of"),
        (GOOD.replace("stdlib", "stdlib, tokenizer: [{}]"), "{} is no tokenizer"),
        ("a: &a [x]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(20)), "anchor &a"),
    ],
)
def test_bad_files_get_one_sentence(text, says):
    assert any(says in problem for problem in problems_of(text)), problems_of(text)


def test_messages_contain_no_control_characters():
    assert all(problem.isprintable() for problem in problems_of('name: "\\x1b]0;owned\\x07"\n'))


@pytest.mark.parametrize(
    ("grid", "where", "says"),
    [
        ("{params: [1e4, 1e30], tokens: [1e6]}", "22: grid.params.1", "at most 1e+13, got 1e+30"),
        ("{params: [1e30], tokens_per_param: [20]}", "17: grid.params.0", "at most 1e+13"),
        ("{cells: [{params: 1e30, tokens: 1e6}]}", "25: grid.cells.0.params", "at most 1e+13"),
        ("{budgets: [1e30], prior: {params: 1e20}}", "41: grid.prior.params", "at most 1e+13"),
        ("{budgets: [1e11, 1e39]}", "24: grid.budgets.1", "Change the budget or the prior."),
        ("{budgets: [1e11, 1e-30]}", "24: grid.budgets.1", "optimum of 6.32e-17 parameters"),
        ("{budgets: [1e30], prior: {flops: 1e-320}}", "18: grid.budgets.0", "inf parameters"),
        ("{budgets: [1e-39], prior: {flops: 1e39}}", "18: grid.budgets.0", "2e-35 parameters"),
    ],
)
def test_a_size_that_cannot_be_built_is_refused_at_its_place(grid, where, says):
    text = GOOD.replace("{budgets: [1e11]}", grid)
    problem = only_problem(text)
    assert problem.startswith(f"s.yaml:3:{where}: ")
    assert says in problem


@pytest.mark.parametrize(
    ("recipe", "where", "says"),
    [
        ("{decay_fraction: .99, warmup_fraction: .9}", 26, "0.9 and decay_fraction 0.99 leave"),
        ("{decay_fraction: .7, warmup_fraction: .3}", 26, "sum less than 1"),
        ("{decay_fraction: .9}", 26, "warmup_fraction (not set: up to 0.1)"),
        ("{warmup_fraction: .5}", 27, "decay_fraction (not set: up to 0.5)"),
    ],
)
def test_a_schedule_without_a_step_at_the_full_rate_is_refused(recipe, where, says):
    problem = only_problem(GOOD + f"recipe: {recipe}\n")
    assert problem.startswith(f"s.yaml:4:{where}: recipe.")
    assert says in problem


@pytest.mark.parametrize(
    "recipe",
    [
        "{decay_fraction: .69, warmup_fraction: .3}",
        "{decay_fraction: .89}",
        "{warmup_fraction: .4}",
    ],
)
def test_a_schedule_with_steps_at_the_full_rate_is_kept(recipe):
    asked = parse_sweep((GOOD + f"recipe: {recipe}\n").encode(), source="s.yaml").recipe
    assert asked.warmup_fraction is not None or asked.decay_fraction is not None


def test_a_missing_key_is_named():
    assert "corpus: this key is required and missing" in only_problem(
        "name: a\ngrid: {budgets: [1e11]}\n"
    )


def test_exponent_notation_is_a_number():
    spec = parse_sweep(GOOD.encode(), source="s.yaml")
    assert spec.grid.budgets == (1e11,)


def test_counts_may_be_written_with_an_exponent():
    assert parse_sweep((GOOD + "replicates: 1e1\n").encode(), source="s").replicates == 10


def test_a_million_cells_are_counted_without_being_built():
    values = ", ".join(str(10_000 + i) for i in range(1000))
    text = (
        "name: a\ncorpus: {source: python-stdlib}\n"
        f"grid: {{params: [{values}], tokens: [{values}]}}\n"
    )
    assert "1000000 cells" in only_problem(text)


def test_cells_are_counted_over_seeds_and_replicates():
    spec = parse_sweep((GOOD + "seeds: [0, 1, 2]\nreplicates: 4\n").encode(), source="s")
    assert count_cells(spec) == 5 * 3 + 4


@pytest.mark.parametrize("kind", ["folder", "missing"])
def test_a_path_that_is_not_a_file_is_an_error(kind, tmp_path):
    path = tmp_path if kind == "folder" else tmp_path / "none.yaml"
    with pytest.raises(SpecError, match="Name a sweep file"):
        load_sweep(path)


def _list_keys(schema) -> list[str]:
    """Every key that a sweep file may hold, at whatever depth."""
    found = set(schema.get("properties", {}))
    for inner in schema.get("$defs", {}).values():
        found |= set(inner.get("properties", {}))
    return sorted(found)


_KEYS = st.sampled_from([*_list_keys(describe_schema()), "<<", "x", "seqlen", "no", "1", ""])
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["python-stdlib", "text", "bytes", "1e18", "0123", "*a", "!!x", "../x", "\x1b"]
    ),
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=12,
)
# Nearly valid sections reach deeper into the reader than random text.
_SWEEPS = st.fixed_dictionaries(
    {
        "name": st.one_of(st.just("a"), _TREES),
        "corpus": st.one_of(st.just({"source": "python-stdlib"}), _TREES),
        "grid": st.one_of(
            st.fixed_dictionaries(
                {"budgets": st.lists(_SCALARS, max_size=3)},
                optional=dict.fromkeys(
                    ("sizes", "span", "prior", "params", "tokens", "cells"), _TREES
                ),
            ),
            st.just({"budgets": [1e10]}),
            _TREES,
        ),
    },
    optional={
        key: st.one_of(st.dictionaries(_KEYS, _SCALARS, max_size=3), _TREES)
        for key in ("model", "recipe", "schedule", "seeds", "replicates", "resources", "forecast")
    },
)


def check_tree(tree) -> None:
    for text in (json.dumps(tree), yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)):
        try:
            parse_sweep(text.encode("utf-8", "surrogatepass"), source="s.yaml")
        except SpecError as error:
            assert error.problems  # noqa: PT017  either outcome is right; another exception is not
            for problem in error.problems:
                assert re.match(r"s\.yaml:[0-9]+:[0-9]+: .", problem), problem
                assert problem.isprintable()


@settings(max_examples=200, deadline=None)
@given(st.one_of(_TREES, _SWEEPS))
def test_any_tree_gives_a_sweep_or_a_list_of_problems(tree):
    check_tree(tree)


@pytest.mark.slow
@settings(max_examples=5000, deadline=2000)  # [ms], so that a hang fails
@given(st.one_of(_TREES, _SWEEPS))
def test_five_thousand_trees_give_sweeps_or_lists_of_problems(tree):
    check_tree(tree)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_sweep_or_a_list_of_problems(content):
    with pytest.raises(SpecError):
        parse_sweep(content, source="s.yaml")
