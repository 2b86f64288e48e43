"""`scaling export`: the transformers library computes the same as the training code."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import Said, call
from sibling_sweeps import train_here
from torch.nn import functional as F

from scaling.training.generation import Choice
from scaling.workflow.sampling import Sampler, open_sampler

MODELS = {
    "characters": ("{source: text, paths: [text.txt], tokenizer: characters}", "transformer"),
    "bytes": ("{source: text, paths: [text.txt]}", "lstm"),
    "words": ("{source: text, paths: [text.txt], tokenizer: 'words:300'}", "rnn"),
    "bpe": ("{source: text, paths: [text.txt], tokenizer: 'bpe:300'}", "transformer"),
    "ids": ("{source: synthetic, tokens: 40e3}", "transformer"),
}
CONTEXT = 24
# Characters of the training text, others, and characters of several bytes.
TEXTS = ["12 and 24.", "Ünknown, nowhere seen: żółw\n\n 7", " ", "3 and 6.\n\n4 and 8."]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    lines = [f"{at} and {at % 97} and {at % 89}." for at in range(3000)]
    (folder / "text.txt").write_text("\n\n".join(lines))
    for name, (corpus, family) in MODELS.items():
        width = ", head_size: 8" if family == "transformer" else ""
        train_here(
            folder,
            name,
            f"corpus: {corpus}\nmodel: {{family: {family}, seq_len: {CONTEXT}{width}}}\n"
            "grid: {params: [4e3], tokens: [15e3]}\nkeep_weights: true\n",
        )
    return folder


@pytest.fixture(autouse=True, scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the library's cached code inside the test, and let it contact no server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        cache = str(tmp_path_factory.mktemp("modules"))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", cache)
        yield


def ask(root: Path, name: str, folder: Path, *words: str) -> Said:
    return call("export", root / "results" / name, "--output", folder, *words)


def export(root: Path, name: str, folder: Path) -> tuple[Any, Any, Sampler]:
    """Model and tokenizer (None for a corpus of ids) as the library loads them, and our own."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ask(root, name, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    tokenizer = None
    if name != "ids":
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    ours = open_sampler(root / "results" / name, run=None, prompt="5" if name == "ids" else "1")
    return model, tokenizer, ours


@pytest.mark.parametrize("name", MODELS)
def test_exported_logits_and_loss_equal_those_of_training(
    root: Path, name: str, tmp_path: Path
) -> None:
    model, _, ours = export(root, name, tmp_path / "model")
    vocabulary = ours.result.run.shape.vocab_size
    ids = torch.from_numpy(np.random.default_rng(0).integers(vocabulary, size=(5, CONTEXT)))
    with torch.no_grad():
        expected = ours.model(ids)
        found = model(input_ids=ids, labels=ids)
    assert expected.abs().max() > 0.1  # logits of zero would agree trivially
    torch.testing.assert_close(found.logits, expected, rtol=0, atol=1e-5)
    loss = F.cross_entropy(expected[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(found.loss, loss)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "ids"])
def test_exported_tokenizers_give_training_ids_and_round_trip(
    root: Path, name: str, tmp_path: Path
) -> None:
    _, tokenizer, ours = export(root, name, tmp_path / "model")
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert ids == ours.language.encode(text), text
        assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == ours.separator
    assert len(tokenizer) == ours.result.run.shape.vocab_size
    tokenizer.save_pretrained(tmp_path / "again")
    from transformers import AutoTokenizer

    again = AutoTokenizer.from_pretrained(tmp_path / "again", trust_remote_code=True)
    assert again(TEXTS[1])["input_ids"] == ours.language.encode(TEXTS[1])


@pytest.mark.parametrize("name", ["characters", "bytes", "ids"])
def test_greedy_text_equals_that_of_sample(root: Path, name: str, tmp_path: Path) -> None:
    model, _, ours = export(root, name, tmp_path / "model")
    expected = list(ours.generate(12, Choice(temperature=0), seed=0))
    prompt = torch.tensor([ours.prompt])
    (found,) = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=12, do_sample=False
    )
    assert found[len(ours.prompt) :].tolist()[: len(expected)] == expected


def test_padding_changes_no_logit(root: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = export(root, "characters", tmp_path / "model")
    with torch.no_grad():
        alone = model(**tokenizer(["7 and"], return_tensors="pt")).logits[0]
        for side in ("left", "right"):
            tokenizer.padding_side = side
            both = tokenizer(["7 and", "120 and 240."], padding=True, return_tensors="pt")
            seen = model(**both).logits[0][both["attention_mask"][0].bool()]
            torch.testing.assert_close(seen, alone, rtol=0, atol=1e-5)


def test_a_recurrent_model_refuses_padding_that_it_would_read(root: Path, tmp_path: Path) -> None:
    model, tokenizer, _ = export(root, "bytes", tmp_path / "model")
    tokenizer.padding_side = "left"
    with pytest.raises(ValueError, match="padding on the right only"):
        model(**tokenizer(["7", "120 and"], padding=True, return_tensors="pt"))


def test_more_than_the_context_is_refused(root: Path, tmp_path: Path) -> None:
    model, _, _ = export(root, "ids", tmp_path / "model")
    with pytest.raises(ValueError, match=f"trained on a context of {CONTEXT}"):
        model(torch.zeros(1, CONTEXT + 1, dtype=torch.long))


def test_export_lists_its_files_and_never_overwrites(root: Path, tmp_path: Path) -> None:
    told = json.loads(ask(root, "ids", tmp_path / "model", "--json").out)
    assert told["files"] == sorted(one.name for one in (tmp_path / "model").iterdir())
    assert "tokenizer_config.json" not in told["files"]
    assert f"| run | {told['run_id']} |" in (tmp_path / "model" / "README.md").read_text()
    again = ask(root, "ids", tmp_path / "model")
    assert again.code == 2
    assert "Name a folder that does not" in again.errors


def test_without_the_extra_export_says_what_to_install(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = ask(root, "ids", tmp_path / "model")
    assert said.code == 2
    assert "pip install 'scaling[export]'" in said.errors
    assert not (tmp_path / "model").exists()


def test_a_family_that_the_exported_code_lacks_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaling.training.huggingface.files.FAMILIES", ("rnn",))
    said = ask(root, "ids", tmp_path / "model")
    assert said.code == 2
    assert "family transformer; the exported code knows rnn only" in said.errors


TASK = """\
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: bits_per_byte
"""


@pytest.mark.slow
def test_lm_evaluation_harness_measures_the_same_loss(root: Path, tmp_path: Path) -> None:
    ask(root, "characters", tmp_path / "model")
    python = make_environment(tmp_path / "venv", "lm-eval>=0.4.9,<0.5")
    texts = ["7 and 14.", "31 and 62.", "2 and 3."]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "sums.yaml").write_text(TASK.format(rows=tmp_path / "rows.jsonl"))
    subprocess.run(
        [python, "-m", "lm_eval", "--model", "hf", "--tasks", "sums", "--include_path", tasks,
         "--model_args", f"pretrained={tmp_path / 'model'},trust_remote_code=True",
         "--trust_remote_code", "--device", "cpu", "--output_path", tmp_path / "out.json"],
        check=True, capture_output=True, env=os.environ | {"HF_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    (path,) = tmp_path.glob("out*.json")
    measured = json.loads(path.read_text())["results"]["sums"]["bits_per_byte,none"]
    ours = open_sampler(root / "results" / "characters", run=None, prompt="")
    assert ours.separator is not None
    bits = 0.0
    for text in texts:
        ids = torch.tensor([[ours.separator, *ours.language.encode(text)]])
        with torch.no_grad():
            logits = ours.model(ids)[0, :-1]
        bits += float(F.cross_entropy(logits, ids[0, 1:], reduction="sum")) / np.log(2)
    assert measured == pytest.approx(bits / sum(map(len, texts)), rel=1e-5)


def make_environment(folder: Path, requirement: str) -> str:
    """The Python of a new environment that has this one's packages and one more."""
    venv.create(folder, with_pip=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "ours.pth").write_text("\n".join(one for one in sys.path if "site-packages" in one))
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-q", requirement], check=True)
    return python
