"""The keys of a sweep file, checked: a SweepSpec is what the user asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from scaling.sweep.corpus_spec import NO_CORPUS, NO_SOURCE, CorpusSpec
from scaling.sweep.families.listed import LISTED
from scaling.sweep.families.registry import MODEL_FAMILIES
from scaling.sweep.fields import (
    AskedPrecision,
    Bytes,
    Count,
    GpuShare,
    Name,
    OneOf,
    Positive,
    Seed,
    SpecModel,
    distinct,
    read_count,
    refuse,
)
from scaling.sweep.grids import AnyGrid, CellSpec
from scaling.sweep.probe_spec import Asked
from scaling.sweep.probes import EARLY_STOP
from scaling.sweep.recipe_spec import RecipeSpec, ScheduleSpec
from scaling.sweep.shapes import MAX_LAYERS, MAX_SEQ_LEN, MIN_SEQ_LEN
from scaling.sweep.start_spec import StartSpec
from scaling.sweep.trainer_reach import Problem, list_unreached
from scaling.sweep.trainer_spec import TrainerSpec

MAX_CELLS = 10_000
_SETTINGS = ("head_size", "layers")  # keys of `model` that mean something for some families only


class ModelSpec(SpecModel):
    """What is trained; sizes are rungs of one fixed ladder."""

    family: Annotated[str, OneOf(MODEL_FAMILIES)] = Field(
        "transformer", description="decoder-only; recurrent ones start every window at zero"
    )
    seq_len: Annotated[Count, Field(ge=MIN_SEQ_LEN, le=MAX_SEQ_LEN)] = Field(
        128, description="tokens [context]"
    )
    context_bytes: Annotated[Count, Field(ge=MIN_SEQ_LEN, le=2**24)] | None = Field(
        None, description="bytes of text [context], in place of seq_len: the same for any tokenizer"
    )
    head_size: Annotated[Count, Field(ge=4, le=256, multiple_of=2)] = Field(
        16, description="width of one attention head; the ladder's width steps by half of it"
    )
    layers: Annotated[Count, Field(le=MAX_LAYERS)] | None = Field(
        None,
        description="layers of every size: width alone then varies. Not set: two, and more of "
        "wider transformers",
    )

    @property
    def settings(self) -> dict[str, int]:
        """The settings that determine the family's ladder, beside vocabulary and context."""
        given = {key: getattr(self, key) for key in MODEL_FAMILIES[self.family].settings}
        return {key: value for key, value in given.items() if value is not None}

    @model_validator(mode="after")
    def _keys_fit_family(self) -> Self:
        takes = MODEL_FAMILIES[self.family].settings
        for key in _SETTINGS:
            if key in self.model_fields_set and key not in takes:
                refuse(f"family {self.family} takes no {key}. Remove it.", key)
        return self

    @model_validator(mode="after")
    def _one_context(self) -> Self:
        if self.context_bytes is not None and "seq_len" in self.model_fields_set:
            why = "seq_len (tokens) and context_bytes are two contexts. Remove one of them."
            refuse(why, "seq_len")
        return self


class ResourcesSpec(SpecModel):
    """What one run may use."""

    cpus_per_run: Annotated[Count, Field(le=4096)] = Field(
        1, description="CPUs reserved per run; a run computes with one thread"
    )
    time_limit: Positive | None = Field(
        None, description="seconds that an attempt of a run may take; it then counts as failed"
    )
    stall_limit: Positive = Field(
        600.0, description="seconds without a sign of life after which a worker is ended as hung"
    )
    gpus_per_run: GpuShare | None = Field(
        None,
        description="share of a GPU, and of its memory, reserved per run; 0.25: four runs on each; "
        "a whole number for a trainer of your own. Not set: runs are computed on the processor",
    )
    nodes_per_run: Annotated[Count, Field(le=4096)] = Field(
        1,
        description="nodes of a cluster reserved per run of a trainer of your own, each with "
        "cpus_per_run and gpus_per_run; its command is started once on each",
    )
    memory_per_run: Bytes | None = Field(
        None,
        description="memory reserved per run of a trainer of your own, on each node: 6e10, 60GB, "
        "60GiB; runs of the built-in trainer know theirs",
    )
    precision: AskedPrecision = Field(
        "auto",
        description="`mixed`: products in bfloat16, sums and the rest in float32; `float32` or "
        "`fp32` forbids it; `auto`: as the sweep's results were computed, or what is faster here",
    )


class SweepSpec(SpecModel):
    """What a sweep file asks for: grid × model × recipe × data × seeds × resources.

    Its fields are the keys of the file (docs/sweep-file.md).
    """

    name: Name = Field(description="folder of results and report: a-z, 0-9, - and _, at most 64")
    corpus: CorpusSpec
    trainer: TrainerSpec | None = Field(
        None, description="your own training code, in place of the built-in trainer"
    )
    model: ModelSpec = ModelSpec()
    families: Annotated[
        tuple[Annotated[str, OneOf(MODEL_FAMILIES)], ...], Field(strict=False), distinct("family")
    ] = Field(
        (),
        description="several families in place of model.family; one sweep of each, and a "
        "comparison",
    )
    grid: AnyGrid
    extra_cells: Annotated[tuple[CellSpec, ...], Field(strict=False)] = Field(
        (), description="more cells, each {params, tokens}; `scaling suggest` writes them"
    )
    recipe: RecipeSpec = RecipeSpec()
    recipes: dict[Name, RecipeSpec] = Field(
        {},
        description="several recipes by name, each {keys of `recipe`} beside what `recipe` sets; "
        "one sweep of each, and a comparison",
        json_schema_extra={"additionalProperties": False},
    )
    rates: Annotated[tuple[Positive, ...], Field(strict=False), distinct("rate")] = Field(
        (),
        description="train every cell at each of these multiples of its learning rate; a fit takes "
        "the best of each cell",
    )
    initialise: StartSpec = StartSpec()
    starts: dict[Name, StartSpec] = Field(
        {},
        description="several starts by name, each with the keys of `initialise`, or {} for from "
        "scratch; makes one sweep per start, and compares them",
        json_schema_extra={"additionalProperties": False},
    )
    schedule: ScheduleSpec = ScheduleSpec()
    seeds: Annotated[tuple[Seed, ...], Field(strict=False, min_length=1), distinct("seed")] = Field(
        (0,), description="every cell is trained once per seed"
    )
    replicates: Annotated[int, BeforeValidator(read_count), Field(ge=0, le=MAX_CELLS)] = Field(
        0, description="cells trained again with another seed: they measure the noise"
    )
    bracket: bool = Field(
        False, description="train other learning rates and batches at three corners of the grid"
    )
    resources: ResourcesSpec = ResourcesSpec()
    forecast: Annotated[tuple[Positive, ...], Field(strict=False)] = Field(
        (), description="budgets the report answers for [FLOP]"
    )
    keep_weights: bool = Field(True, description="keep each run's final weights")
    evaluate: Annotated[tuple[Asked, ...], Field(strict=False)] = Field(
        (),
        description="probes measured of every finished run, each a name or {name: {option: value}}",
    )

    @property
    def family(self) -> str:
        """Name of the family of its models."""
        listed = self.trainer is not None and self.trainer.models
        return LISTED.name if listed else self.model.family

    @property
    def ladder_settings(self) -> dict[str, Any]:
        """The settings that determine the ladder, beside vocabulary and context."""
        if self.trainer is None or not self.trainer.models:
            return dict(self.model.settings)
        seq_len = self.model.seq_len if self.asks_recipe else 1
        return {"models": tuple(one.make_shape(seq_len) for one in self.trainer.models)}

    @property
    def asks_recipe(self) -> bool:
        """True if the package's rules decide batch and learning rate: for a user's own trainer,
        only if the file has a recipe."""
        named = bool({"recipe", "recipes"} & self.model_fields_set)
        return self.trainer is None or named

    @property
    def has_corpus(self) -> bool:
        """True if its data is prepared here."""
        return self.corpus.source != NO_SOURCE

    @model_validator(mode="before")
    @classmethod
    def _data_of_a_trainer(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("trainer") is not None and "corpus" not in value:
            return {**value, "corpus": NO_CORPUS}
        return value

    @model_validator(mode="after")
    def _trainer_has_all(self) -> Self:
        if self.trainer is None:
            problems = list(_list_resource_problems(self.resources))
        else:
            problems = [
                *_list_trainer_problems(self, self.trainer),
                *list_unreached(self.grid, self.extra_cells, self.trainer.models),
            ]
        if problems:
            raise PydanticCustomError("several", "{all}", {"all": problems})
        return self

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        names = [one.probe.name for one in self.evaluate]
        for at, one in enumerate(self.evaluate):
            why = ""
            if names[at] in names[:at]:
                why = "is asked for twice. Leave one out."
            elif one.probe.needs_weights and not self.keep_weights:
                why = "looks at the weights, and keep_weights is false. Set it to true."
            elif names[at] == EARLY_STOP and self.schedule.trunk:
                why = "does not know the loss along a trunk. Remove schedule.trunk, or this."
            if why:
                refuse(f"{names[at]} {why}", "evaluate", at)
        return self

    @model_validator(mode="after")
    def _context_fits_corpus(self) -> Self:
        if len(self.corpus.tokenizer) > 1 and self.model.context_bytes is None:
            refuse(
                "tokenizers are compared at equal context in bytes. Set model.context_bytes, e.g. "
                "128, in place of seq_len.",
                *("corpus", "tokenizer"),
            )
        if self.model.context_bytes is not None and not self.corpus.knows_bytes:
            why = f"the bytes behind the tokens of source {self.corpus.source} are not known."
            refuse(f"{why} Set seq_len.", "model", "context_bytes")
        return self

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        for why, at in _list_axis_problems(self):
            refuse(why, *at)
        return self

    @model_validator(mode="after")
    def _recipes_compare(self) -> Self:
        if len(self.recipes) == 1:
            why = "one recipe is nothing to compare. Write its keys under recipe, or name another."
            refuse(why, "recipes")
        if self.recipes and len(self.corpus.tokenizer) > 1:
            refuse(
                "recipes and tokenizers are compared one after the other. Name one tokenizer, or "
                "no recipes.",
                "recipes",
            )
        for name, recipe in self.recipes.items():
            self.recipe.override(recipe).check_schedule(("recipes", name))
        return self

    @model_validator(mode="after")
    def _countable(self) -> Self:
        cells = count_cells(self)
        if cells > MAX_CELLS:
            refuse(f"the grid asks for {cells} cells; at most {MAX_CELLS} are planned.")
        return self


def _list_resource_problems(resources: ResourcesSpec) -> Iterator[Problem]:
    """Yield resources that the built-in trainer cannot use."""
    if (resources.gpus_per_run or 0) > 1:
        why = "the built-in trainer computes a run on one GPU at most. Say 1 or a share."
        yield ("resources", "gpus_per_run"), why
    if resources.nodes_per_run > 1:
        why = "the built-in trainer computes a run on one node. Say 1."
        yield ("resources", "nodes_per_run"), why
    if resources.memory_per_run is not None:
        why = "the built-in trainer knows its memory. Leave it out."
        yield ("resources", "memory_per_run"), why


def _list_trainer_problems(spec: SweepSpec, trainer: TrainerSpec) -> Iterator[Problem]:
    """Yield keys that cannot be combined with a user's own trainer."""
    here, own_data = spec.has_corpus, ("trainer", "data")
    known = here or trainer.vocab_size is not None or bool(trainer.models)
    bracket = spec.bracket and not spec.asks_recipe
    rules: tuple[tuple[object, str, tuple[Any, ...]], ...] = (
        (here and trainer.data, "data and corpus name two data. Remove one.", own_data),
        (not here and not trainer.data, "name the data, or give a corpus.", own_data),
        (
            not known,
            "list models, or say vocab_size for the shapes of model.family.",
            ("trainer", "models"),
        ),
        (
            here and trainer.vocab_size,
            "the corpus has its own vocabulary. Remove it.",
            ("trainer", "vocab_size"),
        ),
        (
            spec.schedule.trunk,
            "only the built-in trainer shares trunks. Remove it.",
            ("schedule", "trunk"),
        ),
        (bracket, "it varies a recipe, and none is asked for. Add one.", ("bracket",)),
        (spec.evaluate, "your own trainer reports its probes. Remove it.", ("evaluate",)),
        (spec.families, "families are the built-in trainer's. Remove them.", ("families",)),
        (spec.rates, "rates are the built-in trainer's. Remove them.", ("rates",)),
        (
            spec.starts or spec.initialise.source,
            "only the built-in trainer starts from other runs. Remove it.",
            ("starts",) if spec.starts else ("initialise",),
        ),
        (
            spec.grid.limits_text(),
            "only the built-in trainer limits the text that runs see. Set tokens instead.",
            ("grid",),
        ),
        (
            any(cell.unique_tokens is not None for cell in spec.extra_cells),
            "only the built-in trainer limits the text that runs see. Remove unique_tokens.",
            ("extra_cells",),
        ),
        (
            trainer.models and spec.model.layers,
            "trainer.models says which models there are. Remove it.",
            ("model", "layers"),
        ),
    )
    yield from ((at, why) for wrong, why, at in rules if wrong)


def _list_axis_problems(spec: SweepSpec) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield keys that cannot be combined with several families, starts or learning rates, and
    where."""
    if spec.starts:
        if len(spec.starts) == 1:
            yield "a single start has nothing to compare with. Write it as initialise.", ("starts",)
        if spec.initialise.source is not None:
            yield "starts and initialise exclude each other. Remove one.", ("initialise",)
        several = max(len(spec.corpus.tokenizer), len(spec.corpus.chains)) > 1
        if spec.families or spec.recipes or several:
            yield (
                "only the starts may differ. Name one family, tokenizer and text, and no recipes.",
                ("starts",),
            )
    if spec.families:
        if len(spec.families) == 1:
            yield "one family is nothing to compare. Write it as model.family.", ("families",)
        if "family" in spec.model.model_fields_set:
            yield "families and model.family are two. Remove one.", ("model", "family")
        for name in spec.families:
            if spec.model.layers is not None and "layers" not in MODEL_FAMILIES[name].settings:
                yield f"family {name} takes no layers. Remove it.", ("model", "layers")
        if spec.recipes or len(spec.corpus.tokenizer) > 1:
            yield (
                "families are compared alone. Name one tokenizer and no recipes beside them.",
                ("families",),
            )
    if len(spec.corpus.chains) > 1 and (spec.families or spec.recipes):
        yield (
            "numbers of chains are compared alone. Name one, or no families and recipes.",
            ("corpus", "chains"),
        )
    if spec.rates:
        if len(spec.rates) == 1:
            yield "one rate is no choice. Set recipe.learning_rate, or name more.", ("rates",)
        if spec.replicates:
            yield "rates leave no replicate its cell. Say seeds: [0, 1].", ("replicates",)
        if spec.bracket:
            yield "rates vary the learning rate of every cell. Remove bracket.", ("bracket",)


def count_cells(spec: SweepSpec) -> int:
    """Number of cells the grid asks for, by arithmetic alone."""
    cells = (spec.grid.count() + len(spec.extra_cells)) * len(spec.seeds)
    return cells * max(1, len(spec.rates)) + spec.replicates


def describe_schema() -> dict[str, Any]:
    """The JSON Schema of a sweep file, for editors."""
    schema = SweepSpec.model_json_schema()
    schema["required"] = [key for key in schema["required"] if key != "corpus"]
    schema["anyOf"] = [{"required": ["corpus"]}, {"required": ["trainer"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


if __name__ == "__main__":  # writes sweeps/schema.json: python -m scaling.sweep.spec
    import json
    import sys

    sys.stdout.write(json.dumps(describe_schema(), indent=1) + "\n")
