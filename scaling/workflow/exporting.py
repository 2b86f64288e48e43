"""A finished run's model, written out of the results folder in the format of other libraries."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scaling.errors import UsageError
from scaling.files.durable import blaming_machine
from scaling.ledger.results import RunResult
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.families.registry import family_of
from scaling.sweep.tokenizer_names import NO_TOKENIZER
from scaling.units import format_count, format_flops
from scaling.workflow.sampling import choose_run, find_tokenizer
from scaling.workflow.stored import open_results

_CARD = """\
# {folder}

A model trained by `scaling run`, written by `scaling export`.

| | |
|---|---|
{rows}

```python
{load}
```
"""
_LOAD_MODEL = """\
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{folder}", trust_remote_code=True)"""
_LOAD_BOTH = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{folder}", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained("{folder}", trust_remote_code=True)"""
_BEGINNING = """
The separator of documents is beginning, end and padding token; in training it stood before every
document.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An exported model.

    Attributes:
        run_id: The run.
        folder: Where its files lie.
        files: Their names, sorted.
    """

    run_id: str
    folder: Path
    files: tuple[str, ...]


def export_run(results: Path, *, run: str | None, output: Path) -> Exported:
    """Write a run's model for the transformers library.

    Args:
        results: The results folder.
        run: How its run_id begins; None: the finished run of the lowest loss.
        output: The folder to be made.

    Raises:
        UsageError: The run has no weights here, its family or its tokenizer cannot be exported, or
            `output` exists.
    """
    if output.exists():
        raise UsageError(f"{output} exists. Name a folder that does not: an export is whole.")
    stored = open_results(results)
    result = choose_run(stored, run)
    from scaling.training.huggingface.files import FAMILIES, list_files
    from scaling.training.weights import read_weights

    family = result.run.shape.family
    if family not in FAMILIES:
        raise UsageError(f"run {result.run.run_id} is of family {family}; the exported code knows "
                         f"{', '.join(FAMILIES)} only.")  # fmt: skip
    facts = stored.facts
    tokenizer = None if facts.tokenizer == NO_TOKENIZER else find_tokenizer(facts, results)
    contents = list_files(result.run, read_weights(stored.ledger, result), tokenizer)
    contents["README.md"] = _write_card(result, facts, output.name).encode()
    with blaming_machine(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        # Built beside its place and renamed, so that the folder is complete or absent.
        made = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        try:
            for name, content in contents.items():
                (made / name).write_bytes(content)
            made.chmod(0o755)
            made.rename(output)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return Exported(run_id=result.run.run_id, folder=output, files=tuple(sorted(contents)))


def _write_card(result: RunResult, facts: CorpusFacts, folder: str) -> str:
    """README.md of an exported model: what it is, and how to load it."""
    run, shape, is_text = result.run, result.run.shape, facts.tokenizer != NO_TOKENIZER
    counts = family_of(shape).counts(shape)
    assert result.loss is not None
    told = {
        "run": run.run_id,
        "family": f"{shape.family}, {shape.d_model} wide × {shape.n_layers} layers",
        "parameters": f"{format_count(counts.matmul)} in products, {format_count(counts.total)} "
        "in all",
        "trained on": f"{format_count(run.tokens)} tokens of corpus {facts.digest[:16]}, "
        f"{format_flops(run.flops)} FLOPs",
        "loss": f"{result.loss:.4f} nats per token of held-out text",
        "tokenizer": facts.tokenizer if is_text else f"none: ids 0 to {facts.vocab_size - 1}",
        "context": f"{shape.seq_len} tokens",
    }
    card = _CARD.format(
        folder=folder,
        rows="\n".join(f"| {name} | {value} |" for name, value in told.items()),
        load=(_LOAD_BOTH if is_text else _LOAD_MODEL).format(folder=folder),
    )
    return card + _BEGINNING if is_text else card
