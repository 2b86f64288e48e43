"""The longest stretch of generated text that occurs in the text a run was trained on.

    longest_match           mean over samples of the longest run of tokens found there [tokens]
    longest_match_control   the same for held-out text of equal length, which cannot be memorised

Only tokens that the run read count, not others in its corpus.

A model that reproduces its training text has longer matches than held-out text; one that knows
little has shorter ones, since its text resembles no real text. Samples begin with one token of a
held-out window and are drawn at temperature 1.

    keys    hash of the L tokens from each place, L = 1, 2, …: h_{L+1}(i) = h_L(i) · B + x_{i+L}
    L + 1   only where L was found: places of the training text that match nothing are dropped

Every match is exact except for collisions of 64-bit hashes, whose chance for 10 million places and
10 thousand keys is 1e-8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling.training.probes.samples import write_samples
from scaling.training.probing import TrainedRun, average, mark_read
from scaling.units import FloatArray, IntArray

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: golden ratio in 64 bits, Knuth vol. 3, sec. 6.4
_PLACES_AT_ONCE = 1 << 20  # 8 MB of keys
_TABLE_BITS = 20  # bits of a first filter, which rules out nearly every position

Keys = NDArray[np.uint64]


def measure_match(trained: TrainedRun) -> tuple[float, float | None]:
    """Mean longest match of samples [tokens], and its standard error."""
    return _measure(trained, 0)


def measure_control(trained: TrainedRun) -> tuple[float, float | None]:
    """Mean longest match of held-out text of equal length [tokens], and its standard error."""
    return _measure(trained, 1)


def find_longest(
    samples: IntArray, text: NDArray[np.integer], read: NDArray[np.bool_] | None = None
) -> IntArray:
    """Length of the longest run of each sample that occurs in a text [tokens], shape (samples,).

    Args:
        samples: Ids, shape (samples, tokens).
        text: Ids, shape (places,).
        read: Mask of those that count, shape (places,); None: all.
    """
    longest = np.zeros(len(samples), dtype=np.int64)
    for first in range(0, len(text), _PLACES_AT_ONCE):
        # Overlap, because a match may extend into the next part.
        part = slice(first, first + _PLACES_AT_ONCE + samples.shape[1] - 1)
        counts = np.ones(len(text[part]), dtype=np.bool_) if read is None else read[part]
        longest = np.maximum(longest, _find_in_part(samples, np.asarray(text[part]), counts))
    return longest


def _find_in_part(
    samples: IntArray, text: NDArray[np.integer], read: NDArray[np.bool_]
) -> IntArray:
    longest = np.zeros(len(samples), dtype=np.int64)
    # Samples with a match at the last length; the others have none at a greater one.
    alive = np.arange(len(samples))
    places = np.flatnonzero(read)
    keys = np.zeros(len(places), dtype=np.uint64)
    wanted = np.zeros(samples.shape, dtype=np.uint64)
    for length in range(1, samples.shape[1] + 1):
        last = places + length - 1
        fits = (last < len(text)) & read[np.minimum(last, len(text) - 1)]
        places, keys = places[fits], keys[fits]
        keys = _extend(keys, text[places + length - 1])
        wanted = _extend(wanted[:, : samples.shape[1] - length + 1], samples[alive, length - 1 :])
        found = _is_among(keys, np.unique(wanted))
        places, keys = places[found], keys[found]
        has = np.isin(wanted, np.unique(keys)).any(axis=1)
        alive, wanted = alive[has], wanted[has]
        longest[alive] = length
        if not len(alive):
            break
    return longest


def _extend(keys: Keys, ids: NDArray[np.integer]) -> Keys:
    """Extend keys by one token; arithmetic wraps around."""
    return np.asarray(keys * _BASE + (ids.astype(np.uint64) + np.uint64(1)), dtype=np.uint64)


def _is_among(keys: Keys, wanted: Keys) -> NDArray[np.bool_]:
    """Mask of keys that are among the sorted `wanted` ones."""
    table = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
    table[_shorten(wanted)] = True
    found = table[_shorten(keys)]
    likely = np.flatnonzero(found)
    where = np.minimum(np.searchsorted(wanted, keys[likely]), len(wanted) - 1)
    found[likely] = wanted[where] == keys[likely]
    return found


def _shorten(keys: Keys) -> NDArray[np.int64]:
    return np.asarray(keys >> np.uint64(64 - _TABLE_BITS), dtype=np.int64)


def _measure(trained: TrainedRun, which: int) -> tuple[float, float | None]:
    return average(trained.share("longest matches", lambda: _measure_both(trained))[which])


def _measure_both(trained: TrainedRun) -> tuple[FloatArray, ...]:
    both = write_samples(
        trained,
        count=int(trained.options["samples"]),
        tokens=trained.run.shape.seq_len,
        prompt=1,
        temperature=1.0,
    )
    trained.look_up()
    longest = find_longest(np.concatenate(both), trained.shards.train, mark_read(trained))
    return tuple(np.asarray(one, dtype=np.float64) for one in np.split(longest, 2))
