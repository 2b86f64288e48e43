"""Which columns of a file the contract's columns are made of, and what to say where one is missing.

Nothing is mapped silently: names that others use, and what could be derived, are only proposed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from scaling.errors import TableError
from scaling.tables.columns import OPTIONAL, REQUIRED
from scaling.tables.expressions import Expression, ExpressionError, name_column, parse_expression

REQUIRED_COLUMNS = tuple(one.name for one in REQUIRED)
OPTIONAL_COLUMNS = tuple(one.name for one in OPTIONAL)
KNOWN = REQUIRED_COLUMNS + OPTIONAL_COLUMNS
_TEXT_COLUMNS = frozenset(one.name for one in OPTIONAL if one.kind == "text")
_MAX_NAMES = 30
_LIKE = 0.75  # difflib's ratio: a typo, not another word

# Words in a column's name that suggest a quantity, and words that rule it out.
_WORDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "N": (
        frozenset(("n", "param", "params", "parameter", "parameters", "nparams", "size")),
        frozenset(("per", "hyper", "batch", "log", "vocab", "step", "ratio", "norm", "label")),
    ),
    "D": (
        frozenset(("d", "token", "tokens", "toks", "ntokens")),
        frozenset(("per", "batch", "vocab", "unique", "step", "second", "sec", "eval", "val")),
    ),
    "loss": (
        frozenset(("loss", "nll", "bpb", "bpc", "ppl", "perplexity", "xent", "crossentropy")),
        frozenset(("se", "std", "err", "stderr", "aux", "scale", "weight", "fn")),
    ),
    "C": (
        frozenset(("c", "flop", "flops", "flos", "gflops", "pflops", "compute")),
        frozenset(("per", "second", "sec", "s", "mfu")),
    ),
}  # fmt: skip
_HELD_OUT = frozenset(("val", "eval", "valid", "validation", "test", "heldout", "dev", "final"))
# (words of a name, the unit they imply, how `--columns` states it)
_LOSS_UNITS = (
    (frozenset(("bpb", "byte", "bytes")), "bits per byte", "bpb"),
    (frozenset(("ppl", "perplexity")), "a perplexity", "ppl"),
    (frozenset(("bits", "bpt")), "bits per token", "bits"),
)
_SIZES = {
    "k": "k", "thousands": "k", "m": "M", "mn": "M", "millions": "M", "b": "B", "bn": "B",
    "billions": "B", "t": "T", "trillions": "T", "gflop": "GFLOP", "gflops": "GFLOP",
    "tflops": "TFLOP", "pflops": "PFLOP", "eflops": "EFLOP", "zflops": "ZFLOP",
    "log10": "log10", "pfdays": "PF-days",
}  # fmt: skip
_MISSING = ": no such column"
_UNIT_WORDS = {"k": "thousands", "M": "millions", "B": "billions", "T": "trillions"}
_STEPS = ("steps", "step", "num_steps", "n_steps", "max_steps", "total_steps", "train_steps",
          "global_step", "iteration", "iterations", "iters")  # fmt: skip
_BATCHES = ("batch_tokens", "tokens_per_batch", "tokens_per_step", "batch_size_tokens",
            "global_batch_tokens")  # fmt: skip
_SEQUENCES = ("batch_size", "global_batch_size", "gbsz", "batch", "bsz", "train_batch_size")
_CONTEXTS = ("seq_len", "sequence_length", "context_length", "block_size", "ctx_len", "seqlen")
_RATIOS = ("tokens_per_param", "tokens_per_parameter", "d_over_n", "d/n", "tpp", "token_ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """What is known of a file before its cells are read.

    Attributes:
        file: Its path, for messages.
        format: What it was read as.
        names: Every column, doubled ones twice.
        has_line: Whether the names stand in line 1.
        remedy: What the shape of the file says of columns that it lacks.
    """

    file: str
    format: str
    names: Sequence[str]
    has_line: bool
    remedy: str = ""

    @property
    def place(self) -> str:
        return f"{self.file}:1" if self.has_line else self.file


def locate_columns(
    header: FileHeader,
    mapping: Mapping[str, str],
    needed: Collection[str] = REQUIRED_COLUMNS,
    more: Sequence[str] = (),
) -> dict[str, Expression]:
    """Contract name -> what it is made of; an empty mapping leaves an optional column out.

    Args:
        header: Header of the file.
        mapping: Contract name -> what it is made of, where that is not the column of its name.
        needed: Columns that must be there.
        more: Names beside the contract's.

    Raises:
        TableError: With every missing, doubled or unknown name, and every bad expression.
    """
    problems = [_describe_unknown(header, key) for key in mapping if key not in (*KNOWN, *more)]
    where: dict[str, Expression] = {}
    for column in (*KNOWN, *more):
        wanted = mapping.get(column, column).strip()
        if not wanted:
            if column in needed:
                problems.append(f"{header.file}: columns: {column} is needed and cannot be left "
                                f"out")  # fmt: skip
            continue
        try:
            found = parse_expression(wanted, header.names)
        except ExpressionError as error:
            if column not in mapping and column not in needed:
                continue
            close = get_close_matches(wanted, header.names, n=1)
            if column in more and column not in mapping and close:
                problems.append(f"{header.place}: {column}: no such column; did you mean "
                                f"--metric {close[0]}?")  # fmt: skip
            elif error.column:
                problems.append(_describe_missing(header, column, error.column, mapping))
            else:
                problems.append(f"{header.file}: columns: {column}: {error}")
            continue
        if column in _TEXT_COLUMNS and not found.is_column:
            if len(found.columns) != 1 or found.text.strip('"`') != found.columns[0]:
                problems.append(f"{header.file}: columns: {column} is text, one column as it "
                                f"stands, not {wanted!r}")  # fmt: skip
                continue
            found = name_column(found.columns[0])
        where[column] = found
        for name in found.columns:
            count = sum(one == name for one in header.names)
            if count > 1:
                problems.append(f"{header.place}: {name}: this column stands {count} times in the "
                                f"header; rename or remove the others")  # fmt: skip
    if problems:
        raise TableError(_join_missing(header, problems))
    return where


def _join_missing(header: FileHeader, problems: Sequence[str]) -> list[str]:
    """Columns that are missing with the same remedy are one problem."""
    joined: dict[str, list[str]] = {}
    for one in problems:
        name, mark, rest = one.removeprefix(f"{header.place}: ").partition(_MISSING)
        joined.setdefault(rest if mark else one, []).append(name if mark else "")
    return [
        f"{header.place}: {', '.join(names)}{_MISSING}{said}" if names[0] else said
        for said, names in joined.items()
    ]


def list_unit_notes(where: Mapping[str, Expression], loss_unit: str) -> list[str]:
    """Columns whose names state a unit that they are not read in."""
    notes = []
    loss = where.get("loss")
    if (
        loss
        and loss_unit == "nats"
        and len(loss.columns) == 1
        and loss.text.strip('"`') == loss.columns[0]
        and (stated := _find_loss_unit(loss.columns[0]))
    ):
        notes.append(f"the loss is read from {loss.columns[0]!r} in nats per token; if it "
                     f"is {stated[0]}, say --loss-unit {stated[1]}")  # fmt: skip
    for column in ("N", "D", "C", "budget", "U"):
        found = where.get(column)
        if found is None or not found.is_column:
            continue
        unit = _find_unit(found.text)
        if unit:
            said = _UNIT_WORDS.get(unit, unit)
            notes.append(f"{column} is read from {found.text!r} as it stands; if that is in {said},"
                         f" say {_quote_option(f'{column}={found.text}[{unit}]')}")  # fmt: skip
    return notes


def _find_loss_unit(name: str) -> tuple[str, str] | None:
    """(unit in words, as `--loss-unit` has it) that the name of a loss states."""
    spoken = _split_words(name)
    return next(((what, unit) for words, what, unit in _LOSS_UNITS if words & spoken), None)


def _describe_unknown(header: FileHeader, key: str) -> str:
    close = get_close_matches(key, KNOWN, n=1, cutoff=0.0)
    return (f"{header.file}: columns: {key!r} is not a column of the contract "
            f"({', '.join(KNOWN)}); did you mean {close[0]}?")  # fmt: skip


def _describe_missing(
    header: FileHeader, column: str, wanted: str, mapping: Mapping[str, str]
) -> str:
    if len(header.names) == 1 and any(mark in header.names[0] for mark in ";\t|,"):
        marks = "tabs" if header.format == "TSV" else "commas"
        return (f"{header.place}: {column}: the header is one cell, {header.names[0]!r}; "
                f"separate columns by {marks}, as in {header.format}")  # fmt: skip
    names = [one for one in header.names if one]
    shown = ", ".join(names[:_MAX_NAMES]) or "none"
    if len(names) > _MAX_NAMES:
        shown += f" and {len(names) - _MAX_NAMES} more"
    taken = set(mapping.values()) | (set(REQUIRED_COLUMNS) - {column})
    hint = header.remedy if column in REQUIRED_COLUMNS else ""
    if not hint:
        hint = _propose(column, wanted, [one for one in names if one not in taken])
    if not hint:
        hint = _derive(column, names, mapping)
    if not hint and column in ("N", "D"):
        alone = [
            one for one in ("C", "N", "D") if one != column and (mapping.get(one) or one in names)
        ]
        if alone:
            hint = f"or fit the loss against {alone[0]} alone: --of {alone[0]}"
    if not hint and header.format in ("CSV", "TSV") and {"config", "summary"} <= set(names):
        hint = ("the cells of config and summary are whole dictionaries: write one JSON object "
                "per run to a .jsonl file instead")  # fmt: skip
    said = f"; {hint}" if hint else ""
    return (
        f"{header.place}: {wanted}{_MISSING}; read as {header.format}, the file has {shown}{said}"
    )


def _propose(column: str, wanted: str, names: Sequence[str]) -> str:
    """The column that was meant: by the words of its name, or by a slip of the pen."""
    found = _suggest(column, wanted, names)
    if found is None:
        return ""
    unit = _find_unit(found) if column != "loss" else ""
    option = _quote_option(f"{column}={_quote_name(found)}" + (f"[{unit}]" if unit else ""))
    unit_said = _find_loss_unit(found) if column == "loss" else None
    if unit_said:
        option += f" --loss-unit {unit_said[1]}"
    return f'did you mean "{option}"?'


def _suggest(column: str, wanted: str, names: Sequence[str]) -> str | None:
    if len(wanted) > 3:
        lowered = {one.lower(): one for one in reversed(names)}
        for match in get_close_matches(wanted.lower(), lowered, n=3, cutoff=_LIKE):
            if column not in _WORDS or _speaks_for(column, lowered[match]):
                return lowered[match]
    if column not in _WORDS:
        like = {_strip(one).lower(): one for one in reversed(names)}
        close = get_close_matches(column.lower(), like, n=1, cutoff=_LIKE)
        return like[close[0]] if len(column) > 2 and close else like.get(column.lower())
    fitting = [one for one in names if _speaks_for(column, one)]
    if column == "loss":  # held-out losses first
        fitting.sort(key=lambda one: not _HELD_OUT & _split_words(one))
    exact = [one for one in fitting if _strip(one).lower() == column.lower()]
    return next(iter(exact or fitting), None)


def _speaks_for(column: str, name: str) -> bool:
    good, bad = _WORDS[column]
    words = _split_words(_strip(name))
    if column == "N" and "model" in words and _find_unit(name):
        return True
    if len(words) == 1 and column != "N":
        return bool(words & good)
    if words & bad:
        return False
    if column == "N" and "size" in words and not words & {"model", "params"}:
        return words == {"size"}
    short = words & good - {"n", "d", "c"}
    return bool(short) or (bool(words & good) and len(words) == 1)


def _strip(name: str) -> str:
    """Without a tracker's prefix (`params.`, `config.`) and W&B's `.value`."""
    return name.removesuffix(".value").rsplit(".", 1)[-1]


def _split_words(name: str) -> frozenset[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return frozenset(re.split(r"[^a-z0-9]+", spaced.lower())) - {""}


def _find_unit(name: str) -> str:
    """The unit that a name ends with: `params (B)`, `params_M`, `total_gflops`."""
    words = [one for one in re.split(r"[^A-Za-z0-9]+", name.replace("PF-days", "pfdays")) if one]
    last = words[-1] if words else ""
    if len(words) < 2 and last.lower() not in ("gflops", "log10", "pfdays"):
        return ""
    if len(last) == 1 and not re.search(r"[(\[_ ]" + last + r"[)\]]?$", name):
        return ""
    return _SIZES.get(last.lower(), "")


def _derive(column: str, names: Sequence[str], mapping: Mapping[str, str]) -> str:
    """How a missing N or D follows from what the file has."""
    if column not in ("N", "D"):
        return ""
    other = "D" if column == "N" else "N"
    have = {_strip(one).lower(): one for one in reversed(names)}
    given = {one: mapping.get(one) or one for one in ("N", "D", "C")}
    has_other = bool(given[other] in names or mapping.get(other))

    def first(options: Collection[str]) -> str | None:
        return next((_quote_name(have[one]) for one in options if one in have), None)

    steps, batch, ratio = first(_STEPS), first(_BATCHES), first(_RATIOS)
    made = ""
    if column == "D" and steps and batch:
        made = f"{steps}*{batch}"
    elif ratio and has_other:
        made = f"{given['N']}*{ratio}" if column == "D" else f"{given['D']}/{ratio}"
    elif has_other and (given["C"] in names or mapping.get("C")):
        made = f"{_group(given['C'])}/(6*{_group(given[other])})"
    if made:
        return f'it follows from others: "{_quote_option(f"{column}={made}")}"'
    if column == "N":
        return ""
    sequences, context = first(_SEQUENCES), first(_CONTEXTS)
    if steps and sequences:
        length = context or "CONTEXT_LENGTH"
        return f'it may follow from others: "{_quote_option(f"D={steps}*{sequences}*{length}")}"'
    epochs = first(("epochs", "epoch", "n_epochs", "num_epochs"))
    if epochs:
        return (f'it may follow from others: "{_quote_option(f"D={epochs}*2e9")}", with the tokens '
                f"of one epoch in place of 2e9")  # fmt: skip
    return ""


def _group(text: str) -> str:
    return text if re.fullmatch(r"[\w.]+", text) else f"({text})"


def _quote_name(name: str) -> str:
    """A name with a comma needs quotes of its own."""
    return f"`{name}`" if "," in name else name


def _quote_option(pair: str) -> str:
    plain = re.fullmatch(r"[\w.=/:@%+-]+", pair)
    return f"--columns {pair if plain else shlex.quote(pair)}"
