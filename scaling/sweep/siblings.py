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
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scaling.errors import SpecError

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which only readers of YAML need to pay
    from scaling.sweep.spec import SweepSpec


def list_siblings(spec: SweepSpec) -> tuple[SweepSpec, ...]:
    """The sweeps of a file, in its order; the sweep itself if it names only one of each."""
    return tuple(
        spec.model_copy(update={"name": f"{spec.name}-{suffix}", **changes})
        for suffix, changes in _list_changes(spec)
    ) or (spec,)


def _list_changes(spec: SweepSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the end of each sibling's name, and the keys by which it differs from the file."""
    if spec.families:
        for family in spec.families:
            model = spec.model.model_copy(update={"family": family})
            yield family, {"model": model, "families": ()}
    elif spec.starts:
        for name, start in spec.starts.items():
            yield name, {"initialise": start, "starts": {}}
    elif spec.recipes:
        for name, recipe in spec.recipes.items():
            yield name, {"recipe": spec.recipe.override(recipe), "recipes": {}}
    elif spec.has_corpus and len(spec.corpus.tokenizer) > 1:
        for tokenizer in spec.corpus.tokenizer:
            corpus = spec.corpus.model_copy(update={"tokenizer": (tokenizer,)})
            yield re.sub("[^a-z0-9]", "-", tokenizer), {"corpus": corpus}
    elif spec.has_corpus and len(spec.corpus.chains) > 1:
        for number in spec.corpus.chains:
            corpus = spec.corpus.model_copy(update={"chains": (number,)})
            yield f"chains-{number}", {"corpus": corpus}


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
