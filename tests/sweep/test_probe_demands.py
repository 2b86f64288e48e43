"""A sweep that lacks what a probe needs is refused before training, with the remedy."""

from pathlib import Path

import pytest

from scaling.errors import SpecError
from scaling.sweep.probe_demands import Ground, list_unmet
from scaling.sweep.probes import PROBES
from scaling.workflow.preparing import prepare_sweep

TEXT = Ground(seq_len=64, vocab_size=256, source="text", tokenizer="bytes")
MADE = Ground(seq_len=64, vocab_size=33, source="pairs", tokenizer="none")
CHAINS = Ground(seq_len=64, vocab_size=4, source="markov_chains", tokenizer="none")
FEW = Ground(seq_len=64, vocab_size=4, source="markov_chains", tokenizer="none", chains=8)


def ask(name: str, ground: Ground, **changed) -> str:
    probe = PROBES[name]
    return list_unmet(probe.demands, {**probe.options, **changed}, ground)


@pytest.mark.parametrize(
    ("name", "ground", "changed", "sentence"),
    [
        ("gradient_decay", TEXT, {}, "Set it to 1 … 63, or model.seq_len to 65 or more"),
        ("gradient_decay", TEXT, {"lags": 63}, ""),
        ("copy_gain", TEXT, {"lag": 33}, "not fit twice into a context of 64 tokens. Set it to 1"),
        ("copy_gain", TEXT, {"lag": 32}, ""),
        ("context_gain", TEXT, {}, "late 120 does not fit a context of 64 tokens"),
        ("context_gain", TEXT, {"early": 30, "late": 20}, "early 30 is not below late 20"),
        ("context_gain", TEXT, {"early": 10, "late": 64}, ""),
        ("longest_match", TEXT, {"samples": 1}, "Set it to a whole number, 2"),
        ("source_precision", TEXT, {}, "it needs corpus.source synthetic, and this is text"),
        ("grammar_accepted", TEXT, {}, "it needs corpus.source brackets"),
        ("recall_accuracy", TEXT, {}, "it needs corpus.source pairs"),
        ("recall_accuracy", MADE, {"pairs": 16}, "Set pairs to 1 … 15"),
        ("recall_accuracy", MADE, {"pairs": 15}, ""),
        ("recall_accuracy", MADE, {}, ""),
        ("code_valid", MADE, {}, "it needs a corpus of text, and pairs has none"),
        ("code_valid", TEXT, {}, ""),
        ("answer_exact", MADE, {}, "it needs corpus.source copying or arithmetic, and this is"),
        ("few_shot", MADE, {}, "it needs corpus.source markov_chains or letter_maps, and this is"),
        ("few_shot", CHAINS, {}, ""),
        ("few_shot", CHAINS, {"sequences": 1}, "Set it to a whole number, 2"),
        ("few_shot_seen", CHAINS, {}, "Set corpus.chains, or leave it out"),
        ("few_shot_seen", FEW, {}, ""),
    ],
)
def test_a_probes_missing_requirement_is_named_with_the_remedy(
    name, ground, changed, sentence
) -> None:
    found = ask(name, ground, **changed)
    assert sentence in found
    assert bool(found) == bool(sentence)


def test_a_sweep_is_refused_before_it_is_trained_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("\n\n".join(f"{at} and {at}." for at in range(3000)))
    path = tmp_path / "s.yaml"
    path.write_text("""\
name: short
corpus: {source: text, paths: [text.txt]}
model: {seq_len: 16}
grid: {params: [5e3], tokens: [2e4]}
evaluate: [gradient_decay, {copy_gain: {lag: 64}}, tail_loss]
""")
    with pytest.raises(SpecError) as caught:
        prepare_sweep(path, root=tmp_path)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{path}:5:11: evaluate: gradient_decay: lags 64 does not fit")
    assert "copy_gain: lag 64 does not fit twice" in second


def test_every_probe_is_described_with_its_control() -> None:
    page = (Path(__file__).parents[2] / "docs" / "science.md").read_text(encoding="utf-8")
    assert [name for name in PROBES if f"`{name}`" not in page] == []
