"""Loss as a power law of compute alone, for runs that lie on one line or near their frontier.

    L = E + A / (N·D)^α        [nats/token];   with C = 6ND: E + A·6^α / C^α

Source: Henighan et al. 2020, arXiv:2010.14701, eq. 1.1. The law has no frontier and cannot split a
budget; it forecasts the loss of runs that split theirs as the table's runs did.
"""

from __future__ import annotations

from scaling.laws.family import LawWords
from scaling.laws.power_sum import PowerSum, Term

COMPUTE = PowerSum(
    "compute",
    equation="E + A/(N*D)^alpha",
    terms=(Term(letter="A", factors=(("alpha", "ND"),)),),
    scored=True,
    words=LawWords(
        origin="Henighan et al. 2020, arXiv:2010.14701, eq. 1.1: a power law of compute alone"
    ),
)
