"""Power laws of N or of D alone, for runs that vary one of them: E + A/N^α and E + B/D^β.

They are fitted like every law, but are no answer to a budget, so the registry does not name them.

Source: Kaplan et al. 2020, arXiv:2001.08361, eq. 1.1 and 1.2, there without a floor; Henighan et
al. 2020, arXiv:2010.14701, eq. 1.1, with one.
"""

from __future__ import annotations

from scaling.laws.power_sum import PowerSum, Term

OF_PARAMS = PowerSum(
    "of_params",
    equation="E + A/N^alpha",
    terms=(Term(letter="A", factors=(("alpha", "N"),)),),
)
OF_TOKENS = PowerSum(
    "of_tokens",
    equation="E + B/D^beta",
    terms=(Term(letter="B", factors=(("beta", "D"),)),),
)
