"""The key `trainer`: its settings, which of them enter a run_id, and every problem at once."""

import dataclasses
from pathlib import Path

import pytest

from scaling.errors import SpecError
from scaling.sweep.corpus_facts import CorpusFacts, name_data
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import load_sweep, parse_sweep
from scaling.sweep.runspec import RunSpec
from scaling.sweep.trainer_files import digest_code, digest_files
from scaling.sweep.trainer_spec import fill_command
from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.suggesting import list_keys

SWEEP = """\
name: mine
trainer:
  command: [python, train.py, "{run_file}"]
  data: shelf
  models:
    - {name: small, params: 10e6, set: {n_layer: 6}}
    - {name: large, params: 40e6, flops_per_token: 3e8}
grid: {budgets: [1e17], span: 4}
"""
FACTS = name_data("shelf", vocab_size=None)


def plan(text: str = SWEEP, facts: CorpusFacts = FACTS) -> list[RunSpec]:
    spec = parse_sweep(text.encode(), source="a.yaml")
    return [cell.run for cell in plan_sweep(spec, facts).cells]


def test_models_are_the_ladder_and_tokens_follow_from_their_flops() -> None:
    by_name = {run.shape.name: run for run in plan()}
    assert by_name["small"].tokens == round(1e17 / (6 * 10e6))  # 6N by default
    assert by_name["large"].tokens == round(1e17 / 3e8)
    assert not by_name["small"].has_recipe
    assert all(RunSpec.from_json(run.to_json()) == run for run in plan())


@pytest.mark.parametrize(
    "change",
    [
        ("train.py", "other.py"),
        ("n_layer: 6", "n_layer: 7"),
        ("10e6", "10.1e6"),
        ("[1e17]", "[1.1e17]"),
        ("data: shelf", "data: shelf\n  version: '2'"),
        ("span: 4}", "span: 4}\nseeds: [1]"),
    ],
    ids=lambda change: change[1],
)
def test_settings_that_affect_training_change_the_run_id(change: tuple[str, str]) -> None:
    before = next(run for run in plan() if run.shape.name == "small")
    after = next(run for run in plan(SWEEP.replace(*change)) if run.shape.name == "small")
    assert before.run_id != after.run_id


def test_changed_data_or_files_change_the_run_id() -> None:
    ids = {run.run_id for run in plan()}
    assert ids.isdisjoint(run.run_id for run in plan(facts=name_data("b", vocab_size=None)))
    edited = dataclasses.replace(FACTS, code="0" * 64)
    assert ids.isdisjoint(run.run_id for run in plan(facts=edited))


def test_resources_do_not_change_the_run_id() -> None:
    more = "resources: {gpus_per_run: 4, cpus_per_run: 8, time_limit: 9, memory_per_run: 60GB}\n"
    asked = "data: shelf\n  tolerance: 0.1\n  grace: 1\n  env: {A: b}\n  counting: total"
    assert plan(SWEEP.replace("data: shelf", asked) + more) == plan()


@pytest.mark.parametrize(
    ("text", "amount"), [("60GB", 6e10), ("60GiB", 60 * 2**30), ("6e10", 6e10)]
)
def test_memory_is_read_in_usual_notations(text: str, amount: float) -> None:
    asked = SWEEP + f"resources: {{memory_per_run: {text}}}\n"
    assert parse_sweep(asked.encode(), source="a.yaml").resources.memory_per_run == amount


@pytest.mark.parametrize("text", ["lots", "60", "-1e9"])
def test_an_invalid_amount_of_memory_is_refused(text: str) -> None:
    asked = SWEEP + f"resources: {{memory_per_run: {text}}}\n"
    with pytest.raises(SpecError, match=r"a\.yaml:9:29: resources\.memory_per_run: expected"):
        parse_sweep(asked.encode(), source="a.yaml")


def test_stating_memory_for_the_built_in_trainer_is_refused() -> None:
    text = "name: q\ncorpus: {source: novels}\ngrid: {params: [1000], tokens: [20000]}\n"
    with pytest.raises(SpecError, match="the built-in trainer knows its memory"):
        parse_sweep(f"{text}resources: {{memory_per_run: 6e10}}\n".encode(), source="a.yaml")


def test_more_memory_than_this_machine_has_is_refused_for_local_runs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.yaml"
    (tmp_path / "train.py").touch()
    path.write_text(SWEEP + "resources: {memory_per_run: 1e17}\n")
    with pytest.raises(SpecError, match=r"a\.yaml:9:\d+: resources\.memory_per_run: 1e\+17 bytes"):
        prepare_sweep(path, root=tmp_path)
    assert prepare_sweep(path, root=tmp_path, runs_here=False).plan.cells


def test_a_recipe_is_chosen_only_on_request() -> None:
    run = plan(SWEEP + "recipe: {batch_sequences: 64}\nmodel: {seq_len: 1024}\n")[0]
    assert run.recipe.batch_sequences == 64
    assert run.tokens == run.recipe.steps * 64 * 1024


def test_shapes_of_the_built_in_ladder_need_a_vocabulary() -> None:
    head, _, rest = SWEEP.partition("  models:")
    text = head + "  vocab_size: 256\n" + rest.partition("\ngrid")[2].join(["grid", ""])
    facts = name_data("shelf", vocab_size=256)
    shapes = {run.shape.family for run in plan(text.replace("1e17", "1e12"), facts)}
    assert shapes == {"transformer"}


def test_every_problem_of_a_trainer_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        SWEEP.replace("python, train.py", "no-such-command, '{bogus}'")
        .replace("name: large", "name: small")
        .replace("data: shelf", "data: shelf\n  files: [absent.py, ../x]")
        + "resources: {gpus_per_run: 2.5}\n"
    )
    with pytest.raises(SpecError) as refusal:
        load_sweep(path)
    said = [line.removeprefix(f"{path}:") for line in refusal.value.problems]
    assert [line.partition(": ")[0] for line in said] == [
        "3:13", "3:30", "5:11", "5:22", "8:14", "10:27",
    ]  # fmt: skip
    assert "no-such-command is not found" in said[0]
    assert "{bogus} is unknown; known: {run_file}, {run_dir}" in said[1]
    assert "absent.py is not there" in said[2]
    assert "outside the sweep file's folder" in said[3]
    assert "the model small is listed twice" in said[4]
    assert "a whole number of them, got 2.5" in said[5]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("[1e17]", "[1e12]"), "no model lies within ×4 of the 63.2k parameters expected at 1e12"),
        (("budgets: [1e17], span: 4", "params: [1e9], tokens: [1e9]"), "the nearest is large"),
        (("data: shelf", "version: '1'"), "name the data, or give a corpus"),
        (("grid", "corpus: {source: novels}\ngrid"), "data and corpus name two data"),
        (("grid", "bracket: true\ngrid"), "it varies a recipe"),
        (("grid", "schedule: {trunk: true}\ngrid"), "only the built-in trainer shares trunks"),
        (("grid", "evaluate: [tail_loss]\ngrid"), "your own trainer reports its probes"),
        (("data:", "python: a:b\n  data:"), "say one of the two"),
        (("data:", "env: {SCALING_X: a}\n  data:"), "'SCALING_X' is no variable that can be set"),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_a_key_that_conflicts_with_another_is_refused(change: tuple[str, str], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        plan(SWEEP.replace(*change))


def list_problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as refusal:
        parse_sweep(text.encode(), source="a.yaml")
    return [line.removeprefix("a.yaml:") for line in refusal.value.problems]


def test_several_gpus_and_nodes_need_the_users_own_trainer() -> None:
    text = "name: a\ncorpus: {source: novels}\ngrid: {budgets: [1e12]}\n"
    gpus, nodes = list_problems(text + "resources: {gpus_per_run: 2, nodes_per_run: 3}\n")
    assert gpus.startswith("4:27: resources.gpus_per_run: the built-in trainer computes a run on o")
    assert nodes.startswith("4:45: resources.nodes_per_run: the built-in trainer computes a run on")
    only = list_problems(SWEEP + "resources: {gpus_per_run: 2.5, nodes_per_run: 0}\n")
    assert [line.partition(":")[0] for line in only] == ["9", "9"]
    assert "a share of one GPU, or a whole number of them, got 2.5" in only[0]
    assert "resources.nodes_per_run: expected at least 1, got 0" in only[1]


def test_every_conflict_between_keys_is_reported_at_once() -> None:
    text = SWEEP.replace("data: shelf", "version: '1'").replace("{run_file}", "{runfile}")
    text = text.replace("large, params: 40e6", "small, params: 40e6")
    text = text.replace("[1e17]", "[1e12, 1e17, 1e20]")
    text += "schedule: {trunk: true}\nbracket: true\nevaluate: [tail_loss]\n"
    said = list_problems(text)
    assert [line.partition(": ")[0] for line in said] == [
        "2:1", "3:31", "7:14", "8:18", "8:30", "9:19", "10:10", "11:11",
    ]  # fmt: skip
    assert "name the data, or give a corpus" in said[0]
    assert "{runfile} is unknown; known: {run_file}, " in said[1]
    assert "{master_port}." in said[1]
    assert "the model small is listed twice" in said[2]
    assert "no model lies within ×4 of the 63.2k parameters expected at 1e12 FLOPs" in said[3]
    assert "expected at 1e20 FLOPs" in said[4]


def test_a_sweep_without_corpus_or_trainer_is_refused_for_its_corpus() -> None:
    with pytest.raises(SpecError, match="corpus: this key is required and missing"):
        parse_sweep(b"name: a\ngrid: {budgets: [1e12]}\n", source="a.yaml")


def test_a_substituted_value_stays_one_argument() -> None:
    words = fill_command('["a","--x={model}","{other}"]', {"model": "b; rm -rf $HOME '"})
    assert words == ["a", "--x=b; rm -rf $HOME '", "{other}"]


def test_editing_a_file_changes_its_digest(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    for name in ("train.py", "configs/a.yaml", "configs/b.yaml"):
        (tmp_path / name).write_text(name)
    listed = digest_files(["train.py", "configs/*.yaml", "train.py"], tmp_path)
    assert list(listed) == ["configs/a.yaml", "configs/b.yaml", "train.py"]
    (tmp_path / "configs/a.yaml").write_text("edited")
    assert digest_code(digest_files(["train.py", "configs/*.yaml"], tmp_path)) != digest_code(
        listed
    )
    assert digest_code({}) == ""


@pytest.mark.parametrize("recipe", ["", "recipe: {}\n"])
def test_a_suggested_sweep_reads_back_as_the_original(recipe: str) -> None:
    spec = parse_sweep((SWEEP + recipe).encode(), source="a.yaml")
    again = parse_sweep("\n".join(list_keys(spec)).encode(), source="b.yaml")
    assert again == spec
    assert again.asks_recipe == spec.asks_recipe == bool(recipe)
