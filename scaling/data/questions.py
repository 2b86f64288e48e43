"""Questions with one right answer, about what a drawn corpus teaches.

A source that can ask names the function that does (`corpus_sources.Source.questions`). A question
and its answer are tokens, of one length each, and none was trained on.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

import numpy as np

from scaling.errors import UsageError
from scaling.sweep.corpus_sources import SOURCES
from scaling.units import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Questions, and their answers.

    Attributes:
        prompts: Ids, shape (questions, p).
        answers: Ids, shape (questions, a).
    """

    prompts: IntArray
    answers: IntArray


def ask_questions(corpus: str, rng: np.random.Generator, count: int) -> Questions:
    """Questions of a prepared corpus.

    Args:
        corpus: Its name (`Shards.name`): the source, and what it was drawn from.
        rng: For what is drawn afresh.
        count: How many, at most: of held-out ones there may be fewer.

    Raises:
        UsageError: It asks nothing.
    """
    kind, _, key = corpus.partition(" ")
    source = SOURCES.get(kind)
    if source is None or not source.questions:
        raise UsageError("this corpus asks no questions.")
    asked: Questions = source.load_questions()(ast.literal_eval(key), rng, count)
    return asked
