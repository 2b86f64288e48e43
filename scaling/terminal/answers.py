"""Answers as text for a terminal: the output of `scaling fit`, `allocate`, `plan` and others."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from scaling.sweep.families.registry import describe_shape
from scaling.tables.metrics import MetricFacts, name_quantity
from scaling.terminal.questions import describe_asked, list_assumptions, list_costs, list_trade_offs
from scaling.units import align_columns, clean_line, format_count, format_flops
from scaling.units.losses import NATS, LossScale
from scaling.words.checks import CATALOGUE
from scaling.words.statuses import STATUSES

if TYPE_CHECKING:
    from scaling.allocation import Allocation, Prediction
    from scaling.allocation.answer import PlainAnswer
    from scaling.allocation.measured import Measurement
    from scaling.allocation.members import MemberAnswers
    from scaling.compare.multiplier import Comparison
    from scaling.fitting.backtest import Backtest
    from scaling.fitting.fitted import Check, Fit, Frontier, Interval, LawEstimate, MemberScore
    from scaling.fitting.truncation import Truncated, Truncation, TruncationCurve


_NEGLIGIBLE = 5e-4  # share of compute that rounds to zero when printed


def format_fit(fit: Fit, scale: LossScale = NATS) -> str:
    """The law, its frontier by every approach, and the checks that did not pass; losses in the
    unit of `scale`."""
    lines = [f"fit of {fit.n} runs: {STATUSES[fit.status].line}"]
    # A failed check that says the same is printed below, with its remedy.
    if fit.reason and not any(c.passed is False and c.seen in fit.reason for c in fit.checks):
        lines.append(f"  {scale.reword(fit.reason)}")
    if fit.law is not None:
        own = fit.law.find_scale(scale)
        law = fit.law.rewrite(own)
        lines += ["", write_equation(fit, fit.law, scale), *_list_members(fit.members)]
        for name, value in () if fit.members else law.params.items():
            interval = (law.intervals or {}).get(name)
            profile = ""
            if name == "E" and fit.floor is not None:
                low, high = own.to(fit.floor.low), own.to(fit.floor.high)
                profile = f"  profile [{low:.4g}, {high:.4g}]"
            ends = format_interval(interval, ".4g")
            lines.append(f"  {name:<6} {value:<12.5g} {ends}{profile}".rstrip())
    if fit.objective is not None:
        lines.append(
            f"  objective {fit.objective.name} (delta {fit.objective.delta:.3g}): "
            f"{fit.objective.sum:.10g}"
        )
    if fit.answer is not None:
        lines += [
            "",
            "Answers come from the ensemble of these laws, weighted by held-out error:",
            *_list_members(fit.answer.members),
            *_describe_windows(fit.answer.members),
        ]
    frontiers: list[tuple[str, Frontier]] = list(fit.approaches.items())
    if fit.answer is not None:
        frontiers.insert(0, ("ensemble", fit.answer.frontier))
    for name, frontier in frontiers:
        interval = (frontier.intervals or {}).get("a")
        low, high = frontier.range
        lines += [
            "",
            f"{name}: N* = {frontier.k_n:.4g} · C^{frontier.a:.3f} "
            f"{format_interval(interval, '.3f')}".rstrip(),
            f"  D* = {frontier.k_d:.4g} · C^{frontier.b:.3f}; C counted as {frontier.cost_model}, "
            f"{format_flops(low)} to {format_flops(high)}",
        ]
        unused = "not used" if name == "envelope" else "no minimum used"
        lines += [f"  {unused}: {line}" for line in frontier.rejected]
    lines += _format_checks(fit.checks, scale)
    if any(check.passed is False for check in fit.checks):
        lines.append(f"  What to do about each: {CATALOGUE}")
    return "\n".join(lines)


def write_equation(fit: Fit, law: LawEstimate, scale: LossScale) -> str:
    """The equation of a fit's law, with its unit."""
    from scaling.laws.registry import find_law

    own = law.find_scale(scale)
    what, unit = "L(N, D)", scale.describe_law(own)
    if fit.metric is not None:
        what, unit = fit.metric.symbol, fit.metric.unit
    return f"{what} = {find_law(law.rewrite(own).family).equation}{unit and f'   [{unit}]'}"


def format_groups(
    column: str,
    fits: Mapping[str, Fit],
    scale: LossScale = NATS,
    *,
    say: Callable[[Fit, LossScale], str],
) -> str:
    """One line for each group's law, and below them the notes on each group's fit."""
    ends = [one.frontier.range[1] for one in fits.values() if one.frontier is not None]
    top = min(ends, default=None)
    laws = {key: one.law.rewrite(one.law.find_scale(scale)) for key, one in fits.items() if one.law}
    names = list(dict.fromkeys(name for one in laws.values() for name in one.params))
    head = [column, "runs", *names, "a", "" if top is None else f"N* at {format_flops(top)}"]
    rows = [head]
    for key, one in fits.items():
        law = laws[key].params if key in laws else {}
        row = [key or "(empty)", str(one.n), *(f"{law[n]:.4g}" if n in law else "" for n in names)]
        if one.frontier is None or top is None:
            row += ["", one.status]
        else:
            at = one.frontier.k_n * top**one.frontier.a
            row += [f"{one.frontier.a:.3f}", format_count(at)]
        rows.append(row)
    parts = [f"{column} = {key}:\n{say(one, scale)}" for key, one in fits.items()]
    return "\n\n".join(["\n".join(align_columns(rows)), *parts])


def _list_members(members: Iterable[MemberScore]) -> list[str]:
    """A line for each member: weight and its interval, rows, parameters, error of each window."""
    lines = []
    for one in members:
        if one.converged is None:
            lines.append(f"  {one.name:<13} takes no part: too few runs, or a term has vanished")
            continue
        errors = [
            f"{error:.2%} ({bias:+.2%})"
            for error, bias in zip(one.errors, one.biases, strict=True)
            if error is not None and bias is not None
        ]
        interval = one.weight_interval
        ends = "" if interval is None else f" [{interval.low:.2f}, {interval.high:.2f}]"
        proof = "" if one.converged else "; NOT CONVERGED"
        lines.append(
            f"  {one.name:<13} weight {one.weight:.2f}{ends}  {one.rows} runs, {one.letters} "
            f"parameters; held-out error {', '.join(errors) or 'not scored'}{proof}"
        )
    return lines


def _describe_windows(members: Sequence[MemberScore]) -> list[str]:
    """Describe how far the forecasts behind the weights reached."""
    if not members or not members[0].reach:
        return ["  no runs could be held out: Chinchilla's law answers alone"]
    windows = zip(members[0].budgets, members[0].reach, strict=True)
    parts = [f"{budgets} distinct C, ×{reach:.3g} the fitted" for budgets, reach in windows]
    return [f"  held out: {'; '.join(parts)} (mean absolute error of ln L; signed mean beside it)"]


def format_unfiltered(whole: Fit, fit: Fit, scale: LossScale = NATS) -> str:
    """The law of all rows in two lines, to compare with that of the rows the filters kept; N* of
    both at the largest budget fitted."""
    line = f"without filters ({whole.n} runs): {STATUSES[whole.status].line}"
    if whole.law is not None:
        law = whole.law.rewrite(whole.law.find_scale(scale))
        line += "; " + ", ".join(f"{name} {value:.4g}" for name, value in law.params.items())
    if whole.frontier is None:
        return f"{line}\n  {scale.reword(whole.reason)}".rstrip()
    ends = [one.frontier.range[1] for one in (fit, whole) if one.frontier is not None]
    answers = [
        f"N* = {format_count(one.frontier.k_n * ends[0] ** one.frontier.a)} "
        f"(a {one.frontier.a:.3f}) {what}"
        for one, what in ((whole, "without filters"), (fit, "with them"))
        if one.frontier is not None
    ]
    return f"{line}\n  at {format_flops(ends[0])} FLOPs {', '.join(answers)}"


def _format_measured(found: Measurement, said: MetricFacts, scale: LossScale) -> str:
    """The measured result; the forecast is printed below it."""
    best = "one run" if found.runs == 1 else f"the best of {found.runs} runs"
    value = _format_value(found.loss, said, scale)
    return (
        f"measured at {format_flops(found.flops)} FLOPs: {value} ({best}: "
        f"N {format_count(found.params)}, D {format_count(found.tokens)})"
    )


def _describe_law(answer: Allocation, scale: LossScale) -> list[str]:
    """Name the law that answered; add Chinchilla's answer if the two are far apart."""
    plain = answer.chinchilla
    if answer.family is None or answer.family == "chinchilla":
        return []
    if plain is None or not _are_apart(answer, plain):
        return [f"  answered by {answer.family}"]
    said = name_quantity(answer.metric, scale)
    value = None if plain.loss is None else said.to_metric(scale.to(plain.loss))
    loss = "" if value is None else f", {said.name} {value:.4f}"
    return [
        f"  answered by {answer.family}; Chinchilla's law alone says "
        f"N {format_count(plain.params)}, D {format_count(plain.tokens)}{loss}"
    ]


def _are_apart(answer: Allocation, plain: PlainAnswer) -> bool:
    """Return whether N*, D* or the loss differ by more than half of the answer's interval."""
    pairs = (
        (answer.params, plain.params, answer.params_interval),
        (answer.tokens, plain.tokens, answer.tokens_interval),
        (answer.loss, plain.loss, answer.loss_interval),
    )
    return any(
        mine is not None
        and other is not None
        and (interval is None or abs(mine - other) > 0.5 * (interval.high - interval.low))
        for mine, other, interval in pairs
    )


def format_allocation(
    answer: Allocation, scale: LossScale = NATS, *, said: Collection[Check] = ()
) -> str:
    """One answer: what to train, how sure that is, how far from the data.

    Checks that were already printed with the fit (`said`) are not repeated.
    """
    quantity = name_quantity(answer.metric, scale)
    known = answer.measured
    lines = [] if known is None else [_format_measured(known, quantity, scale), "forecast:"]
    lines += [
        f"{describe_asked(answer, scale)} "
        f"({describe_distance(answer.extrapolation_decades)}, {answer.approach}):",
        f"  params  {format_count(answer.params):>8}  "
        f"{format_interval(answer.params_interval, None)}".rstrip(),
        f"  tokens  {format_count(answer.tokens):>8}  "
        f"{format_interval(answer.tokens_interval, None)}".rstrip(),
    ]
    if answer.loss is not None:
        lines.append(
            f"  {quantity.name:<7} {quantity.to_metric(scale.to(answer.loss)):>8.4f}  "
            f"{format_ends(answer.loss_interval, quantity, scale)}{quantity.suffix}"
        )
        if text := format_ends(answer.wider_on_text, quantity, scale):
            lines.append(f"    on other documents of this text {text}")
    lines.append(f"  {answer.tokens_per_param:.3g} tokens per parameter")
    lines += _describe_law(answer, scale)
    lines += list_costs(answer)
    if answer.flat_basin is not None:
        low, high = (format_count(end) for end in answer.flat_basin)
        lines.append(
            f"  N from {low} to {high} costs at most {answer.compute_penalty:.0%} more compute "
            f"for the same {quantity.name}"
        )
    if answer.shape is not None:
        built = answer.shape
        penalty = _format_penalty(built.compute_penalty)
        lines.append(
            f"  build: {describe_shape(built.shape).line} "
            f"({format_count(built.params)} parameters) on {format_count(built.tokens)} tokens"
            f"{penalty}"
        )
    lines += [*list_trade_offs(answer), *map(scale.reword, list_assumptions(answer))]
    told = [check for check in answer.checks if check not in said]
    return "\n".join(lines + _format_checks(told, scale))


def format_members(
    found: MemberAnswers, scale: LossScale = NATS, metric: MetricFacts | None = None
) -> str:
    """Each member's answer, how far apart they are, and how far the weights reach."""
    said = name_quantity(metric, scale)
    rows: list[tuple[str, ...]] = [("member", "weight", "N*", "D*", said.name)]
    rows += [
        (
            one.name,
            f"{one.weight:.2f}",
            format_count(one.params),
            format_count(one.tokens),
            f"{said.to_metric(scale.to(one.loss)):.4f}",
        )
        for one in (*found.members, found.equal)
    ]
    lines = ["", *(f"  {line}" for line in align_columns(rows))]
    names = ("ln N*", "ln L*" if metric is None else f"ln({said.symbol})")
    if found.within is not None and found.between is not None:
        lines += [
            f"  standard deviation of {what} over draws: {within**0.5:.1%} within members, "
            f"{between**0.5:.1%} between them"
            for what, within, between in zip(names, found.within, found.between, strict=True)
        ]
    if found.reach:
        reach = " and ".join(f"×{one:.3g}" for one in found.reach)
        lines.append(f"  weights come from {reach} the fitted C; you ask ×{found.asked:.3g}")
    return "\n".join(lines)


def format_prediction(answer: Prediction, scale: LossScale = NATS) -> str:
    """The loss, or a metric, of one (N, D)."""
    said, known = name_quantity(answer.metric, scale), answer.measured
    lines = [] if known is None else [_format_measured(known, said, scale), "forecast:"]
    lines += [
        f"N {format_count(answer.params)}, D {format_count(answer.tokens)}: "
        f"{said.name} {_format_value(answer.loss, said, scale)}",
        f"  the law's value  {format_ends(answer.mean_interval, said, scale)}".rstrip(),
        f"  one new run      {format_ends(answer.new_run_interval, said, scale)}".rstrip(),
    ]
    if text := format_ends(answer.wider_on_text, said, scale):
        lines.append(f"  on other text    {text}")
    plain = answer.chinchilla
    if answer.family != "chinchilla":
        beside = ""
        if plain is not None and plain.loss is not None:
            value = said.to_metric(scale.to(plain.loss))
            beside = f"; Chinchilla's law alone says {value:.4f}"
        lines.append(f"  answered by {answer.family}{beside}")
    return "\n".join(lines + _format_checks(answer.checks, scale))


def format_backtest(scored: Backtest) -> str:
    """Errors of each law's forecasts, and the law to forecast with."""
    first = scored.scores[0].forecasts if scored.scores else ()
    heads = [f"{one.axis} {one.fitted_up_to:.0%}" for one in first]
    rows: list[tuple[str, ...]] = [("law", "parameters", *heads, "score")]
    for score in scored.scores:
        errors = ["–" if one.error is None else f"{one.error:.2%}" for one in score.forecasts]
        mean = "–" if score.score is None else f"{score.score:.2%}"
        rows.append((score.family, str(score.letters), *errors, mean))
    lines = [
        "Mean absolute error of ln L on the runs with the most C, N or D (top 15 %), by laws",
        "fitted to the runs up to the quantile of it that heads the column; score: over C.",
        "",
        *align_columns(rows),
        "",
    ]
    if scored.chosen is None:
        lines.append("No law could be scored: too few runs below the held-out ones.")
    else:
        lines.append(
            f"forecast with: {scored.chosen} (the fewest parameters within 5 % of the best)"
        )
    if scored.margin is not None:
        rival, ratio = scored.margin
        lines.append(f"{rival}, the best of the others, misses by ×{ratio:.2f} as much")
    if scored.over_parent is not None:
        parent, ratio = scored.over_parent
        lines.append(f"{parent}, the simpler law that it extends, by ×{ratio:.2f}")
    return "\n".join(lines)


def format_truncation(cut: Truncation) -> str:
    """How small runs may be: the forecast from each part of them, and which part is enough."""
    low, high = (format_flops(end) for end in cut.held_flops)
    span = f"{low} FLOPs" if low == high else f"{low} to {high} FLOPs"
    rows: list[tuple[str, ...]] = [("fitted", "runs", "FLOPs", "error", "bias", "change")]
    rows.append(_describe_step("all", cut.curves[0].steps[0]))  # every curve begins with all runs
    for curve in cut.curves:
        rows += [_describe_step(_describe_edge(curve.drops, one), one) for one in curve.steps[1:]]
    lines = [
        f"How small may the others be? Mean absolute error of ln L on the {cut.held} runs with",
        f"the most C ({span}), by {cut.law}, fitted to what is left of the other {cut.fitted}.",
        "change: against all of them; ±: standard error, by the noise of held-out and fitted runs.",
        "",
        *align_columns(rows),
        "",
        "Enough for at most twice the error of all, by two standard errors:",
        *(f"  {_describe_smallest(curve)}" for curve in cut.curves),
    ]
    return "\n".join(lines)


def _describe_step(name: str, step: Truncated) -> tuple[str, ...]:
    absent = ("–", "–", "–")
    told = absent
    if step.error is not None and step.bias is not None:
        told = (
            _format_share(step.error, step.standard_error),
            f"{step.bias:+.2%}",
            "–" if step.change is None else _format_share(step.change, step.change_error, "+"),
        )
    return (name, str(step.fitted), format_flops(step.flops), *told)


def _describe_edge(drops: str, step: Truncated) -> str:
    if drops == "sizes":
        return f"N ≥ {format_count(step.edge)}"
    return f"C {'≥' if drops == 'budgets' else '≤'} {format_flops(step.edge)}"


def _describe_smallest(curve: TruncationCurve) -> str:
    words = {"sizes": "smallest size", "budgets": "smallest budget", "largest": "largest budget"}
    found = curve.smallest
    if found is None:
        return f"{words[curve.drops]}: not even all runs"
    first = " (all)" if found is curve.steps[0] else ""
    return f"{words[curve.drops]}: {_describe_edge(curve.drops, found)}, {found.fitted} runs{first}"


def _format_share(value: float, error: float | None, sign: str = "") -> str:
    return f"{value:{sign}.2%}" + ("" if error is None else f" ± {error:.2%}")


def format_comparison(answer: Comparison, scale: LossScale = NATS) -> str:
    """Say which recipe needs less compute, and by how much."""
    # Name the laws only if they differ.
    alike = len(set(answer.families)) == 1
    first, second = (
        name if alike or family is None else f"{name} ({family})"
        for name, family in zip(answer.names, answer.families, strict=True)
    )
    losses = [scale.to(one) for one in answer.loss]
    interval = answer.multiplier_interval
    lines = [
        f"A: {first}",
        f"B: {second}",
        f"With {format_flops(answer.flops)} FLOPs A reaches {losses[0]:.4f} and "
        f"B {losses[1]:.4f} {scale.label}.",
        _say_multiplier(answer.multiplier, interval),
    ]
    if interval is not None:
        told = interval.low > 1.0 or interval.high < 1.0
        better = "B" if answer.multiplier < 1.0 else "A"
        verdict = f"{better} is the better recipe at this budget"
        if not told:
            verdict = "The runs do not tell which recipe is better at this budget"
            if answer.more_runs is not None and answer.more_flops is not None:
                verdict += (
                    f"; about {answer.more_runs:.2g} times as many would, "
                    f"{format_flops(answer.more_flops)} FLOPs more for both"
                )
        lines.append(f"{verdict}.")
    (alpha_a, beta_a), (alpha_b, beta_b) = answer.exponents
    if answer.shared:
        lines.append(f"exponents, shared: alpha {alpha_a:.4g}, beta {beta_a:.4g}")
    else:
        lines.append(f"exponents of A: alpha {alpha_a:.4g}, beta {beta_a:.4g}")
        lines.append(f"exponents of B: alpha {alpha_b:.4g}, beta {beta_b:.4g}")
    return "\n".join(lines + _format_checks(answer.checks, scale))


def _say_multiplier(multiplier: float, interval: Interval | None) -> str:
    """Say what share of A's compute B needs, in words if there is no such share."""
    if multiplier == math.inf:
        return "No amount of compute takes B to that loss, by its law."
    if multiplier == 0.0:
        return "B is below that loss with any amount of compute, by its law."
    said = f"B needs ×{multiplier:.3g} of A's compute for the same loss"
    if interval is None:
        return said
    if interval.low > 0.0 and interval.high < math.inf:
        return f"{said} {format_interval(interval, '.3g')}"
    ends = f"from ×{interval.low:.3g}" if interval.low > 0.0 else "from any amount"
    ends += f" to ×{interval.high:.3g}" if interval.high < math.inf else ", with no upper end"
    return f"{said} ({interval.level:.0%} interval {ends})"


def _format_checks(checks: Iterable[Check], scale: LossScale = NATS) -> list[str]:
    given = list(checks)
    lines = [
        clean_line(f"  ! {check.code}: {scale.reword(f'{check.seen} {check.advice}')}".rstrip())
        for check in given
        if check.passed is False
    ]
    if unjudged := [check.code for check in given if check.passed is None]:
        lines.append(f"  ? not checked (--json says why): {', '.join(unjudged)}")
    return ["", *lines] if lines else []


def _format_value(loss: float, said: MetricFacts, scale: LossScale) -> str:
    return f"{said.to_metric(scale.to(loss)):.4f}{said.suffix}"


def format_ends(interval: Interval | None, said: MetricFacts, scale: LossScale) -> str:
    """The ends of a loss or a metric in its unit, with the level; empty without an interval."""
    if interval is None:
        return ""
    low, high = said.to_ends(scale.to(interval.low), scale.to(interval.high))
    return f"[{low:.4f}, {high:.4f}] ({interval.level:.0%})"


def format_interval(interval: Interval | None, spec: str | None) -> str:
    """The ends by `spec`, or as counts if it is None, with the level; empty without an interval."""
    if interval is None:
        return ""
    low, high = (
        format_count(end) if spec is None else format(end, spec)
        for end in (interval.low, interval.high)
    )
    return f"[{low}, {high}] ({interval.level:.0%})"


def _format_penalty(penalty: float | None) -> str:
    if penalty is None or penalty < _NEGLIGIBLE:
        return ""
    return f", {penalty:.1%} more compute than the best size between the rungs"


def describe_distance(decades: float) -> str:
    """Describe how far beyond the data [decades of C] a question lies."""
    return "inside the data" if decades <= 0 else f"{decades:.2f} decades beyond the data"
