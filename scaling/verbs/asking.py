"""Verbs that ask runs for an answer: fit, allocate, predict, backtest, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from scaling.laws.registry import list_scored
from scaling.units.stages import stage
from scaling.verbs.conditions import CONDITION_NAMES, condition_options, make_questions
from scaling.verbs.curves import (
    CURVE_NAMES,
    curve_options,
    fit_one_variable,
    refuse_ignored,
    say_curve,
    say_speed_up,
)
from scaling.verbs.exits import DAMAGED, NO_USABLE_FIT
from scaling.verbs.obtaining import (
    describe_refusal,
    list_groups,
    naming_units,
    obtain_answerer,
    obtain_fit,
    read_kept,
    refusal_as_json,
    say_damage,
    settle_unit,
    wording,
)
from scaling.verbs.options import (
    FLOPS,
    PARAMS,
    TOKENS,
    count_refits,
    fit_options,
    group_option,
    json_option,
    metric_options,
    source_argument,
    table_options,
)
from scaling.verbs.output import dump_json

if TYPE_CHECKING:
    from scaling.allocation import Allocation, Prediction
    from scaling.allocation.members import MemberAnswers
    from scaling.fitting.fitted import Fit
    from scaling.sweep.shapes import ModelShape
    from scaling.units.losses import LossScale

    Ladder: TypeAlias = Iterable[ModelShape] | None


@click.command()
@source_argument
@group_option
@metric_options
@curve_options
@click.option("--verbose", is_flag=True, help="Every member, frontier and check in full.")
@click.option("--far", is_flag=True, help="With --at: even beyond three decades from the data.")
@fit_options
@json_option
def fit(
    source: Path,
    group_by: str | None,
    verbose: bool,
    far: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling fit results/quickstart
    scaling fit runs.csv --columns N=params,D=tokens,loss=val_loss --json

    Laws, intervals, checks.
    """
    from scaling.terminal.answers import format_fit, format_groups, format_unfiltered
    from scaling.terminal.brief import format_fit_briefly
    from scaling.terminal.metric_laws import format_metric_law
    from scaling.workflow.metric_laws import judge_fit

    say = format_fit if verbose else format_fit_briefly

    curve = {name: options.pop(name) for name in CURVE_NAMES}
    refuse_ignored(
        curve, {"--group-by": group_by is not None, "--metric": options["metric"] is not None}
    )
    if far and not curve["at"]:
        raise click.UsageError("--far is an option of --at; add --of and --at, or leave it out.")
    scale, options = settle_unit(source, options)
    if curve["of"] is not None:
        law, forecasts = fit_one_variable([source], curve, options, scale, far=far)
        say_curve(law, forecasts, scale, as_json=as_json)
        return 0
    if group_by is not None:
        groups = {}
        for key, part in list_groups(source, group_by, options):
            groups[key] = obtain_fit(source, part, compare=True)[0]
        if as_json:
            contracts = [{"key": key, **one.to_contract(scale)} for key, one in groups.items()]
            click.echo(dump_json(scale.to_contract() | {"groups": contracts}))
        else:
            fits = {key: one.fit for key, one in groups.items()}
            click.echo(format_groups(group_by, fits, scale, say=say))
        bad = any(one.fit.status in ("failed", "not_converged") for one in groups.values())
        return NO_USABLE_FIT if bad else 0
    found, stored = obtain_fit(source, options, compare=True)
    fitted = found.fit
    judged = judge_fit(found.table, stored)
    if as_json:
        beside = {} if judged is None else {"judged": judged.to_contract()}
        click.echo(dump_json(found.to_contract(scale) | beside))
    else:
        click.echo(say(fitted, scale))
        if found.unfiltered is not None:
            click.echo("\n" + format_unfiltered(found.unfiltered, fitted, scale))
        if judged is not None:
            click.echo(format_metric_law(judged))
    if say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if fitted.status in ("failed", "not_converged") else 0


@click.command()
@source_argument
@click.option("--flops", type=FLOPS, multiple=True, help="Budget C [FLOP].")
@condition_options
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@click.option(
    "--verbose",
    is_flag=True,
    help="Also every member's own answer, how far the members are apart, and what equal weights "
    "would say.",
)
@group_option
@metric_options
@fit_options
@json_option
def allocate(
    source: Path,
    flops: tuple[float, ...],
    far: bool,
    verbose: bool,
    group_by: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling allocate results/quickstart --flops 6e12
    scaling allocate runs.csv --device h100 --mfu 0.4 --devices 64 --days 10 --inference-tokens 1e12

    The N and D to train, with intervals: for a budget, or under any combination of money, deadline,
    sizes, loss, service and unique data (docs/questions.md).
    """
    from scaling.allocation import allocate as allocate_question
    from scaling.terminal.answers import format_allocation, format_members

    said = {name: options.pop(name) for name in CONDITION_NAMES}
    if said["target_loss"] is not None and options["metric"] is not None:
        raise click.UsageError("--target-loss is of the loss; leave it or --metric out.")
    scale, options = settle_unit(source, options)
    if said["target_loss"] is not None:
        said["target_loss"] = scale.from_(said["target_loss"])
    questions = make_questions(source, flops, said)
    asked = None if options["approach"] == "all" else options["approach"]

    def answer(fitted: Fit, ladder: Ladder) -> list[_Told]:
        answers = [
            allocate_question(
                fitted, one, ladder=ladder, approach=asked, far=far, anyway=options["anyway"]
            )
            for one in questions
        ]
        if not verbose:
            return [_Told(one, None) for one in answers]
        from scaling.allocation.members import ask_members

        return [_Told(one, ask_members(fitted, one.flops)) for one in answers]

    def format_one(one: _Told) -> str:
        text = format_allocation(one.answer, scale)
        if one.members is None:
            return text
        return f"{text}\n{format_members(one.members, scale, one.answer.metric)}"

    return _answer(source, group_by, options, as_json, "answers", answer, format_one, scale)


@click.command()
@source_argument
@click.option("--params", type=PARAMS, required=True, help="N.")
@click.option("--tokens", type=TOKENS, required=True, help="D.")
@click.option(
    "--unique-tokens",
    type=TOKENS,
    help="Different tokens there are; D beyond them repeats them (--family data_constrained).  "
    "[default: any number]",
)
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@group_option
@metric_options
@fit_options
@json_option
def predict(
    source: Path,
    params: float,
    tokens: float,
    unique_tokens: float | None,
    far: bool,
    group_by: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling predict results/quickstart --params 2e5 --tokens 5e6
    scaling predict runs.csv --params 3.3e9 --tokens 5e10 --json

    The loss of a model of N parameters trained on D tokens.
    """
    from scaling.allocation import predict as predict_loss
    from scaling.terminal.answers import format_prediction

    scale, options = settle_unit(source, options)

    def answer(fitted: Fit, ladder: Ladder) -> list[Prediction]:
        return [
            predict_loss(
                fitted,
                params=params,
                tokens=tokens,
                unique_tokens=unique_tokens,
                far=far,
                anyway=options["anyway"],
            )
        ]

    format_one = partial(format_prediction, scale=scale)
    return _answer(source, group_by, options, as_json, "predictions", answer, format_one, scale)


@click.command()
@source_argument
@click.option(
    "--families",
    default=",".join(list_scored()),
    show_default=True,
    help="Laws to score, separated by commas.",
)
@table_options
@json_option
def backtest(source: Path, families: str, as_json: bool, **options: Any) -> int:
    """\b
    scaling backtest results/quickstart
    scaling backtest runs.csv --families chinchilla,droppo --json

    How well each law forecasts runs that it was not fitted to, and how small the fitted runs may
    be.
    """
    from scaling.terminal.answers import format_backtest, format_truncation
    from scaling.workflow.fits import backtest_table, truncate_table

    scale, options = settle_unit(source, options)
    table, stored = read_kept(source, options)
    names = tuple(name.strip() for name in families.split(",") if name.strip())
    scored = backtest_table(table, names, huber_delta=options["huber_delta"])
    cut = None
    if scored.chosen is not None:
        cut = truncate_table(table, scored.chosen, huber_delta=options["huber_delta"])
    if as_json:
        more = {"truncation": None if cut is None else cut.to_contract()}
        click.echo(dump_json(scored.to_contract() | more | scale.to_contract()))
    else:
        click.echo(format_backtest(scored))
        if cut is not None:
            click.echo("\n" + format_truncation(cut))
    if say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if scored.chosen is None else 0


@click.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@click.option("--flops", type=FLOPS, help="Budget C.  [default: largest of both]")
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@click.option(
    "--columns-b",
    metavar="N=params,...",
    help="Column names of B, where they differ.  [default: as --columns]",
)
@curve_options
@fit_options
@json_option
def compare(
    first: Path,
    second: Path,
    flops: float | None,
    far: bool,
    columns_b: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling compare results/quickstart results/other
    scaling compare a.csv b.csv --flops 1e21 --json

    How much of A's compute B needs for the same loss. Both are results folders or tables of runs.
    """
    from scaling.compare.multiplier import compare_tables
    from scaling.terminal.answers import format_comparison

    curve = {name: options.pop(name) for name in CURVE_NAMES}
    unread = {"--at": curve["at"], "--flops": flops is not None, "--far": far}
    refuse_ignored(curve, unread | {"--columns-b": columns_b is not None})
    scale, options = settle_unit(first, options)
    if curve["of"] is not None:
        fitted, _ = fit_one_variable([first, second], curve, options, scale)
        say_speed_up(fitted, scale, as_json=as_json)
        return 0
    if options["family"] not in (None, "chinchilla") or options["approach"] != "all":
        raise click.UsageError("compare fits Chinchilla's law only: leave --family and --approach.")
    one, stored_one = read_kept(first, options)
    other = options if columns_b is None else options | {"columns": columns_b}
    two, stored_two = read_kept(second, other)
    same = None
    if stored_one and stored_two:
        same = stored_one.facts.digest == stored_two.facts.digest
    refits = count_refits(options)

    def refuse(reason: str) -> dict[str, Any]:
        return scale.to_contract() | {"multiplier": None, "reason": scale.reword(reason)}

    with (
        refusal_as_json(as_json, refuse),
        stage(f"fitting both, {refits} refits" if refits else "fitting both"),
    ):
        answer = compare_tables(
            one,
            two,
            flops=flops,
            far=far,
            huber_delta=options["huber_delta"],
            bootstrap=refits,
            level=options["level"],
            seed=options["seed"],
            same_text=same,
        )
    if as_json:
        click.echo(dump_json(answer.to_contract(scale) | scale.to_contract()))
    else:
        click.echo(format_comparison(answer, scale))
    damaged = [say_damage(stored) for stored in (stored_one, stored_two)]
    return DAMAGED if any(damaged) else 0


@dataclass(frozen=True, slots=True)
class _Told:
    """An answer, and each ensemble member's own answer if asked for."""

    answer: Allocation
    members: MemberAnswers | None

    def to_contract(self, scale: LossScale) -> dict[str, Any]:
        more = {} if self.members is None else {"members": self.members.to_contract(scale)}
        return self.answer.to_contract(scale) | more


def _answer(
    source: Path,
    group_by: str | None,
    options: dict[str, Any],
    as_json: bool,
    key: str,
    answer: Callable[[Fit, Ladder], Sequence[Any]],
    format_one: Callable[[Any], str],
    scale: LossScale,
) -> int:
    """Answer a question by the fit of a source, or by that of each group of its rows.

    Args:
        source, group_by, options, as_json: Values from the command line.
        key: Key of the answers in the JSON.
        answer: Gives the answers of one fit; each has `to_contract`.
        format_one: Formats an answer as text.
        scale: The unit of its losses.
    """
    if group_by is None:
        fitted, ladder, damaged = obtain_answerer(source, options)
        refuse = partial(describe_refusal, fitted, key, scale)
        with wording(scale), refusal_as_json(as_json, refuse), naming_units(fitted):
            answers = answer(fitted, ladder)
        if as_json:
            told = [one.to_contract(scale) for one in answers]
            click.echo(dump_json(scale.to_contract() | {key: told}))
        else:
            click.echo("\n\n".join(format_one(one) for one in answers))
        return DAMAGED if damaged() else 0
    from scaling.errors import NoFitError

    code, groups, texts = 0, [], []
    for name, part in list_groups(source, group_by, options):
        fitted = obtain_answerer(source, part)[0]
        try:
            with wording(scale):
                answers = answer(fitted, None)
        except NoFitError as error:
            code = NO_USABLE_FIT
            groups.append({"key": name, "status": fitted.status, "reason": str(error), key: []})
            texts.append(f"{group_by} = {name}:\n{error}")
        else:
            groups.append({"key": name, key: [one.to_contract(scale) for one in answers]})
            texts.append("\n\n".join([f"{group_by} = {name}:", *map(format_one, answers)]))
    if as_json:
        click.echo(dump_json(scale.to_contract() | {"groups": groups}))
    else:
        click.echo("\n\n".join(texts))
    return code
