"""The verb that compares vocabularies: tokenizers."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.options import json_option
from scaling.text import dump_json


@click.command()
@click.argument(
    "results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS..."
)
@click.option("--flops", type=float, multiple=True, help="Budget C.  [default: the sweeps' own]")
@json_option
def tokenizers(results: tuple[Path, ...], flops: tuple[float, ...], as_json: bool) -> None:
    """\b
    scaling tokenizers results/vocabulary-*
    scaling tokenizers results/vocabulary-bytes results/vocabulary-bpe-512 --flops 1e12 --json

    Which vocabulary reaches the fewest bits per byte with a budget. The folders are those of one
    sweep file that names several tokenizers.
    """
    from scaling.reporting import compare_tokenizers
    from scaling.text_vocabulary import format_vocabulary

    compared = compare_tokenizers(results, budgets=flops)
    click.echo(dump_json(compared.to_contract()) if as_json else format_vocabulary(compared))


def report_tokenizers(sweep_file: Path, root: Path) -> None:
    """Write the pages of every tokenizer again, now that all can be compared; print the answer."""
    from scaling.errors import UsageError
    from scaling.reporting import compare_tokenizers, list_sibling_folders, report_sweep
    from scaling.sweep.spec import load_sweep
    from scaling.text_vocabulary import format_vocabulary
    from scaling.workflow import open_results

    folders = list_sibling_folders(load_sweep(sweep_file), root / "results")
    for folder in folders:
        stored = open_results(folder)
        found = stored.ledger.read_results()
        report_sweep(stored, found, root=root, keep_current=True)
    try:
        click.echo("\n" + format_vocabulary(compare_tokenizers(folders)))
    except UsageError as error:
        click.echo(f"tokenizers are not compared: {error}", err=True)
