"""A fit and its answers in at most fifteen lines, the default output of `scaling fit` and `run`;
--verbose prints everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from scaling.sweep.families.registry import describe_shape
from scaling.tables.metrics import name_quantity
from scaling.terminal.answers import describe_distance, format_ends, format_interval, write_equation
from scaling.terminal.questions import describe_asked
from scaling.units import align_columns, clean_line, format_count, format_flops
from scaling.units.losses import NATS, LossScale
from scaling.words.checks import describe_failure, sort_by_gravity
from scaling.words.statuses import STATUSES

if TYPE_CHECKING:
    from scaling.allocation import Allocation
    from scaling.fitting.fitted import Check, Fit, Frontier, MemberScore

_CHECKS_SHOWN = 4  # with the law and six frontiers that makes fifteen lines
_PARAMETERS_A_LINE = 3
_MEMBERS_NAMED = 3


def format_fit_briefly(fit: Fit, scale: LossScale = NATS) -> str:
    """The law, the growth of N* by every approach, and a line for each failed check; losses in the
    unit of `scale`."""
    lines = [f"fit of {fit.n} runs: {STATUSES[fit.status].line}"]
    if fit.law is None and fit.reason:
        lines.append(f"  {scale.reword(fit.reason)}")
    lines += _list_law(fit, scale)
    lines += _tabulate_frontiers(fit)
    if fit.answer is not None:
        lines.append(
            f"answers come from {_name_members(fit.answer.members)} (all of it: --verbose)"
        )
    return "\n".join(lines + list_failures(fit.checks, scale))


def format_answer_briefly(answer: Allocation, scale: LossScale = NATS) -> str:
    """What to train for a budget, how sure that is, and how far beyond the data; no checks."""
    said = name_quantity(answer.metric, scale)
    head = f"{describe_asked(answer, scale)} ({describe_distance(answer.extrapolation_decades)}):"
    lines = [head]
    known = answer.measured
    if known is not None:
        value = said.to_metric(scale.to(known.loss))
        lines.append(
            f"  measured there: {value:.4f}{said.suffix} at N {format_count(known.params)}, "
            f"D {format_count(known.tokens)}"
        )
    params_ends = format_interval(answer.params_interval, None)
    tokens_ends = format_interval(answer.tokens_interval, None)
    lines += [
        f"  params {_join(format_count(answer.params), params_ends)}, "
        f"tokens {_join(format_count(answer.tokens), tokens_ends)}"
    ]
    if answer.loss is not None:
        value = said.to_metric(scale.to(answer.loss))
        ends = format_ends(answer.loss_interval, said, scale)
        lines.append(f"  {said.name} {_join(f'{value:.4f}', ends)}{said.suffix}")
    if answer.flat_basin is not None:
        low, high = (format_count(end) for end in answer.flat_basin)
        lines.append(
            f"  N from {low} to {high} costs at most {answer.compute_penalty:.0%} more compute"
        )
    if answer.shape is not None:
        built = answer.shape
        lines.append(
            f"  build: {describe_shape(built.shape).line} ({format_count(built.params)}) on "
            f"{format_count(built.tokens)} tokens"
        )
    return "\n".join(lines)


def format_growth(fit: Fit) -> str:
    """Growth of N* with C in a line: of the law that answers, and the range of all approaches."""
    slopes = [one.a for one in fit.approaches.values()]
    if fit.answer is None or not slopes:
        return ""
    mine = fit.answer.frontier
    interval = (mine.intervals or {}).get("a")
    others = f"; {min(slopes):.3f} to {max(slopes):.3f} by the approaches"
    return f"N* grows as C^{mine.a:.3f} {format_interval(interval, '.3f')}".rstrip() + others


def list_failures(checks: Iterable[Check], scale: LossScale = NATS) -> list[str]:
    """A line for each failed check, the gravest first; beyond four, the rest by name."""
    failed = sort_by_gravity(check for check in checks if check.passed is False)
    shown = failed if len(failed) <= _CHECKS_SHOWN else failed[: _CHECKS_SHOWN - 1]
    lines = [
        clean_line(f"  ! {check.code}: {scale.reword(describe_failure(check))}") for check in shown
    ]
    if rest := [check.code for check in failed[len(shown) :]]:
        lines.append(f"  ! also {', '.join(rest)}")
    return lines


def _join(value: str, ends: str) -> str:
    """A number and its interval, if it has one."""
    return f"{value} {ends}".rstrip()


def _list_law(fit: Fit, scale: LossScale) -> list[str]:
    """The equation and its parameters, three to a line."""
    if fit.law is None:
        return []
    law = fit.law.rewrite(fit.law.find_scale(scale))
    lines = [write_equation(fit, fit.law, scale)]
    if fit.members:
        return [*lines, f"  {_name_members(fit.members)}"]
    parts = []
    for name, value in law.params.items():
        interval = (law.intervals or {}).get(name)
        ends = "" if interval is None else f" [{interval.low:.4g}, {interval.high:.4g}]"
        parts.append(f"{name} {value:.4g}{ends}")
    starts = range(0, len(parts), _PARAMETERS_A_LINE)
    rows = [", ".join(parts[at : at + _PARAMETERS_A_LINE]) for at in starts]
    level = next((one.level for one in (law.intervals or {}).values() if one is not None), None)
    if level is not None:
        rows[-1] += f" ({level:.0%})"
    return lines + [f"  {row}" for row in rows]


def _tabulate_frontiers(fit: Fit) -> list[str]:
    """A row for each approach: the exponent of N* and N* at the largest budget fitted; the
    projection only checks Approach 3 and has no row."""
    named: list[tuple[str, Frontier]] = [
        (name, one) for name, one in fit.approaches.items() if name != "projection"
    ]
    if fit.answer is not None:
        named.insert(0, ("ensemble", fit.answer.frontier))
    if not named:
        return []
    top = max(one.range[1] for _, one in named)
    head = "N* = k · C^a by"
    rows = [(head, "a", "", f"N* at {format_flops(top)}")]
    for name, one in named:
        ends = format_interval((one.intervals or {}).get("a"), ".3f")
        at_top = format_count(one.k_n * top**one.a)
        rows.append((name.ljust(len(head)), f"{one.a:.3f}", ends, at_top))
    return align_columns(rows)


def _name_members(members: Sequence[MemberScore]) -> str:
    """The members that weigh most, and how many there are."""
    taking = [one for one in members if one.converged is not None]
    heavy = sorted(taking, key=lambda one: -one.weight)[:_MEMBERS_NAMED]
    named = ", ".join(f"{one.name} {one.weight:.2f}" for one in heavy)
    return f"{len(taking)} laws weighted by held-out error: {named} ..."
