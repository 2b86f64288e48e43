"""A forecast made: which run a budget comes to, and what the fit says of its loss beforehand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from scaling._version import __version__
from scaling.allocation import allocate, predict
from scaling.design.nearness import forecast_nearby, measure_rate
from scaling.errors import NoFitError, UsageError
from scaling.files.sealed import canonical_json
from scaling.fitting.fitted import Fit, Interval
from scaling.ledger.forecasts import (
    Forecast,
    ForecastRecord,
    RegisteredForecast,
    judge_forecasts,
    read_forecasts,
    register_forecast,
)
from scaling.ledger.signs import name_now
from scaling.ledger.table_forecasts import (
    TableForecast,
    TableOutcome,
    are_comparable,
    name_home,
    read_judged,
    register,
    tell_outcome,
)
from scaling.sweep.counting import count_params
from scaling.sweep.own_ladder import list_sweep_ladder
from scaling.sweep.plan import plan_forecast
from scaling.tables.run_table import RunTable
from scaling.units.losses import LossUnit
from scaling.workflow.stored import StoredSweep

# Stands for the law's name in a forecast from nearby runs.
NEAR = "chinchilla, near runs"


def forecast_run(
    stored: StoredSweep,
    fit: Fit,
    *,
    flops: float,
    near: RunTable | None = None,
    far: bool = False,
    anyway: bool = False,
) -> RegisteredForecast:
    """Predict the loss of the nearest buildable run at a budget's optimum, and register that.

    Args:
        stored: An opened results folder, as `read_runs` returns it.
        fit: A fit of its runs, with bootstrap draws.
        flops: Budget C [FLOPs].
        near: The fit's own rows; the loss is then forecast by those near the run
            (design/nearness.py), which is what suggestions are made for. None: by the fit's law.
        far: Even beyond three decades from the data.
        anyway: Even from a fit that did not converge.

    Raises:
        QueryError: The budget is not positive and finite, or too far from the data.
        NoFitError: The fit says nothing of budgets.
        SpecError: The run could not be trained: too much data, too few steps.
        UsageError: The fit has no intervals, or the run is trained already.

    Returns:
        The forecast as it is registered; the earlier one where this fit has said the same before.
    """
    ladder = list_sweep_ladder(stored.spec, stored.facts)
    answer = allocate(fit, flops, ladder=ladder, far=far, anyway=anyway)
    if answer.shape is None or fit.law is None or fit.covered is None:
        raise NoFitError(f"{fit.source}: this fit names no model that could be built.")
    shape = answer.shape.shape
    run = plan_forecast(stored.spec, stored.facts, shape=shape, tokens=answer.shape.tokens)
    done = stored.results.recorded.get(run.run_id)
    if done is not None:
        raise UsageError(
            f"run {run.run_id} is trained already (loss {done.loss}), so it cannot be "
            "forecast.\nAsk for another budget."
        )
    fit_digest = hashlib.sha256(canonical_json(fit.to_contract())).hexdigest()
    answering = fit.answering.law
    assert answering is not None  # a fit that forecasts has a law
    law = answering.family if near is None else NEAR
    # Also those just registered by this command.
    for one in read_forecasts(stored.folder).forecasts:
        before = one.forecast
        if (before.run.run_id, before.fit_digest, before.law) == (run.run_id, fit_digest, law):
            return one  # registering the same forecast twice makes one
    params = float(count_params(shape, fit.convention or "matmul"))
    said = predict(fit, params=params, tokens=float(run.tokens), far=far, anyway=anyway)
    loss, interval = said.loss, said.new_run_interval
    if near is not None:
        loss, interval = _forecast_by(near, fit, params=params, tokens=float(run.tokens))
    forecast = Forecast(
        budget=flops,
        run=run,
        params=params,
        count=fit.convention or "matmul",
        **_describe_basis(fit, interval, loss=loss, law=law, fit_digest=fit_digest),
    )
    return register_forecast(stored.folder, forecast)


def forecast_table_run(
    root: Path,
    table: Path,
    fit: Fit,
    *,
    flops: float,
    rows: RunTable,
    near: bool = False,
    far: bool = False,
    anyway: bool = False,
) -> str:
    """Predict the loss at a budget's optimum by the fit of a table, and register that.

    Args:
        root: Where forecasts/ lies.
        table: The file or folder that was fitted.
        fit: Fit of its rows, with bootstrap draws.
        flops: Budget C [FLOPs].
        rows: The fit's own.
        near: Forecast by the rows near the run, in place of the fit's law.
        far, anyway: As for `forecast_run`.

    Returns:
        The name of the forecast's file; of the earlier one where the same fit has said the same.

    Raises:
        QueryError, NoFitError: As for `allocate`.
        UsageError: The fit has no intervals.
    """
    answer = allocate(fit, flops, far=far, anyway=anyway)
    said = predict(fit, params=answer.params, tokens=answer.tokens, far=far, anyway=anyway)
    law = NEAR if near else said.family
    loss, interval = said.loss, said.new_run_interval
    if near:
        loss, interval = _forecast_by(rows, fit, params=answer.params, tokens=answer.tokens)
    fit_digest = hashlib.sha256(canonical_json(fit.to_contract())).hexdigest()
    basis = _describe_basis(fit, interval, loss=loss, law=law, fit_digest=fit_digest)
    for one in read_judged(root, table)[0]:
        before = one.forecast
        if (before.fit_digest, before.flops, before.law) == (fit_digest, flops, law):
            return one.name
    return register(
        root,
        table,
        TableForecast(
            table=table.name,
            params=answer.params,
            tokens=answer.tokens,
            flops=flops,
            loss_unit=rows.loss_unit,
            **basis,
        ),
    )


def tell_table_outcome(
    root: Path, table: Path, *, flops: float, loss: float, unit: LossUnit = "nats"
) -> None:
    """Register what the run of a budget came to, beside its latest forecast without an outcome.

    Args:
        root, table: As for `forecast_table_run`.
        flops: Budget of the forecast.
        loss: Positive, in nats; per byte where `unit` is bits per byte.
        unit: In which it was said.

    Raises:
        UsageError: There is no such forecast.
    """
    known = [
        one
        for one in read_judged(root, table)[0]
        if one.forecast.flops == flops and are_comparable(one.forecast.loss_unit, unit)
    ]
    left = [one for one in known if one.outcome is None]
    if not left:
        done = "every one has an outcome, which is never replaced" if known else "there is none"
        raise UsageError(
            f"{root / name_home(table)}: no forecast of {flops:g} FLOPs waits for an outcome "
            f"({done})."
        )
    outcome = TableOutcome(created=name_now(), forecast=left[-1].digest, loss=loss)
    tell_outcome(root, table, outcome, name=left[-1].name)


def _describe_basis(
    fit: Fit, interval: Interval | None, *, loss: float, law: str, fit_digest: str
) -> dict[str, Any]:
    """What a forecast says of either kind of run: its loss, and the fit that it rests on.

    Raises:
        UsageError: The fit has no intervals.
    """
    if interval is None or fit.covered is None:
        raise UsageError("A forecast needs an interval: leave out --no-bootstrap.")
    return {
        "created": name_now(),
        "loss": loss,
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "law": law,
        "fit_status": fit.status,
        "fit_digest": fit_digest,
        "table_digest": fit.table_digest,
        "fitted_runs": fit.n,
        "largest_flops": fit.covered.flops[1],
        "version": __version__,
    }


def _forecast_by(
    near: RunTable, fit: Fit, *, params: float, tokens: float
) -> tuple[float, Interval]:
    """The loss of a new run by the runs near it.

    Raises:
        UsageError: They show no noise.
    """
    sigma = max(fit.residual_sigma or 0.0, fit.replicate_sigma or 0.0)
    if sigma <= 0.0:
        raise UsageError(
            f"{fit.source}: its runs show no noise, so no run can be told from another."
        )
    said = forecast_nearby(
        near.params,
        near.tokens,
        near.loss,
        at=(params, tokens),
        sigma=sigma,
        rate=measure_rate(fit),
        level=fit.level,
    )
    return said.loss, said.new_run


def review_forecasts(stored: StoredSweep) -> ForecastRecord:
    """Every registered forecast of a sweep as of now, with its outcome where there is one.

    Args:
        stored: An opened results folder, as `read_runs` returns it.

    Returns:
        Forecasts, outcomes and the score; a folder without forecasts gives an empty record.
    """
    return judge_forecasts(read_forecasts(stored.folder), stored.results.results)
