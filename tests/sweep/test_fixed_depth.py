"""A sweep file may fix the depth of every size: width alone then varies."""

import itertools

import pytest
from known_corpus import FACTS

from scaling.errors import SpecError
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.families.registry import MODEL_FAMILIES, describe_shape
from scaling.sweep.ladder import find_layers, is_first, iterate_ladder, list_ladder, list_ladder_of
from scaling.sweep.own_ladder import list_sweep_ladder
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep

FILE = "name: depth\ncorpus: {{source: python-stdlib}}\nmodel: {{{model}}}\n{rest}"
GRID = "grid: {params: [5e3, 25e3, 100e3], tokens: [2e6]}\n"


def read(model, rest=GRID):
    return parse_sweep(FILE.format(model=model, rest=rest).encode(), source="s.yaml")


def plan(model):
    return plan_sweep(read(model), FACTS)


@pytest.mark.parametrize("family", MODEL_FAMILIES)
@pytest.mark.parametrize("layers", [1, 3, 128])
@pytest.mark.parametrize("vocab_size", [2, 256, 50_000])
def test_width_alone_grows_and_no_rung_is_far_from_the_next(family, layers, vocab_size):
    ladder = iterate_ladder(vocab_size, 128, family=family, layers=layers)
    rungs = list(itertools.islice(ladder, 80))
    assert {one.n_layers for one in rungs} == {layers}
    sizes = [count_matmul_params(one) for one in rungs]
    growth = [after / before for before, after in itertools.pairwise(sizes)]
    assert min(growth) > 1
    assert max(growth) <= 3  # what a plan counts on to find the rung above the largest wish
    # From one and a half heads of 16 on, and from a width of 28: both have passed 32.
    wide = [step for one, step in zip(rungs, growth, strict=False) if one.d_model >= 28]
    assert max(wide) <= 1.7


@pytest.mark.parametrize("head_size", [4, 32, 256])
def test_widths_step_by_half_a_head_and_then_by_an_eighth(head_size):
    ladder = iterate_ladder(256, 128, layers=1, head_size=head_size)
    widths = [one.d_model // (head_size // 2) for one in itertools.islice(ladder, 22)]
    assert widths == [*range(1, 17), 18, 20, 22, 24, 26, 28]


def test_a_plan_has_models_of_one_layer_near_the_sizes_asked_for():
    cells = plan("layers: 1").cells
    assert {cell.run.shape.n_layers for cell in cells} == {1}
    sizes = sorted(count_matmul_params(cell.run.shape) for cell in cells)
    for size, asked in zip(sizes, (5e3, 25e3, 100e3), strict=True):
        assert 3**-0.5 <= size / asked <= 3**0.5


def test_a_model_is_the_same_run_whether_its_depth_was_fixed_or_not():
    """Two layers 32 wide are a rung of either ladder: a run, and its id, know no ladder."""
    rest = "grid: {params: [32768], tokens: [2e6]}\n"
    (usual,), (fixed,) = (
        plan_sweep(read(model, rest), FACTS).cells for model in ("seq_len: 128", "layers: 2")
    )
    assert (usual.run.shape.d_model, usual.run.shape.n_layers) == (32, 2)
    assert usual.run.run_id == fixed.run.run_id


def test_without_the_key_nothing_follows_from_it():
    assert "layers" not in read("seq_len: 64").model.settings
    assert read("layers: null").ladder_settings == read("seq_len: 128").ladder_settings
    # At the first rung no family is deeper than the rule says.
    for family in MODEL_FAMILIES:
        assert next(iterate_ladder(256, 128, family=family)).n_layers == 2


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "at least 1"),
        ("-2", "at least 1"),
        ("129", "at most 128"),
        ("1.5", "a whole number"),
        ("true", "a whole number"),
        ("[1, 2]", "a whole number"),
    ],
)
def test_no_depth_that_cannot_be_built(value, said):
    with pytest.raises(SpecError, match=rf"model\.layers: .*{said}"):
        read(f"layers: {value}")


def test_a_trainer_with_a_list_of_models_has_depths_of_its_own():
    trainer = "trainer: {command: [x], data: d, models: [{name: a, params: 5e3}]}\n"
    text = "name: own\n" + trainer + "model: {layers: 1}\ngrid: {params: [5e3], tokens: [2e6]}\n"
    with pytest.raises(SpecError, match=r"model\.layers: trainer\.models says which models there"):
        parse_sweep(text.encode(), source="s.yaml")


class _OneDepth:
    settings = ()


def test_a_family_of_one_depth_refuses_another(monkeypatch):
    monkeypatch.setitem(MODEL_FAMILIES, "flat", _OneDepth())
    with pytest.raises(SpecError, match=r"model\.layers: family flat takes no layers\. Remove it"):
        read("family: flat, layers: 1")
    several = "families: [transformer, flat]\n" + GRID
    with pytest.raises(SpecError, match=r"model\.layers: family flat takes no layers\. Remove it"):
        read("layers: 1", several)


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_models_tell_the_depth_that_was_fixed(family):
    for layers in (1, 3):
        every = list_sweep_ladder(read(f"family: {family}, layers: {layers}"), FACTS)
        shapes = every[:3]
        assert find_layers(shapes) == layers
        assert list_ladder_of(shapes[2], layers=layers) == every
        assert is_first(shapes[0], layers=layers)
        assert not is_first(shapes[1], layers=layers)
        assert not is_first(shapes[0])
    usual = list_ladder(256, 128, family=family, max_params=1e5)
    assert find_layers(usual) is None
    assert find_layers(usual[:1]) is None


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_a_model_of_one_layer_is_named_in_the_singular(family):
    words = [
        describe_shape(next(iterate_ladder(256, 128, family=family, layers=layers)))
        for layers in (1, 2)
    ]
    assert [one.line.rpartition("× ")[2] for one in words] == ["1 layer", "2 layers"]
    assert "1 layers" not in words[0].full
