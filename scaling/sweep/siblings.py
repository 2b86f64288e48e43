"""One sweep file, several sweeps: one for each family, tokenizer or number of chains that it lists,
or recipe or start that it names.

    tokenizer: [bytes, "bpe:512"]        <name>-bytes, <name>-bpe-512
    families: [transformer, lstm]        <name>-transformer,  <name>-lstm
    recipes: {long: {…}, short: {…}}     <name>-long,  <name>-short
    starts: {new: {}, old: {from: …}}    <name>-new,  <name>-old
    chains: [16, 0]                      <name>-chains-16,  <name>-chains-0

Siblings differ in nothing else, so that their results can be compared. Each has its own ledger, law
and page: a law, a ladder and a unit of loss belong to one vocabulary, a ladder to one family, and a
law to one recipe, one start and one training text. A results folder keeps the whole file, and its
name says which sibling it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaling.errors import SpecError

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which only readers of YAML need to pay
    from scaling.sweep.spec import SweepSpec


def list_siblings(spec: SweepSpec) -> tuple[SweepSpec, ...]:
    """The sweeps of a file, in its order; the sweep itself if it names only one of each."""
    if spec.families:
        return tuple(_take_family(spec, name) for name in spec.families)
    if spec.starts:
        return tuple(_take_start(spec, name) for name in spec.starts)
    if spec.recipes:
        return tuple(_take_recipe(spec, name) for name in spec.recipes)
    if spec.has_corpus and len(spec.corpus.tokenizer) > 1:
        return tuple(_take_tokenizer(spec, name) for name in spec.corpus.tokenizer)
    if spec.has_corpus and len(spec.corpus.chains) > 1:
        return tuple(_take_chains(spec, number) for number in spec.corpus.chains)
    return (spec,)


def select_sibling(spec: SweepSpec, name: str | None, *, source: str) -> SweepSpec:
    """The sibling of that name, or the only sweep of the file.

    Raises:
        SpecError: There are several, and none has that name.
    """
    siblings = list_siblings(spec)
    if len(siblings) == 1:
        return siblings[0]
    for one in siblings:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in siblings)
    what = f"{name} is none of them." if name else "To ask about one, name its results folder."
    raise SpecError([f"{source}: it makes the sweeps {names}. {what}"])


def _take_tokenizer(spec: SweepSpec, tokenizer: str) -> SweepSpec:
    suffix = re.sub("[^a-z0-9]", "-", tokenizer)
    corpus = spec.corpus.model_copy(update={"tokenizer": (tokenizer,)})
    return spec.model_copy(update={"name": f"{spec.name}-{suffix}", "corpus": corpus})


def _take_chains(spec: SweepSpec, number: int) -> SweepSpec:
    corpus = spec.corpus.model_copy(update={"chains": (number,)})
    return spec.model_copy(update={"name": f"{spec.name}-chains-{number}", "corpus": corpus})


def _take_family(spec: SweepSpec, family: str) -> SweepSpec:
    model = spec.model.model_copy(update={"family": family})
    changes = {"name": f"{spec.name}-{family}", "model": model, "families": ()}
    return spec.model_copy(update=changes)


def _take_start(spec: SweepSpec, name: str) -> SweepSpec:
    changes = {"name": f"{spec.name}-{name}", "initialise": spec.starts[name], "starts": {}}
    return spec.model_copy(update=changes)


def _take_recipe(spec: SweepSpec, name: str) -> SweepSpec:
    """Apply a named recipe: its keys replace those of `recipe`; null returns a key to the rules."""
    recipe = spec.recipe.override(spec.recipes[name])
    return spec.model_copy(update={"name": f"{spec.name}-{name}", "recipe": recipe, "recipes": {}})
