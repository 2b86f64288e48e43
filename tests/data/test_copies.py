"""Novels interleaved with copies at stated lags, which make up half of the bytes."""

import numpy as np
import pytest

from scaling.data.copies import LAGS, weave_copies
from scaling.errors import CorpusError


def test_every_other_span_repeats_an_earlier_one() -> None:
    """All ids of the text differ, so an id that recurs belongs to a copy."""
    size = 40_000
    woven = weave_copies(np.random.default_rng(0), np.arange(size), size)
    seen: dict[int, list[int]] = {}
    copied = 0
    for at, one in enumerate(woven.tolist()):
        if one in seen:
            copied += 1
            assert any(LAGS[0] <= at - before <= LAGS[1] for before in seen[one])
        seen.setdefault(one, []).append(at)
    assert list(seen) == list(range(len(seen)))  # the text in order, with nothing left out
    # 310 pairs of spans of 64 ± 19 bytes: the two totals differ by 1.5 % (one sigma).
    assert copied / size == pytest.approx(0.5, abs=0.045)


def test_too_little_text_is_refused() -> None:
    with pytest.raises(CorpusError) as caught:
        weave_copies(np.random.default_rng(0), np.zeros(1000, dtype=np.uint8), 4000)
    assert "Set corpus.tokens to 1,900 or fewer" in str(caught.value)
