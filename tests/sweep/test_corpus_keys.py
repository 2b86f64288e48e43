"""Corpus keys of a sweep file, and how vocabulary and context change the plan."""

import dataclasses

import pytest
from known_corpus import FACTS

from scaling.errors import SpecError
from scaling.sweep.corpus_facts import decide_seq_len
from scaling.sweep.cost import count_evaluated_windows, estimate_memory
from scaling.sweep.counting import FLOPS_PER_PARAM_TOKEN, count_flops_per_token
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.sweep.shapes import make_shape
from scaling.sweep.siblings import list_siblings, select_sibling
from scaling.sweep.spec import SweepSpec

GRID = "grid: {budgets: [1e11], sizes: 3}\n"


def parse(corpus: str, model: str = "{}") -> SweepSpec:
    text = f"name: a\ncorpus: {{{corpus}}}\nmodel: {model}\n{GRID}"
    return parse_sweep(text.encode(), source="a.yaml")


@pytest.mark.parametrize(
    ("corpus", "model", "says"),
    [
        ("source: synthetic", "{}", "2:9: corpus: source synthetic needs tokens. Add it."),
        (
            "source: synthetic, tokens: 1e6, tokenizer: bytes",
            "{}",
            "corpus.tokenizer: source synthetic takes no tokenizer. Remove it.",
        ),
        ("source: python-stdlib, tokens: 1e6", "{}", "takes no tokens"),
        ("source: shards, paths: [a], vocab_size: 9", "{}", "source shards needs held_out"),
        ("source: shards, paths: [a], held_out: [b]", "{}", "source shards needs vocab_size"),
        ("source: parquet", "{}", "source parquet needs paths"),
        ("source: python-stdlib, tokenizer: gpt2", "{}", "'gpt2' is no tokenizer"),
        ("source: python-stdlib, tokenizer: []", "{}", "a tokenizer is bytes, characters"),
        (
            "source: python-stdlib, tokenizer: [bytes, 'bpe:9']",
            "{context_bytes: 64}",
            "corpus.tokenizer.1: bpe:9: N is 256 to",
        ),
        (
            "source: python-stdlib, tokenizer: [bytes, bytes]",
            "{context_bytes: 64}",
            "the tokenizer bytes is given twice",
        ),
        (
            "source: python-stdlib, tokenizer: [bytes, 'bpe:512']",
            "{}",
            "compared at equal context in bytes. Set model.context_bytes",
        ),
        (
            "source: python-stdlib",
            "{seq_len: 64, context_bytes: 64}",
            "model.seq_len: seq_len (tokens) and context_bytes are two contexts",
        ),
        (
            "source: synthetic, tokens: 1e6",
            "{context_bytes: 64}",
            "the bytes behind the tokens of source synthetic are not known. Set seq_len.",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused_at_their_place(corpus, model, says) -> None:
    with pytest.raises(SpecError) as caught:
        parse(corpus, model)
    assert says in str(caught.value)
    assert str(caught.value).startswith("a.yaml:")


def test_each_tokenizer_of_a_list_gets_its_own_sweep() -> None:
    spec = parse(
        "source: python-stdlib, tokenizer: [bytes, 'bpe:512', 'words+space:600']",
        "{context_bytes: 64}",
    )
    chosen = list_siblings(spec)
    assert [one.name for one in chosen] == ["a-bytes", "a-bpe-512", "a-words-space-600"]
    assert [one.corpus.tokenizer for one in chosen] == [(n,) for n in spec.corpus.tokenizer]
    assert select_sibling(spec, "a-bpe-512", source="a.yaml") == chosen[1]
    with pytest.raises(SpecError, match=r"a-words-space-600\. a-bpe-1024 is none of them"):
        select_sibling(spec, "a-bpe-1024", source="a.yaml")
    with pytest.raises(SpecError, match="To ask about one, name its results folder"):
        select_sibling(spec, None, source="a.yaml")


def test_one_tokenizer_keeps_the_name_of_the_sweep() -> None:
    assert select_sibling(parse("source: python-stdlib"), None, source="a").name == "a"


def test_a_context_in_bytes_is_the_same_text_for_every_tokenizer() -> None:
    spec = parse("source: python-stdlib", "{context_bytes: 128}")
    for per_token in (1.0, 2.2, 3.4):
        facts = dataclasses.replace(FACTS, validation_tokens=round(530_000 / per_token))
        seq_len = decide_seq_len(spec, facts)
        assert abs(seq_len * per_token - 128) <= per_token / 2  # rounded to the nearest token
        assert {cell.run.shape.seq_len for cell in plan_sweep(spec, facts).cells} == {seq_len}


def test_a_larger_vocabularys_head_costs_flops() -> None:
    for d_model in (16, 64):
        few, many = (make_shape(v, 128, d_model=d_model, n_layers=2) for v in (256, 2048))
        more = count_flops_per_token(many) - count_flops_per_token(few)
        assert more == FLOPS_PER_PARAM_TOKEN * d_model * (2048 - 256)
    spec = parse("source: python-stdlib")
    budgets = [
        sum(cell.run.flops for cell in plan_sweep(spec, facts).cells)
        for facts in (FACTS, dataclasses.replace(FACTS, vocab_size=2048))
    ]
    assert budgets[1] == pytest.approx(budgets[0], rel=0.01)  # the same C pays for fewer tokens


def test_generated_tokens_are_never_repeated() -> None:
    facts = dataclasses.replace(FACTS, train_tokens=300_000, bayes_loss=2.0)
    spec = parse("source: synthetic, tokens: 3e5")
    planned = plan_sweep(spec, facts)
    assert all(cell.run.tokens <= 300_000 for cell in planned.cells)
    assert planned.rejected
    assert all("raise corpus.tokens" in cell.reason for cell in planned.rejected)
    assert not [line for line in planned.warnings if "more than once" in line]


@pytest.mark.parametrize("vocab_size", [16, 256, 2048, 50_304, 200_000])
def test_evaluation_takes_no_more_logits_than_bytes_do(vocab_size: int) -> None:
    windows = count_evaluated_windows(vocab_size, 128)
    assert windows == 1 or windows * 128 * vocab_size <= 8192 * 256
    assert windows * 128 <= 8192
    assert windows >= 1


def test_memory_of_a_large_vocabulary_is_that_of_its_head_and_logits() -> None:
    grid = "grid: {cells: [{params: 2e6, tokens: 1e6}]}\n"
    text = f"name: a\ncorpus: {{source: python-stdlib}}\n{grid}"
    facts = dataclasses.replace(FACTS, vocab_size=100_000)
    (cell,) = plan_sweep(parse_sweep(text.encode(), source="a.yaml"), facts).cells
    shape, recipe = cell.run.shape, cell.run.recipe
    tokens = recipe.batch_sequences * shape.seq_len
    # Weights, gradient and two moments of embedding and head; three copies of the logits; the
    # process.
    least = 4 * (4 * 2 * shape.d_model * 100_000 + 3 * tokens * 100_000)
    assert least <= estimate_memory(cell.run) - 550 * 2**20 <= 1.2 * least
