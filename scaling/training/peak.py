"""What a device's matrix products reach at best: the FLOP/s that model FLOP/s are a share of.

    MFU = tokens per second · FLOPs per token / peak                 (arXiv:2204.02311, appendix B)

The peak is measured, not read from a datasheet: the best square product in the precision that is
trained in, as torch computes it; on the processor by one thread. It is kept in
results/.cache/peak/<key>.json, so that every run of a sweep is a share of the same number. A run
that has part of a GPU does not measure it: its neighbours would be at work on the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import torch

from scaling.errors import EnvironmentFault, IntegrityError
from scaling.files.durable import blaming_machine, read_document, write_durably
from scaling.files.sealed import canonical_json, open_document, seal_document
from scaling.ledger.machine import name_processor
from scaling.training.device import choose_clock, describe_device
from scaling.units import Precision

_LIMIT_BYTES = 10_000
_SIZES = {"cpu": (256, 512), "cuda": (4096, 8192)}
_FLOPS_A_ROUND = {"cpu": 1e9, "cuda": 2e13}  # about 10 ms on a core, 30 ms on a data centre GPU
_ROUNDS = 4

_known: dict[tuple[str, Precision], float] = {}


def find_peak(
    device: str, precision: Precision, *, cache: Path | None, measure: bool = True
) -> float | None:
    """FLOP/s of the device's best matrix product.

    Args:
        device: `cpu` or `cuda`.
        precision: `mixed`: of the faster of float32 and bfloat16.
        cache: results/.cache; None: nothing is read or kept on disk.
        measure: Whether to, where it is not known; None is returned otherwise.
    """
    known = (device, precision)
    if known not in _known:
        found = _recall_or_measure(device, precision, cache, measure=measure)
        if found is None:
            return None
        _known[known] = found
    return _known[known]


def measure_peak(device: str, dtype: torch.dtype) -> float:
    """FLOP/s of the best square product of that type, measured now."""
    clock, best = choose_clock(device), 0.0
    generator = torch.Generator().manual_seed(0)
    for size in _SIZES[device]:
        # Random, because constants draw less power and a GPU then runs faster than it could in
        # training.
        drawn = (torch.randn(size, size, generator=generator) for _ in range(2))
        a, b = (matrix.to(device, dtype) for matrix in drawn)
        flops = 2.0 * size**3
        count = max(1, round(_FLOPS_A_ROUND[device] / flops))
        for _ in range(_ROUNDS):  # the first also warms up
            begun = clock()
            for _ in range(count):
                a @ b
            best = max(best, count * flops / (clock() - begun))
    return best


def _recall_or_measure(
    device: str, precision: Precision, cache: Path | None, *, measure: bool
) -> float | None:
    dtypes = [torch.float32] + ([torch.bfloat16] if precision == "mixed" else [])
    of = {**describe_device(device), "torch": torch.__version__, "precision": precision}
    if device == "cpu":
        of["processor"] = name_processor()
    path = f"peak/{hashlib.sha256(canonical_json(of)).hexdigest()[:16]}.json"
    known = None if cache is None else _read_peak(cache, path)
    if known is not None or not measure:
        return known
    measured = max(measure_peak(device, dtype) for dtype in dtypes)
    if cache is None:
        return measured
    # Only a cache; a full disk is reported by writes that matter.
    with contextlib.suppress(EnvironmentFault), blaming_machine(cache / path):
        (cache / path).parent.mkdir(parents=True, exist_ok=True)
        write_durably(
            cache / path, seal_document({"flops_per_second": measured, "of": of}), sync=False
        )
    return measured


def _read_peak(cache: Path, path: str) -> float | None:
    try:
        body, _ = open_document(read_document(cache, path, limit=_LIMIT_BYTES))
        value = float(body["flops_per_second"])
    except (OSError, IntegrityError, KeyError, TypeError, ValueError):
        return None
    return value if value > 0 else None
