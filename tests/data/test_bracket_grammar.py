"""Bracket strings: entropy by hand, filtering against enumeration, and invalid strings."""

import itertools

import numpy as np
import pytest

from scaling.data import brackets
from scaling.data.brackets import (
    DEPTH,
    END,
    OPEN,
    draw_strings,
    filter_stacks,
    judge_strings,
    list_stacks,
    measure_entropy_rate,
)


def entropy(*shares: float) -> float:
    return -sum(one * np.log(one) for one in shares if one)


def test_the_entropy_rate_follows_from_the_depths_alone() -> None:
    """Computed by hand over states: after an end, depth 0 after a string, depths 1 to DEPTH."""
    size = DEPTH + 2
    step = np.zeros((size, size))
    step[0, 2] = 1.0
    step[1, 0], step[1, 2] = END, 1 - END
    for depth in range(1, DEPTH + 1):
        up = OPEN if depth < DEPTH else 0.0
        if depth < DEPTH:
            step[depth + 1, depth + 2] = up
        step[depth + 1, depth if depth > 1 else 1] += 1 - up
    values, vectors = np.linalg.eig(step.T)
    share = np.real(vectors[:, np.argmin(abs(values - 1))])
    share /= share.sum()
    each = [np.log(2), entropy(END, (1 - END) / 2, (1 - END) / 2)]
    each += [entropy(1 - OPEN, OPEN / 2, OPEN / 2)] * (DEPTH - 1) + [0.0]
    assert measure_entropy_rate() == pytest.approx(float(share @ each), rel=1e-10)


def test_drawn_strings_follow_the_grammar_and_its_probabilities() -> None:
    drawn = draw_strings(np.random.default_rng(0), chains=400, length=400)
    logs = judge_strings(drawn)
    assert np.isfinite(logs).all()
    # Mean over 400 chains; four of its standard errors have probability 1/16,000.
    each = -logs[:, 100:].mean(axis=1)
    assert abs(each.mean() - measure_entropy_rate()) < 4 * each.std() / 20


@pytest.mark.parametrize(
    ("text", "first_wrong"),
    [
        ([2], 0),  # no bracket is open
        ([0], 0),  # an empty string
        ([1, 4], 1),  # [ closes with ]
        ([1, 0], 1),  # a bracket is open
        ([1, 3, 2], 2),  # the last opened closes first
        ([1] * DEPTH + [3], DEPTH),
        ([1, 2, 0, 0], 3),
    ],
)
def test_a_forbidden_token_is_found_at_its_position(text, first_wrong) -> None:
    logs = judge_strings(np.array([text]))[0]
    assert np.isfinite(logs[:first_wrong]).all()
    assert np.isinf(logs[first_wrong:]).all()


def test_filtered_losses_equal_sums_over_every_stack() -> None:
    """Windows of four tokens, summed over all 128 stacks that may precede them."""
    stacks = list_stacks()

    def probability(window: tuple[int, ...]) -> float:
        total = 0.0
        for at, share in enumerate(stacks.stationary):
            product, stack = share, at
            for token in window:
                product *= stacks.probability[stack, token]
                if not product:
                    break
                stack = stacks.after[stack, token]
            total += product
        return total

    windows = [one for one in itertools.product(range(5), repeat=4) if probability(one) > 0]
    losses = filter_stacks(np.array(windows))
    for window, found in zip(windows, losses, strict=True):
        for at in range(1, 4):
            expected = -np.log(probability(window[: at + 1]) / probability(window[:at]))
            assert found[at - 1] == pytest.approx(expected, rel=1e-9)
    assert brackets.VOCABULARY == 5
