"""Text from a trained model: one token after another, from its own distribution.

    p_i ∝ exp(logit_i / temperature), of the top_k likeliest tokens, and of those of the fewest that
    hold top_p of the probability together; temperature 0: the likeliest token (greedy)

A draw is the first token, in the order of ids, at which the summed probability passes a uniform
number, so that it depends on the seed, and on no library's order of sums beyond rounding. Source of
top_p: Holtzman et al. 2020, arXiv:1904.09751.

A network that has `extend(tokens, state)` (a transformer's keys and values, a recurrent state)
reads each token once; of any other the whole text is read again for every token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from scaling.units import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How a token is chosen.

    Attributes:
        temperature: 0: the likeliest, of equal ones the first id.
        top_k: Draw from so many tokens; None: from all.
        top_p: Draw from this share of the probability, above 0 and at most 1.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0


class _Extending(Protocol):
    def extend(self, tokens_bt: Tensor, state: Any) -> tuple[Tensor, Any]: ...


def weigh(logits: FloatArray, choice: Choice) -> FloatArray:
    """Probability of each token as it would be drawn, of logits of shape (…, vocabulary)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    if choice.temperature == 0:
        likeliest = np.argmax(shifted, axis=-1)
        return np.asarray(np.arange(logits.shape[-1]) == likeliest[..., None], dtype=np.float64)
    weights = np.exp(shifted / choice.temperature)
    weights /= weights.sum(axis=-1, keepdims=True)
    if choice.top_k is None and choice.top_p == 1:
        return np.asarray(weights)
    order = np.argsort(-weights, axis=-1, kind="stable")
    ordered = np.take_along_axis(weights, order, axis=-1)
    if choice.top_k is not None:
        ordered[..., choice.top_k :] = 0.0
    ordered /= ordered.sum(axis=-1, keepdims=True)
    before = np.cumsum(ordered, axis=-1) - ordered
    ordered[before >= choice.top_p] = 0.0
    np.put_along_axis(weights, order, ordered, axis=-1)
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def draw(probabilities: FloatArray, uniform: FloatArray) -> IntArray:
    """A token of each row, shape (b,), for uniform numbers of that shape."""
    summed = np.cumsum(probabilities, axis=-1)
    last = probabilities.shape[-1] - 1 - np.argmax(probabilities[:, ::-1] > 0, axis=-1)
    # Rounding may leave the last sum below 1; a draw above it takes the last possible token.
    found = (summed <= uniform[:, None] * summed[:, -1:]).sum(axis=-1)
    return np.asarray(np.minimum(found, last), dtype=np.int64)


class Reader:
    """What a model says of the next token, of texts that grow.

    Args:
        model: From ids (b, t) to logits (b, t, v).
        cached: Whether a model that can reads each token once.
    """

    def __init__(self, model: nn.Module, *, cached: bool = True) -> None:
        self._model = model
        self._cached = cached and hasattr(model, "extend")
        self._read: list[IntArray] = []
        self._state: Any = None

    def extend(self, tokens: IntArray) -> FloatArray:
        """Logits of the next token, shape (b, v), after some more of shape (b, t)."""
        with torch.inference_mode():
            if self._cached:
                network = cast(_Extending, self._model)
                logits, self._state = network.extend(self._move(tokens), self._state)
            else:
                self._read.append(tokens)
                logits = self._model(self._move(np.concatenate(self._read, axis=1)))
            found: FloatArray = logits[:, -1].double().cpu().numpy()
        return found

    def _move(self, tokens: IntArray) -> Tensor:
        device = next(self._model.parameters()).device
        return torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64)).to(device)


def generate(
    model: nn.Module,
    prompt: IntArray,
    *,
    tokens: int,
    choice: Choice,
    seed: int,
    cached: bool = True,
) -> Iterator[IntArray]:
    """Tokens that follow prompts, as soon as each is known.

    Args:
        model: From ids to logits.
        prompt: Ids, shape (b, t), at least one a row; with `tokens` within the model's context.
        tokens: How many follow each.
        choice: How each is chosen.
        seed: Seeds the draws; row and place of a token decide its number.
        cached: See Reader.

    Yields:
        Ids of shape (b,).
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    reader, latest = Reader(model, cached=cached), prompt
    for _ in range(tokens):
        probabilities = weigh(reader.extend(latest), choice)
        found = draw(probabilities, rng.random(len(prompt)))
        yield found
        latest = found[:, None]
