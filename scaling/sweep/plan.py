"""From SweepSpec to Plan: ordered cells, and rejected cells with the reason.

Nothing about a cell depends on its siblings; replicates.py decides which cells are trained again.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from scaling.errors import SpecError
from scaling.sweep.bracket import (
    BATCH_FACTORS,
    LEARNING_RATE_FACTORS,
    Varied,
    choose_corners,
)
from scaling.sweep.cells import Cell, Plan, RejectedCell
from scaling.sweep.corpus_facts import CorpusFacts
from scaling.sweep.corpus_sources import SOURCES
from scaling.sweep.cost import estimate_memory
from scaling.sweep.counting import count_matmul_params
from scaling.sweep.own_ladder import list_rungs
from scaling.sweep.parents import choose_parent, name_model, name_models
from scaling.sweep.plan_warnings import find_warnings
from scaling.sweep.recipe import decide_recipe
from scaling.sweep.replicates import choose_replicates
from scaling.sweep.runspec import NO_RECIPE, OwnTrainer, Recipe, RunSpec
from scaling.sweep.shapes import ModelShape
from scaling.sweep.wishes import Wish
from scaling.units import format_count

if TYPE_CHECKING:  # pydantic takes a tenth of a second, which only readers of YAML need to pay
    from scaling.sweep.spec import SweepSpec

MIN_STEPS = 200  # with fewer, warmup and decay leave no constant phase


def plan_sweep(
    spec: SweepSpec,
    facts: CorpusFacts,
    *,
    memory_bytes: int | None = None,
    recorded: Iterable[RunSpec] = (),
    validations: Iterable[RunSpec] = (),
) -> Plan:
    """Plan everything the sweep trains, longest first.

    Args:
        spec: The sweep file.
        facts: Size, vocabulary and digest of the prepared corpus.
        memory_bytes: Memory that one run may use [bytes]; None: not checked.
        recorded: Runs of the sweep's ledger that have a result. Replicates among them stay
            (`replicates.py` gives the rules); nothing else in the plan depends on them.
        validations: Runs that check registered forecasts; one that is already a cell stays one.

    Returns:
        Cells, rejected grid points and warnings.

    Raises:
        SpecError: No cell of the grid can be trained, or one would not fit into memory.
    """
    accepted: list[Wish] = []
    rejected: list[RejectedCell] = []
    for wish in list_wishes(spec, facts):
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
                else "the grid has no cell: no buildable model lies within its span. "
                "Widen the span, or change the prior or the budgets."
            ]
        )
    _refuse_orphans(accepted, spec, facts)
    cells = [
        Cell(run=_scale_rate(run, factor), budget=wish.budget, role="grid")
        for wish in accepted
        for seed in spec.seeds
        for run in (_make_run(wish, spec, facts, seed),)
        for factor in spec.rates or (1.0,)
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
        cells=tuple(cells), rejected=tuple(rejected), warnings=find_warnings(cells, spec, facts)
    )


def plan_forecast(
    spec: SweepSpec, facts: CorpusFacts, *, shape: ModelShape, tokens: float
) -> RunSpec:
    """The run by which a forecast of the sweep is checked: its recipe and first seed.

    Raises:
        SpecError: It could not be trained on this corpus.
    """
    wish = Wish(shape=shape, tokens=tokens)
    reason = _find_obstacle(wish, spec, facts)
    if reason:
        raise SpecError([f"no run of this sweep could check that forecast: {reason}."])
    _refuse_orphans([wish], spec, facts)
    return _make_run(wish, spec, facts, spec.seeds[0])


def _refuse_orphans(wishes: Sequence[Wish], spec: SweepSpec, facts: CorpusFacts) -> None:
    """Raise SpecError if a model has no run to start from."""
    if spec.initialise.source is None:
        return
    shapes = dict.fromkeys(wish.shape for wish in wishes)
    lost = [one for one in shapes if choose_parent(facts.parents, one, 0) is None]
    if lost:
        there = name_models(facts.parents)
        raise SpecError(
            [
                f"{spec.initialise.source} has no run of {name_model(one)} to start from; it has "
                f"{there}. Train that model there, or ask for one of these."
                for one in lost
            ]
        )


def _find_obstacle(wish: Wish, spec: SweepSpec, facts: CorpusFacts) -> str:
    """Say why a cell cannot be trained; empty if it can."""
    if not facts.is_known:
        return _find_few_steps(wish, spec)
    seq_len = wish.shape.seq_len
    if seq_len + 1 > min(facts.train_tokens, facts.validation_tokens):
        return (
            f"sequences of {seq_len} tokens are longer than the corpus "
            f"({facts.train_tokens} to train on, {facts.validation_tokens} held out); set a "
            "smaller model.seq_len, or add text"
        )
    if wish.unique_tokens is not None:
        return _find_little_text(wish, spec, facts) or _find_few_steps(wish, spec)
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
    return _find_few_steps(wish, spec)


def _find_little_text(wish: Wish, spec: SweepSpec, facts: CorpusFacts) -> str:
    """Say why a cell cannot have the text it asks for; empty if it can."""
    unique, seq_len = wish.unique_tokens or 0, wish.shape.seq_len
    if unique > facts.train_tokens:
        return (
            f"{format_count(unique)} unique tokens are more than the "
            f"{format_count(facts.train_tokens)} of the corpus; add text, or ask for less"
        )
    if wish.tokens > unique and SOURCES[spec.corpus.source].once:
        return f"source {spec.corpus.source} never repeats a token; ask for one epoch at most"
    if unique <= 2 * seq_len:
        return f"{unique} unique tokens are fewer than two sequences of {seq_len}; ask for more"
    return ""


def _find_few_steps(wish: Wish, spec: SweepSpec) -> str:
    steps = _decide_recipe(wish, spec).steps
    if spec.asks_recipe and steps < MIN_STEPS:
        return (
            f"{format_count(wish.tokens)} tokens make {steps} optimiser steps, too few to warm up "
            f"and cool down (at least {MIN_STEPS})"
        )
    return ""


def _make_run(wish: Wish, spec: SweepSpec, facts: CorpusFacts, seed: int) -> RunSpec:
    recipe = _decide_recipe(wish, spec)
    if spec.trainer is None:
        parent = None
        if spec.initialise.source is not None:
            parent = choose_parent(facts.parents, wish.shape, seed)
            assert parent is not None, wish.shape  # `_refuse_orphans` came first
        return RunSpec(
            shape=wish.shape,
            recipe=recipe,
            data_digest=facts.digest,
            seed=seed,
            unique_tokens=wish.unique_tokens,
            parent=None if parent is None else parent.weights,
        )
    tokens = recipe.steps * recipe.batch_sequences * wish.shape.seq_len
    own = OwnTrainer(
        command=spec.trainer.identity,
        files=facts.code,
        version=spec.trainer.version,
        tokens=tokens if spec.asks_recipe else max(1, round(wish.tokens)),
    )
    return RunSpec(
        shape=wish.shape,
        recipe=recipe,
        data_digest=facts.digest,
        seed=seed,
        numerics_version=0,
        own=own,
    )


def _decide_recipe(wish: Wish, spec: SweepSpec) -> Recipe:
    if not spec.asks_recipe:
        return NO_RECIPE
    horizon = None
    if spec.schedule.trunk:
        horizon = spec.schedule.trunk_tokens_per_param * count_matmul_params(wish.shape)
    return decide_recipe(wish.shape, wish.tokens, spec.recipe, horizon=horizon)


def _list_replicates(
    accepted: Sequence[Wish], spec: SweepSpec, facts: CorpusFacts, recorded: Iterable[RunSpec]
) -> list[Cell]:
    runs = [_make_run(wish, spec, facts, 0) for wish in accepted]
    # Two wishes may give the same run; its replicates take the first one's budget.
    budgets = {
        (run.shape, run.recipe, run.tokens): wish.budget
        for run, wish in reversed(list(zip(runs, accepted, strict=True)))
    }
    return [
        Cell(run=run, budget=budgets[run.shape, run.recipe, run.tokens], role="replicate")
        for run in choose_replicates(runs, spec.replicates, seeds=spec.seeds, recorded=recorded)
    ]


def _list_brackets(accepted: Sequence[Wish], spec: SweepSpec, facts: CorpusFacts) -> Iterator[Cell]:
    """Yield runs that differ from a corner of the grid in learning rate, or in batch; a batch that
    cannot be halved, and runs of too few steps, are left out."""
    # Only the grid has corners: an extra cell must not move them away from finished brackets.
    grid = [wish for wish in accepted if not wish.extra] or accepted
    wishes = {_make_run(wish, spec, facts, spec.seeds[0]): wish for wish in grid}
    for corner in choose_corners(list(wishes)):
        wish, recipe = wishes[corner], corner.recipe
        for factor in LEARNING_RATE_FACTORS:
            run = _scale_rate(corner, factor)
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


def _scale_rate(run: RunSpec, factor: float) -> RunSpec:
    """The run at a multiple of its learning rate."""
    if factor == 1:
        return run
    rate = float(f"{factor * run.recipe.learning_rate:.4g}")
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, learning_rate=rate))


def _with_batch(spec: SweepSpec, batch: int, *, horizon: RunSpec) -> SweepSpec:
    """The sweep with another batch; a learning rate that the user fixed keeps its ratio to √B, as
    in the rule."""
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


def list_wishes(spec: SweepSpec, facts: CorpusFacts) -> Iterator[Wish]:
    """Every (N, D) that the sweep's grid and extra cells ask for, in their order."""
    ladder = list_rungs(spec, facts)
    yield from spec.grid.list_wishes(ladder)
    yield from (cell.make_wish(ladder, extra=True) for cell in spec.extra_cells)
