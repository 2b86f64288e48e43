"""SweepSpec -> Plan: ordered cells, rejected cells and why.

An IsoFLOP grid is centred on the prior N*(C) of the sweep file. For each budget the rungs of the
ladder within ×span of it are candidates; `sizes` of them are taken in an order that halves the
gaps (centre, both ends, the quarters, ...), so that asking for more sizes or budgets only adds
cells: nothing about a cell depends on its siblings. Which cells are trained again, replicates.py
decides.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scaling.errors import SpecError
from scaling.sweep.bracket import (
    BATCH_FACTORS,
    LEARNING_RATE_FACTORS,
    Varied,
    choose_corners,
)
from scaling.sweep.cost import estimate_memory
from scaling.sweep.counting import count_flops_per_token, count_matmul_params
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.replicates import choose_replicates
from scaling.sweep.runspec import Recipe, RunSpec
from scaling.sweep.shapes import (
    MAX_SEQ_LEN,
    MIN_SEQ_LEN,
    ModelShape,
    iterate_ladder,
    list_ladder,
)
from scaling.sweep.tokenizer_names import BYTES
from scaling.units import format_count, format_flops

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which only readers of YAML need to pay
    from scaling.sweep.spec import GridSpec, SweepSpec

MIN_STEPS = 200  # fewer leave no constant phase between warmup and cooldown
_RUNG_ABOVE = 3.0  # neighbouring rungs are at most ×3 apart, the first two the farthest

VALIDATION_BYTES = 512 * 1024  # 197 kB has a block standard error of .038 nats (decision 0123)
VALIDATION_SHARE = 0.1  # of a small corpus
FEW_HELD_OUT = 16  # documents: fewer clusters give no usable standard error
_MUCH_OVERLAP = 0.125  # Python's standard library has .105, from idiom

CellRole = Literal["grid", "replicate", "bracket", "validation"]
# What a fit sees; the others measure the recipe, or check a forecast.
FITTED_ROLES: tuple[CellRole, ...] = ("grid", "replicate")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFacts:
    """What planning needs to know of a prepared corpus.

    Attributes:
        digest: Content digest of shards and split; part of every run_id.
        vocab_size: Tokens are in [0, vocab_size).
        train_tokens: Unique tokens to train on.
        validation_tokens: Held-out tokens, all of which every run is evaluated on.
        validation_bytes: Bytes of text those tokens stand for.
        train_bytes: Bytes of text of the training split.
        validation_documents: Held-out documents (clusters of the standard error).
        unigram_entropy: Entropy of the training tokens' frequencies [nats/token].
        overlap: Share of held-out 32-byte spans that occur in the training split.
        tokenizer: Its name in the sweep file; `none` for tokens that came as they are.
        bayes_loss: Lowest loss that any model can have on the held-out windows [nats/token]; None
            where nobody knows it (all but `synthetic`).

    Bytes are 0 where the text behind the tokens is not known.
    """

    digest: str
    vocab_size: int
    train_tokens: int
    validation_tokens: int
    train_bytes: int
    validation_bytes: int
    validation_documents: int
    unigram_entropy: float
    overlap: float
    tokenizer: str = BYTES
    bayes_loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One grid point: a run and the place it has in the sweep.

    Attributes:
        run: What is trained.
        budget: The declared budget the run belongs to [FLOPs]; None where a grid has no budgets.
        role: `grid`, `replicate` for a cell trained again with another seed, `bracket` for one
            with another recipe, or `validation` for one that a registered forecast speaks of; no
            fit sees the last two.
        varied: What a bracket run varies, of which run_id, by which factor; None for the others.
    """

    run: RunSpec
    budget: float | None
    role: CellRole
    varied: tuple[Varied, str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedCell:
    """A grid point that will not be trained, and why."""

    budget: float | None
    params: float
    tokens: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a sweep trains, longest first, and what it does not."""

    cells: tuple[Cell, ...]
    rejected: tuple[RejectedCell, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A grid point before it is known whether it can be trained."""

    shape: ModelShape
    tokens: float
    budget: float | None
    extra: bool = False


def plan_sweep(
    spec: SweepSpec,
    facts: CorpusFacts,
    *,
    memory_bytes: int | None = None,
    recorded: Iterable[RunSpec] = (),
    validations: Iterable[RunSpec] = (),
) -> Plan:
    """Everything the sweep trains, longest first.

    Args:
        spec: What the user asked.
        facts: What the prepared corpus is.
        memory_bytes: Memory that one run may use; None: not checked.
        recorded: Runs of the sweep's ledger that have a result. Replicates among them stay
            (`replicates.py` says what is promised); nothing else of the plan depends on them.
        validations: Runs that registered forecasts speak of; one that is a cell already stays that.

    Raises:
        SpecError: No cell of the grid can be trained, or one would not fit into memory.
    """
    accepted: list[_Wish] = []
    rejected: list[RejectedCell] = []
    for wish in _list_wishes(spec, facts):
        reason = _find_obstacle(wish, spec, facts)
        if reason:
            params = float(count_matmul_params(wish.shape))
            rejected.append(
                RejectedCell(budget=wish.budget, params=params, tokens=wish.tokens, reason=reason)
            )
        else:
            accepted.append(wish)
    if not accepted:
        raise SpecError(
            [
                f"no cell of the grid can be trained; the first of {len(rejected)}: "
                f"{rejected[0].reason}"
                if rejected
                else "the grid has no cell: no model that can be built lies within its span. "
                "Widen the span, or change the prior or the budgets."
            ]
        )
    cells = [
        Cell(run=_make_run(wish, spec, facts, seed), budget=wish.budget, role="grid")
        for wish in accepted
        for seed in spec.seeds
    ]
    cells += _list_replicates(accepted, spec, facts, recorded)
    if spec.bracket:
        grid = {cell.run.run_id for cell in cells}
        tried = _list_brackets(accepted, spec, facts)
        cells += [cell for cell in tried if cell.run.run_id not in grid]
    planned = {cell.run.run_id for cell in cells}
    checked = {
        run.run_id: run
        for run in validations
        if run.run_id not in planned and run.data_digest == facts.digest
    }
    cells += [Cell(run=run, budget=None, role="validation") for run in checked.values()]
    _check_memory(cells, memory_bytes)
    cells.sort(key=lambda cell: (-cell.run.flops, cell.run.run_id))
    return Plan(
        cells=tuple(cells), rejected=tuple(rejected), warnings=_find_warnings(cells, spec, facts)
    )


def plan_forecast(
    spec: SweepSpec, facts: CorpusFacts, *, shape: ModelShape, tokens: float
) -> RunSpec:
    """The run by which a forecast of the sweep is checked: its recipe and first seed.

    Raises:
        SpecError: It could not be trained on this corpus.
    """
    wish = _Wish(shape=shape, tokens=tokens, budget=None)
    reason = _find_obstacle(wish, spec, facts)
    if reason:
        raise SpecError([f"no run of this sweep could check that forecast: {reason}."])
    return _make_run(wish, spec, facts, spec.seeds[0])


def decide_seq_len(spec: SweepSpec, facts: CorpusFacts) -> int:
    """Tokens per window: as stated, or as many as the stated bytes of held-out text make."""
    if spec.model.context_bytes is None:
        return spec.model.seq_len
    tokens = spec.model.context_bytes * facts.validation_tokens / facts.validation_bytes
    return min(MAX_SEQ_LEN, max(MIN_SEQ_LEN, round(tokens)))


def choose_rungs(
    ladder: Sequence[ModelShape], centre: float, *, sizes: int, span: float
) -> tuple[ModelShape, ...]:
    """`sizes` rungs within ×span of `centre`, or fewer where the ladder has fewer; ascending.

    The rungs for fewer sizes are always among those for more.
    """
    reach = math.log(span)
    low = bisect.bisect_left(ladder, centre / span * (1 - 1e-9), key=count_matmul_params)
    high = bisect.bisect_right(ladder, centre * span * (1 + 1e-9), key=count_matmul_params)
    free = {at: math.log(count_matmul_params(ladder[at]) / centre) for at in range(low, high)}
    chosen: list[int] = []
    for target in _halve_gaps():
        if len(chosen) == sizes or not free:
            break
        nearest = min(free, key=lambda index: abs(free[index] - target * reach))
        del free[nearest]
        chosen.append(nearest)
    return tuple(ladder[index] for index in sorted(chosen))


def _halve_gaps() -> Iterator[float]:
    """0, then −1 and 1, then the middles of every gap, and so on without end."""
    yield 0.0
    yield -1.0
    yield 1.0
    step = 0.5
    while True:
        position = step
        while position < 1:
            yield -position
            yield position
            position += 2 * step
        step /= 2


def _list_wishes(spec: SweepSpec, facts: CorpusFacts) -> Iterator[_Wish]:
    from scaling.sweep.spec import CellGrid, IsoflopGrid, ProductGrid, RatioGrid

    ladder = _list_rungs(spec, facts)
    match spec.grid:
        case IsoflopGrid(budgets=budgets, sizes=sizes, span=span, prior=prior):
            for budget in budgets:
                centre = prior.expect_params(budget)
                for shape in choose_rungs(ladder, centre, sizes=sizes, span=span):
                    yield _Wish(
                        shape=shape,
                        tokens=budget / count_flops_per_token(shape),
                        budget=budget,
                    )
        case CellGrid(cells=cells):
            for cell in cells:
                yield _Wish(shape=_nearest(ladder, cell.params), tokens=cell.tokens, budget=None)
        case ProductGrid(params=params, tokens=tokens):
            for size in params:
                for count in tokens:
                    yield _Wish(shape=_nearest(ladder, size), tokens=count, budget=None)
        case RatioGrid(params=params, tokens_per_param=ratios):
            for size in params:
                shape = _nearest(ladder, size)
                for ratio in ratios:
                    yield _Wish(shape=shape, tokens=ratio * count_matmul_params(shape), budget=None)
    for cell in spec.extra_cells:
        shape = _nearest(ladder, cell.params)
        yield _Wish(shape=shape, tokens=cell.tokens, budget=None, extra=True)


def _list_rungs(spec: SweepSpec, facts: CorpusFacts) -> tuple[ModelShape, ...]:
    """The ladder up to the rung above the largest wish; one rung at least."""
    vocab_size, head_size = facts.vocab_size, spec.model.head_size
    seq_len = decide_seq_len(spec, facts)
    first = next(iterate_ladder(vocab_size, seq_len, head_size=head_size))
    wished = max([_find_largest_wish(spec.grid), *(cell.params for cell in spec.extra_cells)])
    largest = max(_RUNG_ABOVE * wished, count_matmul_params(first))
    return list_ladder(vocab_size, seq_len, head_size=head_size, max_params=largest)


def _find_largest_wish(grid: GridSpec) -> float:
    """Largest N that the grid asks for."""
    from scaling.sweep.spec import CellGrid, IsoflopGrid, ProductGrid, RatioGrid

    match grid:
        case IsoflopGrid(budgets=budgets, span=span, prior=prior):
            return max(prior.expect_params(budget) for budget in budgets) * span
        case CellGrid(cells=cells):
            return max(cell.params for cell in cells)
        case ProductGrid(params=params) | RatioGrid(params=params):
            return max(params)


def _nearest(ladder: Sequence[ModelShape], params: float) -> ModelShape:
    """The rung nearest to `params` in ratio; of two equally near, the smaller."""
    above = bisect.bisect_left(ladder, params, key=count_matmul_params)
    if above == 0:
        return ladder[0]
    ratio = params / count_matmul_params(ladder[above - 1])
    return ladder[above if count_matmul_params(ladder[above]) / params < ratio else above - 1]


def _find_obstacle(wish: _Wish, spec: SweepSpec, facts: CorpusFacts) -> str:
    """Why a cell cannot be trained; empty if it can."""
    seq_len = wish.shape.seq_len
    if seq_len + 1 > min(facts.train_tokens, facts.validation_tokens):
        return (
            f"sequences of {seq_len} tokens are longer than the corpus "
            f"({facts.train_tokens} to train on, {facts.validation_tokens} held out); set a "
            "smaller model.seq_len, or add text"
        )
    epochs = wish.tokens / facts.train_tokens
    if epochs > spec.corpus.epochs_allowed:
        if facts.bayes_loss is not None:
            return (
                f"{format_count(wish.tokens)} tokens are more than the "
                f"{format_count(facts.train_tokens)} made; raise corpus.tokens"
            )
        return (
            f"{format_count(wish.tokens)} tokens are {epochs:.1f} passes over the corpus of "
            f"{format_count(facts.train_tokens)}, and corpus.max_epochs is "
            f"{spec.corpus.max_epochs:g}; add text, ask for less, or raise it"
        )
    steps = _decide_recipe(wish, spec).steps
    if steps < MIN_STEPS:
        return (
            f"{format_count(wish.tokens)} tokens make {steps} optimiser steps, too few to warm up "
            f"and cool down (at least {MIN_STEPS})"
        )
    return ""


def _make_run(wish: _Wish, spec: SweepSpec, facts: CorpusFacts, seed: int) -> RunSpec:
    return RunSpec(
        shape=wish.shape,
        recipe=_decide_recipe(wish, spec),
        data_digest=facts.digest,
        seed=seed,
    )


def _decide_recipe(wish: _Wish, spec: SweepSpec) -> Recipe:
    horizon = None
    if spec.schedule.trunk:
        horizon = spec.schedule.trunk_tokens_per_param * count_matmul_params(wish.shape)
    return decide_recipe(wish.shape, wish.tokens, spec.recipe, horizon=horizon)


def _list_replicates(
    accepted: Sequence[_Wish], spec: SweepSpec, facts: CorpusFacts, recorded: Iterable[RunSpec]
) -> list[Cell]:
    runs = [_make_run(wish, spec, facts, 0) for wish in accepted]
    # Two wishes may come to one run; the first one's budget is its replicate's.
    budgets = {
        (run.shape, run.recipe): wish.budget
        for run, wish in reversed(list(zip(runs, accepted, strict=True)))
    }
    return [
        Cell(run=run, budget=budgets[run.shape, run.recipe], role="replicate")
        for run in choose_replicates(runs, spec.replicates, seeds=spec.seeds, recorded=recorded)
    ]


def _list_brackets(
    accepted: Sequence[_Wish], spec: SweepSpec, facts: CorpusFacts
) -> Iterator[Cell]:
    """Runs that differ from a corner of the grid in learning rate, or in batch; a batch that cannot
    be halved, and what would take too few steps, is left out."""
    # Corners are the grid's: a cell more must not make finished brackets those of no corner.
    grid = [wish for wish in accepted if not wish.extra] or accepted
    wishes = {_make_run(wish, spec, facts, spec.seeds[0]): wish for wish in grid}
    for corner in choose_corners(list(wishes)):
        wish, recipe = wishes[corner], corner.recipe
        for factor in LEARNING_RATE_FACTORS:
            rate = float(f"{factor * recipe.learning_rate:.4g}")
            asked = dataclasses.replace(recipe, learning_rate=rate)
            run = dataclasses.replace(corner, recipe=asked)
            varied: tuple[Varied, str, float] = ("learning_rate", corner.run_id, factor)
            yield Cell(run=run, budget=wish.budget, role="bracket", varied=varied)
        for factor in BATCH_FACTORS:
            batch = factor * recipe.batch_sequences
            if not batch.is_integer():
                continue
            other = _with_batch(spec, int(batch), horizon=corner)
            run = _make_run(wish, other, facts, corner.seed)
            varied = ("batch", corner.run_id, factor)
            if run.recipe.steps >= MIN_STEPS:
                yield Cell(run=run, budget=wish.budget, role="bracket", varied=varied)


def _with_batch(spec: SweepSpec, batch: int, *, horizon: RunSpec) -> SweepSpec:
    """The sweep with another batch; a learning rate that the user fixed keeps its ratio to √B, as
    the rule has it."""
    changes: dict[str, float] = {"batch_sequences": batch}
    if spec.recipe.learning_rate is not None:
        scale = math.sqrt(batch / horizon.recipe.batch_sequences)
        changes["learning_rate"] = spec.recipe.learning_rate * scale
    return spec.model_copy(update={"recipe": spec.recipe.model_copy(update=changes)})


def _check_memory(cells: Sequence[Cell], memory_bytes: int | None) -> None:
    if memory_bytes is None:
        return
    largest = max((cell.run for cell in cells), key=estimate_memory)
    need = estimate_memory(largest)
    if need > memory_bytes:
        raise SpecError(
            [
                f"a model of {format_count(count_matmul_params(largest.shape))} parameters needs "
                f"about {need / 2**30:.1f} GiB to train; one run may use "
                f"{memory_bytes / 2**30:.1f} GiB. Ask for smaller models or budgets."
            ]
        )


def _find_corpus_warnings(facts: CorpusFacts) -> list[str]:
    warnings = []
    held_out = f"{format_count(facts.validation_bytes)} bytes of held-out text"
    if not facts.validation_bytes:
        held_out = f"{format_count(facts.validation_tokens)} held-out tokens"
    if facts.validation_documents < FEW_HELD_OUT:
        warnings.append(
            f"{held_out} in {facts.validation_documents} document(s): the loss measures those few. "
            "Give more documents, or fewer copies of each."
        )
    target = min(VALIDATION_BYTES, VALIDATION_SHARE * (facts.train_bytes + facts.validation_bytes))
    if facts.validation_bytes < target:
        warnings.append(
            f"{held_out}, wished for {format_count(target)}: most documents are copies of each "
            "other. Remove near-duplicates."
        )
    if facts.overlap > _MUCH_OVERLAP:
        warnings.append(
            f"{facts.overlap:.0%} of held-out 32-byte spans occur in the training text: copied "
            "text rewards memory. Remove near-duplicates."
        )
    return warnings


def _find_warnings(cells: Sequence[Cell], spec: SweepSpec, facts: CorpusFacts) -> tuple[str, ...]:
    from scaling.sweep.spec import IsoflopGrid

    warnings = _find_corpus_warnings(facts)
    repeated = [cell for cell in cells if cell.run.tokens > facts.train_tokens]
    if repeated:
        worst = max(cell.run.tokens for cell in repeated) / facts.train_tokens
        warnings.append(
            f"{len(repeated)} of {len(cells)} runs see part of the corpus more than once "
            f"(up to {worst:.2f} passes): the law is for fresh tokens."
        )
    if isinstance(spec.grid, IsoflopGrid):
        for budget in spec.grid.budgets:
            at_budget = {c.run.shape for c in cells if c.budget == budget and c.role == "grid"}
            if len(at_budget) < spec.grid.sizes:
                warnings.append(
                    f"budget {format_flops(budget)}: {len(at_budget)} of {spec.grid.sizes} sizes; "
                    "the ladder has no more rungs within the span, or they were rejected."
                )
    return tuple(warnings)
