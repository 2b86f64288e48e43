"""Questions with one right answer, about what a drawn corpus teaches.

A source that can ask questions names the function that does (`corpus_sources.Source.questions`).
Questions are token sequences of one length, and so are answers; none was trained on.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

import numpy as np

from scaling.errors import UsageError
from scaling.sweep.corpus_sources import SOURCES, load_function
from scaling.units import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Questions and their answers.

    Attributes:
        prompts: Ids, shape (questions, p).
        answers: Ids, shape (questions, a).
    """

    prompts: IntArray
    answers: IntArray


def ask_questions(corpus: str, rng: np.random.Generator, count: int) -> Questions:
    """Questions of a prepared corpus.

    Args:
        corpus: Its name (`Shards.name`), which holds the source and its settings.
        rng: Random numbers for questions that are drawn afresh.
        count: Number of questions at most; a source may hold out fewer.

    Raises:
        UsageError: The source asks no questions.
    """
    kind, _, key = corpus.partition(" ")
    source = SOURCES.get(kind)
    if source is None or not source.questions:
        raise UsageError("this corpus asks no questions.")
    asked: Questions = load_function(source.questions)(ast.literal_eval(key), rng, count)
    return asked
