"""A plan as text for a terminal: its cells, what they cost, what is rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scaling.sweep.families.registry import describe_shape, read_shape
from scaling.units import align_columns, format_count, format_flops, format_seconds

_HEADER = (
    "budget", "width×depth", "N", "N total", "N non-emb.", "D", "FLOPs", "batch", "steps", "lr",
    "time", "memory", "state",
)  # fmt: skip


def format_plan(plan: Mapping[str, Any]) -> str:
    """The cells of a described plan (`scaling plan --json`) as a table, and what they come to."""
    lines = align_columns([_HEADER, *_fold_rows([_format_cell(cell) for cell in plan["cells"]])])
    totals = plan["totals"]
    lines.append(
        f"{totals['runs']} runs, {format_flops(totals['flops'])} FLOPs"
        f"{_format_saved(totals['flops'], totals['flops_spent'])}, "
        f"{format_count(totals['tokens'])} tokens; {totals['cached']} already done; "
        f"{_format_peak(totals)}{_format_bytes(totals['disk_bytes'])} of disk"
    )
    lines += _format_validations(plan["cells"])
    if plan["target"] is not None:
        lines += _format_target(plan["target"], totals)
    elif plan["throughput"] is None:
        lines.append("time: not measured on this device (drop --no-benchmark to measure it)")
    else:
        lines += _format_left(totals["left"], plan["throughput"])
    for cell in plan["rejected"]:
        lines.append(
            f"rejected: N {format_count(cell['params'])}, D {format_count(cell['tokens'])}: "
            f"{cell['reason']}"
        )
    lines += [f"warning: {line}" for line in plan["warnings"]]
    lines.append(plan["reference"])
    if "simulation" in plan:
        lines += ["", *_format_simulation(plan["simulation"])]
    return "\n".join(lines)


def _fold_rows(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Equal rows (seeds of one cell) as one that says how many there are."""
    counts = Counter(rows)
    return [
        (*row[:-1], row[-1] if count == 1 else f"{row[-1]} ({count} runs alike)")
        for row, count in counts.items()
    ]


def _format_cell(cell: Mapping[str, Any]) -> tuple[str, ...]:
    memory = cell["device_memory_bytes"] or cell["memory_bytes"]
    return (
        "–" if cell["budget"] is None else format_flops(cell["budget"]),
        describe_shape(read_shape(cell["shape"], "shape")).label.replace(" ", ""),
        *(format_count(cell["counts"][name]) for name in ("matmul", "total", "non_embedding")),
        format_count(cell["tokens"]),
        format_flops(cell["flops"]),
        *(
            (str(cell["batch_sequences"]), str(cell["steps"]), f"{cell['learning_rate']:.3g}")
            if cell["steps"]
            else ("–", "–", "–")  # the user's own trainer decides
        ),
        "–" if cell["seconds"] is None else format_seconds(cell["seconds"]),
        _format_bytes(memory) if memory else "–",
        _say_state(cell),
    )


def _say_state(cell: Mapping[str, Any]) -> str:
    state = "done" if cell["cached"] and not cell["repeats"] else str(cell["why"])
    role = {"validation": "forecast, ", "bracket": "bracket, "}.get(cell["role"], "")
    return role + state


def _format_validations(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """What checking the registered forecasts costs beside the sweep; nothing where none is left."""
    left = [
        cell
        for cell in cells
        if cell["role"] == "validation" and not cell["cached"] and not cell["repeats"]
    ]
    if not left:
        return []
    runs = f"{len(left)} run" + "s" * (len(left) > 1)
    line = (
        f"of those, to check forecasts: {runs}, {format_flops(sum(c['flops'] for c in left))} FLOPs"
    )
    seconds = [cell["seconds"] for cell in left]
    if all(one is not None for one in seconds):
        line += f", {format_seconds(sum(seconds))} of one core"
    return [line]


def _format_left(left: Mapping[str, Any], throughput: Mapping[str, Any]) -> list[str]:
    """Time and money of what is left to train."""
    at_once = f"{left['slots']} at a time" if left["slots"] > 1 else "one after another"
    line = (
        f"time: {format_seconds(left['makespan_seconds'])} for {left['runs']} runs {at_once} "
        f"({format_seconds(left['seconds'])} of one core), beside the start of Ray and the report"
    )
    if not left["runs"]:
        line = "time: nothing is left to train"
    elif left["price"] is not None:
        line += f"; price: {left['price']:.2g}"
    measured = f"{throughput['configurations']} configurations on {throughput['device']}"
    return [line, f"  by the throughput of {measured}, {throughput['measured_at']}"]


def _format_target(target: Mapping[str, Any], totals: Mapping[str, Any]) -> list[str]:
    """Time, money and memory on machines that are not here, and what that assumes."""
    left, devices = totals["left"], target["devices"]
    per_run, held, used = target["devices_per_run"], left["held_device_hours"], left["device_hours"]
    alike = f"{per_run} for each run"
    lines = ["time: nothing is left to train"]
    if left["runs"]:
        lines = [
            f"time on {devices} × {target['device']}, {alike}: "
            f"{format_seconds(left['makespan_seconds'])} for {left['runs']} runs, "
            f"{left['slots']} at a time",
            f"  critical path: {format_seconds(left['critical_path_seconds'])} (the longest run; "
            "more devices do not shorten it, more for each run do)",
            f"  device-hours: {format_count(used)} of training, {used / held:.0%} of the "
            f"{format_count(held)} until the last run ends",
        ]
    if left["runs"] and left["price"] is not None:
        lines.append(
            f"price: {format_count(left['price'])} for all devices until the last run ends, "
            f"{format_count(left['price'] * used / held)} for the device-hours of training alone"
        )
    lines += _format_device_memory(totals, per_run)
    share = f"MFU {target['mfu']:g} of {format_flops(target['peak_flops'])} FLOP/s a device"
    lines.append(f"assumed: {share}; no time for start-up, evaluation, checkpoints or failures")
    if target["mfu_source"]:
        lines.append(f"  MFU {target['mfu_source']}. Say yours with --mfu.")
    return lines


def _format_device_memory(totals: Mapping[str, Any], per_run: int) -> list[str]:
    whole, sharded = totals["device_memory_bytes"], totals["sharded_memory_bytes"]
    if sharded is None:
        return [f"memory of one device: up to {_format_bytes(whole)}"]
    line = f"memory of one device: up to {_format_bytes(whole)} of weights, gradients and moments"
    if per_run > 1:
        line += f", {_format_bytes(sharded)} if the {per_run} of a run shard them"
    return [
        line,
        "  at 16 bytes a parameter (AdamW); your trainer's activations, logits and buffers come on "
        "top; disk: float32 weights of each run, two checkpoints of those that train",
    ]


def _format_peak(totals: Mapping[str, Any]) -> str:
    """Memory of a process here; a plan for other machines says it by the device, further down."""
    if totals["device_memory_bytes"] is not None:
        return ""
    return f"up to {_format_bytes(totals['peak_bytes'])} of memory a run, "


def _format_saved(flops: int, spent: int) -> str:
    if spent == flops:
        return ""
    return f" ({format_flops(spent)} with trunks, ×{flops / spent:.2f} less)"


def _format_bytes(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**29 else f"{count / 2**20:.3g} MiB"


def _format_simulation(found: Mapping[str, Any]) -> list[str]:
    """What the sweep will be able to say, and what would let it say more."""
    prior, level = found["prior"], f"{found['level']:.0%}"
    letters = ", ".join(f"{name} {value:.4g}" for name, value in prior["params"].items())
    if prior["family"] == "ensemble":
        letters = "the ensemble that answers"
    lines = [
        f"What to expect of this sweep, by {found['draws']} simulated sweeps",
        f"  of {prior['source']}: {letters}",
        f"  with a noise of {prior['noise']:.2%}, {prior['noise_source']}",
    ]
    for answer in found["answers"]:
        lines.append(f"  for {format_flops(answer['flops'])} FLOPs, expected {level} intervals:")
        for name in ("params", "tokens", "loss"):
            show = format_count if name != "loss" else "{:.4f}".format
            interval, held = answer["intervals"][name], answer["held"][name]
            if interval is None:
                lines.append(f"    {name:<6} no interval")
                continue
            low, high = (show(end) for end in interval)
            lines.append(
                f"    {name:<6} {show(answer[name]):>8}  [{low}, {high}]  holds it in {held:.0%}"
            )
    if found["answered"] < 1:
        lines.append(f"  {1 - found['answered']:.0%} of the simulated sweeps give no usable law")
    failing = [f"{code} {share:.0%}" for code, share in found["gates"].items()]
    lines.append("  checks that would fail: " + (", ".join(failing) or "none"))
    if not found["changes"]:
        return [*lines, "  no change of the sweep could be judged"]
    lines.append(f"  what to change, for {format_flops(found['changed_for'])} FLOPs:")
    width = max(len(_name_change(change)) for change in found["changes"])
    rows: list[tuple[str, ...]] = [("", "more FLOPs", "runs", "width of N*", "of the loss")]
    rows += [
        (
            _name_change(change).ljust(width),
            f"+{format_flops(change['extra_flops'])}",
            f"+{change['extra_runs']}",
            f"×{change['params_ratio']:.2f}",
            f"×{change['loss_ratio']:.2f}",
        )
        for change in found["changes"]
    ]
    lines += [f"    {line}" for line in align_columns(rows)]
    for what, name in (("params", "N*"), ("loss", "the loss")):
        one = found["halving"][what]
        if one is None:
            lines.append(f"  none of these halves the interval of {name}")
        else:
            lines.append(
                f"  the cheapest of these that halves the interval of {name}: "
                f"{_name_change(one)}, {format_flops(one['extra_flops'])} FLOPs more"
            )
    return lines


def _name_change(change: Mapping[str, Any]) -> str:
    times = f", {change['times']} times" if change["times"] > 1 else ""
    return f"{change['name']}{times}"


def format_suggestion(found: Mapping[str, Any]) -> str:
    """What the cells of a suggestion (`scaling suggest --json`) cost and bring."""
    rows: list[tuple[str, ...]] = [("N", "D", "FLOPs")]
    rows += [
        (format_count(one["params"]), format_count(one["tokens"]), format_flops(one["flops"]))
        for one in found["cells"]
    ]
    error = found["expected_error"]
    before = "" if error["before"] is None else f", {error['before']:.2%} without them"
    return "\n".join(
        [
            *align_columns(rows),
            f"{len(found['cells'])} cell{'s' * (len(found['cells']) > 1)}, "
            f"{format_flops(found['flops'])} FLOPs; expected error of the loss at "
            f"{format_flops(found['forecast'])} FLOPs: "
            f"{error['after']:.2%}{before}",
            f"  by {found['prior']['source']}, noise {found['prior']['noise']:.2%}",
        ]
    )
