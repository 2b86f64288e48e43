"""The key trainer of a sweep file: a user's own training code, and the models it can build."""

from __future__ import annotations

import json
import re
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from scaling.files.sealed import canonical_json
from scaling.sweep.families import FLOPS_PER_PARAM_TOKEN
from scaling.sweep.fields import Count, Share, SpecModel, refuse
from scaling.sweep.ladder import LARGEST_PARAMS
from scaling.sweep.shapes import NamedModel

PLACEHOLDERS = (
    "run_file", "run_dir", "resume_dir", "run_id", "model", "params", "tokens", "seed", "gpus",
    "cpus", "nodes", "node_rank", "master_addr", "master_port",
)  # fmt: skip
OwnLossUnit = Literal["nats", "bits", "ppl"]
Counting = Literal["matmul", "total", "non_embedding", "unknown"]
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = 2000  # characters of a text that enters a run_id; stored documents allow no longer one

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Word = Annotated[str, Field(min_length=1)]


class NamedModelSpec(SpecModel):
    """A model that the trainer can build."""

    name: ModelName = Field(description="the trainer's; `{model}` in its command")
    params: Annotated[Count, Field(le=LARGEST_PARAMS)] = Field(description="N [parameters]")
    flops_per_token: Annotated[Count, Field(le=10**18)] | None = Field(
        None, description="training FLOPs per token [FLOP]; 6N unless stated"
    )
    set: dict[str, JsonValue] = Field(
        {}, description="handed to the trainer as it stands, in run.json"
    )

    def make_shape(self, seq_len: int) -> NamedModel:
        """The model as a rung of the sweep's ladder."""
        return NamedModel(
            seq_len=seq_len,
            name=self.name,
            params=self.params,
            training_flops=self.flops_per_token or FLOPS_PER_PARAM_TOKEN * self.params,
            settings=canonical_json(self.set).decode(),
        )


class TrainerSpec(SpecModel):
    """Your own training code: a command, or a function in a Python file."""

    command: Annotated[tuple[Word, ...], Field(strict=False, min_length=1)] | None = Field(
        None,
        description="words of a command, no shell; values stand in for "
        + ", ".join(f"`{{{name}}}`" for name in PLACEHOLDERS),
    )
    python: Annotated[str, Field(pattern=rf"^{_FUNCTION.pattern}$")] | None = Field(
        None, description="`module:function`, in place of a command"
    )
    files: Annotated[tuple[Word, ...], Field(strict=False)] = Field(
        (),
        description="files and globs, relative to the sweep file; each run works in a copy of them,"
        " and edited ones make other runs",
    )
    models: Annotated[tuple[NamedModelSpec, ...], Field(strict=False)] = Field(
        (),
        description="what N can be: each {name, params, flops_per_token, set}, FLOPs of training "
        "per token (6N unless said) and what is handed on in run.json; without it, the shapes of "
        "`model.family`",
    )
    version: str = Field(
        "",
        max_length=100,
        description="version of what no file shows; another version makes other runs",
    )
    data: str = Field(
        "",
        max_length=200,
        description="name of the data, in place of `corpus`; another makes other runs",
    )
    vocab_size: Annotated[Count, Field(le=2**31)] | None = Field(
        None, description="with `data` and without `models`: tokens of the vocabulary"
    )
    counting: Counting = Field("unknown", description="what the N of `models` counts")
    loss_unit: OwnLossUnit = Field("nats", description="unit of the loss it reports, per token")
    tolerance: Share = Field(
        0.01, description="share by which the tokens trained on may differ from those asked for"
    )
    grace: Annotated[float, Field(strict=True, ge=0, le=3600)] = Field(
        30.0, description="seconds between SIGTERM and SIGKILL"
    )
    env: dict[str, str | None] = Field(
        {}, description="more of its environment: values, or null to pass on what is set here"
    )

    @property
    def identity(self) -> str:
        """Its part of a run_id: the command as canonical JSON, or the function's name."""
        return self.python or canonical_json(list(self.command or ())).decode()

    @field_validator("env")
    @classmethod
    def _variables(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for name in value:
            if not _VARIABLE.fullmatch(name) or name.startswith("SCALING_"):
                refuse(f"{repr(name)[:60]} is no variable that can be set.")
        return value

    @field_validator("models")
    @classmethod
    def _short_settings(cls, value: tuple[NamedModelSpec, ...]) -> tuple[NamedModelSpec, ...]:
        for at, one in enumerate(value):
            if len(canonical_json(one.set)) > _LONGEST:
                why = f"holds more than {_LONGEST} characters. Put it into a file of `files`."
                refuse(why, at, "set")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.command is None) == (self.python is None):
            refuse("is a command or python: say one of the two.")
        if len(self.identity) > _LONGEST:
            why = f"has more than {_LONGEST} characters. Put it into a file of `files`."
            refuse(why, "command")
        if self.models and self.vocab_size is not None:
            refuse("is for the shapes of model.family. Remove it.", "vocab_size")
        return self


def find_word_problems(trainer: object) -> list[tuple[tuple[str | int, ...], str]]:
    """(path below `trainer`, what is wrong) for every problem of placeholders and names.

    Args:
        trainer: The key's value as in the file; parts malformed in other ways are skipped.
    """
    given = trainer if isinstance(trainer, dict) else {}
    found: list[tuple[tuple[str | int, ...], str]] = []
    command, models = given.get("command"), given.get("models")
    for at, word in enumerate(command if isinstance(command, list) else ()):
        for name in _PLACEHOLDER.findall(word) if isinstance(word, str) else ():
            if name not in PLACEHOLDERS:
                known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
                found.append((("command", at), f"{{{name[:40]}}} is unknown; known: {known}."))
    seen: set[str] = set()
    for at, model in enumerate(models if isinstance(models, list) else ()):
        name = model.get("name") if isinstance(model, dict) else None
        if isinstance(name, str):
            if name in seen:
                found.append((("models", at, "name"), f"the model {name[:60]} is listed twice."))
            seen.add(name)
    return found


def fill_command(identity: str, values: dict[str, object]) -> list[str]:
    """The words of a command with every placeholder filled; each stays one word.

    Args:
        identity: The command as canonical JSON.
        values: A value for every name in PLACEHOLDERS.
    """
    return [
        _PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), word)
        for word in json.loads(identity)
    ]
