"""Generated tokens follow the stated distribution and do not depend on how they are computed."""

import numpy as np
import pytest
import torch
from known_run import plan_shape
from torch import nn

from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.ladder import list_ladder
from scaling.training.generation import Choice, Reader, draw, generate, weigh
from scaling.training.parametrization import build_model

LOGITS = np.log(np.array([[0.4, 0.1, 0.3, 0.2]]))


class Uncached(nn.Module):
    """An added family, which only maps ids to logits."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, ids):
        return self.inner(ids)


def build(family: str, *, seq_len: int = 24) -> nn.Module:
    """A model with non-zero logits; an untrained one has a head of zeros."""
    shape = list_ladder(32, seq_len, family=family, max_params=2e4)[-1]
    model = build_model(plan_shape(shape)).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("out.weight") or name == "head.weight":
                parameter.normal_(0.0, 1.0, generator=generator)
    return model


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(), [0.4, 0.1, 0.3, 0.2]),
        (Choice(temperature=0.5), np.array([16, 1, 9, 4]) / 30),  # p² / Σ p²
        (Choice(temperature=0), [1, 0, 0, 0]),
        (Choice(top_k=2), [4 / 7, 0, 3 / 7, 0]),
        (Choice(top_p=0.4), [1, 0, 0, 0]),
        (Choice(top_p=0.41), [4 / 7, 0, 3 / 7, 0]),
        # Of 4/9, 3/9, 2/9 the first two sum to at least .7.
        (Choice(top_k=3, top_p=0.7), [4 / 7, 0, 3 / 7, 0]),
    ],
)
def test_sampling_probabilities_follow_temperature_top_k_and_top_p(choice, expected) -> None:
    np.testing.assert_allclose(weigh(LOGITS, choice)[0], expected, rtol=1e-12, atol=1e-15)


def test_ties_go_to_the_first_token() -> None:
    equal = np.zeros((1, 3))
    assert weigh(equal, Choice(temperature=0)).tolist() == [[1, 0, 0]]
    assert weigh(equal, Choice(top_k=2)).tolist() == [[0.5, 0.5, 0]]


def test_a_draw_is_where_the_summed_probability_passes_the_number() -> None:
    shares = np.array([[0.25, 0.0, 0.5, 0.25]])
    numbers = [0.0, 0.24, 0.25, 0.74, 0.75, np.nextafter(1, 0)]
    assert [int(draw(shares, np.array([one]))[0]) for one in numbers] == [0, 0, 2, 2, 3, 3]
    assert draw(np.array([[0.5, 0.5, 0.0]]), np.array([np.nextafter(1, 0)]))[0] == 1


def test_drawn_tokens_have_the_stated_frequencies() -> None:
    uniform = (np.arange(10_000) + 0.5) / 10_000  # evenly spaced instead of random
    shares = weigh(LOGITS, Choice()).repeat(10_000, axis=0)
    counts = np.bincount(draw(shares, uniform), minlength=4)
    np.testing.assert_allclose(counts, [4000, 1000, 3000, 2000], atol=1)


@pytest.mark.parametrize("choice", [Choice(), Choice(temperature=0), Choice(top_k=5, top_p=0.9)])
@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_cached_and_uncached_decoding_agree_to_the_token(family: str, choice: Choice) -> None:
    model, prompt = build(family), np.array([[3, 1, 4], [1, 5, 9]])
    asked = {"tokens": 21, "choice": choice, "seed": 7}
    cached = np.stack(list(generate(model, prompt, **asked)))
    whole = np.stack(list(generate(model, prompt, cached=False, **asked)))
    foreign = np.stack(list(generate(Uncached(model), prompt, **asked)))
    assert cached.shape == (21, 2)
    assert len(np.unique(cached)) > 2  # a constant text would agree trivially
    assert np.array_equal(cached, whole)
    assert np.array_equal(cached, foreign)


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_the_same_seed_gives_the_same_tokens_and_another_others(family: str) -> None:
    model, prompt = build(family), np.array([[3]])

    def take(seed: int, temperature: float) -> list[int]:
        choice = Choice(temperature=temperature)
        return [int(one[0]) for one in generate(model, prompt, tokens=20, choice=choice, seed=seed)]

    assert take(1, 1.0) == take(1, 1.0) != take(2, 1.0)
    assert take(1, 0.0) == take(2, 0.0)  # greedy decoding is deterministic


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_logits_read_piecewise_are_those_of_the_whole_text(family: str) -> None:
    model = build(family)
    ids = np.random.default_rng(0).integers(0, 32, (2, 12))
    reader = Reader(model)
    for first, end in ((0, 1), (1, 5), (5, 6), (6, 12)):
        pieces = reader.extend(ids[:, first:end])
        whole = Reader(model, cached=False).extend(ids[:, :end])
        # float32 sums of some tens of products in another order.
        np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-4)
