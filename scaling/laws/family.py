"""LawFamily: the interface that a law of L(N, D) must implement to be fitted.

A family is a formula with two coordinate systems: *coefficients*, the published parameters that are
stored and printed, and *theta*, the optimiser's, in which the problem is well scaled. Data enter
centred (`Axes`), so that theta of one table is of order one whatever its units.

Laws that are sums of power laws are a list of terms (power_sum.py). Other laws are a formula in
second-order Taylor arithmetic (formula.py, jets.py), from which gradient and Hessian follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scaling.units import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The data's coordinates, centred: x = ln N − centre[0], y = ln D − centre[1].

    Attributes:
        x, y: Shape (n,).
        centre: Means of ln N, ln D and ln loss [ln nats/token] over the rows.
        log_unique: ln U (unique tokens), not centred, shape (n,); None: every token is unique.
        group: Recipe of each row, 0, 1, …, shape (n,), for laws that compare recipes; None: one.
    """

    x: FloatArray
    y: FloatArray
    centre: tuple[float, float, float]
    log_unique: FloatArray | None = None
    group: IntArray | None = None

    def take(self, rows: IntArray) -> Axes:
        """Some of the rows, in the same coordinates."""
        return Axes(
            x=self.x[rows],
            y=self.y[rows],
            centre=self.centre,
            log_unique=None if self.log_unique is None else self.log_unique[rows],
            group=None if self.group is None else self.group[rows],
        )


# L = F + (G + A/N'^alpha + B/D'^beta)^k, the form that most laws share. N' and D' saturate with
# R_N and R_D as in data_constrained.py; where those are infinite, N' = N and D' = D.
JOINED = ("F", "G", "ln_A", "alpha", "ln_B", "beta", "k", "R_D", "R_N")


@dataclass(frozen=True, slots=True, kw_only=True)
class LawWords:
    """A law in words, for page and terminal.

    Attributes:
        origin: Who published it, and what it assumes.
        title: Its name on the page; empty: as on the command line.
        beside: How it differs from the law that answers, if its point fit is shown beside the
            answer; empty if it is not shown.
    """

    origin: str = ""
    title: str = ""
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """A law at fixed exponents: L/s = offset + (Σ_j weight_j · column_j)^power, weights ≥ 0.

    Attributes:
        columns: Shape (K, m, n), non-negative; m may be 0.
        power: Shape (K, 1).
        offset: Broadcasts to (K, n); where it is not zero, power is 1.
    """

    columns: FloatArray
    power: FloatArray
    offset: FloatArray


class Law(Protocol):
    """One formula L(N, D) in nats/token that can be evaluated.

    Attributes:
        name: Machine-readable name.
        equation: Equation as printed.
        param_names: Parameters of the coefficients, in the order of every array of them.
        has_frontier: Whether a best N exists for a budget.
        loss_letters: Parameters that are proportional to the loss, so that they follow its unit;
            None if other parameters depend on the loss too, or in another way.
    """

    @property
    def name(self) -> str: ...
    @property
    def equation(self) -> str: ...
    @property
    def param_names(self) -> tuple[str, ...]: ...
    @property
    def has_frontier(self) -> bool: ...
    @property
    def loss_letters(self) -> tuple[str, ...] | None: ...

    def loss(
        self,
        coefficients: FloatArray,
        params: FloatArray,
        tokens: FloatArray,
        unique_tokens: FloatArray | None = None,
    ) -> FloatArray:
        """L(N, D) [nats/token]; the last axis of `coefficients` holds the parameters, the rest
        broadcasts against N and D. U matters to laws of repeated data only; None: all unique."""
        ...

    def loss_elasticity(
        self, coefficients: FloatArray, params: FloatArray, tokens: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """(∂ ln L / ∂ ln N, ∂ ln L / ∂ ln D), broadcast as in `loss`."""
        ...

    def tokens_for_loss(
        self, coefficients: FloatArray, params: FloatArray, loss: FloatArray
    ) -> FloatArray:
        """D at which models of N parameters reach `loss`; inf if none does."""
        ...

    def optimal_params(
        self, coefficients: FloatArray, flops: FloatArray, kappa: FloatArray
    ) -> FloatArray:
        """N* under C = κ·N·D with one κ for every N."""
        ...

    def join_powers(self, coefficients: FloatArray) -> FloatArray | None:
        """The law in the parameters of JOINED, shape (..., 9); None if it has another form."""
        ...


class LawFamily(Law, Protocol):
    """A law as it is fitted; p parameters, K parameter vectors at once.

    Attributes:
        parent: Name of the simpler law it is compared with; None: none.
        words: What it is called, and where it comes from.
        scored: Whether a backtest scores it by default, when no laws are named.
        theta_names: Names of the coordinates, for messages; those of parameters where they match.
        weights: Indices of the coordinates of the terms in N and D: at their lower bound a term has
            vanished, and nothing says how to split a budget.
        floor: Index of E [nats/token]; None if the law has no fitted floor.
        exponents: Indices of the coordinates that variable projection searches; all are positive.
        search: Range (low, high) searched for each of them, shape (q, 2), within the bounds.
        needs_repeats: Whether fitting it requires runs that repeat their data (D > U).
        rugged: Whether its objective has local minima on real tables: every start is then followed.
        lower, upper: Bounds of theta, shape (p,).
    """

    @property
    def parent(self) -> str | None: ...
    @property
    def words(self) -> LawWords: ...
    @property
    def scored(self) -> bool: ...
    @property
    def theta_names(self) -> tuple[str, ...]: ...
    @property
    def weights(self) -> tuple[int, ...]: ...
    @property
    def floor(self) -> int | None: ...
    @property
    def exponents(self) -> tuple[int, ...]: ...
    @property
    def search(self) -> FloatArray: ...
    @property
    def needs_repeats(self) -> bool: ...
    @property
    def rugged(self) -> bool: ...
    @property
    def lower(self) -> FloatArray: ...
    @property
    def upper(self) -> FloatArray: ...

    def log_loss(self, theta: FloatArray, axes: Axes) -> tuple[FloatArray, FloatArray]:
        """(ln L − centre[2], ∇L / L), shapes (K, n) and (K, p, n), for theta of shape (K, p)."""
        ...

    def curvature(
        self, theta: FloatArray, gradient: FloatArray, weight: FloatArray, axes: Axes
    ) -> FloatArray:
        """Σ_i weight_i · (∇²L / L)_i, shape (K, p, p); `gradient` is `log_loss`'s at theta."""
        ...

    def basis(self, exponents: FloatArray, axes: Axes) -> Basis:
        """The law at fixed exponents of shape (K, q)."""
        ...

    def join(self, exponents: FloatArray, linear: FloatArray, axes: Axes) -> FloatArray:
        """theta (K, p) from exponents (K, q) and the non-negative weights (K, m) of `basis`."""
        ...

    def to_coefficients(self, theta: FloatArray, axes: Axes) -> FloatArray:
        """Published parameters, (K, p) -> (K, p)."""
        ...

    def to_theta(self, coefficients: FloatArray, axes: Axes) -> FloatArray:
        """Inverse of `to_coefficients`, clipped to the bounds."""
        ...
