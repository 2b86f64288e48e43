"""Chinchilla's law for two recipes that share their exponents: each has its own E, A and B.

    L_g(N, D) = E_g + A_g / N^α + B_g / D^β        [nats/token],   g = 1, 2

Recipes change constants more than exponents (data: Shukor et al. 2025, arXiv:2507.09404;
architectures and hyperparameters: Bi et al. 2024, arXiv:2401.02954, for the opposite finding), so
two small tables together need fewer parameters; compare/multiplier.py tests whether the two share
their exponents. E_g is a term without factors: its logarithm is fitted.
"""

from __future__ import annotations

from scaling.laws.power_sum import PowerSum, Term

SHARED = PowerSum(
    "shared",
    equation="E_g + A_g/N^alpha + B_g/D^beta",
    parent="chinchilla",
    floor=0.0,
    terms=tuple(
        term
        for group in (0, 1)
        for term in (
            Term(letter=f"E_{group + 1}", factors=(), group=group),
            Term(letter=f"A_{group + 1}", factors=(("alpha", "N"),), group=group),
            Term(letter=f"B_{group + 1}", factors=(("beta", "D"),), group=group),
        )
    ),
)
