"""Names of runs for people: `48×3, 95.2k on 7.6M`."""

from __future__ import annotations

from scaling.sweep.counting import count_matmul_params
from scaling.sweep.families.registry import describe_shape
from scaling.sweep.runspec import RunSpec
from scaling.units import format_count


def name_run(run: RunSpec) -> str:
    """Name a run by its model, N [matmul parameters] on D [tokens], and its seed unless that is 0.

    Runs that differ in the recipe alone have one name; their run_id tells them apart.
    """
    label = describe_shape(run.shape).label.replace(" ", "")
    size = f"{format_count(count_matmul_params(run.shape))} on {format_count(run.tokens)}"
    return f"{label}, {size}" + (f", seed {run.seed}" if run.seed else "")
