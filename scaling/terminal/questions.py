"""What an answer to a question in other terms adds to that to a budget, line by line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaling.tables.metrics import LOSS
from scaling.units import align_columns, format_count, format_flops
from scaling.units.losses import NATS, LossScale

if TYPE_CHECKING:
    from scaling.allocation import Allocation
    from scaling.allocation.answer import ParetoRow, Spending, TradeOffs

_HEAD = ("training", "of the least", "params", "tokens", "serving/token", "weights", "pays from")
_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
_NOTHING = 5e-4  # share of compute: the resolution of a smoothed cost model
# From the first on, "more" is written as a multiple; from the second on, "less" gets a decimal, so
# that it does not read 100%.
_MANY_TIMES, _NEARLY_ALL = 9.5, 0.995


def describe_asked(answer: Allocation, scale: LossScale = NATS) -> str:
    """The head of an answer: what it is for, and what decides it."""
    question = answer.question
    if question is None or (question.is_plain and question.hardware is None):
        return f"For {format_flops(answer.flops)} FLOPs"
    if question.target_loss is not None:
        head = f"For a loss of {scale.to(question.target_loss):g} {scale.label}"
    else:
        head = f"For {format_flops(answer.flops)} FLOPs of training"
    return f"{head}, decided by {', '.join(answer.binding)}"


def list_costs(answer: Allocation) -> list[str]:
    """Training, service, repeats: what the answer costs in the question's terms."""
    question, spending = answer.question, answer.spending
    if question is None or spending is None or (question.is_plain and question.hardware is None):
        return []
    lines = [f"  training {format_flops(answer.flops)} FLOPs{_format_ends(answer)}"]
    if (hours := _format_hours(spending)) and question.hardware is not None:
        lines.append(f"  on {question.hardware.name}: {hours}")
    if question.inference_tokens is not None and spending.lifetime_flops is not None:
        lines.append(
            f"  serving {format_count(question.inference_tokens)} tokens "
            f"{format_flops(spending.inference_flops or 0.0)} FLOPs; with training "
            f"{format_flops(spending.lifetime_flops)}"
        )
    if question.inference_tokens is not None or question.serving_memory is not None:
        lines.append(f"  weights in service {_format_bytes(spending.serving_bytes)}")
    if answer.epochs is not None and question.unique_tokens is not None:
        lines.append(
            f"  {answer.epochs:.3g} epochs over {format_count(question.unique_tokens)} unique "
            "tokens"
        )
    return lines


def list_trade_offs(answer: Allocation) -> list[str]:
    """What other sizes cost for the same loss; the Pareto table where service is asked about."""
    traded, question = answer.trade_offs, answer.question
    if traded is None or question is None:
        return []
    lines = []
    if traded.extra_compute > _NOTHING:
        much = f"{_format_more(traded.extra_compute)} {traded.of} compute"
        lines.append(
            f"  costs {much} than the cheapest way to this {_name_quantity(answer)}, "
            f"N = {format_count(traded.cheapest_params)}"
        )
    lines += _list_sizes(traded, _name_quantity(answer))
    if question.inference_tokens is not None or question.serving_memory is not None:
        lines += _list_pareto(traded.pareto, _name_quantity(answer))
    return lines


def list_assumptions(answer: Allocation) -> list[str]:
    """What the answer rests on that no run has measured."""
    return [f"  assumed: {note}" for note in answer.notes]


def _name_quantity(answer: Allocation) -> str:
    return (answer.metric or LOSS).name


def _list_sizes(traded: TradeOffs, what: str) -> list[str]:
    parts = []
    for one in traded.other_sizes:
        name = f"N/{1 / one.factor:g}" if one.factor < 1 else f"{one.factor:g}N"
        more = "cannot" if one.extra_compute is None else _format_more(one.extra_compute)
        parts.append(f"{name} {more}")
    kind = "" if traded.of == "training" else f"{traded.of} "
    return [f"  {kind}compute for the same {what} at other sizes: {', '.join(parts)}"]


def _list_pareto(rows: tuple[ParetoRow, ...], what: str) -> list[str]:
    if not rows:
        return []
    table = [
        (
            format_flops(row.flops),
            f"×{row.flops / rows[0].flops:.3g}",
            format_count(row.params),
            format_count(row.tokens),
            format_flops(row.serving_flops_per_token),
            _format_bytes(row.serving_bytes),
            f"{format_count(row.pays_from_tokens)} tokens" if row is not rows[0] else "–",
        )
        for row in rows
    ]
    body = [f"    {line}" for line in align_columns([_HEAD, *table])]
    return [f"  the same {what}, from cheapest to train to cheapest to serve [FLOPs]:", *body]


def _format_ends(answer: Allocation) -> str:
    interval = answer.flops_interval
    if interval is None:
        return ""
    high = "without end" if interval.high == float("inf") else format_flops(interval.high)
    return f"  [{format_flops(interval.low)}, {high}] ({interval.level:.0%})"


def _format_hours(spending: Spending) -> str:
    hours, days = spending.device_hours, spending.days
    parts = [] if hours is None else [f"{hours:.3g} device-hours"]
    parts += [] if days is None else [f"{days:.3g} days"]
    if spending.dollars is not None:
        cents = ",.2f" if spending.dollars >= 1 else ".2g"
        parts.append(f"${spending.dollars:{cents}}")
    return ", ".join(parts)


def _format_bytes(value: float) -> str:
    at = min(max(0, int(math.log10(max(value, 1.0)) // 3)), len(_BYTES) - 1)
    return f"{value / 1000.0**at:.3g} {_BYTES[at]}"


def _format_more(extra: float) -> str:
    """33% more, 20% less, 12 times more."""
    if extra >= _MANY_TIMES:
        return f"{extra:,.0f} times more"
    share = abs(extra)
    words = f"{share:.0%}" if 0.1 <= share < _NEARLY_ALL or extra >= 0.1 else f"{share:.1%}"
    return f"{words} {'more' if extra >= 0 else 'less'}"
