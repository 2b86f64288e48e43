"""docs/api.md: every public name of the package, written from its docstring.

python -m tools.api_page > docs/api.md
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import scaling
from tools.markdown import escape

_HEAD = """\
# Python

Every name of `scaling.__all__`, with its signature and what its docstring says. This page is
written from them: `python -m tools.api_page > docs/api.md`.

```python
import scaling

fit = scaling.fit("results/reference")  # or a table of runs, a DataFrame, a RunTable
answer = fit.allocate(flops=1e15)
answer.params, answer.params_interval, [check.code for check in answer.checks if not check.passed]
fit.predict(params=3e6, tokens=4e7).new_run_interval
fit.to_frame("frontier")
```

N is in parameters, D in tokens, C in FLOPs and the loss in nats per token unless something else is
said. Errors are subclasses of `ScalingError`. Importing `scaling` loads neither torch nor Ray.
"""
_GROUPS = {
    "Fit and ask": ("fit", "run_sweep", "Fitted", "Answer"),
    "From runs to a fit, step by step": (
        *("read_runs", "read_table", "make_table", "RunTable"),
        *("apply_filters", "Filters", "fit_runs", "Fit"),
    ),
    "From a fit to an answer, step by step": (
        *("allocate", "Question", "Hardware", "find_device", "DEVICES", "Allocation"),
        *("predict", "Prediction", "compare_tables", "Comparison"),
    ),
    "Plan and train a sweep": (
        *("load_sweep", "SweepSpec", "prepare_sweep", "plan_sweep", "Plan", "simulate_sweep"),
        *("train_sweep", "RunSpec", "RunResult", "suggest_cells", "Measured"),
    ),
    "Forecasts": ("forecast_run", "review_forecasts"),
    "Abilities": ("find_abilities", "Ability"),
    "Transfer": ("find_transfer", "Transfer"),
    "Count a model": ("ModelShape", "count_params", "count_flops_per_token"),
    "The rest": (),  # everything not listed above
}
_CONSTANTS = {
    "DEVICES": "Accelerators by name: peak [FLOP/s, dense BF16], and where it is printed.",
    "__version__": "The package's version.",
}
_REPOSITORY = Path(__file__).parents[1]
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Source):[ \n]", flags=re.M)
_LONGEST_DEFAULT = 40


def write_api_page() -> str:
    """The page, in Markdown."""
    placed = {name for names in _GROUPS.values() for name in names}
    parts = [_HEAD]
    for heading, names in _GROUPS.items():
        listed = names or [name for name in scaling.__all__ if name not in placed]
        parts.append(f"## {heading}\n")
        for name in listed:
            parts += _describe(name, getattr(scaling, name))
    return "\n".join(parts)


def split_docstring(thing: Any) -> dict[str, str]:
    """The sections of a docstring by name, the first under ""."""
    first, *rest = _SECTION.split(inspect.getdoc(thing) or "")
    return {"": first, **dict(zip(rest[::2], rest[1::2], strict=True))}


def list_entries(section: str) -> Iterator[tuple[str, str]]:
    """(name, meaning) of every entry of a section such as Args, up to a blank line."""
    entries, _, _ = section.partition("\n\n")
    for entry in re.split(r"\n(?=\S)", inspect.cleandoc(f"\n{entries}")):
        name, _, meaning = entry.partition(": ")
        yield name, " ".join(meaning.split())


def _describe(name: str, thing: Any) -> list[str]:
    parts = [f"### `{name}`\n"]
    if name in _CONSTANTS:
        return [*parts, f"{_CONSTANTS[name]}\n"]
    # The function's own file, not a decorator's.
    source = Path(inspect.getsourcefile(inspect.unwrap(thing)) or "")
    home = source.relative_to(_REPOSITORY).as_posix()
    parts.append(f"[{home}](../{home})\n")
    if inspect.isfunction(thing) or dataclasses.is_dataclass(thing):
        parts.append(f"```python\n{_write_signature(name, thing)}\n```\n")
    for heading, text in split_docstring(thing).items():
        parts += _write_section(heading, text)
    return parts + (_list_members(thing) if inspect.isclass(thing) else [])


def _write_section(heading: str, text: str) -> Iterator[str]:
    if heading in ("", "Returns", "Source"):
        label = f"**{heading}**: " if heading else ""
        for paragraph in inspect.cleandoc(f"\n{text}").split("\n\n"):
            yield f"{label}{escape(' '.join(paragraph.split()))}\n"
            label = ""
        return
    yield f"**{heading}**:\n"
    for name, meaning in list_entries(text):
        names = ", ".join(f"`{one.strip()}`" for one in name.split(","))
        yield f"- {names}: {escape(meaning)}"
    yield ""
    if after := text.partition("\n\n")[2]:
        yield f"{escape(' '.join(after.split()))}\n"


def _write_signature(name: str, thing: Any) -> str:
    """Write a signature with one parameter a line, without defaults that are long values."""
    signature = inspect.signature(thing)
    lines, named = [], False
    for one in signature.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not named:
            lines.append("    *,")
            named = True
        text = f"{'**' if one.kind is one.VAR_KEYWORD else ''}{one.name}: {one.annotation}"
        if one.default is not one.empty:
            shown = repr(one.default)
            text += f" = {shown if len(shown) <= _LONGEST_DEFAULT and '<' not in shown else '...'}"
        lines.append(f"    {text},")
    result = "" if inspect.isclass(thing) else f" -> {signature.return_annotation}"
    return "\n".join((f"{name}(", *lines, f"){result}"))


def _list_members(owner: type) -> list[str]:
    """List public properties and methods that have a docstring: a line each, or the whole docstring
    if there are arguments."""
    rows, parts = [], []
    for name, member in vars(owner).items():
        function = member.fget if isinstance(member, property) else member
        function = getattr(function, "__func__", function)
        if name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        sections = split_docstring(function)
        if "Args" in sections:
            parts += [f"#### `{owner.__name__}.{name}`\n"]
            parts.append(f"```python\n{_write_signature(name, function)}\n```\n")
            for heading, text in sections.items():
                parts += _write_section(heading, text)
        else:
            called = "" if isinstance(member, property) else "()"
            rows.append(f"- `.{name}{called}`: {escape(' '.join(sections[''].split()))}")
    return [*(["**Also**:\n", *rows, ""] if rows else []), *parts]


if __name__ == "__main__":
    sys.stdout.write(write_api_page())
