"""How many bytes a model of N parameters takes in service, and how many parameters fit.

Weights only: the cache of keys and values grows with the requests served at once, and is not in
it. Where the ladder of shapes is known, every stored parameter counts (lookup embeddings too),
interpolated in log N between its rungs; a table says no more than its N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling.errors import QueryError
from scaling.sweep.counting import CountConvention, count_params, count_total_params
from scaling.sweep.shapes import ModelShape
from scaling.units import FloatArray, format_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Bytes of the weights as a function of N.

    Attributes:
        bytes_per_param: In service.
        log_params, log_stored: ln N and ln of stored parameters of each rung; empty: the same.
    """

    bytes_per_param: float
    log_params: tuple[float, ...] = ()
    log_stored: tuple[float, ...] = ()

    def find_bytes(self, params: FloatArray) -> FloatArray:
        """Of models of N parameters."""
        if not self.log_params:
            return self.bytes_per_param * params
        stored = _interpolate(np.log(params), self.log_params, self.log_stored)
        return np.asarray(self.bytes_per_param * np.exp(stored), dtype=np.float64)

    def find_params(self, memory: float) -> float:
        """The largest N that fits into `memory` [bytes].

        Raises:
            QueryError: Not even the smallest model that can be built does.
        """
        stored = memory / self.bytes_per_param
        if not self.log_params:
            return stored
        smallest = math.exp(self.log_stored[0])
        if stored < smallest:
            raise QueryError(
                f"serving_memory of {memory:.4g} bytes holds no model: the smallest that can be "
                f"built stores {format_count(smallest)} parameters, "
                f"{smallest * self.bytes_per_param:.4g} bytes."
            )
        logs = _interpolate(np.log(np.array([stored])), self.log_stored, self.log_params)
        return float(np.exp(logs[0]))


def make_serving(
    bytes_per_param: float, ladder: Sequence[ModelShape] | None, convention: CountConvention | None
) -> Serving:
    """The bytes of a ladder's models, or of a table's N."""
    if not ladder or convention is None:
        return Serving(bytes_per_param=bytes_per_param)
    # Rungs of different depth may swap order under another count; keep only those that ascend.
    pairs: list[tuple[float, float]] = []
    for rung in ladder:
        pair = (float(count_params(rung, convention)), float(count_total_params(rung)))
        if not pairs or (pair[0] > pairs[-1][0] and pair[1] > pairs[-1][1]):
            pairs.append(pair)
    log_params, log_stored = np.log(np.array(pairs)).T
    return Serving(
        bytes_per_param=bytes_per_param,
        log_params=tuple(log_params.tolist()),
        log_stored=tuple(log_stored.tolist()),
    )


def _interpolate(at: FloatArray, known: tuple[float, ...], values: tuple[float, ...]) -> FloatArray:
    """Linear between the knots, and beyond them by the difference at the nearest end."""
    inside = np.interp(at, known, values)
    beyond = np.minimum(at - known[0], 0.0) + np.maximum(at - known[-1], 0.0)
    return np.asarray(inside + beyond, dtype=np.float64)
