"""Sweeps that one file made: tokenizers, recipes and families compared."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.errors import UsageError
from scaling.ledger.contents import holds_sweep
from scaling.sweep.corpus_facts import decide_seq_len
from scaling.sweep.siblings import list_siblings
from scaling.units.stages import stage
from scaling.workflow.fits import FitOptions, fit_table
from scaling.workflow.stored import StoredSweep, open_results, tabulate_sweep

if TYPE_CHECKING:
    from scaling.compare.exponents import RecipeComparison, Trained
    from scaling.compare.multiplier import Comparison
    from scaling.compare.vocabularies import VocabularyComparison
    from scaling.sweep.spec import SweepSpec
    from scaling.tables.run_table import RunTable


def list_sibling_folders(spec: SweepSpec, results: Path) -> list[Path]:
    """List the existing results folders of the sweeps that a file makes.

    Args:
        spec: The sweep of the file.
        results: Folder of all results.
    """
    names = [one.name for one in list_siblings(spec)]
    return [results / name for name in names if holds_sweep(results / name)]


@stage("comparing the tokenizers")
def compare_tokenizers(
    sweeps: Sequence[StoredSweep], *, budgets: Sequence[float] = ()
) -> VocabularyComparison:
    """Compare the tokenizers of several sweeps, by the default fit of each.

    Args:
        sweeps: Sweeps that differ only in the tokenizer.
        budgets: Budgets C [FLOPs]; empty: those that the sweeps declare.

    Raises:
        UsageError: They cannot be compared, or there is no budget.
    """
    from scaling.compare.vocabularies import Candidate, compare_vocabularies

    candidates = []
    declared: set[float] = set()
    for stored in sweeps:
        table = tabulate_sweep(stored)
        lowest = _find_lowest(table)
        declared |= lowest.keys()
        candidates.append(
            Candidate(
                facts=stored.facts,
                seq_len=decide_seq_len(stored.spec, stored.facts),
                fit=fit_table(table, stored, FitOptions(family="chinchilla")),
                lowest=lowest,
            )
        )
    if not budgets and not declared:
        raise UsageError("these sweeps declare no budgets. Say --flops.")
    return compare_vocabularies(candidates, budgets=tuple(budgets) or tuple(declared))


@stage("comparing the recipes")
def compare_recipes(sweeps: Sequence[StoredSweep]) -> RecipeComparison:
    """Compare the recipes of several sweeps by the exponents of their frontiers.

    Args:
        sweeps: Sweeps that differ only in the recipe; those of one file are taken in its order,
            others in the given order.

    Raises:
        UsageError: They cannot be compared.
    """
    from scaling.compare.exponents import compare_exponents

    if len({_name_cells(stored) for stored in sweeps}) > 1:
        raise UsageError(
            "these sweeps differ in more than the recipe, so their exponents do not compare "
            "recipes. Name folders with one corpus, model, grid and seeds."
        )
    order = {one.name: at for at, one in enumerate(list_siblings(sweeps[0].whole))}
    if all(stored.spec.name in order for stored in sweeps):
        sweeps = sorted(sweeps, key=lambda stored: order[stored.spec.name])
    return compare_exponents([_describe_recipe(stored) for stored in sweeps])


def _describe_recipe(stored: StoredSweep) -> Trained:
    from scaling.compare.exponents import Trained
    from scaling.compare.recounting import count_both_ways

    table = tabulate_sweep(stored)
    headless = tabulate_sweep(stored, count="non_embedding", head_flops=False)
    # Without the head, rows of one budget differ in cost: there are no IsoFLOP curves to fit.
    plain = FitOptions(family="chinchilla")
    law_only = dataclasses.replace(plain, approach="parametric", count="non_embedding")
    sets = stored.spec.recipe.model_dump(exclude_none=True)
    return Trained(
        recipe=stored.spec.name.removeprefix(f"{stored.whole.name}-"),
        sets=sets,
        fit=fit_table(table, stored, plain),
        headless=fit_table(headless, stored, law_only),
        counted=count_both_ways(table, headless, draws=plain.bootstrap or 0, seed=plain.seed),
        lowest=_find_lowest(table),
    )


def _name_cells(stored: StoredSweep) -> str:
    """A text equal for sweeps that differ only in the recipe, or in keys that train nothing."""
    spec = stored.spec
    kept = spec.model_dump(include={"model", "grid", "extra_cells", "schedule", "seeds"})
    return json.dumps([stored.facts.digest, kept], sort_keys=True)


def _find_lowest(table: RunTable) -> dict[float, float]:
    """Declared budget [FLOPs] -> lowest loss of its runs [nats/token]."""
    lowest: dict[float, float] = {}
    if table.budget is not None:
        for budget, loss in zip(table.budget.tolist(), table.loss.tolist(), strict=True):
            if math.isfinite(budget):  # an extra cell has no budget
                lowest[budget] = min(loss, lowest.get(budget, loss))
    return lowest


@stage("comparing the families")
def compare_families(sweeps: Sequence[StoredSweep]) -> list[Comparison]:
    """Compare the compute that the first family of a file needs with each of the others.

    Raises:
        NoFitError: A family has no law yet.
    """
    from scaling.compare.multiplier import compare_tables

    first, *others = (tabulate_sweep(one) for one in sweeps)
    same = len({one.facts.digest for one in sweeps}) == 1
    return [compare_tables(first, other, same_text=same) for other in others]


def open_siblings(stored: StoredSweep) -> list[StoredSweep]:
    """The sweeps of a results folder's file, as far as they are there, in its order."""
    return [
        stored if folder.name == stored.folder.name else open_results(folder)
        for folder in list_sibling_folders(stored.whole, stored.folder.parent)
    ]


def compare_siblings(
    siblings: Sequence[StoredSweep],
) -> tuple[VocabularyComparison | None, RecipeComparison | None]:
    """The comparisons that a page shows; None if there is nothing to compare yet."""
    whole = siblings[0].whole if siblings else None
    alone = whole is None or whole.families or whole.starts or len(whole.corpus.chains) > 1
    if len(siblings) < 2 or alone:
        return None, None
    try:
        if siblings[0].whole.recipes:
            return None, compare_recipes(siblings)
        return compare_tokenizers(siblings), None
    except UsageError:
        return None, None
