"""Share of generated lines that are Python, compared with n-grams and with the text itself.

    code_valid            share of samples that `ast.parse` accepts
    code_valid_ngram      the same for n-grams of equal length: the effect of local statistics
    code_valid_text       the same for the held-out text there: the most that this length allows

A sample continues held-out text from the start of a line, for up to `lines` lines. It counts if
those lines, without their common indentation, parse and contain a statement (blank lines and
comments are no achievement). Lines that end with a colon get a body, `pass`. A sample whose lines
have not ended where its n-gram control and the context end is not valid.

The n-gram control is drawn from the text that the run read: the token after a random occurrence of
the last `order` − 1 tokens, or of fewer if those do not occur.
"""

from __future__ import annotations

import ast
import math
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.data.tokenizers import Tokenizer
from scaling.errors import UsageError
from scaling.training.probes.samples import write_on
from scaling.training.probing import TrainedRun, mark_read
from scaling.units import IntArray

_NEWLINE = b"\n"


def measure_valid(trained: TrainedRun) -> tuple[float, float | None]:
    """Share of the model's samples that parse, and its standard error."""
    return _measure(trained, 0)


def measure_ngram(trained: TrainedRun) -> tuple[float, float | None]:
    """Share of n-gram samples that parse, and its standard error."""
    return _measure(trained, 1)


def measure_text(trained: TrainedRun) -> tuple[float, float | None]:
    """Share of held-out stretches that parse, and its standard error."""
    return _measure(trained, 2)


def is_python(text: bytes, lines: int) -> bool:
    """Return whether the first `lines` lines of a text, all complete, are Python statements."""
    parts = text.split(_NEWLINE)
    if len(parts) <= lines:
        return False
    code = textwrap.dedent(b"\n".join(parts[:lines]).decode(errors="replace"))
    if code.rstrip().endswith(":"):
        last = code.rstrip().split("\n")[-1]
        code = code.rstrip() + "\n" + " " * (len(last) - len(last.lstrip()) + 1) + "pass"
    try:
        with warnings.catch_warnings():  # about invalid escapes in strings
            warnings.simplefilter("ignore")
            return bool(ast.parse(code).body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


@dataclass(frozen=True, slots=True)
class NGrams:
    """Every context of a text, sorted: the latest token is the first digit, so that a shorter
    context is a range of keys.

    Attributes:
        keys: Shape (places,), ascending.
        follows: The token after each.
        base: Base of a key's digits: the vocabulary size.
        length: Number of tokens in a context.
    """

    keys: NDArray[np.uint64]
    follows: IntArray
    base: int
    length: int

    def draw(self, context: Sequence[int], rng: np.random.Generator) -> int:
        """Draw a token that followed the longest suffix of the context that occurs in the text."""
        for length in range(min(self.length, len(context)), 0, -1):
            low = 0
            for one in [*reversed(context[len(context) - length :]), *[0] * (self.length - length)]:
                low = low * self.base + int(one)
            high = low + self.base ** (self.length - length)
            first, end = np.searchsorted(self.keys, np.array([low, high], dtype=np.uint64))
            if end > first:
                return int(self.follows[rng.integers(first, end)])
        return int(self.follows[rng.integers(len(self.follows))])


def count_ngrams(text: NDArray[np.integer], vocab_size: int, order: int) -> NGrams:
    """Collect the n-grams of a text, of `order` tokens or as many as fit 63 bits."""
    length = max(1, min(order - 1, int(63 / math.log2(vocab_size)), len(text) - 1))
    keys = np.zeros(len(text) - length, dtype=np.uint64)
    for back in range(length):  # the latest token first
        keys = keys * np.uint64(vocab_size) + text[length - 1 - back : -1 - back].astype(np.uint64)
    order_of = np.argsort(keys, kind="stable")
    follows = text[length:][order_of].astype(np.int64)
    return NGrams(keys=keys[order_of], follows=follows, base=vocab_size, length=length)


def _measure(trained: TrainedRun, which: int) -> tuple[float, float | None]:
    names = ("samples", "lines", "context", "order")
    asked = {name: int(trained.options[name]) for name in names}
    key = f"python {sorted(asked.items())}"
    share = trained.share(key, lambda: _measure_all(trained, **asked))[which]
    return share, math.sqrt(share * (1.0 - share) / asked["samples"])


def _measure_all(
    trained: TrainedRun, *, samples: int, lines: int, context: int, order: int
) -> tuple[float, ...]:
    tokenizer, text = trained.tokenizer, trained.shards.validation
    tokens = trained.run.shape.seq_len - context
    starts = _find_line_starts(text, tokenizer, context=context, tokens=tokens, count=samples)
    prompts = text[starts[:, None] - context + np.arange(context)].astype(np.int64)
    written = write_on(trained, prompts, tokens)[:, context:]
    read: IntArray = trained.shards.train[mark_read(trained)].astype(np.int64)
    ngrams = count_ngrams(read, trained.run.shape.vocab_size, order)
    rng = np.random.Generator(np.random.Philox(key=[trained.run.seed, 4]))
    controls = np.empty((samples, tokens), dtype=np.int64)
    for row, prompt in enumerate(prompts.tolist()):
        history = list(prompt)
        for at in range(tokens):
            history.append(ngrams.draw(history, rng))
            controls[row, at] = history[-1]
        trained.look_up()
    real = text[starts[:, None] + np.arange(tokens)].astype(np.int64)
    return tuple(
        sum(is_python(tokenizer.decode(row), lines) for row in part.tolist()) / samples
        for part in (written, controls, real)
    )


def _find_line_starts(
    text: NDArray[np.integer], tokenizer: Tokenizer, *, context: int, tokens: int, count: int
) -> IntArray:
    """Places right after a token that ends a line, evenly spread, with room on either side."""
    ends = [one for one in range(tokenizer.vocab_size) if _ends_line(tokenizer, one)]
    places = np.flatnonzero(np.isin(text, ends)) + 1
    places = places[(places >= context) & (places + tokens <= len(text))]
    if len(places) < count:
        raise UsageError(
            f"the held-out text has {len(places)} lines with {context} tokens before them; "
            f"{count} samples are asked for. Ask for fewer, or add text."
        )
    return places[np.linspace(0, len(places) - 1, count).astype(np.int64)]


def _ends_line(tokenizer: Tokenizer, token: int) -> bool:
    if token == tokenizer.separator:
        return False
    return tokenizer.decode([token]).endswith(_NEWLINE)
