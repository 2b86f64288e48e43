"""PriorLaw: the law and noise assumed for the losses before they are measured.

Without runs it is a published law, moved to the scale of the sweep. The exponents of the published
law are kept, and the parts of the loss at the middle of the data that it was fitted to: .707 floor,
.151 from N, .143 from D (E = 1.8172, A = 477.8, B = 2143.4, alpha = .3473, beta = .3672 at
8.6e19 FLOPs, the geometric mean of its 240 runs). That middle is moved to where the sweep file
expects the optimum of its middle budget (`grid.prior`). A design depends on the relative course of
the loss; its level, which only sets the nats, is .6 of the unigram entropy, as measured by runs of
1e11 FLOPs on bytes of Python's library. Beyond the data real runs depart from any law, so intervals
take the model error that sweeps of twelve texts showed.

Source: Besiroglu et al. 2024, arXiv:2404.10102, refitted (decision 0079) to Hoffmann et al. 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scaling.errors import NoFitError, UsageError
from scaling.fitting.discrepancy import SEVERAL_LAWS
from scaling.fitting.fitted import Discrepancy, Fit
from scaling.laws.family import Law
from scaling.laws.registry import find_law, read_law
from scaling.sweep.cost_model import CostModel
from scaling.units import FloatArray

# What sweeps like the quickstart's show on twelve texts (docs/measurements/population.md): the
# median of their seed noise, and the ensemble's rate of model error on each (root mean square).
DEFAULT_NOISE = 0.008
TEXT_RATES = (
    0.007, 0.009, 0.009, 0.013, 0.019, 0.019, 0.021, 0.022, 0.024, 0.025, 0.025, 0.029,
)  # fmt: skip
PUBLISHED_EXPONENTS = (0.34731, 0.36717)
_FLOOR_SHARE = 0.707
_LEVEL = 0.6
_STEP = 0.01  # step in ln N for the cost's slope


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorLaw:
    """An assumed law and its noise.

    Attributes:
        family: Name of the law.
        coefficients: Its parameters, in the order of the law.
        sigma: Standard deviation of ln loss of one run.
        source: Where the law comes from, for people.
        noise_source: Where sigma comes from.
        evaluation_error: Error of ln loss that the prior's runs share; None if unknown.
        discrepancy: Model error beyond the data as shown by the prior's runs, or by those of other
            texts; None: as the simulated runs show.
    """

    family: str
    coefficients: tuple[float, ...]
    sigma: float
    source: str
    noise_source: str
    evaluation_error: float | None = None
    discrepancy: Discrepancy | None = None

    @property
    def law(self) -> Law:
        """The formula."""
        return find_law(self.family)

    @property
    def letters(self) -> FloatArray:
        """The coefficients as an array."""
        return np.array(self.coefficients)


def scale_published_law(
    *, params: float, flops: float, cost: CostModel, unigram_entropy: float, sigma: float | None
) -> PriorLaw:
    """The published law moved to the scale of a sweep.

    Args:
        params: N expected to be best ...
        flops: ... at this budget, the middle of the sweep [FLOPs].
        cost: FLOPs per token as a function of N.
        unigram_entropy: Unigram entropy of the corpus [nats/token].
        sigma: Noise as stated; None: `DEFAULT_NOISE`.
    """
    alpha, beta = PUBLISHED_EXPONENTS
    per_token = cost.flops_per_token(np.array([params * math.exp(at) for at in (-_STEP, 0, _STEP)]))
    slope = float(np.log(per_token[2] / per_token[0]) / (2.0 * _STEP))  # 1 where C = 6ND
    # At N* the terms balance: alpha · (term in N) = beta · (term in D) · d ln C / d ln N.
    by_params = (1.0 - _FLOOR_SHARE) * beta * slope / (alpha + beta * slope)
    by_tokens = 1.0 - _FLOOR_SHARE - by_params
    level = _LEVEL * unigram_entropy
    tokens = flops / float(per_token[1])
    coefficients = (
        _FLOOR_SHARE * level,
        by_params * level * params**alpha,
        by_tokens * level * tokens**beta,
        alpha,
        beta,
    )
    noise, noise_source = sigma, "as stated"
    if noise is None:
        noise = DEFAULT_NOISE
        noise_source = "assumed, as seeds of twelve texts differ"
    return PriorLaw(
        family="chinchilla",
        coefficients=coefficients,
        sigma=noise,
        source="published exponents (Besiroglu et al. 2024), scaled to this sweep",
        noise_source=noise_source,
        discrepancy=Discrepancy(rates=TEXT_RATES, below=SEVERAL_LAWS.below, windows=()),
    )


def read_prior(fit: Fit, *, sigma: float | None, answering: bool = False) -> PriorLaw:
    """The prior law given by a fit of the runs finished so far.

    Args:
        fit: Fit of the finished runs.
        sigma: Noise as stated; None: of its replicates, else of its residuals.
        answering: Whether to take the ensemble that answers in place of the law.

    Raises:
        NoFitError: The fit has no law that losses could be drawn from.
        UsageError: The runs show no noise and none is stated.
    """
    fit = fit.answering if answering else fit
    if fit.law is None or fit.status in ("failed", "not_converged"):
        raise NoFitError(f"{fit.source}: no law to draw losses from. {fit.reason}")
    measured = fit.replicate_sigma or fit.residual_sigma or 0.0
    source = "as its replicates differ" if fit.replicate_sigma else "as its residuals scatter"
    noise = sigma if sigma is not None else measured
    if noise <= 0:
        raise UsageError(f"{fit.source}: its runs show no noise; state one with --noise.")
    return PriorLaw(
        family=fit.law.family,
        coefficients=tuple(read_law(fit.law.family, fit.law.params)[1].tolist()),
        sigma=noise,
        source=f"the law fitted to {fit.source} ({fit.n} runs, {fit.status})",
        noise_source="as stated" if sigma is not None else source,
        evaluation_error=fit.evaluation_error,
        discrepancy=fit.discrepancy,
    )
