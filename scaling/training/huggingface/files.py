"""The contents of an exported model's files."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import scaling.data.plain_tokenizers
from scaling.data.tokenizers import BpeTokenizer, Tokenizer
from scaling.errors import UsageError
from scaling.sweep.families.transformer_network import NORM_EPSILON, ROTARY_BASE
from scaling.sweep.runspec import RunSpec
from scaling.training.parametrization import build_model

FAMILIES = ("transformer", "rnn", "lstm")
_HERE = Path(__file__).parent
_MODELING, _TOKENIZATION = "modeling_scaling", "tokenization_scaling"
_PLAIN = Path(scaling.data.plain_tokenizers.__file__)


def list_files(
    run: RunSpec, weights: dict[str, Any], tokenizer: Tokenizer | None
) -> dict[str, bytes]:
    """Contents by name.

    Args:
        run: The trained run, of one of FAMILIES.
        weights: Tensors by name, as training left them.
        tokenizer: Tokenizer of its corpus; None: the corpus came as tokens.

    Raises:
        UsageError: The library that writes weights is not installed.
    """
    if importlib.util.find_spec("safetensors") is None:
        raise UsageError("an export needs the safetensors library, which is not installed.\n"
                         "Install the extra: pip install 'scaling[export]'.")  # fmt: skip
    from safetensors.torch import save

    ends = {} if tokenizer is None else dict.fromkeys(
        ("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.separator
    )  # fmt: skip
    found = {
        "config.json": _write(_describe(run) | ends),
        "generation_config.json": _write({"use_cache": False} | ends),
        "model.safetensors": save(
            {name: tensor.contiguous() for name, tensor in weights.items()},
            metadata={"format": "pt"},
        ),
        f"{_MODELING}.py": (_HERE / f"{_MODELING}.py").read_bytes(),
    }
    if tokenizer is None:
        return found
    options: dict[str, Any] = {
        "model_max_length": run.shape.seq_len,
        "clean_up_tokenization_spaces": False,
    }
    if isinstance(tokenizer, BpeTokenizer):
        separator = tokenizer.separator_token
        roles = dict.fromkeys(("bos_token", "eos_token", "pad_token"), separator)
        options |= roles | {"tokenizer_class": "PreTrainedTokenizerFast"}
        return found | {
            "tokenizer.json": tokenizer.to_json(),
            "tokenizer_config.json": _write(options),
        }
    options |= {
        "tokenizer_class": "ScalingTokenizer",
        "auto_map": {"AutoTokenizer": [f"{_TOKENIZATION}.ScalingTokenizer", None]},
    }
    return found | {
        "vocabulary.json": _write({"name": tokenizer.name} | json.loads(tokenizer.to_json())),
        "tokenizer_config.json": _write(options),
        f"{_TOKENIZATION}.py": (_HERE / f"{_TOKENIZATION}.py").read_bytes(),
        _PLAIN.name: _PLAIN.read_bytes(),
    }


def _describe(run: RunSpec) -> dict[str, Any]:
    """Content of `config.json`: the shape's dimensions, and the multipliers of its network."""
    model = build_model(run)
    blocks = getattr(model, "blocks", None)
    return {
        "architectures": ["ScalingForCausalLM"],
        "auto_map": {
            "AutoConfig": f"{_MODELING}.ScalingConfig",
            "AutoModelForCausalLM": f"{_MODELING}.ScalingForCausalLM",
        },
        "model_type": "scaling",
        "dtype": "float32",
        **dataclasses.asdict(run.shape),
        "residual_multiplier": blocks[0].residual_multiplier if blocks is not None else 1.0,
        "head_multiplier": model.head_multiplier,
        "rotary_base": ROTARY_BASE,
        "norm_epsilon": NORM_EPSILON,
    }


def _write(told: dict[str, Any]) -> bytes:
    return (json.dumps(told, indent=2, ensure_ascii=False) + "\n").encode()
