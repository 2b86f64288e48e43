"""Share of generated strings that belong to a known grammar, and its bound from the loss.

    grammar_accepted    share of samples of n tokens that no rule of the grammar forbids
    grammar_bound       exp(−(L − E) · n), a lower bound of that share

L is the model's loss and E that of the grammar itself, per token over n tokens after the end of a
string, on strings newly drawn from the grammar; samples follow the same end. The bound is the
data-processing inequality: with p the grammar, q the model and A the accepted strings, p(A) = 1, so
(L − E) · n = KL(p ‖ q) ≥ p(A) ln(p(A) / q(A)) = −ln q(A). A model whose errors are spread thin
writes valid strings far more often than the bound; one with a tiny excess loss, always at one
place, comes near it.
"""

from __future__ import annotations

import math

import numpy as np

from scaling.data import brackets
from scaling.errors import UsageError
from scaling.training.probes.samples import write_on
from scaling.training.probing import TrainedRun
from scaling.units import FloatArray, IntArray


def measure_accepted(trained: TrainedRun) -> tuple[float, float | None]:
    """Share of samples that the grammar accepts, and its standard error."""
    _refuse_others(trained)
    count, tokens = int(trained.options["samples"]), int(trained.options["tokens"])
    written = write_on(trained, np.full((count, 1), brackets.END_TOKEN), tokens)
    accepted = np.isfinite(brackets.judge_strings(written[:, 1:]).sum(axis=1))
    share = float(accepted.mean())
    return share, math.sqrt(share * (1.0 - share) / count)


def measure_bound(trained: TrainedRun) -> tuple[float, float | None]:
    """exp(−KL) of the model over as many tokens, and its standard error."""
    _refuse_others(trained)
    count, tokens = int(trained.options["samples"]), int(trained.options["tokens"])
    rng = np.random.Generator(np.random.Philox(key=[trained.run.seed, 3]))
    seq_len = trained.run.shape.seq_len
    drawn = brackets.draw_strings(rng, chains=count, length=seq_len)
    windows = np.concatenate((np.full((count, 1), brackets.END_TOKEN), drawn), axis=1)
    excess = find_excess(trained.measure_losses(windows)[:, :tokens], drawn[:, :tokens])
    trained.look_up()
    bound = math.exp(-float(excess.mean()))
    return bound, bound * float(excess.std(ddof=1)) / math.sqrt(count)


def find_excess(losses: FloatArray, drawn: IntArray) -> FloatArray:
    """Excess loss of a model on strings over the grammar's own loss [nats], shape (strings,).

    Args:
        losses: Losses of every token [nats], shape (strings, tokens).
        drawn: The strings, which follow an end.
    """
    return np.asarray((losses + brackets.judge_strings(drawn)).sum(axis=1), dtype=np.float64)


def _refuse_others(trained: TrainedRun) -> None:
    if trained.shards.name.partition(" ")[0] != brackets.NAME:
        raise UsageError(
            f"the grammar of this corpus is not known. Set corpus.source to {brackets.NAME}."
        )
