"""docs/checks.md has every check that the package can make, with the thresholds of the code."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from scaling.allocation import composite
from scaling.compare import multiplier
from scaling.fitting import bracket, identification, parametric, solver
from scaling.fitting.checks import fits, points, regime, residuals, seed_spread, training
from scaling.fitting.fitted import MAX_DECADES, Check
from scaling.laws.chinchilla import CHINCHILLA
from scaling.words.checks import CATALOGUE, CHECK_WORDS, name_entry

REPOSITORY = Path(__file__).parents[1]
# Numbers in code, links and citations are not thresholds.
ASIDE = r"`[^`]*`|\]\([^)]*\)|decision \d{4}|arXiv:\S+|et al\. \d{4}|Approach \d|\(and 1,|[ED] = 0"
PERCENT = 100.0
LETTERS = len(CHINCHILLA.param_names)

# Every number in an entry, in the page's units (% if the text says so).
THRESHOLDS: dict[str, Sequence[float]] = {
    "several_recipes_per_cell": [PERCENT * points._RECIPE_SPREAD],
    "outliers": [PERCENT * residuals._FAR, residuals._FAR_SIGMA],
    "lr_at_edge": [
        bracket._SIGNIFICANT,
        PERCENT * bracket.ASSUMED_SIGMA,
        *(PERCENT * end for end in bracket._ASSUMED),
    ],
    "undercooled": [PERCENT * training.MIN_DECAY, training.MIN_DECAY_STEPS],
    "too_few_steps": [training.ENOUGH_STEPS],
    "warmup_too_long": [
        PERCENT * training.MAX_WARMUP,
        training.SHORT_WARMUP,
        PERCENT * training.MAX_SHORT_WARMUP,
        PERCENT * training.LONG_WARMUP,
        PERCENT * training._MAX_BEND,
        training._WARMUP_COST,
    ],
    "clipped_steps": [PERCENT * training.MAX_UNEVEN_CLIPPING, training._TWICE],
    "repeated_data": [composite.MAX_EPOCHS],
    "train_val_overlap": [PERCENT * training.MAX_OVERLAP],
    "seed_spread": [
        seed_spread.MAX_CHANCE / 2,
        PERCENT * seed_spread.SOUND_NOISE,
        seed_spread._MIN_FREEDOM,
    ],
    "eval_noise": [residuals._MAX_SLOPE_ERROR, residuals._OWN_SHARE],
    "too_few_cells": [
        points.CELLS_A_COEFFICIENT,
        points.CELLS_A_COEFFICIENT * LETTERS,
        points.MIN_CELLS,
    ],
    "too_few_budgets": [points.ENOUGH_BUDGETS],
    "off_centre_grid": [PERCENT * points._CENTRE_OFFSET],
    "design_imprecise": [fits.MAX_SLOPE_WIDTH],
    "not_converged": [solver.GRADIENT_TOLERANCE, PERCENT * parametric._AGREEMENT],
    "not_identified": [
        PERCENT * identification.MAX_FLOOR_WIDTH,
        identification.MAX_EXPONENT_RATIO,
    ],
    "methods_disagree": [fits._SAME_SLOPE, fits._SAME_SIZE],
    "below_scaling_regime": [regime.MAX_CHANCE, regime._LEAST_BUDGETS, regime._MIN_FREEDOM],
    "residual_trend": [residuals._MAX_CHANCE, PERCENT * residuals._MIN_TREND],
    "lack_of_fit": [residuals._MAX_CHANCE, residuals._MIN_PURE_FREEDOM],
    "influence": [fits._MAX_INFLUENCE],
    "extrapolation_distance": [MAX_DECADES],
    "target_out_of_reach": [PERCENT * composite._FEW_UNREACHED],
    "repeats_not_measured": [composite.MAX_EPOCHS],
    "exponents_shared": [multiplier._SIGNIFICANCE],
    "order_kept": [multiplier._BEYOND, PERCENT * multiplier._SURE],
}


def read_entries() -> dict[str, str]:
    """The text of each entry of the catalogue, by code."""
    page = (REPOSITORY / CATALOGUE).read_text(encoding="utf-8")
    _, *parts = re.split(r"^### `(\w+)`$", page, flags=re.M)
    return {
        code: " ".join(text.split("\n## ")[0].split())
        for code, text in zip(parts[::2], parts[1::2], strict=True)
    }


def list_emitted() -> Iterator[str]:
    """Every code that some module passes to `pass_if` or `Check`: itself, by a variable `code`, or
    by a parameter `code` of a function of its own."""
    for path in (REPOSITORY / "scaling").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
        places = {
            one.name: [arg.arg for arg in one.args.args].index("code")
            for one in functions
            if any(arg.arg == "code" for arg in one.args.args)
        }
        places["pass_if"] = 1
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                # Criteria of ability forecasts are in docs/abilities.md.
                if node.func.id == "Criterion":
                    continue
                given = [word.value for word in node.keywords if word.arg == "code"]
                place = places.get(node.func.id, len(node.args))
                yield from _take_texts([*given, *node.args[place : place + 1]])
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code":
                yield from _take_texts([node.value])


def _take_texts(nodes: Sequence[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_check_has_words_and_an_entry() -> None:
    emitted = set(list_emitted())
    assert len(emitted) >= 40
    assert set(CHECK_WORDS) == emitted
    assert set(read_entries()) == emitted


@pytest.mark.parametrize("code", CHECK_WORDS)
def test_an_entry_states_test_threshold_consequence_and_remedy(code: str) -> None:
    entry = read_entries()[code]
    said = re.findall(r"- \*\*(\w+)\*\*: (.*?)(?= - \*\*|$)", entry)
    assert [name for name, _ in said] == ["Asks", "Fails", "Means", "Do"]
    words = CHECK_WORDS[code]
    assert dict(said)["Means"] == words.consequence
    assert words.holds != words.fails


@pytest.mark.parametrize("code", CHECK_WORDS)
def test_every_number_in_an_entry_is_a_constant_in_the_code(code: str) -> None:
    text = re.sub(ASIDE, "", read_entries()[code])
    numbers = {float(one) for one in re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text)}
    assert numbers == {float(f"{one:.6g}") for one in THRESHOLDS.get(code, ())}


def test_a_failed_check_names_its_entry() -> None:
    one = Check(code="residual_trend", passed=False, seen="", advice="")
    assert name_entry(one) == "docs/checks.md#residual_trend"
