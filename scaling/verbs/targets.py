"""Options of `plan` for machines that are not here, and their conversion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from scaling.units import format_flops
from scaling.verbs.completing import complete_device
from scaling.verbs.options import FLOPS, FiniteRange, WholeRange, join_options

if TYPE_CHECKING:
    from scaling.sweep.target import Target

_MOST_DEVICES = 1_000_000
# Machines: which, how many, how fast.
target_options = join_options(
    click.option(
        "--target",
        metavar="DEVICE",
        shell_complete=complete_device,
        help="Plan for machines that are not here: a100, h100, tpu-v5p, ...; with --devices.",
    ),
    click.option(
        "--peak-flops",
        type=FLOPS,
        help="Peak FLOP/s of one device, in place of --target.",
    ),
    click.option(
        "--devices",
        type=WholeRange(1, _MOST_DEVICES),
        help="How many; each run takes gpus_per_run × nodes_per_run of them.",
    ),
    click.option(
        "--mfu",
        type=FiniteRange(0, 1, min_open=True),
        help="Share of the peak that training reaches.  [default: 0.4, an assumption]",
    ),
)


def read_target(
    *,
    target: str | None,
    peak_flops: float | None,
    devices: int | None,
    mfu: float | None,
    here: tuple[str, ...],
) -> Target | None:
    """The machines that the options describe; None: this one.

    Args:
        target, peak_flops, devices, mfu: The options.
        here: Given options that concern this machine.

    Raises:
        click.UsageError: The options contradict each other.
        QueryError: The device is unknown.
    """
    from scaling.allocation.datasheets import find_device
    from scaling.sweep.target import ASSUMED_MFU, MFU_SOURCE, Target

    if target is None and peak_flops is None:
        if devices is not None or mfu is not None:
            raise click.UsageError(
                "--devices and --mfu describe machines elsewhere; name a --target."
            )
        return None
    if target is not None and peak_flops is not None:
        raise click.UsageError(
            "--target and --peak-flops both give the speed of a device; leave one out."
        )
    if devices is None:
        raise click.UsageError("how many devices are there? Say e.g. --devices 64.")
    if here:
        raise click.UsageError(
            f"{' and '.join(here)} describes this machine; leave it or --target out."
        )
    name, peak, source = "", peak_flops, ""
    if target is not None:
        device = find_device(target)
        name, peak, source = device.name, device.peak_flops, device.source
    if peak is None or not 0.0 < peak < math.inf:
        raise click.UsageError(f"--peak-flops is {peak:g}; say the FLOP/s of one, as in 9.9e14.")
    return Target(
        device=name or f"{format_flops(peak)} FLOP/s",
        source=source,
        peak_flops=peak,
        mfu=ASSUMED_MFU if mfu is None else mfu,
        mfu_source=MFU_SOURCE if mfu is None else "",
        devices=devices,
    )
