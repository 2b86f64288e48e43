"""The verb that takes a trained model out of its results folder: export."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.files.sealed import SCHEMA_VERSION
from scaling.units import clean_line
from scaling.verbs.options import json_option, results_argument, run_option
from scaling.verbs.output import dump_json


@click.command()
@results_argument
@run_option
@click.option("--output", type=click.Path(path_type=Path), required=True,
              help="The folder to be made.")  # fmt: skip
@json_option
def export(results: Path, run_id: str | None, output: Path, as_json: bool) -> None:
    """\b
    scaling export results/quickstart --output quickstart-model
    scaling export results/quickstart --run 0123 --output model

    Writes a run's model for the transformers library: weights, code, tokenizer and a card. It loads
    with AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True).
    """
    from scaling.workflow.exporting import export_run

    done = export_run(results, run=run_id, output=output)
    if as_json:
        told = {"run_id": done.run_id, "folder": str(done.folder), "files": done.files}
        click.echo(dump_json({"schema_version": SCHEMA_VERSION} | told))
        return
    click.echo(clean_line(f"run {done.run_id}: {output}"))
