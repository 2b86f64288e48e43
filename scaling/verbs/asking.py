"""Verbs that ask runs for an answer: fit, allocate, predict, backtest, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scaling.options import fit_options, json_option, source_argument
from scaling.text import dump_json
from scaling.verbs.conditions import CONDITION_NAMES, condition_options, make_questions
from scaling.verbs.exits import DAMAGED, NO_USABLE_FIT
from scaling.verbs.obtaining import (
    obtain_answerer,
    obtain_fit,
    read_kept,
    refusal_as_json,
    say_damage,
)


@click.command()
@source_argument
@fit_options
@json_option
def fit(source: Path, as_json: bool, **options: Any) -> int:
    """\b
    scaling fit results/quickstart
    scaling fit runs.csv --columns N=params,D=tokens,loss=val_loss --json

    Laws, intervals, checks.
    """
    from scaling.text import format_fit, format_unfiltered

    found, stored = obtain_fit(source, options, compare=True)
    fitted = found.fit
    if as_json:
        click.echo(dump_json(found.to_contract()))
    else:
        click.echo(format_fit(fitted))
        if found.unfiltered is not None:
            click.echo("\n" + format_unfiltered(found.unfiltered, fitted))
    if say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if fitted.status in ("failed", "not_converged") else 0


@click.command()
@source_argument
@click.option("--flops", type=float, multiple=True, help="Budget C [FLOP].")
@condition_options
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@click.option(
    "--anyway",
    is_flag=True,
    help="Answer even from a fit that did not converge, and with data repeated more often than "
    "its law can judge.",
)
@click.option(
    "--verbose",
    is_flag=True,
    help="Also every member's own answer, how far the members are apart, and what equal weights "
    "would say.",
)
@fit_options
@json_option
def allocate(
    source: Path,
    flops: tuple[float, ...],
    far: bool,
    anyway: bool,
    verbose: bool,
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
    from scaling.allocation.members import ask_members
    from scaling.text import format_allocation, format_members

    said = {name: options.pop(name) for name in CONDITION_NAMES}
    questions = make_questions(source, flops, said)
    fitted, ladder, damaged = obtain_answerer(source, options)
    asked = None if options["approach"] == "all" else options["approach"]
    with refusal_as_json(fitted, "answers", as_json):
        answers = [
            allocate_question(fitted, one, ladder=ladder, approach=asked, far=far, anyway=anyway)
            for one in questions
        ]
    each = [ask_members(fitted, one.flops) if verbose else None for one in answers]
    pairs = list(zip(answers, each, strict=True))
    if as_json:
        contracts = [
            one.to_contract() | ({} if members is None else {"members": members.to_contract()})
            for one, members in pairs
        ]
        click.echo(dump_json({"schema_version": 1, "answers": contracts}))
    else:
        texts = [
            format_allocation(one) + ("" if members is None else "\n" + format_members(members))
            for one, members in pairs
        ]
        click.echo("\n\n".join(texts))
    return DAMAGED if damaged() else 0


@click.command()
@source_argument
@click.option("--params", type=float, required=True, help="N.")
@click.option("--tokens", type=float, required=True, help="D.")
@click.option(
    "--unique-tokens",
    type=float,
    default=None,
    help="Different tokens there are; D beyond them repeats them (--family data_constrained).  "
    "[default: any number]",
)
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@click.option("--anyway", is_flag=True, help="Answer even from a fit that did not converge.")
@fit_options
@json_option
def predict(
    source: Path,
    params: float,
    tokens: float,
    unique_tokens: float | None,
    far: bool,
    anyway: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """\b
    scaling predict results/quickstart --params 2e5 --tokens 5e6
    scaling predict runs.csv --params 3.3e9 --tokens 5e10 --json

    The loss of a model of N parameters trained on D tokens.
    """
    from scaling.allocation import predict as predict_loss
    from scaling.text import format_prediction

    fitted, _, damaged = obtain_answerer(source, options)
    with refusal_as_json(fitted, "predictions", as_json):
        answer = predict_loss(
            fitted,
            params=params,
            tokens=tokens,
            unique_tokens=unique_tokens,
            far=far,
            anyway=anyway,
        )
    if as_json:
        click.echo(dump_json({"schema_version": 1, "predictions": [answer.to_contract()]}))
    else:
        click.echo(format_prediction(answer))
    return DAMAGED if damaged() else 0


@click.command()
@source_argument
@click.option(
    "--families",
    default="chinchilla,tied,no_floor,kaplan,droppo,compute",
    show_default=True,
    help="Laws to score, separated by commas.",
)
@fit_options
@json_option
def backtest(source: Path, families: str, as_json: bool, **options: Any) -> int:
    """\b
    scaling backtest results/quickstart
    scaling backtest runs.csv --families chinchilla,droppo --json

    How well each law forecasts the runs of the table that it was not fitted to.
    """
    from scaling.text import format_backtest
    from scaling.workflow import backtest_table

    table, stored = read_kept(source, options)
    names = tuple(name.strip() for name in families.split(",") if name.strip())
    scored = backtest_table(table, names, huber_delta=options["huber_delta"])
    click.echo(dump_json(scored.to_contract()) if as_json else format_backtest(scored))
    if say_damage(stored):
        return DAMAGED
    return NO_USABLE_FIT if scored.chosen is None else 0


@click.command()
@click.argument("first", type=click.Path(path_type=Path), metavar="A")
@click.argument("second", type=click.Path(path_type=Path), metavar="B")
@click.option("--flops", type=float, default=None, help="Budget C.  [default: largest of both]")
@click.option("--far", is_flag=True, help="Answer even beyond three decades from the data.")
@fit_options
@json_option
def compare(
    first: Path, second: Path, flops: float | None, far: bool, as_json: bool, **options: Any
) -> int:
    """\b
    scaling compare results/quickstart results/other
    scaling compare a.csv b.csv --flops 1e21 --json

    How much of A's compute B needs for the same loss. Both are results folders or tables of runs.
    """
    from scaling.comparison import compare as compare_recipes
    from scaling.errors import NoFitError
    from scaling.text import format_comparison

    if options["family"] not in (None, "chinchilla") or options["approach"] != "all":
        raise click.UsageError("compare fits Chinchilla's law only: leave --family and --approach.")
    (one, stored_one), (two, stored_two) = (read_kept(path, options) for path in (first, second))
    same = None
    if stored_one and stored_two:
        same = stored_one.ledger.corpus.digest == stored_two.ledger.corpus.digest
    try:
        answer = compare_recipes(
            one,
            two,
            flops=flops,
            far=far,
            huber_delta=options["huber_delta"],
            bootstrap=None if options["no_bootstrap"] else options["bootstrap"],
            level=options["level"],
            seed=options["seed"],
            same_text=same,
        )
    except NoFitError as error:
        if as_json:
            click.echo(dump_json({"schema_version": 1, "multiplier": None, "reason": str(error)}))
        raise
    click.echo(dump_json(answer.to_contract()) if as_json else format_comparison(answer))
    damaged = [say_damage(stored) for stored in (stored_one, stored_two)]
    return DAMAGED if any(damaged) else 0
