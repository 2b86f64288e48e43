"""A grid from outside the package is recognised by its keys, checked, counted and planned."""

from collections.abc import Iterator

import pytest
from known_run import FACTS
from pydantic import Field

from scaling.errors import SpecError
from scaling.sweep.fields import Count, Params, Positive
from scaling.sweep.grids import GRIDS, Grid
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.sweep.spec import describe_schema
from scaling.sweep.wishes import Wish, find_rung
from tools.key_page import write_key_page


class DiagonalGrid(Grid):
    """Sizes and tokens that grow together."""

    heading = "grid: {from_params, from_tokens, steps}"

    from_params: Params = Field(description="smallest N [matmul parameters]")
    from_tokens: Positive = Field(description="its D [tokens]")
    steps: Count = Field(3, description="cells, each ×2 in N and in D")

    @classmethod
    def matches(cls, keys):
        return "from_params" in keys

    def count(self):
        return self.steps

    def find_largest(self):
        return self.from_params * 2.0 ** (self.steps - 1)

    def list_wishes(self, ladder):
        for step in range(self.steps):
            shape = find_rung(ladder, self.from_params * 2**step)
            yield Wish(shape=shape, tokens=self.from_tokens * 2**step, budget=None)


SWEEP = """\
name: outside
corpus: {source: python-stdlib}
grid: {from_params: 10e3, from_tokens: 5e5, steps: 3}
"""


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    GRIDS.append(DiagonalGrid)
    yield
    GRIDS.remove(DiagonalGrid)


def test_an_added_grid_is_planned() -> None:
    spec = parse_sweep(SWEEP.encode(), source="s.yaml")
    assert isinstance(spec.grid, DiagonalGrid)
    cells = plan_sweep(spec, FACTS).cells
    assert len(cells) == 3
    tokens = sorted(cell.run.tokens for cell in cells)
    # Rounding to whole steps.
    assert tokens == [pytest.approx(5e5 * 2**at, rel=0.01) for at in range(3)]


def test_an_added_grids_keys_are_checked_like_the_built_in_ones() -> None:
    wrong = SWEEP.replace("steps: 3", "steps: few, form_params: 2").replace("5e5", "-1")
    with pytest.raises(SpecError) as caught:
        parse_sweep(wrong.encode(), source="s.yaml")
    lines = str(caught.value).splitlines()
    assert lines == [
        "s.yaml:3:40: grid.from_tokens: expected a number above 0.0, got -1.",
        "s.yaml:3:51: grid.steps: expected a whole number, got 'few'.",
        "s.yaml:3:56: grid.form_params: unknown key. Did you mean 'from_params'?",
    ]


def test_schema_and_page_of_keys_name_an_added_grid() -> None:
    schema = describe_schema()
    assert {"$ref": "#/$defs/DiagonalGrid"} in schema["properties"]["grid"]["oneOf"]
    assert "| `grid.from_params` | required | smallest N" in write_key_page()


def test_the_built_in_grids_are_still_recognised() -> None:
    def kind(grid: str) -> str:
        text = f"name: a\ncorpus: {{source: novels}}\ngrid: {{{grid}}}\n"
        return type(parse_sweep(text.encode(), source="s.yaml").grid).__name__

    assert kind("budgets: [1e11]") == "IsoflopGrid"
    assert kind("params: [1e4], tokens: [1e6]") == "ProductGrid"
    assert kind("params: [1e4], tokens_per_param: [20]") == "RatioGrid"
    assert kind("cells: [{params: 1e4, tokens: 1e6}]") == "CellGrid"
