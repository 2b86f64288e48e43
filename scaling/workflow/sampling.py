"""Sampling from a trained model of a results folder, which continues a text.

    run ──► kept weights ──► model (float32, on the processor)
    prompt ──► the corpus's tokenizer ──► ids ──► one token after another ──► text

A corpus of ready-made tokens has no text: its prompts and samples are ids, separated by blanks.
Nothing is written.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scaling.data.plain_tokenizers import ByteTokenizer
from scaling.data.shards import find_prepared, open_tokenizer
from scaling.data.tokenizers import Tokenizer
from scaling.errors import UsageError
from scaling.ledger.commit import Ledger
from scaling.ledger.documents import WEIGHTS_FILE
from scaling.ledger.results import RunResult
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.tokenizer_names import BYTES, NO_TOKENIZER
from scaling.units import IntArray
from scaling.units.stages import stage
from scaling.workflow.stored import StoredSweep, open_results
from scaling.workflow.watching import match_run

if TYPE_CHECKING:  # torch takes a second to import, which a bad request should not cost
    from scaling.training.generation import Choice


class Language(Protocol):
    """The form of prompts and samples: text or ids."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A finished run with kept weights, and what its ids mean.

    Attributes:
        ledger, result: The run.
        language: What ids mean.
        separator: Id that ends a document; None: of a corpus without documents.
    """

    ledger: Ledger
    result: RunResult
    language: Language
    separator: int | None

    @stage("loading the model")
    def load_model(self) -> Any:
        """The model, a torch module."""
        from scaling.training.parametrization import build_model
        from scaling.training.weights import read_weights

        model = build_model(self.result.run)
        model.load_state_dict(read_weights(self.ledger, self.result))
        return model.eval()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler(FoundRun):
    """A run, its model and a prompt, ready to be sampled; the separator ends a sample too.

    Attributes:
        prompt: Ids; those of a document's beginning where the prompt is empty.
        model: A torch module.
    """

    prompt: tuple[int, ...]
    model: Any

    def generate(self, tokens: int | None, choice: Choice, *, seed: int) -> Iterator[int]:
        """The ids that follow the prompt, as soon as each is known; the separator ends them.

        Args:
            tokens: At most; None: what is left of the context.
            choice: How each is chosen.
            seed: Seeds the draws.
        """
        from scaling.training.generation import generate

        length = self.result.run.shape.seq_len - len(self.prompt) if tokens is None else tokens
        for (one,) in generate(
            self.model, self._get_ids(), tokens=length, choice=choice, seed=seed
        ):
            yield int(one)
            if one == self.separator:
                return

    def rank_next(self, count: int, choice: Choice) -> list[dict[str, Any]]:
        """The likeliest next tokens as they would be drawn: id, text and probability."""
        from scaling.training.generation import Reader, weigh

        (shares,) = weigh(Reader(self.model).extend(self._get_ids()), choice)
        order = [int(one) for one in np.argsort(-shares, kind="stable")[:count] if shares[one] > 0]
        return [
            {"id": one, "text": self.language.decode([one]), "probability": float(shares[one])}
            for one in order
        ]

    def write(self, ids: Iterator[int]) -> Iterator[str]:
        """Pieces of text, as soon as each is certain; together the text of the ids."""
        seen, written = list(self.prompt), len(self.language.decode(self.prompt))
        for one in ids:
            if one == self.separator:
                break
            seen.append(one)
            text = self.language.decode(seen).rstrip("\N{REPLACEMENT CHARACTER}")
            if len(text) > written:
                yield text[written:]
                written = len(text)
        if rest := self.language.decode(seen)[written:]:
            yield rest

    def _get_ids(self) -> IntArray:
        return np.array([self.prompt], dtype=np.int64)


def find_run(folder: Path, *, run: str | None) -> FoundRun:
    """A finished run of a results folder that kept its weights.

    Args:
        folder: The results folder.
        run: How its run_id begins; None: the finished run of the lowest loss.

    Raises:
        UsageError: There is no such run, it kept no weights, or its corpus is not prepared here.
    """
    stored = open_results(folder)
    result = choose_run(stored, run)
    language, separator = _open_language(stored.facts, folder)
    return FoundRun(ledger=stored.ledger, result=result, language=language, separator=separator)


def open_sampler(
    folder: Path, *, run: str | None, prompt: str, tokens: int | None = None
) -> Sampler:
    """A finished run of a results folder, and a prompt for it.

    Args:
        folder, run: As for `find_run`.
        prompt: In the words of the corpus; empty: a document's beginning.
        tokens: How many are to follow; None: as many as fit.

    Raises:
        UsageError: As for `find_run`, or prompt and tokens are longer than its context.
    """
    found = find_run(folder, run=run)
    try:
        ids = found.language.encode(prompt)
    except UsageError as error:
        raise UsageError(f"--prompt: {error}") from None
    if not ids:
        if found.separator is None:
            raise UsageError("the prompt is empty, and the corpus has no documents to begin. Say "
                             "--prompt with one id or more.")  # fmt: skip
        ids = [found.separator]
    _check_length(found.result, len(ids), tokens)
    return Sampler(
        ledger=found.ledger,
        result=found.result,
        language=found.language,
        separator=found.separator,
        prompt=tuple(ids),
        model=found.load_model(),
    )


def choose_run(stored: StoredSweep, prefix: str | None) -> RunResult:
    """The run with kept weights that `prefix` names.

    Args:
        stored: The results.
        prefix: How its run_id begins; None: the finished run of the lowest loss.

    Raises:
        UsageError: There is none, or its weights are not here.
    """
    results = stored.results.results
    if prefix is None:
        finished = [one for one in results.values() if one.status == "finished"]
        if not finished:
            raise UsageError(f'{stored.folder}: no run is finished. "scaling run" trains them.')
        result = min(finished, key=lambda one: (one.loss or 0.0, one.run.run_id))
    else:
        run_id = match_run(stored, prefix).run_id
        if run_id not in results:
            raise UsageError(f'{stored.folder}: run {run_id} has no result. "scaling status '
                             f'{stored.folder}" says why.')  # fmt: skip
        result = results[run_id]
    if result.run.own is not None:
        raise UsageError(f"run {result.run.run_id} was trained by your own trainer, whose model is "
                         "not known here. Sample it there.")  # fmt: skip
    if WEIGHTS_FILE not in result.files:
        raise UsageError(
            f"run {result.run.run_id} kept no weights: keep_weights is false in its sweep file.\n"
            f'Set it to true, then "scaling retry {stored.folder} {result.run.run_id}" and "scaling'
            ' run" train it again.'
        )
    return result


def _check_length(result: RunResult, prompt: int, tokens: int | None) -> None:
    context = result.run.shape.seq_len
    if prompt + (tokens or 1) <= context:
        return
    if prompt >= context:
        advice = f"Shorten the prompt to at most {context - 1} tokens."
    else:
        advice = f"Ask for --tokens {context - prompt} at most, or shorten the prompt."
    asked = f"{tokens} tokens after it" if tokens is not None else "a token after it"
    raise UsageError(f"the prompt has {prompt} tokens, and {asked} are asked for; run "
                     f"{result.run.run_id} was trained on a context of {context}.\n{advice}"
                     )  # fmt: skip


def _open_language(facts: CorpusFacts, folder: Path) -> tuple[Language, int | None]:
    """How prompts are read, and which id ends a document."""
    if facts.tokenizer == NO_TOKENIZER:
        return _Ids(facts.vocab_size), None
    tokenizer = find_tokenizer(facts, folder)
    return _Text(tokenizer), tokenizer.separator


def find_tokenizer(facts: CorpusFacts, folder: Path) -> Tokenizer:
    """The tokenizer of the text that a results folder's runs read.

    Raises:
        UsageError: It lies with the prepared corpus, which is not here.
    """
    if facts.tokenizer == BYTES:
        return ByteTokenizer()
    prepared = find_prepared(folder.parent / ".cache" / "corpora", facts.digest)
    if prepared is None:
        raise UsageError(
            f"{folder}: tokenizer {facts.tokenizer} lies with the prepared corpus, which is "
            'not here.\n"scaling plan SWEEP.yaml" prepares it again.'
        )
    return open_tokenizer(prepared)


@dataclass(frozen=True, slots=True)
class _Text:
    tokenizer: Tokenizer

    def encode(self, text: str) -> list[int]:
        try:
            return [
                int(one) for one in self.tokenizer.encode(text.encode(errors="surrogateescape"))
            ]
        except UnicodeDecodeError as error:
            raise UsageError(f"byte {error.start} is not UTF-8 text, which tokenizer "
                             f"{self.tokenizer.name} needs.") from None  # fmt: skip

    def decode(self, ids: Sequence[int]) -> str:
        return codecs.decode(self.tokenizer.decode(list(ids)), errors="replace")


@dataclass(frozen=True, slots=True)
class _Ids:
    vocab_size: int

    def encode(self, text: str) -> list[int]:
        words = text.split()
        wrong = [one for one in words if not (one.isascii() and one.isdecimal())
                 or int(one) >= self.vocab_size]  # fmt: skip
        if wrong:
            raise UsageError(f"{wrong[0][:40]!r} is no id. The corpus has no text: write "
                             f"ids from 0 to {self.vocab_size - 1} and blanks between them."
                             )  # fmt: skip
        return [int(one) for one in words]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(f"{one} " for one in ids)
