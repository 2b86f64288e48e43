"""How often the checks of the runs fire where nothing is wrong, and how often where something is.

    python benchmarks/checks.py alarms [--sweeps 1000]      # simulated sweeps of a known law
    python benchmarks/checks.py divergence [--seeds 6]      # short runs of the trainer, high rates
    python benchmarks/checks.py repeats --results results/reference … [--repeats 20]

`alarms`: sweeps as the quickstart (5 budgets × 5 sizes, 4 second seeds) and the reference (5 × 7,
7) plan them. `divergence`: models of 8 × 2 and 16 × 2 on 8000 tokens of the synthetic text, 250
steps of 32 tokens, at multiples of the recipe's rate: how many are above the unigram entropy half
way and at the end, and how many count as diverged. `repeats`: the runs of a
results folder with losses drawn from Chinchilla's law as fitted to the folder's own runs or to
those of `--law`, with Gaussian noise of that fit's seeds: in how many repeats each check of `fit`
fails.
"""

import argparse
import statistics
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fitting"))
from known_law import NOISE, TRUTH, bend_frontier, design_isoflop

from scaling.errors import ScalingWarning
from scaling.fitting.budgets import group_budgets
from scaling.fitting.checks.regime import check_regime
from scaling.fitting.checks.seed_spread import check_seed_spread
from scaling.fitting.checks.training import check_training
from scaling.fitting.every_approach import fit_runs
from scaling.fitting.fitted import Check
from scaling.fitting.isoflop import fit_curves
from scaling.laws.chinchilla import CHINCHILLA
from scaling.tables.run_table import RunTable, make_table
from scaling.units import FloatArray
from scaling.workflow.stored import read_runs

# (budgets, sizes per budget, ends [FLOPs], replicates)
DESIGNS = {"quickstart": (5, 5, (3e10, 6.5e11), 4), "reference": (5, 7, (2e10, 3.2e11), 7)}
# No floor and small equal exponents: ln L* is linear in ln C, the limit of what the check allows.
NO_FLOOR = np.array([0.0, 1.0 * 1e4**0.2, 1.26 * 5e5**0.2, 0.2, 0.2])


def make_sweep(
    design: str,
    rng: np.random.Generator,
    *,
    sigma: float = NOISE,
    floor: bool = True,
    measured: bool = False,
    noisy: float = 1.0,
    tails: bool = False,
    clipped: float = 0.0,
) -> RunTable:
    """One sweep of noise `sigma`, the smallest third of the sizes with `noisy` times as much."""
    budgets, sizes, ends, seconds = DESIGNS[design]
    params, tokens, budget = design_isoflop(budgets=budgets, sizes=sizes, ends=ends)
    loss = CHINCHILLA.loss(TRUTH if floor else NO_FLOOR, params, tokens)
    if measured:
        loss = bend_frontier(loss, budget)
    rows = np.r_[np.arange(params.size), np.linspace(0, params.size - 1, seconds).astype(int)]
    noise = rng.standard_t(5, rows.size) / np.sqrt(5 / 3) if tails else rng.normal(size=rows.size)
    scale = np.where(params <= np.quantile(params, 1 / 3), noisy, 1.0)
    shares: FloatArray = np.minimum(1.0, clipped * np.exp(0.3 * rng.normal(size=rows.size)))
    return make_table(
        params[rows],
        tokens[rows],
        loss=loss[rows] * np.exp(sigma * noise * scale[rows]),
        budget=budget[rows],
        seed=(np.arange(rows.size) >= params.size).astype(np.int64),
        clipped_after_warmup=shares,
    )


def judge(code: str, table: RunTable) -> Check:
    """The check of that code."""
    if code == "below_scaling_regime":
        return check_regime(fit_curves(table, group_budgets(table)), shared_noise=False)
    if code == "seed_spread":
        return check_seed_spread(table)
    return next(one for one in check_training(table) if one.code == code)


def count_alarms(sweeps: int) -> None:
    """Print the share of sweeps in which each check fires, of those it can judge."""
    worlds: list[tuple[str, str, dict[str, object]]] = [
        ("below_scaling_regime", "right law", {}),
        ("below_scaling_regime", "right law, σ 1.2 %", {"sigma": 0.012}),
        ("below_scaling_regime", "right law, small models twice as noisy", {"noisy": 2.0}),
        ("below_scaling_regime", "right law, heavy tails", {"tails": True}),
        ("below_scaling_regime", "no floor", {"floor": False}),
        ("below_scaling_regime", ".07 .11 .11 .12", {"measured": True}),
        ("below_scaling_regime", ".07 .11 .11 .12, σ .9 %", {"measured": True, "sigma": 0.009}),
        ("below_scaling_regime", ".07 .11 .11 .12, σ 1.2 %", {"measured": True, "sigma": 0.012}),
        ("seed_spread", "alike", {}),
        ("seed_spread", "alike, heavy tails", {"tails": True}),
        ("seed_spread", "alike, σ 1.2 %", {"sigma": 0.012}),
        ("seed_spread", "small models 4 times as noisy", {"noisy": 4.0}),
        ("clipped_steps", "5 % everywhere", {"clipped": 0.05}),
        ("clipped_steps", "20 % everywhere", {"clipped": 0.2}),
    ]
    for code, world, options in worlds:
        for design in DESIGNS:
            rng = np.random.default_rng(0)
            found = [
                judge(code, make_sweep(design, rng, **options)).passed  # type: ignore[arg-type]
                for _ in range(sweeps)
            ]
            judged = [one for one in found if one is not None]
            share = statistics.mean(one is False for one in judged) if judged else float("nan")
            print(f"{code:21} {world:40} {design:11} {share:6.2%} of {len(judged)}", flush=True)


def measure_divergence(seeds: int) -> None:
    """Train short runs at high rates and print what becomes of them."""
    from calibrate import train

    from scaling.data.sources import prepare_synthetic
    from scaling.sweep.corpus_spec import CorpusSpec
    from scaling.sweep.counting import count_flops_per_token
    from scaling.sweep.recipe import decide_recipe
    from scaling.sweep.recipe_spec import RecipeSpec
    from scaling.sweep.shapes import make_shape
    from scaling.training import trainer

    curves: list[FloatArray] = []
    measure = trainer._Training.measure_clipping

    def keep(training: trainer._Training) -> float | None:
        curves.append(training._read_losses())
        return measure(training)

    trainer._Training.measure_clipping = keep  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as name:
        spec = CorpusSpec(source="synthetic", tokens=2_000_000, seed=0)
        corpus = prepare_synthetic(spec, seq_len=32, cache=Path(name))
        entropy = corpus.facts.unigram_entropy
        for width in (8, 16):
            shape = make_shape(corpus.facts.vocab_size, 32, d_model=width, n_layers=2)
            recipe, flops = (
                decide_recipe(shape, 8000, RecipeSpec()),
                8000 * count_flops_per_token(shape),
            )
            for factor in (1, 4, 10, 30, 60, 100, 1000):
                stopped = above = diverged = worse = back = 0
                losses = []
                for seed in range(seeds):
                    asked = RecipeSpec(learning_rate=factor * recipe.learning_rate)
                    measured = train(shape, flops, asked, seed=seed, corpus=corpus).measured
                    half = recipe.steps // 2  # where the decay begins
                    curve, window = curves[-1], curves[-1][half - recipe.steps // 10 : half]
                    stopped += bool(window.mean() > entropy)
                    ended_above = measured.loss is None or measured.loss > entropy
                    above += ended_above
                    error = window.std(ddof=1) / np.sqrt(window.size)
                    if window.mean() > curve[0] + 4.0 * error:
                        worse += 1
                        back += not ended_above
                    diverged += measured.status == "diverged"
                    losses += [] if measured.loss is None else [measured.loss]
                mean = f"{statistics.mean(losses):.3f}" if losses else "–"
                print(
                    f"width {width:2}, rate × {factor:4}: mean loss {mean} of {len(losses)} that "
                    f"ended; of {seeds} above {entropy:.3f} half way {stopped}, at the end "
                    f"{above}; diverged {diverged}; worse than untrained half way {worse}, of "
                    f"which ended below {back}",
                    flush=True,
                )


def repeat_sweeps(folders: list[Path], law: Path | None, repeats: int) -> None:
    """Print in how many simulated repeats of each folder's runs each check fails."""
    warnings.simplefilter("ignore", ScalingWarning)
    for folder in folders:
        table, _ = read_runs(folder)
        believed = fit_runs(
            read_runs(law)[0] if law else table, family="chinchilla", bootstrap=None
        )
        assert believed.law is not None
        assert believed.replicate_sigma is not None
        letters = np.array(list(believed.law.params.values()))
        expected = CHINCHILLA.loss(letters, table.params, table.tokens)
        failed: Counter[str] = Counter()
        for repeat in range(repeats):
            noise = np.random.default_rng(repeat).normal(size=len(table))
            drawn = table.replace(loss=expected * np.exp(believed.replicate_sigma * noise))
            fit = fit_runs(drawn, bootstrap=100, seed=repeat)
            failed.update(one.code for one in fit.checks if one.passed is False)
        told = ", ".join(f"{code} {count}" for code, count in failed.most_common()) or "none"
        print(
            f"{folder.name}, σ {believed.replicate_sigma:.2%}, {repeats} repeats; failed: {told}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["alarms", "divergence", "repeats"])
    parser.add_argument("--results", type=Path, nargs="*", default=[])
    parser.add_argument("--law", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=6)
    asked = parser.parse_args()
    if asked.what == "alarms":
        count_alarms(asked.sweeps)
    elif asked.what == "repeats":
        repeat_sweeps(asked.results, asked.law, asked.repeats)
    else:
        measure_divergence(asked.seeds)


if __name__ == "__main__":
    main()
