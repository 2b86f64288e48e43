"""Shapes in which runs are kept that are not one row per run, and the rows that they hold.

JSON     {"runs": [{…}, …]}            the one list of objects inside
         {"name": {…}, "name": {…}}    objects of like keys; the name becomes a column `name`
         pandas to_json                by columns, index, split, table, or lists
         trainer_state.json            the evaluations in `log_history` (Hugging Face)
tables   Wall time, Step, Value        TensorBoard's export: the log of one run
         Step, "run - loss", …         a chart's export of W&B: rows of (run, Step, loss)
         D, 70M, 160M, …               one column per size: rows of (D, header, cell)

Sources: pandas.DataFrame.to_json; transformers/trainer_callback.py (TrainerState);
docs.wandb.ai/guides/app/features/panels (export of panel data).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaling.units.numbers import NumberError, read_number

# Shown in the docs; tests/ledger/test_spellings.py reads each.
SHAPES = (
    ("nested objects", "dotted columns: `config.n_params`, `summary.val/loss`"),
    ("`{\"runs\": [{…}, …]}`", "the one list of objects inside; several are refused"),
    ("`{\"name\": {…}, \"name\": {…}}`", "objects with keys in common: runs, the name in `name`"),
    ("pandas `to_json`", "by columns, index, split, table or records"),
    ("`{\"N\": […], \"D\": […]}`", "lists of one length: columns"),
    ("`trainer_state.json`", "evaluations in `log_history`: points of one run; say its N and D"),
    ("`Wall time, Step, Value`", "TensorBoard's export: points of one run; say its N and D"),
    ("`Step, run - loss, …`", "a chart's export: points of runs; say their N and D"),
    ("`D, 70M, 160M, …`", "a column per size: rows of (D, N, loss)"),
    ("`tokens, 1e18, 1e19, …`", "the same with other names: rows of (tokens, `header`, `cell`); "
     "say what they are"),
)  # fmt: skip
_LARGEST_SIZE = 1e14  # parameters; a larger number is a budget in FLOP
_FEWEST_HEADERS = 3  # columns whose names are numbers; two might be anything
_DEEPEST = 4  # levels at which a table is looked for; deeper lists belong to a run
_CHART_MARK = " - "
_CHART_EXTRAS = ("__MIN", "__MAX")
LOG_REMEDY = (
    "this is the log of one run, which states neither N nor D: say them, as in --columns "
    "N=7e7,D={step}*524288,loss={loss}, with --last-of-run for its end; for several runs name a "
    "table of their ends"
)


@dataclass(frozen=True, slots=True)
class Records:
    """Rows found inside a JSON value.

    Attributes:
        rows: One object per run.
        note: What was understood; empty where nothing had to be.
        remedy: What to say where a needed column is missing.
    """

    rows: Sequence[Mapping[Any, Any]]
    note: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Melt:
    """How rows of a wide table become rows of runs.

    Attributes:
        kept: Positions of the columns that every new row repeats.
        spread: Positions of the columns of which each makes a row.
        labels: What the row says of each of those.
        names: Names of the two new columns: the label's, the cell's.
        note, remedy: As of `Records`.
    """

    kept: tuple[int, ...]
    spread: tuple[int, ...]
    labels: tuple[str, ...]
    names: tuple[str, str]
    note: str
    remedy: str


def find_records(value: Mapping[Any, Any], wanted: Collection[str] | Any) -> Records:
    """The rows inside one JSON object; the object itself where it is one run.

    Args:
        value: As the decoder gave it.
        wanted: Whether a name is one of the columns that are looked for.
    """
    log = value.get("log_history")
    if isinstance(log, list):
        return _read_trainer_log(log)
    found = _read_pandas(value, wanted)
    if found is not None:
        return found
    lists = [key for key, one in value.items() if _is_list_of_objects(one)]
    if len(lists) == 1 and _holds_rows(value, lists[0], wanted):
        return Records(value[lists[0]], f"the rows are the list {lists[0]!r} of the file")
    if len(lists) > 1:
        shown = ", ".join(map(repr, lists[:5]))
        return Records((), remedy=f"the file holds several lists of objects ({shown}): write one "
                       f"of them to a file of its own")  # fmt: skip
    if _are_like(value):
        rows = [{"name": key, **one} for key, one in value.items()]
        return Records(rows, "each key of the file is read as a run of that name")
    deeper = _find_deeper(value, wanted)
    if deeper is not None:
        return deeper
    inner = [(key, one) for key, one in value.items() if isinstance(one, dict)]
    if len(inner) == 1 and len(inner[0][1]) > 1 and _are_like(inner[0][1]):
        rows = [{"name": key, **one} for key, one in inner[0][1].items()]
        return Records(rows, f"each key of {inner[0][0]!r} is read as a run of that name")
    return Records((value,))


def find_log(names: Sequence[str]) -> str:
    """What to say of N and D where a header is that of TensorBoard's export of one run; else ""."""
    if [name.lower() for name in names] == ["wall time", "step", "value"]:
        return LOG_REMEDY.format(step=names[1], loss=names[2])
    return ""


def find_melt(names: Sequence[str]) -> Melt | None:
    """How a header says that its table is wide; None where it does not."""
    return _find_chart(names) or _find_wide(names)


def _read_trainer_log(log: Sequence[Any]) -> Records:
    entries = [one for one in log if isinstance(one, dict)]
    rows = [one for one in entries if "eval_loss" in one]
    note = f"Trainer state: its {len(rows)} evaluations are read as rows"
    if not rows:
        return Records(entries, "", LOG_REMEDY.format(step="step", loss="loss"))
    return Records(rows, note, LOG_REMEDY.format(step="step", loss="eval_loss"))


def _read_pandas(value: Mapping[Any, Any], wanted: Any) -> Records | None:
    data, names = value.get("data"), value.get("columns")
    if isinstance(data, list) and isinstance(names, list):
        rows = [dict(zip(map(str, names), one, strict=False)) for one in data
                if isinstance(one, list)]  # fmt: skip
        return Records(rows, "read as pandas writes it by `split`")
    if isinstance(data, list) and "schema" in value and _is_list_of_objects(data):
        return Records(data, "read as pandas writes it by `table`")
    parts = list(value.values())
    if len(parts) > 1 and all(isinstance(one, list) for one in parts):
        sizes = {len(one) for one in parts}
        if len(sizes) == 1 and not any(isinstance(one, dict) for part in parts for one in part):
            rows = [dict(zip(value, one, strict=True)) for one in zip(*parts, strict=True)]
            return Records(rows, "each key of the file is read as a column")
    if len(parts) > 1 and all(isinstance(one, dict) and one for one in parts):
        inner = parts[0].keys()
        by_column = all(str(key).isdecimal() for key in inner) or (
            any(key in wanted for key in value) and not any(key in wanted for key in inner)
        )
        if by_column and not all(str(key).isdecimal() for key in value):
            labels = dict.fromkeys(key for one in parts for key in one)
            rows = [{key: one.get(label) for key, one in value.items()} for label in labels]
            return Records(rows, "read as pandas writes it by `columns`")
    return None


def _holds_rows(value: Mapping[Any, Any], key: Any, wanted: Any) -> bool:
    """Whether the list under a key is the table, not the log of the one run around it."""
    beside = [one for one in value.values() if isinstance(one, dict)]
    if not beside:
        return True
    own = any(name in wanted for name in value[key][0])
    return own and not any(name in wanted for one in beside for name in one)


def _find_deeper(value: Mapping[Any, Any], wanted: Any) -> Records | None:
    """The one list of objects below the first level, where it alone can be the table: it has
    several, or columns that are asked for, and nothing beside it has."""
    found: list[tuple[str, list[Any]]] = []

    def walk(part: Mapping[Any, Any], path: str, depth: int) -> None:
        for key, one in part.items():
            if _is_list_of_objects(one):
                found.append((f"{path}{key}", one))
            elif isinstance(one, dict) and depth < _DEEPEST:
                walk(one, f"{path}{key}.", depth + 1)

    walk(value, "", 0)
    if len(found) != 1 or len(found[0][1]) < 2:
        return None
    name, rows = found[0]
    if not any(key in wanted for key in rows[0]):
        return None
    return Records(rows, f"the rows are the list {name!r} of the file")


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _are_like(value: Mapping[Any, Any]) -> bool:
    """Objects with keys in common: runs, not the parts of one run."""
    parts = list(value.values())
    if len(parts) < 2 or not all(isinstance(one, dict) for one in parts):
        return False
    common = set(parts[0]).intersection(*parts[1:])
    return len(common) > len(set(parts[0])) / 2


def _find_chart(names: Sequence[str]) -> Melt | None:
    """A chart's export: one column of steps, and `run - metric` for each run."""
    kept = [at for at, name in enumerate(names) if _CHART_MARK not in name]
    rest = [at for at, name in enumerate(names) if _CHART_MARK in name
            and not name.endswith(_CHART_EXTRAS)]  # fmt: skip
    if not rest or len(kept) != 1:
        return None
    pairs = [names[at].rsplit(_CHART_MARK, 1) for at in rest]
    metrics = {metric for _, metric in pairs if not metric.startswith("_step")}
    if len(metrics) != 1:
        return None
    (metric,) = metrics
    spread = [at for at, (_, one) in zip(rest, pairs, strict=True) if one == metric]
    labels = tuple(run for run, one in pairs if one == metric)
    step = names[kept[0]]
    return Melt(
        tuple(kept), tuple(spread), labels, ("run", metric),
        f"a chart's export: rows of (run, {step}, {metric}) of {len(labels)} runs",
        f"a chart's export states neither N nor D of its {len(labels)} runs: add them as columns "
        f"to a table of their ends, or say them if all runs share them",
    )  # fmt: skip


def _find_wide(names: Sequence[str]) -> Melt | None:
    """Columns named by numbers: one per size, or per budget."""
    spread = [at for at, name in enumerate(names) if _is_quantity(name)]
    kept = [at for at, name in enumerate(names) if at not in spread and name]
    if len(spread) < _FEWEST_HEADERS or not kept:
        return None
    labels = tuple(names[at] for at in spread)
    rest = [names[at] for at in kept]
    plain = rest == ["D"]
    new = ("N", "loss") if plain else ("header", "cell")
    shown = ", ".join(rest[:3])
    note = (
        f"a wide table: the {len(spread)} columns {labels[0]} … {labels[-1]} are read as rows of "
        f"({shown}, {new[0]}, {new[1]})"
    )
    sizes = f"N=header,D={rest[0]},loss=cell"
    known, other = ("D", "N") if "tok" in rest[0].lower() else ("N", "D")
    budgets = f"{known}={rest[0]},C=header,{other}=header/(6*{rest[0]}),loss=cell"
    likely = budgets if read_number(labels[0]) > _LARGEST_SIZE else sizes
    remedy = f"say what the columns' numbers and cells are, as in --columns {likely}"
    return Melt(tuple(kept), tuple(spread), labels, new, note, "" if plain else remedy)


def _is_quantity(name: str) -> bool:
    if not name[:1].isdigit():
        return False
    try:
        return read_number(name) > 0
    except NumberError:
        return False
