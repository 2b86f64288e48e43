"""A model family from outside the package is planned, trained, counted and named like a
built-in."""

import itertools
from pathlib import Path

import pytest
from click.testing import CliRunner

from scaling.cli import cli
from scaling.errors import EnvironmentFault, SpecError
from scaling.ledger.commit import Ledger
from scaling.sweep.counting import count_params
from scaling.sweep.families import Counts, ParameterRule, ShapeWords
from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.families.transformer import TRANSFORMER
from scaling.sweep.reading import parse_sweep
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.recipe_spec import RecipeSpec
from scaling.sweep.runspec import RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.training.engines import build_engine
from scaling.training.parametrization import build_model
from scaling.workflow.stored import read_runs


class GruFamily:
    name, shape, settings = "gru", ModelShape, ()
    halved = "nothing"
    reference = TRANSFORMER.reference

    def iterate_ladder(self, vocab_size, seq_len, settings):
        for width in itertools.count(4, 4):
            yield ModelShape(
                family="gru", vocab_size=vocab_size, seq_len=seq_len, d_model=width, n_layers=1
            )

    def counts(self, shape):  # three gates, each with one matrix on input and state, and two biases
        matrices, head = 6 * shape.d_model**2, shape.d_model * shape.vocab_size
        biases = 6 * shape.d_model
        return Counts(
            matmul=matrices + head, non_embedding=matrices + biases,
            total=matrices + biases + 2 * head,
        )  # fmt: skip

    def flops_per_token(self, shape, *, head_flops=True):
        head = shape.d_model * shape.vocab_size if head_flops else 0
        return 6 * (6 * shape.d_model**2 + head)

    def activation_bytes(self, shape, tokens, *, device, precision):
        return 4 * 8 * tokens * shape.d_model

    def words(self, shape):
        return ShapeWords(label=f"GRU {shape.d_model}", line="", full="")

    def build(self, shape, *, width, depth, half):
        from torch import nn

        class Gru(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding = nn.Embedding(shape.vocab_size, shape.d_model)
                self.body = nn.GRU(shape.d_model, shape.d_model, batch_first=True)
                self.head = nn.Linear(shape.d_model, shape.vocab_size, bias=False)

            def forward(self, tokens_bt):
                return self.head(self.body(self.embedding(tokens_bt))[0]) / width

        return Gru()

    def parameter_rule(self, name):
        kind = {"embedding": "embedding", "head": "head"}.get(name.split(".")[0], "hidden")
        return ParameterRule(kind=kind, start="as_built" if "bias" in name else "drawn")


SWEEP = """\
name: outside
corpus: {source: text, paths: [text], tokenizer: characters}
model: {family: gru, seq_len: 16}
grid: {params: [400, 900], tokens: [30e3]}
recipe: {batch_sequences: 8}
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(MODEL_FAMILIES, "gru", GruFamily())
    (tmp_path / "text").mkdir()
    for at in range(64):
        line = " ".join("abcdefgh"[(at * k) % 8 :][:3] for k in range(1, 200))
        (tmp_path / "text" / f"{at}.txt").write_text(f"{at} {line}\n" * 2)
    path = tmp_path / "sweep.yaml"
    path.write_text(SWEEP)
    return path


def test_an_added_family_is_trained_to_the_end(sweep: Path) -> None:
    root = sweep.parent
    words = [str(sweep), "--root", str(root)]
    planned = CliRunner().invoke(cli, ["plan", *words, "--no-benchmark"], standalone_mode=False)
    assert "GRU8" in planned.output.replace(" ", "")
    done = CliRunner().invoke(cli, ["run", *words, "--executor", "inline"], standalone_mode=False)
    assert done.return_value == 4, done.output  # two runs determine no law
    results = Ledger.open(root / "results" / "outside").read_results().results.values()
    assert {one.run.shape.family for one in results} == {"gru"}
    assert all(one.status == "finished" for one in results)
    table, _ = read_runs(root / "results" / "outside")
    assert sorted(table.params) == sorted(count_params(one.run.shape, "matmul") for one in results)
    for result in results:
        model = build_model(result.run)
        sizes = [parameter.numel() for parameter in model.parameters()]
        assert sum(sizes) == count_params(result.run.shape, "total")
        # Parameters that start as built also follow the run's seed.
        again = build_model(result.run).state_dict()
        assert all((again[name] == value).all() for name, value in model.state_dict().items())
        assert build_engine(result.run).name == "eager"


def test_an_engine_refuses_a_family_it_does_not_train(sweep: Path, monkeypatch) -> None:
    shape = next(GruFamily().iterate_ladder(64, 16, {}))
    recipe = decide_recipe(shape, 50e3, RecipeSpec())
    run = RunSpec(shape=shape, recipe=recipe, data_digest="0" * 64, seed=0)
    with pytest.raises(EnvironmentFault, match="family gru has none"):
        build_engine(run, precision="mixed")
    monkeypatch.setenv("SCALING_ENGINE", "fused")
    with pytest.raises(EnvironmentFault, match="engine fused does not train family gru"):
        build_engine(run)


def test_a_key_of_another_family_is_refused(sweep: Path) -> None:
    text = SWEEP.replace("family: gru", "family: gru, head_size: 32")
    with pytest.raises(SpecError, match=r"model.head_size: family gru takes no head_size. Remove"):
        parse_sweep(text.encode(), source="s.yaml")


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpecError, match="expected 'transformer', 'lstm' or 'rnn', got"):
        parse_sweep(SWEEP.encode(), source="s.yaml")
