"""A sweep as the report meets it, with losses drawn from a known law instead of trained."""

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from known_run import FACTS

from scaling.allocation import Allocation, allocate
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Check, FitStatus
from scaling.laws.registry import FAMILIES
from scaling.ledger.commit import Ledger
from scaling.ledger.results import Measurement, RunResult
from scaling.ledger.sweep_table import name_configuration
from scaling.report.data import ReportData
from scaling.sweep.cells import Plan, RejectedCell
from scaling.sweep.cost_model import make_ladder_cost
from scaling.sweep.counting import CountConvention, count_params
from scaling.sweep.ladder import list_ladder
from scaling.sweep.plan import plan_sweep
from scaling.sweep.reading import parse_sweep
from scaling.sweep.runspec import RunSpec
from scaling.tables.run_table import RunTable, make_table, select_rows
from scaling.units import bits_per_byte

SWEEP = """\
# Question: how should a small budget be split between model size and tokens on Python source code?
# Cost: about 4 minutes on 2 CPU cores.
name: simulated
corpus: {source: python-stdlib, tokenizer: bytes}
model: {family: transformer, seq_len: 128}
grid: {budgets: [3e10, 6.5e10, 1.4e11, 3e11, 6.5e11], sizes: 5, span: 4}
seeds: [0]
replicates: 4
forecast: [6e12]
"""
# Similar to this project's smallest models: 2.3 nats at 3e10 FLOPs, N* near 10k.
LAW = {"E": 1.05, "A": 42.0, "B": 260.0, "alpha": 0.45, "beta": 0.46}
NOISE = 0.006
LADDER = list_ladder(256, 128, max_params=1e9)


def make_data(sweep: str = SWEEP, *, bootstrap: int | None = 100) -> ReportData:
    """Every run finished, the fit of their losses, and an answer for 6e12 FLOPs."""
    spec = parse_sweep(sweep.encode(), source="sweep.yaml")
    plan = plan_sweep(spec, FACTS)
    results = {cell.run.run_id: make_result(cell.run) for cell in plan.cells}
    table = tabulate_results(plan, results)
    fit = fit_runs(table, bootstrap=bootstrap)
    answers = tuple(allocate(fit, flops, ladder=LADDER) for flops in spec.forecast)
    return ReportData(
        name=spec.name,
        sweep_yaml=sweep,
        spec=spec,
        command=f"scaling run sweeps/{spec.name}.yaml",
        plan=plan,
        facts=FACTS,
        results=results,
        curves={run_id: make_curve(result) for run_id, result in results.items()},
        fit=fit,
        table=table,
        allocations=answers,
        allocations_by_count=dict.fromkeys(("matmul", "total"), answers[0] if answers else None),
        versions={"scaling": "0.1.0", "python": "3.11.2", "torch": "2.9.0"},
        created="2025-01-02 03:04 UTC",
    )


@cache
def standard_data() -> ReportData:
    """The quickstart's design."""
    return make_data()


def with_results(data: ReportData, results: dict[str, RunResult]) -> ReportData:
    """The same fit with other results: rows whose run has none any more are gone too."""
    kept = [
        row
        for row, name in enumerate(data.table.run)
        if name in results and results[name].status == "finished"
    ]
    return dataclasses.replace(data, results=results, table=select_rows(data.table, kept))


def make_result(run: RunSpec) -> RunResult:
    """What a trainer would have measured under LAW, with noise of its own seed."""
    rng = np.random.default_rng(int(run.run_id[:8], 16))
    params = count_params(run.shape, "matmul")
    loss = float(_evaluate(params, run.tokens) * np.exp(NOISE * rng.standard_normal()))
    return RunResult(
        run=run,
        attempt_id="a" * 8,
        status="finished",
        loss=loss,
        loss_se=0.011,
        bits_per_byte=bits_per_byte(loss, tokens=1, bytes_=1),
        train_loss=loss - 0.02,
        tokens=run.tokens,
        flops=run.flops,
        flops_spent=run.flops,
        unique_tokens=min(run.tokens, FACTS.train_tokens),
        epochs=run.tokens / FACTS.train_tokens,
        seconds=run.flops / 2e10,
        finished_at="2025-01-02T03:04:05+00:00",
        reason="",
        numerics={"torch": "2.9.0", "device": "cpu", "dtype": "float32", "threads": "1"},
        files={},
    )


def commit(ledger: Ledger, run: RunSpec, **changes: Any) -> None:
    """Commit what a trainer would have measured, with some of it changed."""
    drawn = make_result(run)
    values = {one.name: getattr(drawn, one.name) for one in dataclasses.fields(Measurement)}
    attempt = ledger.name_attempt(run.run_id, term=1)
    ledger.create_attempt(run.run_id, attempt)
    ledger.commit(run, attempt, Measurement(**values | {"files": ()} | changes))


def make_curve(result: RunResult) -> tuple[tuple[float, float], ...]:
    """A training curve that ends at the run's loss."""
    rng = np.random.default_rng(int(result.run.run_id[:8], 16))
    tokens = np.linspace(0.0, result.tokens, 101)[1:]
    share = tokens / result.tokens
    loss = (result.loss or 2.0) + 3.2 * np.exp(-share * 25) + 0.35 * (1 - share) ** 0.7
    loss = loss + 0.03 * rng.standard_normal(100)
    return tuple(zip(tokens.tolist(), loss.tolist(), strict=True))


def tabulate_results(plan: Plan, results: dict[str, RunResult]) -> RunTable:
    """The plan's finished runs."""
    seen = {c.run.run_id: c for c in plan.cells if results[c.run.run_id].status == "finished"}
    rows = [results[run_id] for run_id in seen]
    budgets = [seen[r.run.run_id].budget or np.nan for r in rows]
    return make_table(
        [count_params(r.run.shape, "matmul") for r in rows],
        [r.tokens for r in rows],
        loss=[r.loss for r in rows],
        run=tuple(seen),
        flops=[r.flops for r in rows],
        budget=None if np.isnan(budgets).all() else budgets,
        seed=[r.run.seed for r in rows],
        group=[name_configuration(r.run) for r in rows],
        convention="matmul",
        cost=make_ladder_cost(LADDER, "matmul"),
        source="results/simulated",
    ).replace(digest="cd" * 32)


def with_hostile_text(payloads: tuple[str, ...]) -> ReportData:
    """The standard data in which every text that comes from outside is hostile."""
    data, everything = standard_data(), "\n".join(payloads)
    check = Check(code=everything, passed=False, seen=everything, advice=everything)
    fit = dataclasses.replace(
        data.fit, reason=everything, checks=(check,), notes=payloads, source=everything
    )
    ids, results = list(data.results), dict(data.results)
    results[ids[0]] = dataclasses.replace(
        results[ids[0]], status="diverged", reason=everything, numerics={everything: everything}
    )
    del results[ids[1]]
    rejected = RejectedCell(budget=None, params=1e4, tokens=1e5, reason=everything)
    assert data.plan is not None
    return dataclasses.replace(
        with_results(data, results),
        name=everything,
        sweep_yaml=f"# Question: {everything}\n{everything}",
        command=everything,
        plan=dataclasses.replace(data.plan, rejected=(rejected,), warnings=payloads),
        fit=fit,
        failures={ids[1]: everything},
        damaged=payloads,
        versions={everything: everything},
        created=everything,
    )


def with_status(data: ReportData, status: FitStatus, reason: str) -> ReportData:
    """The same runs with a fit of another status; one without an answer has no allocation."""
    fit = dataclasses.replace(data.fit, status=status, reason=reason)
    answers: Sequence[Allocation] = data.allocations
    if status in ("not_converged", "failed"):
        answers = ()
    if status == "failed":
        fit = dataclasses.replace(
            fit,
            law=None,
            objective=None,
            approaches={},
            draws=(),
            answer=None,
            backcast=None,
            residual_sigma=None,
        )
    counts: dict[CountConvention, Allocation | None] = {
        "matmul": answers[0] if answers else None,
        "total": None,
        "non_embedding": None,
    }
    return dataclasses.replace(
        data, fit=fit, allocations=tuple(answers), allocations_by_count=counts
    )


def _evaluate(params: float, tokens: float) -> float:
    letters = np.array(list(LAW.values()))
    return float(
        FAMILIES["chinchilla"].loss(letters, np.array(float(params)), np.array(float(tokens)))
    )
