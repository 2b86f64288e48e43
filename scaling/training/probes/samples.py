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
    key = f"samples {count} {tokens} {prompt} {temperature:g}"
    made: tuple[IntArray, IntArray] = trained.share(
        key,
        lambda: _write(trained, count, tokens, prompt=prompt, temperature=temperature),
    )
    return made


def _write(
    trained: TrainedRun, count: int, tokens: int, *, prompt: int, temperature: float
) -> tuple[IntArray, IntArray]:
    seq_len = trained.run.shape.seq_len
    starts, _ = list_validation_windows(trained.shards, seq_len=seq_len)
    chosen = starts[np.linspace(0, len(starts) - 1, count).astype(np.int64)]
    held_out = trained.shards.validation[chosen[:, None] + np.arange(tokens)].astype(np.int64)
    parts = [held_out[:, :prompt]]
    choice = Choice(temperature=temperature)
    for one in generate(
        trained.model, parts[0], tokens=tokens - prompt, choice=choice, seed=trained.run.seed
    ):
        parts.append(one[:, None])
        trained.look_up()
    return np.concatenate(parts, axis=1), held_out
