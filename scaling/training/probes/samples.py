"""Texts written by a trained model, for the probes that use them."""

from __future__ import annotations

import numpy as np

from scaling.data.batches import list_validation_windows
from scaling.training.generation import Choice, generate
from scaling.training.probing import TrainedRun
from scaling.units import IntArray


def write_samples(
    trained: TrainedRun, *, count: int, tokens: int, prompt: int, temperature: float
) -> tuple[IntArray, IntArray]:
    """Write samples that begin like held-out windows, beside the windows' real continuation.

    Args:
        trained: The run whose model writes.
        count: Number of samples.
        tokens: Tokens of each sample, prompt included.
        prompt: Number of them that come from the window.
        temperature: As in Choice.

    Returns:
        (written, held out), both of shape (count, tokens).
    """

    def write() -> tuple[IntArray, IntArray]:
        seq_len = trained.run.shape.seq_len
        starts, _ = list_validation_windows(trained.shards, seq_len=seq_len)
        chosen = starts[np.linspace(0, len(starts) - 1, count).astype(np.int64)]
        held_out = trained.shards.validation[chosen[:, None] + np.arange(tokens)].astype(np.int64)
        begun = held_out[:, :prompt]
        return write_on(trained, begun, tokens - prompt, temperature=temperature), held_out

    return trained.share(f"samples {count} {tokens} {prompt} {temperature:g}", write)


def write_on(
    trained: TrainedRun, prompts: IntArray, tokens: int, *, temperature: float = 1.0
) -> IntArray:
    """Continue texts.

    Args:
        trained: The run whose model writes.
        prompts: Ids, shape (texts, t).
        tokens: How many follow each.
        temperature: As in Choice.

    Returns:
        The texts, prompts included, shape (texts, t + tokens).
    """
    parts, choice = [prompts], Choice(temperature=temperature)
    for one in generate(
        trained.model, prompts, tokens=tokens, choice=choice, seed=trained.run.seed
    ):
        parts.append(one[:, None])
        trained.look_up()
    return np.concatenate(parts, axis=1)
