"""Rows of an index of runs: which of them a fit takes, and what they say of each other.

index/runs.csv holds every result of a folder; so do the CSV of its report and what is saved of
either. A fit of the folder sees the grid and its replicates, so a fit of the rows does: those of
another role, outside the plan or unfinished are left out and counted. What a folder knows beside
the contract's columns stands in columns of their own, `columns.OF_INDEX`.

Shapes are believed where N and C of every row are what the counter gives for models of them, of the
family that the row names (a transformer, where an older index has no such column). The runs are
then of one of this project's ladders: the convention of N is known, and so is the cost of any other
N. Rows of several families, or of one that has more integers than these columns, are read as any
table's are, by their N and C.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from scaling.sweep.cells import FITTED_ROLES
from scaling.sweep.counting import (
    COUNT_CONVENTIONS,
    CountConvention,
    count_flops_per_token,
    count_params,
)
from scaling.sweep.families.registry import find_family, list_settings
from scaling.sweep.families.transformer import TRANSFORMER
from scaling.sweep.shapes import MAX_SEQ_LEN, MIN_SEQ_LEN, ModelShape, make_shape
from scaling.tables.brackets import Bracket
from scaling.tables.columns import OF_INDEX, OF_SHAPES
from scaling.units import FloatArray

SHAPE_COLUMNS = tuple(one.name for one in OF_SHAPES)
INDEX_COLUMNS = tuple(one.name for one in OF_INDEX)
_ROLES_LEFT_OUT = ("bracket", "rate", "validation")
_OUTSIDE = "outside the plan"
_DIGITS = 1e-12  # relative rounding of C: a spreadsheet keeps fifteen digits
_LARGEST_HEAD = 256  # the sweep file's limit; even, because the smallest rung is half a head wide

Verdict = Literal["take", "leave"]


@dataclass(slots=True, kw_only=True)
class IndexRows:
    """What the rows of a table say beside the contract's columns, filled as they are read.

    Attributes:
        where: Position of every column that is there, by its name in the contract or above.
        own: Which of INDEX_COLUMNS are there.
        texts: Their cells, of every row of the file.
        left_out: How many rows no fit sees, by why.
        unfinished: Names of runs of the fitted roles that did not finish.
        strange: Roles that are none.
        varied: By the run_id of each corner, what bracket rows varied there, by which factor, and
            their loss in the file's unit; None if it diverged.
    """

    where: Mapping[str, int]
    own: tuple[str, ...]
    texts: list[tuple[str, ...]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unfinished: list[str] = field(default_factory=list)
    strange: set[str] = field(default_factory=set)
    varied: dict[str, list[tuple[str, float, float | None]]] = field(default_factory=dict)

    @property
    def names_runs(self) -> bool:
        """Whether it is an index, or part of one: rows have a role and a run_id."""
        return {"role", "run_id"} <= self.where.keys()

    def judge(self, cells: Sequence[str], *, finished: bool) -> Verdict | str:
        """Whether a fit takes the row, or what is wrong with it.

        Args:
            cells: Cells of the next row of the file.
            finished: What the table says of the run's end.
        """
        self.texts.append(tuple(self._read(cells, one) for one in self.own))
        if "role" not in self.where:
            return "take"
        role = self._read(cells, "role")
        if role in _ROLES_LEFT_OUT:
            problem = self._note_varied(cells, finished) if role == "bracket" else ""
            self.left_out[role] += not problem
            return problem or "leave"
        if not role and self.names_runs:
            self.left_out[_OUTSIDE] += 1
            return "leave"
        if role not in FITTED_ROLES:
            self.strange.add(role)
        elif not finished:
            self.unfinished.append(self._read(cells, "run_id") or f"row {len(self.texts)}")
            return "leave"
        return "take"

    def pass_over(self) -> None:
        """The next row of the file is none."""
        self.texts.append(("",) * len(self.own))

    def list_notes(self) -> list[str]:
        """What was left out, and roles that are none."""
        counts = [f"{number} {why}" for why, number in sorted(self.left_out.items())]
        if self.unfinished:
            counts.append(f"{len(self.unfinished)} not finished")
        notes = []
        if counts:
            notes.append(f"rows left out, as from the results folder: {', '.join(counts)}")
        missing = [one for one in SHAPE_COLUMNS if one not in self.where]
        if self.names_runs and missing:
            notes.append(f"an index without {', '.join(missing)}: intervals and the cost of models "
                         f"between its own may differ from those of the folder; \"scaling verify "
                         f"RESULTS --repair\" writes its index anew")  # fmt: skip
        if strange := sorted(self.strange - {""}):
            shown = ", ".join(repr(one) for one in strange[:5])
            notes.append(f"role: {shown} {'are' if len(strange) > 1 else 'is'} no role of a run "
                         f"that is known here ({', '.join((*FITTED_ROLES, *_ROLES_LEFT_OUT))}); "
                         f"such rows are kept")  # fmt: skip
        return notes

    def name_rows(self, rows: Sequence[int]) -> list[str] | None:
        """run_id of the given rows of the file, counted from 1; None where they have none."""
        names = [self._text(row, "run_id") for row in rows] if self.names_runs else []
        return names if names and all(names) else None

    def read_corpus_fact(self, column: str, rows: Sequence[int], *, most: float) -> float | None:
        """What the rows agree on of their corpus, from 0 to `most`; None where it is not stated."""
        stated = {self._text(row, column) for row in rows} if column in self.where else {""}
        text = stated.pop() if len(stated) == 1 else ""
        value = _read_float(text)
        return value if value is not None and 0.0 <= value <= most else None

    def read_shapes(
        self, rows: Sequence[int], params: FloatArray, *, tokens: FloatArray, flops: FloatArray
    ) -> tuple[list[ModelShape], CountConvention] | None:
        """The shape of each row and how N is counted; None unless N and C follow from shapes of
        one ladder.

        Args:
            rows: Rows of the file, counted from 1.
            params, tokens, flops: N, D and C of those rows, shape (n,).
        """
        if not set(SHAPE_COLUMNS) <= self.where.keys():
            return None
        made: dict[tuple[str, ...], ModelShape | None] = {}
        shapes = []
        for row in rows:
            key = (self._name_family(row), *(self._text(row, one) for one in SHAPE_COLUMNS))
            shape = made[key] if key in made else made.setdefault(key, _make_shape(*key))
            if shape is None:
                return None
            shapes.append(shape)
        ladders = {
            (one.family, one.vocab_size, one.seq_len, *list_settings(one).values())
            for one in shapes
        }
        if len(ladders) != 1:
            return None
        costs = zip(shapes, tokens.tolist(), flops.tolist(), strict=True)
        for shape, seen, spent in costs:
            if not math.isclose(seen * count_flops_per_token(shape), spent, rel_tol=_DIGITS):
                return None
        for convention in COUNT_CONVENTIONS:
            pairs = zip(shapes, params.tolist(), strict=True)
            if all(count_params(shape, convention) == size for shape, size in pairs):
                return shapes, convention
        return None

    def read_family(self, rows: Sequence[int], notes: list[str]) -> str | None:
        """The family of the models, where every row names the same; several are noted."""
        if not self.names_runs:
            return None
        named = sorted({self._name_family(row) for row in rows} - {""})
        if len(named) > 1:
            notes.append(f"models of several families: {', '.join(named)}; a law is of one. "
                         f"Choose it: --where family={named[0]}")  # fmt: skip
        return named[0] if len(named) == 1 else None

    def list_brackets(
        self,
        names: Sequence[str],
        params: FloatArray,
        *,
        tokens: FloatArray,
        loss: FloatArray,
        unit: float,
    ) -> tuple[Bracket, ...]:
        """The corners among the rows, with what is there of other recipes.

        Args:
            names: run_id of the rows.
            params, tokens, loss: N, D and loss [nats/token] of those rows, shape (n,).
            unit: Nats in one unit of the file's losses.
        """
        where = {name: at for at, name in enumerate(names)}
        brackets = []
        for corner, tried in sorted(self.varied.items()):
            if corner not in where:
                continue
            at = where[corner]
            losses: dict[str, list[tuple[float, float | None]]] = {"learning_rate": [], "batch": []}
            for what, factor, seen in tried:
                losses[what].append((factor, None if seen is None else seen * unit))
            brackets.append(
                Bracket(
                    run=corner,
                    params=float(params[at]),
                    tokens=float(tokens[at]),
                    loss=float(loss[at]),
                    learning_rates=tuple(sorted(losses["learning_rate"])),
                    batches=tuple(sorted(losses["batch"])),
                )
            )
        return tuple(brackets)

    def _note_varied(self, cells: Sequence[str], finished: bool) -> str:
        """Keep what a bracket row says of its corner; what is wrong with it, or ""."""
        what, corner = self._read(cells, "varied"), self._read(cells, "varied_run")
        if not what and not corner:
            return ""
        factor, loss = (_read_float(self._read(cells, one)) for one in ("varied_factor", "loss"))
        if what not in ("learning_rate", "batch"):
            return f"varied: {what!r} is neither learning_rate nor batch; correct the cell"
        if factor is None or factor <= 0:
            return f"varied_factor: {self._read(cells, 'varied_factor')!r} is not above 0"
        if finished and (loss is None or loss <= 0):
            return f"loss: {self._read(cells, 'loss')!r} is not above 0"
        tried = self.varied.setdefault(corner, [])
        tried.append((what, factor, loss if finished else None))
        return ""

    def _name_family(self, row: int) -> str:
        if "family" in self.own:
            return self._text(row, "family")
        shaped = "d_model" in self.own and self._text(row, "d_model")
        return TRANSFORMER.name if shaped else ""

    def _read(self, cells: Sequence[str], column: str) -> str:
        return cells[self.where[column]].strip() if column in self.where else ""

    def _text(self, row: int, column: str) -> str:
        return self.texts[row - 1][self.own.index(column)]


def open_index(header: Sequence[str], known: Mapping[str, int]) -> IndexRows:
    """An index of no rows yet.

    Args:
        header: Header of the file.
        known: Positions of the contract's columns; one that is mapped is no column of an index.
    """
    own = tuple(one for one in INDEX_COLUMNS if one in header)
    own = tuple(one for one in own if header.index(one) not in known.values())
    return IndexRows(where=dict(known) | {one: header.index(one) for one in own}, own=own)


def _make_shape(family: str, *texts: str) -> ModelShape | None:
    """The ladder's shape of these texts, in the order of SHAPE_COLUMNS; None where they are no
    integers of one."""
    *common, head_size = map(_read_whole, texts)
    if any(one is None for one in common):
        return None
    sizes = dict(zip(SHAPE_COLUMNS, (one for one in common if one is not None), strict=False))
    if not MIN_SEQ_LEN <= sizes["seq_len"] <= MAX_SEQ_LEN:
        return None
    if family == TRANSFORMER.name:
        if head_size is None or head_size % 2 or head_size > _LARGEST_HEAD:
            return None
        return make_shape(**sizes, head_size=head_size)
    try:
        known = find_family(family).shape is ModelShape
    except KeyError:
        return None
    return ModelShape(family=family, **sizes) if known else None


def _read_whole(text: str) -> int | None:
    value = _read_float(text)
    if value is None or value != math.floor(value) or not 1 <= value < 2**31:
        return None
    return int(value)


def _read_float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and text.isascii() else None
