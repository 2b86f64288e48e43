"""Score pairs of sentences that differ in one stated place by a trained run.

    pairs.jsonl    {"first": "The nurse said that she …", "second": "The nurse said that he …",
                    "differs": ["she", "he"]}

The score of a pair is ln p(first) − ln p(second) under the run. Each sentence follows the token
that begins a document and counts from its first token. In a corpus without documents, sentences are
token ids and count from the second. If the differing words take several tokens, all of them count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from scaling.errors import UsageError
from scaling.fitting.sentence_pairs import ScoredPairs, SentencePair, sum_up_pairs
from scaling.workflow.sampling import FoundRun, find_run

FIELDS = ("first", "second", "differs")
_SHOWN = 20  # problems listed at most
_LIMIT_BYTES = 100 * 2**20


def score_pairs(folder: Path, path: Path, *, run: str | None) -> ScoredPairs:
    """Score the pairs of a file by a run of a results folder.

    Args:
        folder: The results folder.
        path: The file of pairs.
        run: How its run_id begins; None: the finished run of the lowest loss.

    Raises:
        UsageError: There is no such run, it kept no weights, or pairs cannot be scored; every line.
    """
    pairs = read_pairs(path)
    found = find_run(folder, run=run)
    encoded, problems = [], []
    for pair in pairs:
        for name in FIELDS[:2]:
            try:
                encoded.append(_encode(found, getattr(pair, name)))
            except UsageError as error:
                problems.append(f"{path}:{pair.line}: {name}: {error}")
    if found.separator is None and not problems:
        problems = [
            f"{path}:{pair.line}: the sentences differ in their first id, which a corpus without "
            "documents gives no probability. Let them begin alike."
            for pair, at in zip(pairs, range(0, len(encoded), 2), strict=True)
            if encoded[at][0] != encoded[at + 1][0]
        ]
    _refuse(problems)
    from scaling.training.generation import measure_log_likelihood

    model = found.load_model()
    scores = [measure_log_likelihood(model, ids) for ids in encoded]
    each = [first - second for first, second in zip(scores[::2], scores[1::2], strict=True)]
    return sum_up_pairs(found.result.run.run_id, pairs, each)


def read_pairs(path: Path) -> tuple[SentencePair, ...]:
    """Read the pairs of a file.

    Raises:
        UsageError: The file cannot be read, is empty or has wrong lines; all are named.
    """
    try:
        if not path.is_file() or path.stat().st_size > _LIMIT_BYTES:
            raise UsageError(f"{path}: no regular file of at most 100 MB. Name a file of pairs.")
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8. Convert the file.") from None
    pairs: list[SentencePair] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        found = _read_line(line, number)
        if isinstance(found, SentencePair):
            pairs.append(found)
        else:
            problems.append(f"{path}:{number}: {found}")
    if not pairs and not problems:
        problems = [f"{path}: no pairs. Write one JSON object a line, with {', '.join(FIELDS)}."]
    _refuse(problems)
    return tuple(pairs)


def _read_line(line: str, number: int) -> SentencePair | str:
    """Return the pair of a line, or what is wrong with it."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        return 'not JSON. Write {"first": "…", "second": "…", "differs": ["she", "he"]}.'
    if not isinstance(given, dict) or set(given) != set(FIELDS):
        return f"its keys are not {', '.join(FIELDS)}. State these three."
    first, second, places = (given[one] for one in FIELDS)
    texts = [first, second, *(places if isinstance(places, list) else [None])]
    if len(texts) != 4 or not all(isinstance(one, str) and one for one in texts):
        return "first and second must be texts, and differs a list of two texts."
    if first == second:
        return "the two sentences are the same. Let them differ."
    if not differ_there(first, second, *places):
        return (
            f"the sentences differ in more than {places[0]!r} and {places[1]!r}. Let all else be "
            "the same, to the letter."
        )
    return SentencePair(line=number, first=first, second=second)


def differ_there(first: str, second: str, one: str, other: str) -> bool:
    """Return whether replacing one occurrence of `one` by `other` turns first into second."""
    at = first.find(one)
    while at >= 0:
        if first[:at] + other + first[at + len(one) :] == second:
            return True
        at = first.find(one, at + 1)
    return False


def _encode(found: FoundRun, text: str) -> tuple[int, ...]:
    """Token ids of a sentence, after the token that begins a document."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("half of a surrogate pair is not text. Write whole characters.") from None
    ids = found.language.encode(text)
    if found.separator in ids:
        raise UsageError("it contains the character that ends a document. Leave that out.")
    if found.separator is not None:
        ids = [found.separator, *ids]
    context = found.result.run.shape.seq_len
    if len(ids) > context + 1:
        raise UsageError(
            f"{len(ids) - 1} tokens follow the first, more than the context of {context}. Shorten "
            "it."
        )
    if len(ids) < 2:
        raise UsageError("one id alone has no probability. Write two or more.")
    return tuple(ids)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        more = len(problems) - _SHOWN
        shown = [*problems[:_SHOWN], *([f"... and {more} more"] if more > 0 else [])]
        raise UsageError("\n".join(shown))
