"""Few-shot probes on models that equal a predictor, or mix two."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_probes_exact import make_trained
from torch import nn

from scaling.data.markov_chains import predict_bigram, predict_unigram
from scaling.data.sequences import BAYES, SIMPLE, TRAINED, UNIFORM, open_sequences
from scaling.errors import UsageError
from scaling.training.probes import few_shot

NEW = "markov_chains ['markov_chains', 1, 0, 20000, 64, 3, 0]"
FEW = "markov_chains ['markov_chains', 1, 0, 20000, 64, 3, 4]"
MAPS = "letter_maps ['letter_maps', 1, 0, 20000, 64, 5]"
CORPORA = (NEW, FEW, MAPS)


class Predictor(nn.Module):
    """A predictor as a model; ids it rules out get e^-700, within float64."""

    def __init__(self, corpus, name, other=None, weight=0.0) -> None:
        super().__init__()
        self.source, self.names, self.weight = open_sequences(corpus), (name, other), weight
        self.dummy = nn.Parameter(torch.zeros(1))

    def forward(self, ids):
        tokens = np.concatenate((ids.numpy(), ids.numpy()[:, -1:]), axis=1)
        judged = self.source.judge(tokens, np.zeros((len(tokens), 3, 3)))
        said = judged.predictors[self.names[0]]
        if self.names[1]:
            said = (1 - self.weight) * said + self.weight * judged.predictors[self.names[1]]
        logits = np.zeros((*ids.shape, self.source.vocab_size))
        logits[:, judged.places - 1] = np.log(np.maximum(said, 1e-304))
        return torch.from_numpy(logits)


def make(corpus, name, *more, sequences=64):
    return make_trained(
        options={"sequences": sequences}, model=Predictor(corpus, name, *more),
        shards=SimpleNamespace(name=corpus),
    )  # fmt: skip


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_model_equal_to_a_predictor_has_no_distance_to_it(corpus) -> None:
    measures = {
        BAYES: few_shot.measure_excess,
        SIMPLE: few_shot.measure_simple,
        UNIFORM: few_shot.measure_uniform,
    }
    for name in measures:
        for other, measure in measures.items():
            found = measure(make(corpus, name))[0]
            if name == other:
                assert found == pytest.approx(0.0, abs=1e-12)  # sums of float64
            else:
                assert found > 0.01


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_phase_names_the_nearest_predictor(corpus) -> None:
    assert few_shot.measure_phase(make(corpus, BAYES)) == (1.0, 0.0)
    assert few_shot.measure_phase(make(corpus, SIMPLE)) == (0.0, 0.0)
    assert few_shot.measure_phase(make(corpus, UNIFORM)) == (0.0, 0.0)
    near, error = few_shot.measure_phase(make(corpus, BAYES, UNIFORM, 0.02))
    assert near > 0.9
    assert error == pytest.approx((near * (1 - near) / 64) ** 0.5)
    assert few_shot.measure_phase(make(corpus, BAYES, UNIFORM, 0.98))[0] < 0.1


def test_remembering_and_inferring_are_told_apart() -> None:
    remembers, infers = make(FEW, TRAINED), make(FEW, BAYES)
    assert few_shot.measure_phase(remembers)[0] < 0.05
    # Of its own chains it knows more than examples say, of new ones far less.
    assert few_shot.measure_seen(remembers)[0] < -0.05
    assert few_shot.measure_excess(remembers)[0] > 0.1
    assert few_shot.measure_seen(infers)[0] == pytest.approx(0.0, abs=1e-12)


def test_excess_is_the_mean_loss_minus_the_best_predictors() -> None:
    """On drawn tokens, whose expectation the probe takes exactly."""
    trained = make(NEW, SIMPLE, sequences=4000)
    found, error, _ = few_shot.measure_excess(trained)
    tokens = few_shot._draw_sequences(trained).tokens
    simple, bayes = predict_unigram(tokens, 3), predict_bigram(tokens, 3)
    loss, best = (
        -np.log(np.take_along_axis(one, tokens[:, 1:, None], axis=2)) for one in (simple, bayes)
    )
    each = (loss - best)[..., 0].mean(axis=1)
    drawn_error = each.std() / len(each) ** 0.5
    assert abs(found - each.mean()) < 4 * np.hypot(error, drawn_error)
    assert error < drawn_error  # which is what expectations are for


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_best_predictor_reaches_the_bound_of_the_regret(corpus) -> None:
    trained = make(corpus, BAYES)
    regret, bound = few_shot.measure_regret(trained), few_shot.measure_regret_bayes(trained)
    assert regret[0] == pytest.approx(bound[0], rel=1e-9)
    assert regret[2].y == pytest.approx(bound[2].y, rel=1e-6, abs=1e-12)
    other = make(corpus, SIMPLE)
    assert few_shot.measure_regret(other)[0] - bound[0] > 0.01
    assert few_shot.measure_regret_bayes(other)[0] == bound[0]  # nothing is asked of the model


def test_curves_average_over_bins_of_examples() -> None:
    examples = np.arange(128)
    each = np.random.default_rng(0).random((50, 128))
    x, y, errors = few_shot.bin_examples(each, examples)
    assert x[:3].tolist() == pytest.approx([1.0, 2.0, 3.0])
    assert len(x) == 13
    assert np.all(np.diff(x) > 0)
    assert x[-1] < 128
    inside = (examples >= 91) & (examples < 128)
    rows = each[:, inside].mean(axis=1)
    assert y[-1] == pytest.approx(rows.mean(), rel=1e-12)
    assert errors[-1] == pytest.approx(rows.std(ddof=1) / 50**0.5, rel=1e-12)


def test_another_corpus_is_refused() -> None:
    trained = make_trained(options={"sequences": 8}, shards=SimpleNamespace(name="bytes"))
    with pytest.raises(UsageError):
        few_shot.measure_excess(trained)
