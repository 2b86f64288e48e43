"""Each probe against a known value: a curve that follows its law, a network whose gradient is a
product, a model that equals its source, text that does or does not occur in another."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from known_run import plan_shape
from torch import nn

from scaling.data import brackets, pairs, synthetic
from scaling.data.batches import BatchOrder
from scaling.errors import UsageError
from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.ladder import list_ladder
from scaling.training.probes import (
    copying,
    gradients,
    grammar,
    known_source,
    matches,
    positions,
    python_code,
    recalling,
    samples,
)


def make_run(family="lstm", *, seq_len=24, vocab=32):
    return plan_shape(list_ladder(vocab, seq_len, family=family, max_params=2e4)[-1])


def make_trained(*, options=None, run=None, measure_losses=None, **more):
    """A trained run as a probe sees it, without a ledger."""
    shared = {}

    def share(key, make):
        if key not in shared:
            shared[key] = make()
        return shared[key]

    run = run or make_run()
    return SimpleNamespace(
        options=options or {}, run=run, look_up=lambda: None, share=share,
        measure_losses=measure_losses, **more,
    )  # fmt: skip


# --- loss by position ------------------------------------------------------------------------


@pytest.mark.parametrize("law", [(1.2, 2.5, 0.6), (2.0, 0.8, 1.7), (0.5, 4.0, 0.2)])
def test_the_law_of_an_exact_curve_is_recovered(law) -> None:
    a, b, c = law
    found = positions.fit_positions(a + b * np.arange(1.0, 513.0) ** -c)
    assert found.values == pytest.approx(law, rel=1e-5)  # the search ends at 1e-12 in ln c
    assert found.errors is not None
    assert max(found.errors) < 1e-5


def test_standard_errors_of_a_noisy_curve_match_its_scatter() -> None:
    rng, truth = np.random.default_rng(0), np.array([1.2, 2.5, 0.6])
    curve = truth[0] + truth[1] * np.arange(1.0, 257.0) ** -truth[2]
    fits = [positions.fit_positions(curve + 0.02 * rng.standard_normal(256)) for _ in range(100)]
    values = np.array([one.values for one in fits])
    errors = np.array([one.errors for one in fits])
    # The standard error of a standard deviation from 100 draws is 7 %; three of those.
    np.testing.assert_allclose(np.sqrt((errors**2).mean(axis=0)), values.std(axis=0), rtol=0.25)
    assert np.all(abs(values.mean(axis=0) - truth) < 4 * values.std(axis=0) / 10)


def test_a_flat_curve_has_no_exponent() -> None:
    found = positions.fit_positions(2.0 + 0.1 / np.arange(1.0, 129.0) ** 9)
    assert found.errors is None


def make_positions(tmp_path, curve, **more):
    content = json.dumps({"loss": curve.tolist()}).encode()
    (tmp_path / "positions.json").write_bytes(content)
    files = {"positions.json": hashlib.sha256(content).hexdigest()}
    result = SimpleNamespace(files=files | more.pop("files", {}))
    options = {"early": 32, "late": 120}
    return make_trained(options=options, result=result, folder=tmp_path, **more)


def test_the_gain_of_context_is_the_difference_between_two_positions(tmp_path) -> None:
    curve = np.linspace(3.0, 1.0, 128)
    gain, error, drawn = positions.measure_context_gain(make_positions(tmp_path, curve))
    at = np.arange(1, 129)
    early, late = (curve[(at >= where / 1.2) & (at <= where * 1.2)].mean() for where in (32, 120))
    assert gain == pytest.approx(early - late, rel=1e-12)
    assert error is None  # no weights were kept
    # The mean of a line over positions is its value at their mean, above the geometric mean.
    assert drawn.y[0] == curve[0]
    assert np.all(np.array(drawn.y) <= np.interp(drawn.x, at, curve) + 1e-12)


def test_the_error_of_a_gain_comes_from_windows_not_positions(tmp_path) -> None:
    """Losses with one value per half of a window: a curve without scatter."""
    rng, count = np.random.default_rng(0), 400
    first = rng.standard_normal(8192)

    def measure_losses(tokens):
        losses = np.zeros((len(tokens), 128))
        losses[:, :64] = first[tokens[:, :1]]
        return losses

    text = np.arange(count * 128 + 1).astype(np.uint16)  # each window begins with its own number
    shards = SimpleNamespace(validation=text % 8192, validation_documents=np.arange(count) * 128,
                             sequence=None)  # fmt: skip
    trained = make_positions(
        tmp_path, np.ones(128), files={"weights.pt": ""}, shards=shards,
        measure_losses=measure_losses,
    )  # fmt: skip
    _, error, _ = positions.measure_context_gain(trained)
    # The standard error of a standard deviation from 128 windows is 6 %; three of those.
    assert error == pytest.approx(1.0 / count**0.5, rel=0.19)


# --- gradients -------------------------------------------------------------------------------


@pytest.mark.parametrize("family", MODEL_FAMILIES)
def test_gradients_agree_with_differences_of_the_loss(family) -> None:
    run = make_run(family, seq_len=8)
    model = gradients.build_start(run)
    ids = np.random.default_rng(0).integers(0, 32, (1, 9))
    found = gradients.find_gradients(model, run, ids)[0]
    model = model.double()
    if hasattr(model, "rotation_tk"):
        model.rotation_tk = model.rotation_tk.to(torch.complex128)
    table = model.embedding.weight
    rows = torch.from_numpy(ids[:, :-1])
    embedded = table[rows].detach()

    def loss(shifted) -> float:
        handle = model.embedding.register_forward_hook(lambda *_: shifted)
        logits = model(rows)[0, -1]
        handle.remove()
        return float(nn.functional.cross_entropy(logits, torch.tensor(ids[0, -1])))

    step, width = 1e-5, embedded.shape[-1]
    with torch.no_grad():
        for lag in (0, 1, 5):
            slopes = []
            for at in range(width):
                moved = [embedded.clone(), embedded.clone()]
                for one, sign in zip(moved, (1, -1), strict=True):
                    one[0, 7 - lag, at] += sign * step
                slopes.append((loss(moved[0]) - loss(moved[1])) / (2 * step))
            # float32 gradients against float64 differences.
            assert found[lag] == pytest.approx(float(np.linalg.norm(slopes)), rel=2e-3, abs=1e-7)


def test_an_exponential_decay_is_found_exactly_and_a_flat_curve_has_none() -> None:
    lags = np.arange(0, 40.0)
    decay, error = gradients.fit_decay(np.tile(0.9**lags, (6, 1)), 32)
    assert decay == pytest.approx(-np.log(0.9), rel=1e-10)
    assert error == pytest.approx(0.0, abs=1e-12)
    assert gradients.fit_decay(np.ones((6, 40)), 32)[0] == pytest.approx(0.0, abs=1e-12)


def test_at_the_start_a_linear_recurrence_decays_by_its_radius() -> None:
    """With W_hh = r·Q, Q and the input matrix orthogonal, and tiny inputs, tanh is linear, and
    every lag multiplies the gradient's norm by r."""
    run = make_run("rnn", seq_len=64)
    model = gradients.build_start(run)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "weight_hh_l1" in name:
                parameter.zero_()  # leaves one path: the first layer's state
            elif name.endswith("_l0") and "weight" in name:
                torch.nn.init.orthogonal_(parameter)
                parameter.mul_(0.8 if "hh" in name else 1.0)
            elif name.startswith("embedding"):
                parameter.mul_(1e-4)
    ids = np.random.default_rng(0).integers(0, 32, (4, 65))
    decay, _ = gradients.fit_decay(gradients.find_gradients(model, run, ids), 40)
    assert decay == pytest.approx(-np.log(0.8), rel=1e-5)  # float32 over 40 products


def test_a_transformer_at_its_start_reaches_every_position_alike() -> None:
    run = make_run("transformer", seq_len=64)
    ids = np.random.default_rng(0).integers(0, 32, (8, 65))
    found = gradients.find_gradients(gradients.build_start(run), run, ids)
    assert found.min() > 0
    decay, _ = gradients.fit_decay(found, 60)
    # An exponential decay of .05 per token would fall twentyfold over these lags.
    assert abs(decay) < 0.05


# --- matches ---------------------------------------------------------------------------------


def slow_longest(sample, text, read) -> int:
    best = 0
    for length in range(1, len(sample) + 1):
        for start in range(len(sample) - length + 1):
            part = sample[start : start + length]
            for at in range(len(text) - length + 1):
                if read[at : at + length].all() and np.array_equal(text[at : at + length], part):
                    best = length
    return best


def test_longest_matches_agree_with_a_search_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    text = rng.integers(0, 3, 60).astype(np.uint8)
    read = rng.random(60) < 0.9
    found = matches.find_longest(drawn := rng.integers(0, 4, (12, 9)), text, read)
    assert found.tolist() == [slow_longest(one, text, read) for one in drawn]
    assert matches.find_longest(np.full((1, 9), 7), text).tolist() == [0]
    assert matches.find_longest(text[None, 10:19].astype(np.int64), text).tolist() == [9]


def test_a_match_across_two_parts_of_the_text_is_found(monkeypatch) -> None:
    monkeypatch.setattr(matches, "_PLACES_AT_ONCE", 16)
    text = np.arange(40, dtype=np.uint8)
    assert matches.find_longest(np.arange(10, 22)[None], text).tolist() == [12]


def test_what_a_run_read_is_what_its_batches_held() -> None:
    shards = SimpleNamespace(train=np.arange(200, dtype=np.uint8), sequence=None)
    order = BatchOrder(shards, seq_len=8, batch_sequences=3, seed=5)
    for steps in (1, 4, 40):
        seen = np.zeros(200, dtype=bool)
        for step in range(steps):
            seen[order.read_batch(step).ravel()] = True
        assert np.array_equal(order.mark_read(steps), seen)


# --- known sources ---------------------------------------------------------------------------


class Exact(nn.Module):
    """The source as a model: its logits are the log probabilities of exact filtering."""

    def __init__(self, source) -> None:
        super().__init__()
        self.source, self.dummy = source, nn.Parameter(torch.zeros(1))

    def forward(self, ids):
        source, rows = self.source, ids.numpy()
        posterior = source.stationary[:, rows[:, 0]].T
        posterior = posterior / posterior.sum(axis=1, keepdims=True)
        logs = []
        for at in range(rows.shape[1]):
            if at:
                likelihood = source.emission[:, rows[:, at - 1], rows[:, at]].T
                posterior = (posterior @ source.hidden) * likelihood
                posterior /= posterior.sum(axis=1, keepdims=True)
            ahead = posterior @ source.hidden
            logs.append(np.log(np.einsum("bz,zbv->bv", ahead, source.emission[:, rows[:, at]])))
        return torch.from_numpy(np.stack(logs, axis=1))


def make_synthetic(model, **options):
    source = synthetic.make_source(0)
    held_out = synthetic.draw_held_out(source, 0, 20_000)
    windows = held_out[: 24 * 800 + 1]
    floor = synthetic.filter_windows(
        source, np.stack([windows[at : at + 25] for at in range(0, 24 * 800, 24)]).astype(int)
    ).mean()
    shards = SimpleNamespace(
        name="synthetic ['synthetic', 1, 0, 30000, 24]",
        facts=SimpleNamespace(bayes_loss=float(floor)),
        validation=held_out,
        validation_documents=np.array([0]),
        sequence=None,
    )
    return make_trained(options=options, model=model, shards=shards), source


def test_text_of_the_source_itself_has_the_floors_loss() -> None:
    trained, source = make_synthetic(None, samples=200, temperature=1.0)
    trained.model = Exact(source)
    found, error = known_source.measure_precision(trained)
    assert error < 0.05
    assert abs(found) < 4 * error


def test_greedier_text_is_likelier_and_uniform_text_is_not() -> None:
    trained, source = make_synthetic(None, samples=60, temperature=0.5)
    trained.model = Exact(source)
    cold, error = known_source.measure_precision(trained)
    assert cold < -4 * error
    trained, _ = make_synthetic(nn.Embedding(32, 32), samples=60, temperature=1.0)
    nn.init.zeros_(trained.model.weight)  # the uniform model
    found, error = known_source.measure_precision(trained)
    rows, _ = samples.write_samples(trained, count=60, tokens=25, prompt=1, temperature=1.0)
    judged = synthetic.filter_windows(source, rows).mean()
    assert found == pytest.approx(judged - trained.shards.facts.bayes_loss, rel=1e-9)
    assert found > 10 * error


def test_recall_is_the_loss_above_the_floor() -> None:
    trained, _ = make_synthetic(None)
    trained.result = SimpleNamespace(loss=3.0, loss_se=0.01)
    floor = trained.shards.facts.bayes_loss
    assert known_source.measure_recall(trained) == (pytest.approx(3.0 - floor), 0.01)
    trained.shards.name = "bytes"
    with pytest.raises(UsageError, match=r"Set corpus\.source"):
        known_source.measure_recall(trained)


# --- a known grammar -------------------------------------------------------------------------


class Grammarian(nn.Module):
    """The grammar as a model of strings that follow an end, with a share of errors."""

    def __init__(self, error: float) -> None:
        super().__init__()
        self.error, self.dummy = error, nn.Parameter(torch.zeros(1))

    def forward(self, ids):
        stacks = brackets.list_stacks()
        state, logs = np.zeros(len(ids), dtype=np.int64), []
        for at in range(ids.shape[1]):
            if at:
                state = np.where(state >= 0, stacks.after[state, ids[:, at].numpy()], -1)
            valid = np.where((state >= 0)[:, None], stacks.probability[state], 0.2)
            logs.append(np.log((1 - self.error) * valid + self.error / 5))
        return torch.from_numpy(np.stack(logs, axis=1))

    def measure_losses(self, tokens):
        logs = self.forward(torch.from_numpy(tokens[:, :-1]))
        return -torch.gather(logs, 2, torch.from_numpy(tokens[:, 1:, None]))[..., 0].numpy()


@pytest.mark.parametrize("error", [1e-9, 0.05, 0.3])
def test_at_least_as_many_strings_are_accepted_as_the_loss_guarantees(error) -> None:
    model = Grammarian(error)
    trained = make_trained(
        options={"samples": 2000, "tokens": 10}, model=model, run=make_run(seq_len=24, vocab=5),
        shards=SimpleNamespace(name="brackets ['brackets', 1]"),
        measure_losses=model.measure_losses,
    )  # fmt: skip
    accepted, error_of = grammar.measure_accepted(trained)
    bound, error_of_bound = grammar.measure_bound(trained)
    assert accepted >= bound - 4 * (error_of + error_of_bound)
    if error < 1e-6:
        assert accepted == 1.0
        assert bound == pytest.approx(1.0, abs=1e-6)
    else:
        assert accepted < 1.0


def test_the_excess_is_the_divergence_from_the_grammar() -> None:
    drawn = brackets.draw_strings(np.random.default_rng(0), chains=50, length=12)
    exact = -brackets.judge_strings(drawn)
    assert np.allclose(grammar.find_excess(exact, drawn), 0.0, atol=1e-12)
    assert np.allclose(grammar.find_excess(exact + 0.1, drawn), 1.2, atol=1e-12)


# --- code ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "lines", "valid"),
    [
        (b"x = 1\n", 1, True),
        (b"x = 1", 1, False),  # no line end
        (b"    return x\n", 1, True),  # indentation is removed
        (b"if x:\n", 1, True),  # a body is added
        (b"    for a in b:\n        c\n", 2, True),
        (b"    for a in b:\n        if c:\n", 2, True),
        (b"x = (\n", 1, False),
        (b"\n", 1, False),
        (b"# nothing\n", 1, False),
        (b"x = 1\n y = 2\n", 2, False),
        (b"x = 1\n y = 2\n", 1, True),
        (b"x = \x00\n", 1, False),
        (b"\xff\xfe\n", 1, False),
    ],
)
def test_lines_of_python_are_recognised(text: bytes, lines: int, valid: bool) -> None:
    assert python_code.is_python(text, lines) is valid


def test_ngrams_are_drawn_with_their_frequency_in_the_text() -> None:
    text = np.frombuffer(b"abcabdabcabc" * 50, dtype=np.uint8)
    ngrams, rng = python_code.count_ngrams(text, 256, 3), np.random.default_rng(0)
    drawn = [ngrams.draw(list(b"xab"), rng) for _ in range(4000)]
    share = np.mean(np.array(drawn) == ord("d"))
    assert set(drawn) == {ord("c"), ord("d")}
    assert share == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 4000) ** 0.5)
    assert ngrams.draw(list(b"zd"), rng) == ord("a")  # "zd" does not occur: draw what followed "d"
    assert ngrams.draw(list(b"zz"), rng) in b"abcd"
    assert ngrams.draw([], rng) in b"abcd"
    assert python_code.count_ngrams(text, 2**31, 9).length == 2


# --- recall and copying ----------------------------------------------------------------------


def test_perfect_recall_scores_one_and_guessing_scores_chance() -> None:
    examples = pairs.draw_examples(np.random.default_rng(0), 300, pairs=4, vocab_size=21)
    assert recalling.score_examples(examples[:, 1:], examples).tolist() == [1.0] * 300
    told = examples[:, 2:9:2]  # values
    guess = np.zeros((300, 16), dtype=np.int64)
    guess[:] = told[:, :1]  # always guesses the first value
    mean = recalling.score_examples(guess, examples).mean()
    # Right once in four, and when another key happens to have the same one of ten values.
    assert mean == pytest.approx(0.25 + 0.75 * 0.1, abs=4 * 0.45 / (300 * 4) ** 0.5)
    wrong = examples[:, 1:].copy()
    wrong[:, 9::2] += 100
    assert not recalling.score_examples(wrong, examples).any()


def test_a_copying_model_gains_everything_and_a_memoryless_one_nothing() -> None:
    lag, length, vocab = 8, 25, 32
    text = np.random.default_rng(0).integers(0, vocab, 4000).astype(np.uint8)

    def copy(tokens):
        """ln(vocab) a token, 0 where the token stood `lag` before."""
        losses = np.full((len(tokens), length - 1), np.log(vocab))
        losses[:, lag - 1 :][tokens[:, lag:] == tokens[:, :-lag]] = 0.0
        return losses

    def forget(tokens):
        return 1.0 + tokens[:, 1:] / vocab  # depends on the token only

    shards = SimpleNamespace(validation=text)
    asked = {"options": {"lag": lag, "samples": 50}, "shards": shards}
    gain, error, curve = copying.measure_gain(make_trained(**asked, measure_losses=copy))
    # In the control one token in 32 repeats by chance.
    assert gain == pytest.approx((1 - 1 / vocab) * np.log(vocab), abs=4 * error + 1e-9)
    assert copying.measure_gain(make_trained(**asked, measure_losses=forget))[0] == 0.0
    assert (curve.x, curve.y, curve.errors) == ((8.0,), (gain,), (error,))


# --- prompts ---------------------------------------------------------------------------------


def test_prompts_are_held_out_text_and_samples_stay_within_the_context() -> None:
    run = make_run("lstm")
    model = gradients.build_start(run).eval()
    validation = np.random.default_rng(0).integers(0, 32, 2000).astype(np.uint8)
    documents = np.array([0])
    shards = SimpleNamespace(validation=validation, validation_documents=documents, sequence=None)
    trained = make_trained(run=run, model=model, shards=shards)
    written, held_out = samples.write_samples(
        trained, count=10, tokens=24, prompt=4, temperature=1.0
    )
    assert written.shape == held_out.shape == (10, 24)
    assert np.array_equal(written[:, :4], held_out[:, :4])
    text = validation.tobytes()
    assert all(row.astype(np.uint8).tobytes() in text for row in held_out)
    assert not np.array_equal(written, held_out)
