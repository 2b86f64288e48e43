"""Compare a fine-tuned arm with the arm from scratch.

    equal target data       fine-tuned against from scratch at the same (N, D_F)
    equal total compute     fine-tuned, its parent's C included, against the best run from scratch
                            that cost no more, of any N: on the same D_F, or on any D_F

The signed difference of losses is also fitted by a plane, Δ = c + a ln(D_F/D₀) + b ln(N/N₀), a
summary that comes with its misfit. Sign changes are read off the cells (`effective.py`) instead: a
plane crosses 0 somewhere whether or not the losses do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import chdtrc

from scaling.errors import NoFitError
from scaling.files.contract import to_contract, write_fields
from scaling.files.sealed import SCHEMA_VERSION
from scaling.fitting.fitted import Interval
from scaling.fitting.intervals import find_interval
from scaling.fitting.transfer.arms import (
    Arm,
    Variant,
    choose_cells,
    count_end_rates,
    estimate_seed_noise,
    list_variants,
)
from scaling.fitting.transfer.effective import (
    Measured,
    SignChange,
    TransferCell,
    find_sign_changes,
    measure_cells,
)
from scaling.fitting.transfer.law import TransferLaw, fit_transfer_law

Verdict = Literal["saves", "costs", "both", "none", "unclear"]
_LEAST_CELLS = 4  # one more than the coefficients, so that a plane can misfit


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Δ [nats/token] = at_centre + per_data · ln(D_F/data) + per_params · ln(N/params).

    Attributes:
        at_centre, per_data, per_params: Coefficients; the last two are 0 if D_F, N do not vary.
        intervals: Their intervals by name, widened by the plane's misfit.
        data, params: The geometric means D₀, N₀ of the cells.
        chance: p value of the misfit under seed noise alone; None without spare cells.
    """

    at_centre: float
    per_data: float
    per_params: float
    intervals: dict[str, Interval]
    data: float
    params: float
    chance: float | None

    def to_contract(self) -> dict[str, Any]:
        return {
            "at_centre": self.at_centre,
            "per_log_tokens": self.per_data,
            "per_log_params": self.per_params,
            "intervals": to_contract(self.intervals),
            "centre": {"tokens": self.data, "params": self.params},
            "p_misfit": self.chance,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualCompute:
    """A fine-tuned cell against runs from scratch that cost no more than it and its parent.

    Attributes:
        params, data: The cell.
        flops: C of the run, its parent and earlier ancestors [FLOPs].
        own_flops: C of the run itself [FLOPs].
        loss: Its loss [nats/token].
        same_text, any_text: Lowest loss from scratch on the same D_F, and on any D_F [nats/token];
            None if no run is that cheap.
        beyond: Whether it cost more than every run from scratch. The two losses above then used
            less compute, and more compute might lower them.
    """

    params: float
    data: float
    flops: float
    own_flops: float
    loss: float
    same_text: float | None
    any_text: float | None
    beyond: bool

    def to_contract(self) -> dict[str, Any]:
        return write_fields(
            self,
            data="tokens",
            same_text="scratch_loss_same_text",
            any_text="scratch_loss_any_text",
            beyond="beyond_scratch",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A fine-tuned arm compared with the arm from scratch.

    Attributes:
        names: The names of the arm from scratch and of the fine-tuned arm.
        cells: The measured cells, ascending in N, then D_F.
        scratch: The best variants of the arm from scratch.
        noise: σ of ln L between seeds; None with too few seeds.
        level: Level of the intervals.
        plane: The plane fitted to the differences; None with too few cells or unknown noise.
        changes: The sign change at each N, if there is one.
        law: The law D_T = k · D_F^α · N^β.
        compute: Losses at equal total compute, in the order of `cells`.
        end_rates: Cells of either arm whose best learning rate is the lowest or highest tried.
        early_stop: Whether losses are the lowest during training, in both arms.
        several_passes: Whether both arms have cells trained to several D.
        verdict: `saves` text, `costs` text, `both` in different cells, `none` beyond seed noise, or
            `unclear` without seeds.
    """

    names: tuple[str, str]
    cells: tuple[TransferCell, ...]
    scratch: tuple[Variant, ...]
    noise: float | None
    level: float
    plane: Plane | None
    changes: tuple[SignChange, ...]
    law: TransferLaw
    compute: tuple[EqualCompute, ...]
    end_rates: int
    early_stop: bool
    several_passes: bool
    verdict: Verdict

    def to_contract(self) -> dict[str, Any]:
        """Return the same values as JSON."""
        return {
            "scratch": self.names[0],
            "tuned": self.names[1],
            "verdict": self.verdict,
            "level": self.level,
            "seed_noise": self.noise,
            "early_stop": self.early_stop,
            "several_passes": self.several_passes,
            "end_rates": self.end_rates,
            "cells": to_contract(self.cells),
            "difference": to_contract(self.plane),
            "sign_changes": to_contract(self.changes),
            "law": to_contract(self.law),
            "equal_compute": to_contract(self.compute),
        }


def write_contract(found: Sequence[Transfer], source: str, reason: str = "") -> dict[str, Any]:
    """Return the JSON of `scaling transfer`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "source": source,
        "reason": reason,
        "arms": to_contract(found),
    }


def judge_transfer(
    scratch: Arm, tuned: Arm, *, draws: int = 1000, level: float = 0.9, seed: int = 0
) -> Transfer:
    """Compare starting from trained weights with starting from scratch.

    Args:
        scratch: The runs from scratch.
        tuned: The runs of the same models on the same text that start from trained weights.
        draws: Number of draws of seed noise, for intervals.
        level: Level of the intervals.
        seed: Seed of the draws.

    Raises:
        NoFitError: No N has runs of both arms and two D_F from scratch.
    """
    variants = {arm.name: list_variants(arm) for arm in (scratch, tuned)}
    own, other = (choose_cells(variants[arm.name]) for arm in (scratch, tuned))
    noise = estimate_seed_noise([*own, *other]) or estimate_seed_noise(
        [*variants[scratch.name], *variants[tuned.name]]
    )
    measured = measure_cells(own, other, noise=noise, draws=draws, level=level, seed=seed)
    if not measured.cells:
        raise NoFitError(
            f"{scratch.name} and {tuned.name}: no N has runs of both, with two D_F from scratch. "
            "Train the same grid in both."
        )
    return Transfer(
        names=(scratch.name, tuned.name),
        cells=measured.cells,
        scratch=tuple(own),
        noise=None if noise is None else noise[0],
        level=level,
        plane=fit_plane(measured, level=level),
        changes=find_sign_changes(measured, level=level),
        law=fit_transfer_law(measured.cells, level=level),
        compute=compare_compute(variants[scratch.name], measured.cells),
        end_rates=sum(
            count_end_rates(variants[arm.name], cells)
            for arm, cells in ((scratch, own), (tuned, other))
        ),
        early_stop=scratch.early_stop and tuned.early_stop,
        several_passes=all(
            len({(one.params, one.data, one.tokens) for one in variants[arm.name]}) > len(cells)
            for arm, cells in ((scratch, own), (tuned, other))
        ),
        verdict=_find_verdict(measured.cells, noise is not None),
    )


def compare_compute(
    scratch: Sequence[Variant], cells: Sequence[TransferCell]
) -> tuple[EqualCompute, ...]:
    """Compare each cell with the runs from scratch that cost no more than it and its ancestors."""
    dearest = max(one.flops for one in scratch)
    compared = []
    for cell in cells:
        flops = cell.tuned.flops + cell.tuned.earlier_flops
        cheap = [one for one in scratch if one.flops <= flops]
        compared.append(
            EqualCompute(
                params=cell.params,
                data=cell.data,
                flops=flops,
                own_flops=cell.tuned.flops,
                loss=cell.tuned.loss,
                same_text=min((one.loss for one in cheap if one.data == cell.data), default=None),
                any_text=min((one.loss for one in cheap), default=None),
                beyond=flops > dearest,
            )
        )
    return tuple(compared)


def fit_plane(measured: Measured, *, level: float) -> Plane | None:
    """Fit the difference of losses by a plane in ln D_F and ln N, weighted by seed noise; None if
    the noise is unknown, or with fewer than four cells."""
    places = [at for at, one in enumerate(measured.cells) if one.difference is not None]
    drawn = measured.differences[:, places]
    if len(places) < _LEAST_CELLS or not len(drawn) or not drawn.std(axis=0).all():
        return None
    cells = [measured.cells[at] for at in places]
    logs = np.log([[one.data, one.params] for one in cells])
    centre = logs.mean(axis=0)
    varies = np.ptp(logs, axis=0) > 0.0
    design = np.column_stack((np.ones(len(cells)), (logs - centre) * varies))
    values = np.array([one.difference for one in cells], dtype=np.float64)
    weight = 1.0 / drawn.std(axis=0)
    inverse = np.linalg.pinv(design * weight[:, None])
    best = inverse @ (weight * values)
    miss = float(np.sum((weight * (values - design @ best)) ** 2))
    spare = len(cells) - 1 - int(varies.sum())
    widen = max(1.0, math.sqrt(miss / spare)) if spare else 1.0
    refits = best + widen * ((weight * (drawn - values)) @ inverse.T)
    names = ("at_centre", "per_log_tokens", "per_log_params")
    return Plane(
        at_centre=float(best[0]),
        per_data=float(best[1]),
        per_params=float(best[2]),
        intervals={
            name: find_interval(refits[:, at], level)
            for at, name in enumerate(names)
            if at == 0 or varies[at - 1]
        },
        data=math.exp(centre[0]),
        params=math.exp(centre[1]),
        chance=float(chdtrc(spare, miss)) if spare else None,
    )


def _find_verdict(cells: Sequence[TransferCell], known: bool) -> Verdict:
    if not known:
        return "unclear"
    helps, hurts = (any(one.sign == sign for one in cells) for sign in (-1, 1))
    if helps and hurts:
        return "both"
    return "saves" if helps else "costs" if hurts else "none"
