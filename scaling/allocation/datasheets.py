"""Peak speed of named devices: dense matrix products in BF16 (FP16 where a device has no BF16),
accumulated in FP32, without structured sparsity.

A model trains at MFU times that (model FLOPs utilisation; Chowdhery et al. 2022, arXiv:2204.02311,
appendix B). Vendors often print the number with 2:4 sparsity, which is twice as large and which
training does not reach; it is halved here. Cards for games are named with FP16 accumulation too,
again twice as large.

Each source names the vendor's page and where the number was confirmed: [t] torchtitan,
torchtitan/tools/utils.py (commit 0258167); [l] Lightning, fabric/utilities/throughput.py (commit
0810121); [g] Google Cloud's pages of each TPU; [n] AWS Neuron's pages of each chip; [h] Intel's
talk at Hot Chips 2024; [s] at least one public table of specifications. [–] marks a number that was
not confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scaling.errors import QueryError


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator.

    Attributes:
        name: The name to ask for.
        peak_flops: Peak of one device [FLOP/s].
        source: Where that number is printed.
    """

    name: str
    peak_flops: float
    source: str


_A100 = "NVIDIA A100 datasheet (2021): BF16 312 TFLOPS [t, l]"
_H100 = "NVIDIA H100 datasheet (2023), with sparsity"
_TPU = "Google Cloud documentation, Cloud TPU system architecture"
_TRAINIUM = "AWS Neuron documentation, Trainium architecture, one chip"

DEVICES: Mapping[str, Device] = {
    name: Device(name=name, peak_flops=peak, source=source)
    for name, peak, source in (
        ("t4", 65e12, "NVIDIA T4 datasheet (2019): FP16 65 TFLOPS [l]"),
        ("v100", 125e12, "NVIDIA V100 datasheet (2018), SXM2: FP16 125 TFLOPS [l]"),
        ("v100-pcie", 112e12, "NVIDIA V100 datasheet (2018), PCIe: FP16 112 TFLOPS [l]"),
        ("a10", 125e12, "NVIDIA A10 datasheet (2021): BF16 125 TFLOPS, 250 with sparsity [l, s]"),
        ("a30", 165e12, "NVIDIA A30 datasheet (2021): BF16 165 TFLOPS, 330 with sparsity [s]"),
        ("a100", 312e12, _A100),
        ("a6000", 154.8e12, "NVIDIA RTX A6000 datasheet (2021): 309.7 TFLOPS with sparsity [s]"),
        ("l4", 121e12, "NVIDIA L4 datasheet (2023): BF16 242 TFLOPS with sparsity [s]"),
        ("l40", 181e12, "NVIDIA L40 datasheet (2022): BF16 181 TFLOPS, 362 with sparsity [s]"),
        ("l40s", 362e12, "NVIDIA L40S datasheet (2023): BF16 362, 733 with sparsity [t, s]"),
        ("rtx3090", 71e12, "NVIDIA GA102 whitepaper (2020): BF16, FP32 accumulation, 71 [s]"),
        ("rtx4090", 165.2e12, "NVIDIA Ada whitepaper (2022): BF16, FP32 accumulation, 165.2 [s]"),
        ("rtx5090", 209.5e12, "NVIDIA Blackwell whitepaper (2025): BF16, FP32 accumulation [s]"),
        ("h100", 989.4e12, f"{_H100}, SXM: BF16 1979 TFLOPS [t, l]"),
        ("h100-pcie", 756e12, f"{_H100}, PCIe: BF16 1513 TFLOPS [t, l]"),
        ("h100-nvl", 835e12, f"{_H100}, NVL: BF16 1671 TFLOPS [t]"),
        ("h200", 989.4e12, "NVIDIA H200 datasheet (2024), SXM: BF16 1979, with sparsity [t]"),
        ("h800", 989.4e12, f"{_H100}, SXM, of which H800 is a variant: BF16 1979 TFLOPS [s]"),
        ("h20", 148e12, "NVIDIA H20 specifications (2024): BF16 148 TFLOPS [s]"),
        ("b200", 2250e12, "NVIDIA Blackwell datasheet (2024), HGX: 4.5 PFLOPS with sparsity [t]"),
        ("gb200", 2500e12, "NVIDIA GB200 specifications (2024), one GPU: 5 with sparsity [–]"),
        ("mi250x", 383e12, "AMD Instinct MI250X datasheet (2021): BF16 383 TFLOPS, both dies [t]"),
        ("mi300x", 1307.4e12, "AMD Instinct MI300X datasheet (2023): BF16 1307.4 TFLOPS [t, s]"),
        ("mi325x", 1307.4e12, "AMD Instinct MI325X datasheet (2024): BF16 1307.4 TFLOPS [t]"),
        ("mi350x", 2306.9e12, "AMD Instinct MI350X datasheet (2025): BF16 2306.9 TFLOPS [s]"),
        ("mi355x", 2516.6e12, "AMD Instinct MI355X datasheet (2025): BF16 2516.6 TFLOPS [t, s]"),
        ("tpu-v2", 45e12, f"{_TPU}, v2: 45 TFLOPS a chip [l]"),
        ("tpu-v3", 123e12, f"{_TPU}, v3: 123 TFLOPS a chip [l]"),
        ("tpu-v4", 275e12, f"{_TPU}, v4: 275 TFLOPS a chip [l]"),
        ("tpu-v5e", 197e12, f"{_TPU}, v5e: 197 TFLOPS a chip [g, l]"),
        ("tpu-v5p", 459e12, f"{_TPU}, v5p: 459 TFLOPS a chip [s]"),
        ("tpu-v6e", 918e12, f"{_TPU}, v6e: 918 TFLOPS a chip [s]"),
        ("trainium", 190e12, f"{_TRAINIUM}: BF16 190 TFLOPS [n]"),
        ("trainium2", 667e12, f"{_TRAINIUM}: BF16 667 TFLOPS [n]"),
        ("trainium3", 671e12, f"{_TRAINIUM}: BF16 671 TFLOPS [n]"),
        ("gaudi2", 432e12, "Intel Gaudi 2 whitepaper (2022): BF16 432 TFLOPS [h]"),
        ("gaudi3", 1835e12, "Intel Gaudi 3 whitepaper (2024): BF16 1835 TFLOPS [h]"),
    )
}

_PUNCTUATION = str.maketrans("", "", " -_")


def find_device(name: str) -> Device:
    """Find a device by name.

    Args:
        name: One of `DEVICES`, e.g. `h100`; case, spaces and dashes do not matter.

    Returns:
        The device, with its peak [FLOP/s, dense BF16] and the peak's source.

    Raises:
        QueryError: No device has that name; the message suggests the nearest.
    """
    known = {_simplify(one): device for one, device in DEVICES.items()}
    asked = _simplify(name.casefold().removeprefix("nvidia").removeprefix("amd"))
    asked = asked.removeprefix("geforce")
    asked = asked.removeprefix("rtx") if asked == "rtxa6000" else asked
    if asked in known:
        return known[asked]
    import difflib  # only a name that is unknown needs it

    close = difflib.get_close_matches(asked, known, n=1, cutoff=0.5)
    hint = f' Did you mean "{known[close[0]].name}"?' if close else ""
    raise QueryError(
        f"device {name!r} is unknown.{hint} There are {', '.join(DEVICES)}. Or state its speed: "
        "--peak-flops."
    )


def _simplify(name: str) -> str:
    return name.casefold().translate(_PUNCTUATION)
