"""How the gradient of a loss falls with the distance to the input.

    g(j) = E ‖∂L_t / ∂x_{t−j}‖₂        x: input embeddings, t: the last position of a window
    g(j) ∝ e^(−decay · j)              fitted to ln g over j = 1 … lags, every lag alike, up to
                                       where g is below what float32 can hold

Through a saturating recurrence g falls exponentially (Bengio et al. 1994; Pascanu et al. 2013,
arXiv:1211.5063), through the cell of an LSTM more slowly, and attention reaches every position in
one step: decay is then the slope, near 0, of a curve that is not exponential.

At the start the head and, in a transformer, the output projections of each block are zero, so that
no gradient flows. For this measurement they are drawn like hidden matrices, with a separate seed,
to measure the architecture. A run that starts from trained weights is measured with those weights.
The expectation is over held-out windows, evenly spread.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scaling.data.batches import list_validation_windows
from scaling.errors import UsageError
from scaling.sweep.families.registry import family_of
from scaling.sweep.probes import Measured, ProbeCurve
from scaling.sweep.runspec import RunSpec
from scaling.training.parametrization import build_model
from scaling.training.probing import TrainedRun, draw_curve
from scaling.units import FloatArray, IntArray

_AT_ONCE = 8  # windows
_POINTS = 24  # points of a drawn curve
_SMALLEST = float(np.finfo(np.float32).tiny)  # smaller values are subnormal, or zero
_FEWEST = 4  # fewest lags for a slope


def measure_decay(trained: TrainedRun) -> Measured:
    """Decay of the trained model [1/token], its standard error over windows, and g(j)."""
    return _measure(trained, trained.model)


def measure_decay_at_start(trained: TrainedRun) -> Measured:
    """Decay before the first step [1/token], its standard error over windows, and g(j).

    A run that starts from another's weights is measured with these.

    Raises:
        IntegrityError: Those weights are not in the results folder, or they have changed.
    """
    model = build_start(trained.run)
    if (weights := trained.read_start()) is not None:
        model.load_state_dict(weights)
    return _measure(trained, model)


def build_start(run: RunSpec) -> nn.Module:
    """The model at its start, with random numbers in place of the zeros."""
    model, rule = build_model(run), family_of(run.shape).parameter_rule
    generator = torch.Generator().manual_seed(run.seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if rule(name).start == "zero":
                std = run.recipe.init_scale / math.sqrt(parameter.shape[1])
                parameter.normal_(0.0, std, generator=generator)
    return model


def find_gradients(model: nn.Module, run: RunSpec, tokens: IntArray) -> FloatArray:
    """Norm of the gradient of the last loss of each window, by lag, shape (windows, t).

    Args:
        model: From ids to logits.
        run: The run, whose family says which parameter is the embedding.
        tokens: Windows of ids, shape (windows, t + 1).
    """
    rule = family_of(run.shape).parameter_rule
    (name,) = (one for one, _ in model.named_parameters() if rule(one).kind == "embedding")
    seen: list[Tensor] = []

    def cut(module: nn.Module, given: object, embedded: Tensor) -> Tensor:
        seen.append(embedded.detach().requires_grad_())
        return seen[-1]

    handle = model.get_submodule(name.rpartition(".")[0]).register_forward_hook(cut)
    try:
        device = next(model.parameters()).device
        ids = torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64)).to(device)
        logits_bv = model(ids[:, :-1])[:, -1]
        loss = F.cross_entropy(logits_bv.float(), ids[:, -1], reduction="sum")
        (found,) = torch.autograd.grad(loss, seen)
    finally:
        handle.remove()
    norms: FloatArray = found.double().norm(dim=-1).flip(-1).cpu().numpy()
    return norms


def fit_decay(norms: FloatArray, lags: int) -> tuple[float, float | None]:
    """(decay [1/token], standard error) of norms by lag, shape (windows, more than `lags`); the
    error is that of a jackknife over windows.

    Raises:
        UsageError: Gradients vanish within a few tokens.
    """
    part = norms[:, 1 : lags + 1]
    lost = np.flatnonzero(part.mean(axis=0) < _SMALLEST)
    part = part[:, : lost[0]] if lost.size else part
    if part.shape[1] < min(lags, _FEWEST):
        raise UsageError(
            f"the gradient is zero at a distance of {part.shape[1] + 1} tokens: this model has "
            "not learnt to use what it reads. Train it for longer, or at another rate."
        )
    whole = part.sum(axis=0)
    if len(part) < 2:
        return _slope(whole), None
    without = np.array([_slope(whole - one) for one in part])
    count = len(without)
    spread = float(np.sum((without - without.mean()) ** 2)) * (count - 1) / count
    return _slope(whole), math.sqrt(spread)


def _slope(norms: FloatArray) -> float:
    lag = np.arange(1, len(norms) + 1)
    logs = np.log(np.maximum(norms, _SMALLEST))
    return -float(np.polyfit(lag, logs, 1)[0])


def _measure(trained: TrainedRun, model: nn.Module) -> Measured:
    count, seq_len = int(trained.options["windows"]), trained.run.shape.seq_len
    starts, _ = list_validation_windows(trained.shards, seq_len=seq_len)
    chosen = starts[np.linspace(0, len(starts) - 1, min(count, len(starts))).astype(np.int64)]
    norms = []
    for first in range(0, len(chosen), _AT_ONCE):
        where = chosen[first : first + _AT_ONCE, None] + np.arange(seq_len + 1)
        windows = trained.shards.validation[where].astype(np.int64)
        norms.append(find_gradients(model, trained.run, windows))
        trained.look_up()
    lags = int(trained.options["lags"])
    every = np.concatenate(norms)
    return *fit_decay(every, lags), draw_gradients(every, lags)


def draw_gradients(norms: FloatArray, lags: int) -> ProbeCurve:
    """g(j) at up to `lags` lags, evenly spread in ln j, with its standard error over windows."""
    chosen = np.unique(np.rint(np.geomspace(1, lags, _POINTS)).astype(np.int64))
    part = norms[:, chosen]
    errors = part.std(axis=0, ddof=1) / math.sqrt(len(part)) if len(part) > 1 else None
    axes = "distance j [tokens]", "gradient of the loss"
    return draw_curve(axes, chosen, part.mean(axis=0), errors, y_log=True)
