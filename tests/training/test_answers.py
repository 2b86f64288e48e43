"""Scores of answers against models whose probabilities are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import test_probes_exact
import torch
from known_run import plan_shape
from torch import nn

from scaling.data import arithmetic
from scaling.data.questions import ask_questions
from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.ladder import list_ladder
from scaling.training.generation import Choice, generate
from scaling.training.parametrization import build_model
from scaling.training.probes import answers
from scaling.training.probing import average

CORPUS = "arithmetic ['arithmetic', 1, 0, 2, 3000]"
LENGTH = 3  # tokens of an answer


def make_trained(model: nn.Module, questions: int = 200) -> SimpleNamespace:
    return test_probes_exact.make_trained(
        options={"questions": questions}, run=SimpleNamespace(seed=0), model=model,
        shards=SimpleNamespace(name=CORPUS),
    )  # fmt: skip


class Adder(nn.Module):
    """Gives the right next token of a sum the probability `share` and spreads the rest evenly; at
    the places in `wrong` it prefers another token."""

    def __init__(self, share: float, wrong: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.share, self.wrong = share, wrong
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        rest = (1 - self.share) / (arithmetic.VOCABULARY - 1)
        out = torch.full((*tokens.shape, arithmetic.VOCABULARY), rest)
        for row, ids in enumerate(tokens.tolist()):
            first, second = (10 * (ids[at] - 1) + ids[at + 1] - 1 for at in (1, 4))
            for place in range(LENGTH):
                at = 6 + place
                if at < len(ids):
                    digit = 1 + (first + second) // 10**place % 10
                    out[row, at, digit] = self.share
                    if place in self.wrong:  # slightly more likely than the right token
                        out[row, at, arithmetic.PLUS] = self.share * 1.01
        return out.log()


def test_scores_follow_from_a_models_known_probabilities() -> None:
    share, rest = 0.7, 0.3 / (arithmetic.VOCABULARY - 1)
    trained = make_trained(Adder(share))
    assert answers.measure_exact(trained)[:2] == (1.0, 0.0)
    assert answers.measure_accuracy(trained)[:2] == (1.0, 0.0)
    assert answers.measure_accuracy_free(trained)[:2] == (1.0, 0.0)
    assert answers.measure_null(trained)[:2] == (1.0, 0.0)
    assert answers.measure_loss(trained)[0] == pytest.approx(-np.log(share), rel=1e-6)
    assert answers.measure_probability(trained)[0] == pytest.approx(share**LENGTH, rel=1e-6)
    brier = (1 - share) ** 2 + (arithmetic.VOCABULARY - 1) * rest**2
    assert answers.measure_brier(trained)[0] == pytest.approx(brier, rel=1e-6)


def test_one_wrong_place_costs_a_third_of_the_tokens_and_every_answer() -> None:
    trained = make_trained(Adder(0.4, wrong=(1,)))
    assert answers.measure_exact(trained)[0] == 0.0
    share, _, curve = answers.measure_accuracy(trained)
    assert share == pytest.approx(2 / 3)
    assert curve.y == (1.0, 0.0, 1.0)
    assert curve.x == (1.0, 2.0, 3.0)
    assert answers.measure_null(trained)[0] == pytest.approx((2 / 3) ** 3)


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_greedy_text_is_right_as_often_as_every_token_after_the_right_ones(family: str) -> None:
    """The identity that lets exact answers be scored without generating text, on models that have
    memorised some of the answers."""
    shape = list_ladder(arithmetic.VOCABULARY, 16, family=family, max_params=9e3)[-1]
    model = build_model(plan_shape(shape))
    asked = ask_questions(CORPUS, np.random.default_rng(0), 150)
    whole = torch.from_numpy(np.concatenate((asked.prompts, asked.answers), axis=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):  # memorise
        logits = model(whole[:, :-1])[:, 6:]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), whole[:, 7:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = make_trained(model.eval(), questions=150)
    exact = answers.measure_exact(trained)[0]
    steps = generate(model, asked.prompts, tokens=LENGTH, choice=Choice(temperature=0), seed=0)
    free = np.stack(list(steps), axis=1)
    assert 0.0 < exact < 1.0
    assert exact == np.all(free == asked.answers, axis=1).mean()
    right = (free == asked.answers).mean()
    assert answers.measure_accuracy_free(trained)[0] == pytest.approx(right, rel=1e-12)


def test_errors_are_those_of_a_mean_over_questions() -> None:
    each = np.array([0.0, 1.0, 1.0, 0.5])
    mean, error = average(each)
    assert (mean, error) == (0.625, pytest.approx(each.std(ddof=1) / 2))
