"""Verbs that compare the sweeps of one file: tokenizers, recipes, transfer."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from scaling.verbs.obtaining import refusal_as_json
from scaling.verbs.options import FLOPS, WholeRange, json_option, level_option
from scaling.verbs.output import dump_json

_folders_argument = click.argument(
    "results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS..."
)


@click.command()
@_folders_argument
@click.option("--flops", type=FLOPS, multiple=True, help="Budget C.  [default: the sweeps' own]")
@json_option
def tokenizers(results: tuple[Path, ...], flops: tuple[float, ...], as_json: bool) -> None:
    """\b
    scaling tokenizers results/vocabulary-*
    scaling tokenizers results/vocabulary-bytes results/vocabulary-bpe-512 --flops 1e12 --json

    Which vocabulary reaches the fewest bits per byte with a budget. The folders are those of one
    sweep file that names several tokenizers.
    """
    from scaling.terminal.vocabularies import format_vocabulary
    from scaling.workflow.siblings import compare_tokenizers
    from scaling.workflow.stored import open_results

    compared = compare_tokenizers([open_results(one) for one in results], budgets=flops)
    click.echo(dump_json(compared.to_contract()) if as_json else format_vocabulary(compared))


@click.command()
@_folders_argument
@json_option
def recipes(results: tuple[Path, ...], as_json: bool) -> None:
    """\b
    scaling recipes results/kaplan-vs-chinchilla-{long-warmup,no-decay,matched-decay}
    scaling recipes results/kaplan-vs-chinchilla-* --json

    How the recipe moves the exponent a of N* ∝ C^a, step by step in the order of the folders, and
    what counting the head does. The folders are those of one sweep file that names several recipes,
    or of files that differ in nothing else.
    """
    from scaling.terminal.exponents import format_exponents
    from scaling.workflow.siblings import compare_recipes
    from scaling.workflow.stored import open_results

    compared = compare_recipes([open_results(one) for one in results])
    click.echo(dump_json(compared.to_contract()) if as_json else format_exponents(compared))


@click.command()
@_folders_argument
@level_option
@click.option(
    "--seed",
    type=WholeRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the draws behind the intervals.",
)
@json_option
def transfer(results: tuple[Path, ...], level: float, seed: int, as_json: bool) -> int:
    """\b
    scaling transfer results/transfer-novels
    scaling transfer results/from-scratch results/fine-tuned --json

    How much target text pre-training saves, by N and by the amount of target text: effective data
    transferred, its law, where help turns into harm, and the losses at equal total compute. Given
    one folder, the others of its sweep file are added. Exit code 4: no cells to compare.
    """
    from scaling.fitting.transfer.judging import write_contract
    from scaling.terminal.transfer import format_transfer
    from scaling.workflow.transfer import find_transfer

    source = " ".join(map(str, results))
    with refusal_as_json(as_json, partial(write_contract, (), source)):
        found = find_transfer(*results, level=level, seed=seed)
    if as_json:
        click.echo(dump_json(write_contract(found, source)))
    else:
        click.echo("\n\n".join(map(format_transfer, found)))
    return 0


def report_siblings(sweep_file: Path, root: Path) -> None:
    """Write the pages of every sibling again, now that all can be compared; print the answer."""
    from scaling.errors import NoFitError, TableError, UsageError
    from scaling.sweep.reading import load_sweep
    from scaling.terminal.answers import format_comparison
    from scaling.terminal.exponents import format_exponents
    from scaling.terminal.few_shot import format_few_shot
    from scaling.terminal.transfer import format_transfer
    from scaling.terminal.vocabularies import format_vocabulary
    from scaling.workflow.few_shot import judge_few_shot
    from scaling.workflow.reporting import report_sweep
    from scaling.workflow.siblings import (
        compare_families,
        compare_recipes,
        compare_tokenizers,
        list_sibling_folders,
    )
    from scaling.workflow.stored import open_results
    from scaling.workflow.transfer import judge_sweeps

    spec = load_sweep(sweep_file)
    sweeps = [open_results(one) for one in list_sibling_folders(spec, root / "results")]
    for stored in sweeps:
        report_sweep(stored, root=root, siblings=sweeps, keep_current=True)
    what = "tokenizers"
    try:
        if spec.families:
            what = "families"
            said = "\n\n".join(map(format_comparison, compare_families(sweeps)))
        elif spec.starts:
            what = "starts"
            said = "\n\n".join(map(format_transfer, judge_sweeps(sweeps)))
        elif spec.recipes:
            what = "recipes"
            said = format_exponents(compare_recipes(sweeps))
        elif len(spec.corpus.chains) > 1:
            what = "numbers of chains"
            said = format_few_shot(judge_few_shot(sweeps))
        else:
            said = format_vocabulary(compare_tokenizers(sweeps))
        click.echo("\n" + said)
    except (UsageError, NoFitError, TableError) as error:
        click.echo(f"{what} are not compared: {error}", err=True)
