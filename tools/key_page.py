"""docs/sweep-file.md: every key of a sweep file, written from the JSON schema that editors use.

python -m tools.key_page > docs/sweep-file.md
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from scaling.sweep.grids import GRIDS
from scaling.sweep.spec import describe_schema

_HEAD = """\
# The sweep file

One YAML file says what is trained. `scaling init` drafts one; `scaling plan` shows what it comes
to. Errors are reported all at once, as `file:line:column: key: what is wrong`. Editors complete
keys from `sweeps/schema.json`, named in a line `# yaml-language-server: $schema=schema.json`.

This page is written from that schema: `python -m tools.key_page > docs/sweep-file.md`.

Numbers may be written as `1e18`. The file is YAML 1.2: `no` is a word, not false; anchors, aliases,
tags and merge keys are refused. *required* keys have no default; *by rule* means that the recipe
decides per run (`scaling/sweep/recipe.py`), and `scaling plan --json` shows what it decided (key
`recipe` of each cell).
"""
_NAMES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false"}
_LIMITS = (
    ("ge", "≥"),
    ("minimum", "≥"),
    ("gt", ">"),
    ("exclusiveMinimum", ">"),
    ("le", "≤"),
    ("maximum", "≤"),
    ("lt", "<"),
    ("exclusiveMaximum", "<"),
)
# Bounds beyond this only guard machine types, so the page omits them.
_FAR = 1e12


def write_key_page() -> str:
    """The page as Markdown."""
    schema = describe_schema()
    models = schema["$defs"]
    plain: list[str] = []
    parts: list[str] = []
    for name, optional in schema["properties"].items():
        field = _without_null(optional)
        if name == "grid":
            for grid in GRIDS:
                parts += _section(f"`{grid.heading}`", models[grid.__name__], "grid.", models)
        elif "$ref" in field:
            parts += _section(f"`{name}`", models[_target(field)], f"{name}.", models)
        else:
            plain.append(_row(name, field, schema))
    lines = [_HEAD, "## The sweep", "", *_HEADINGS, *plain, "", *parts]
    return "\n".join(lines).rstrip() + "\n"


_HEADINGS = ("| key | default | meaning | values |", "|---|---|---|---|")


def _section(
    heading: str, model: Mapping[str, Any], prefix: str, models: Mapping[str, Any]
) -> list[str]:
    description = " ".join(model.get("description", "").split())
    rows = list(_list_rows(model, prefix, models))
    return [f"## {heading}", "", description, "", *_HEADINGS, *rows, ""]


def _without_null(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of an optional section without the null alternative."""
    arms = [one for one in field.get("anyOf", ()) if one.get("type") != "null"]
    return arms[0] if len(arms) == 1 and "$ref" in arms[0] else field


def _list_rows(model: Mapping[str, Any], prefix: str, models: Mapping[str, Any]) -> Iterator[str]:
    for name, field in model["properties"].items():
        if "$ref" in field:
            yield from _list_rows(models[_target(field)], f"{prefix}{name}.", models)
        else:
            yield _row(f"{prefix}{name}", field, model)


def _row(key: str, field: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    required = key.split(".")[-1] in model.get("required", ())
    default = "required" if required else show_default(key, field.get("default"))
    return f"| `{key}` | {default} | {field.get('description', '')} | {_show_values(field)} |"


def show_default(key: str, value: Any) -> str:
    """What the page says of a key without a value in the file."""
    if value is None:
        return "by rule" if key.startswith("recipe.") else "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(str, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _show_values(field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return _show_values(next(one for one in field["anyOf"] if one.get("type") != "null"))
    if "enum" in field or "const" in field:
        return ", ".join(f"`{one}`" for one in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        items = field["items"]
        return (
            f"list of {_target(items)[:-4].lower()}s"
            if "$ref" in items
            else (f"list of {_show_values(items)}")
        )
    if field.get("type") == "object":
        if "patternProperties" not in field:
            return "mapping of names to values"
        (of,) = field["patternProperties"].values()
        return f"mapping of names to {_target(of)[:-4].lower()}s"
    words = _NAMES.get(field.get("type", ""), "")
    limits = [
        f"{sign} {field[name]:g}"
        for name, sign in _LIMITS
        if name in field and abs(field[name]) <= _FAR and not _is_looser(name, field)
    ]
    return ", ".join([words, *limits])


def _is_looser(name: str, field: Mapping[str, Any]) -> bool:
    """Return whether another bound on the same side is tighter."""
    upper = {key: field[key] for key in ("le", "maximum", "lt", "exclusiveMaximum") if key in field}
    lower = {key: field[key] for key in ("ge", "minimum", "gt", "exclusiveMinimum") if key in field}
    if name in upper:
        return bool(field[name] > min(upper.values()))
    return bool(field[name] < max(lower.values()))


def _target(field: Mapping[str, Any]) -> str:
    return str(field["$ref"]).rsplit("/", 1)[-1]


if __name__ == "__main__":
    sys.stdout.write(write_key_page())
