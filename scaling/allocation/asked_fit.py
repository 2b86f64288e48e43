"""Access to the parts of a fit that answers need: law, frontier, data range; errors say why not."""

from __future__ import annotations

import math

from scaling.errors import NoFitError, QueryError
from scaling.fitting.fitted import Approach, Check, Coverage, Fit, Frontier
from scaling.laws.family import Law
from scaling.laws.limited import Limited
from scaling.laws.registry import find_law, read_law
from scaling.units import FloatArray


def verify_status(fit: Fit, anyway: bool) -> None:
    """Refuse a fit that no answer should rest on.

    Raises:
        NoFitError: The fit failed, or did not converge (unless `anyway`).
    """
    if fit.status == "not_converged" and not anyway:
        raise NoFitError(
            f'{fit.source}: the fit is not converged. {fit.reason} Insist with "--anyway".'
        )
    if fit.status == "failed":
        raise NoFitError(f"{fit.source}: there is no usable fit. {fit.reason}")


def get_frontier(fit: Fit, approach: Approach, anyway: bool) -> Frontier:
    """The frontier of an approach.

    Raises:
        NoFitError: The fit has none, or `verify_status` refuses the fit.
    """
    if approach == "parametric" or approach not in fit.approaches:
        verify_status(fit, anyway)
    if approach not in fit.approaches:
        there = ", ".join(fit.approaches) or "none"
        raise NoFitError(
            f"{fit.source}: approach {approach} gave no frontier; there is {there}. "
            f"{_explain_no_frontier(fit, approach)}"
        )
    return fit.approaches[approach]


def _explain_no_frontier(fit: Fit, approach: Approach) -> str:
    if approach == "parametric" and fit.law is not None:
        if not find_law(fit.law.family).has_frontier:
            return f"The law {fit.law.family} does not say how to split a budget."
        return "A term of its law has vanished; the runs do not say how to split a budget."
    return "See the checks of the fit."


def get_law(fit: Fit, unique_tokens: float | None = None) -> tuple[Law, FloatArray]:
    """The law and its coefficients, limited to a stock of unique tokens if one is given.

    Raises:
        NoFitError: No law was fitted.
        QueryError: The stock is not a number, or the law does not model repeated tokens.
    """
    if fit.law is None:
        raise NoFitError(
            f"{fit.source}: no law was fitted, so no loss can be predicted. Ask for approach "
            f"parametric or all."
        )
    law, coefficients = read_law(fit.law.family, fit.law.params)
    if unique_tokens is None:
        return law, coefficients
    if not (math.isfinite(unique_tokens) and unique_tokens > 0):
        raise QueryError(f"unique_tokens is {unique_tokens}; ask for a positive, finite number.")
    if not getattr(law, "needs_repeats", False):
        raise QueryError(
            f"The law {law.name} does not know what a repeated token is worth. Fit one that does: "
            "--family data_constrained, on a table with a column U."
        )
    return Limited(law, unique_tokens), coefficients


def get_coverage(fit: Fit) -> Coverage:
    """The ranges of N, D, C and loss that the fitted runs cover.

    Raises:
        NoFitError: The fit rests on no runs.
    """
    if fit.covered is None:
        raise NoFitError(f"{fit.source}: the fit rests on no runs.")
    return fit.covered


def list_failed(fit: Fit) -> tuple[Check, ...]:
    """The fit's checks that did not pass."""
    return tuple(check for check in fit.checks if check.passed is False)
