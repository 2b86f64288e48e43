"""The verb that lets a trained model continue a text: sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scaling.files.sealed import SCHEMA_VERSION
from scaling.units import align_columns, clean_line, clean_text
from scaling.verbs.options import FiniteRange, WholeRange, json_option, results_argument, run_option
from scaling.verbs.output import dump_json


@click.command()
@results_argument
@run_option
@click.option("--prompt", default="", help="What the model goes on with.  [default: a document's "
              "beginning]")  # fmt: skip
@click.option("--tokens", type=WholeRange(1), help="How many follow, at most.  "
              "[default: what is left of the context]")  # fmt: skip
@click.option("--temperature", type=FiniteRange(0), default=1.0, show_default=True,
              help="0: always the likeliest token.")  # fmt: skip
@click.option("--top-k", type=WholeRange(1), help="Draw from so many tokens only.")
@click.option("--top-p", type=FiniteRange(0, 1, min_open=True), default=1.0,
              help="Draw from the fewest tokens that hold so much of the probability.")  # fmt: skip
@click.option("--seed", type=WholeRange(0, 2**32 - 1), default=0, show_default=True,
              help="Seed of the draws.")  # fmt: skip
@click.option("--top", type=WholeRange(1),
              help="Print so many of the likeliest next tokens in place of a text.")  # fmt: skip
@json_option
def sample(
    results: Path,
    run_id: str | None,
    prompt: str,
    tokens: int | None,
    seed: int,
    top: int | None,
    as_json: bool,
    **how: Any,
) -> None:
    """\b
    scaling sample results/quickstart --prompt "def " --tokens 60
    scaling sample results/quickstart --run 0123 --prompt "import " --top 10 --json

    Let a trained model continue a prompt, token by token. The same command prints the same text.
    """
    from scaling.workflow.sampling import open_sampler

    if top is not None and tokens is not None:
        raise click.UsageError("--top is of the next token alone: leave --tokens out.")
    sampler = open_sampler(results, run=run_id, prompt=prompt, tokens=tokens)
    from scaling.training.generation import Choice

    choice, name = Choice(**how), sampler.result.run.run_id
    asked = {"schema_version": SCHEMA_VERSION, "run_id": name, "prompt": prompt, **how}
    if top is not None:
        found = sampler.rank_next(top, choice)
        if as_json:
            click.echo(dump_json(asked | {"next": found}))
        else:
            rows = [
                (str(one["id"]), repr(one["text"]), f"{one['probability']:.4f}") for one in found
            ]
            click.echo("\n".join(align_columns([("id", "token", "probability"), *rows])))
        return
    ids = sampler.generate(tokens, choice, seed=seed)
    if as_json:
        listed = list(ids)
        text = "".join(sampler.write(iter(listed)))
        click.echo(dump_json(asked | {"seed": seed, "tokens": listed, "text": text}))
        return
    if run_id is None:
        click.echo(clean_line(f"run {name}, the lowest loss of {results}"), err=True)
    click.echo(clean_text(prompt), nl=False)
    for piece in sampler.write(ids):
        click.echo(clean_text(piece), nl=False)
    click.echo()
