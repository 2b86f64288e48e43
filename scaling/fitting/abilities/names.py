"""Which metrics of a table are abilities, and what is read beside each.

    sharp   a share with a bound, e.g. exact match        smooth  the loss of what it scores
    null    what the sharp score would be if tokens erred independently, p^L

Source: Schaeffer, Miranda, Koyejo 2023, arXiv:2304.15004, sec. 2: exact match of L tokens is p^L of
their accuracy p, and jumps where p rises evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling.tables.run_table import RunTable

LOSS = "loss"


@dataclass(frozen=True, slots=True)
class AbilityNames:
    """A sharp score, the smooth one beside it, and its null; no null: None."""

    sharp: str
    smooth: str = LOSS
    null: str | None = None


COMPANIONS = {
    one.sharp: one
    for one in (
        AbilityNames("answer_exact", "answer_loss", "answer_null"),
        AbilityNames("answer_exact_forced", "answer_loss", "answer_null"),
        AbilityNames("few_shot_phase", "few_shot"),
    )
}
# The score whose curve has the parts of an ability, where it is not its own.
PARTS = {"answer_exact": "answer_accuracy"}
# Bounded shares that serve as a control for another score and are no ability of their own.
CONTROLS = frozenset(
    ("answer_accuracy", "answer_null", "grammar_bound", "code_valid_ngram", "code_valid_text")
)


def list_abilities(table: RunTable) -> tuple[AbilityNames, ...]:
    """Every metric of a table that is a share with a bound and no control, with its companions; a
    companion that the table lacks gives way to the loss, or to none."""
    here = {one.name for one in table.metrics}
    found = []
    for one in table.metrics:
        if one.bound is None or not one.higher_is_better or one.name in CONTROLS:
            continue
        found.append(name_companions(one.name, here))
    return tuple(found)


def name_companions(sharp: str, here: set[str]) -> AbilityNames:
    """What is read beside a sharp score, of the metrics that are there."""
    known = COMPANIONS.get(sharp, AbilityNames(sharp))
    smooth = known.smooth if known.smooth in here else LOSS
    return AbilityNames(sharp, smooth, known.null if known.null in here else None)
