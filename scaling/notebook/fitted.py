"""A fit with methods to query it, plot it and export its numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from scaling.fitting.fitted import Check, Fit
from scaling.sweep.own_ladder import list_sweep_ladder
from scaling.tables.run_table import RunTable
from scaling.units.losses import NATS, LossScale
from scaling.workflow.stored import StoredSweep

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from scaling.allocation import Allocation, Hardware, Prediction
    from scaling.notebook.frames import FrameName
    from scaling.notebook.plots import PlotName


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Fitted:
    """A fit as returned by `scaling.fit`.

    Attributes:
        fit: The laws, frontiers, draws and checks; losses in nats per token.
        table: The rows that were fitted.
        stored: The sweep they came from; None for a table.
        scale: The unit of losses in which answers, figures and frames are given.
    """

    fit: Fit
    table: RunTable
    stored: StoredSweep | None = None
    scale: LossScale = NATS

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check of the fit; `passed` is None if it could not be judged."""
        return self.fit.checks

    def allocate(
        self,
        flops: float | None = None,
        *,
        hardware: Hardware | None = None,
        params: float | None = None,
        tokens: float | None = None,
        tokens_per_param: float | None = None,
        target_loss: float | None = None,
        inference_tokens: float | None = None,
        unique_tokens: float | None = None,
        serving_memory: float | None = None,
        far: bool = False,
        anyway: bool = False,
    ) -> Answer:
        """The N and D to train for a budget, or under any of these conditions together.

        Args:
            flops: Training compute C [FLOP].
            hardware: Money, devices and deadline.
            params: N, as the fit counts it.
            tokens: D.
            tokens_per_param: D / N.
            target_loss: Loss to reach, in the fit's unit.
            inference_tokens: Tokens the model will process in service.
            unique_tokens: Distinct tokens available for training.
            serving_memory: Memory for the weights in service [bytes].
            far: Answer beyond three decades from the data.
            anyway: Answer from a fit that did not converge.

        Returns:
            The answer; its numbers are attributes, such as `params` and `params_interval`.

        Raises:
            QueryError: Conditions contradict each other, or the answer lies too far from the data.
            NoFitError: The fit has no answer.
        """
        from scaling.allocation import Question, allocate

        question = Question(
            flops=flops,
            hardware=hardware,
            params=params,
            tokens=tokens,
            tokens_per_param=tokens_per_param,
            target_loss=None if target_loss is None else self.scale.from_(target_loss),
            inference_tokens=inference_tokens,
            unique_tokens=unique_tokens,
            serving_memory=serving_memory,
        )
        ladder = None
        if self.stored is not None:
            ladder = list_sweep_ladder(self.stored.spec, self.stored.facts)
        answer = allocate(self.fit, question, ladder=ladder, far=far, anyway=anyway)
        return Answer(answer=answer, scale=self.scale)

    def predict(
        self,
        params: float,
        tokens: float,
        *,
        unique_tokens: float | None = None,
        far: bool = False,
        anyway: bool = False,
    ) -> Answer:
        """The loss of a model of N parameters trained on D tokens.

        Args:
            params: N, as the fit counts it.
            tokens: D.
            unique_tokens: Distinct tokens among D; None: all of them.
            far: Answer beyond three decades from the data.
            anyway: Answer from a fit that did not converge.

        Returns:
            The answer; its numbers are attributes, such as `loss` and `new_run_interval`.

        Raises:
            QueryError, NoFitError: As for `allocate`.
        """
        from scaling.allocation import predict

        answer = predict(
            self.fit,
            params=params,
            tokens=tokens,
            unique_tokens=unique_tokens,
            far=far,
            anyway=anyway,
        )
        return Answer(answer=answer, scale=self.scale)

    def plot(self, name: PlotName = "isoflop", ax: Axes | None = None) -> Axes:
        """Draw a figure of the report on your axes, or on new ones.

        Args:
            name: "isoflop": loss against N, a parabola per budget; "law": loss against D with the
                law; "residuals": residuals of the law against N; "params", "tokens", "ratio": N*,
                D* and D*/N* against C; "compute": loss against C with registered forecasts and
                their outcomes; "backcast": the largest budget forecast from the smaller ones.
            ax: Axes to draw on; None: those of a new figure.

        Returns:
            The axes.

        Raises:
            UsageError: No figure has that name, or the runs do not allow it.
        """
        from scaling.notebook.plots import plot_fit

        return plot_fit(self.fit, self.table, self.stored, self.scale, name, ax)

    def to_frame(self, name: FrameName = "runs") -> pd.DataFrame:
        """Numbers as a pandas DataFrame.

        Args:
            name: "runs": the fitted rows, columns as tables name them, losses in the fit's unit;
                "draws": bootstrap draws of the law's parameters, in nats; "frontier": a row for
                each approach; "checks": a row for each check.

        Returns:
            The frame.

        Raises:
            UsageError: No frame has that name, or the fit has no draws.
        """
        from scaling.notebook.frames import make_frame

        return make_frame(self.fit, self.table, self.scale, name)

    def __repr__(self) -> str:
        """The law and the exponents in a few lines."""
        from scaling.terminal.brief import format_fit_briefly, format_growth

        whole = format_fit_briefly(self.fit, self.scale).splitlines()
        law = [line for line in whole if not line.startswith("  !")][:4]
        failed = [check.code for check in self.checks if check.passed is False]
        last = f"failed checks: {', '.join(failed)}" if failed else "no failed check"
        return "\n".join([*law[:3], format_growth(self.fit) or law[-1], last])

    def _repr_html_(self) -> str:
        return _as_html(repr(self))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Answer:
    """An answer with its unit of losses. Its numbers are attributes: `params`, `tokens`, `flops`,
    `loss`, `params_interval`, ...; an allocation has those of `Allocation`, a prediction those of
    `Prediction`.

    Attributes:
        answer: The answer itself; losses in nats per token.
        scale: The unit of losses.
    """

    answer: Allocation | Prediction
    scale: LossScale

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self.answer, name)
        if value is None or self.scale.unit == "nats":
            return value
        if name == "loss":
            return self.scale.to(value)
        if name in ("loss_interval", "mean_interval", "new_run_interval", "text_interval"):
            ends = {"low": self.scale.to(value.low), "high": self.scale.to(value.high)}
            return dataclasses.replace(value, **ends)
        return value

    def to_frame(self) -> pd.DataFrame:
        """A frame of one row: the numbers of the answer's JSON, intervals as two columns."""
        import pandas as pd

        told = self.answer.to_contract(self.scale)
        row = {key: one for key, one in told.items() if isinstance(one, int | float | str)}
        for name, ends in (told.get("intervals") or {}).items():
            if ends is not None:
                row |= {f"{name}_low": ends[0], f"{name}_high": ends[1]}
        return pd.DataFrame([row])

    def __repr__(self) -> str:
        from scaling.allocation import Allocation
        from scaling.terminal.answers import format_prediction
        from scaling.terminal.brief import format_answer_briefly

        if isinstance(self.answer, Allocation):
            return format_answer_briefly(self.answer, self.scale)
        return format_prediction(self.answer, self.scale).partition("\n\n")[0]

    def _repr_html_(self) -> str:
        return _as_html(repr(self))


def _as_html(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"
