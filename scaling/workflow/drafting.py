"""A first sweep that its own plan accepts: the text is read, the cells are planned, and the compute
is as requested, or as much as fits into a number of minutes on this machine.

    epochs    no run reads its text twice: `repeated_data` would fail
    memory    the largest run fits into this machine
    time      planned by the measured speed of this machine, as `scaling plan` does
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.errors import SpecError, UsageError
from scaling.sweep.cost import estimate_memory
from scaling.sweep.draft import SHARE, Wish, draft_sweep
from scaling.sweep.makespan import find_makespan
from scaling.sweep.plan import list_wishes, plan_sweep
from scaling.sweep.runspec import RunSpec
from scaling.units import format_count, format_flops, format_seconds
from scaling.workflow.devices import count_slots
from scaling.workflow.preparing import Sweep, find_run_memory
from scaling.workflow.timing import obtain_throughput, settle_plan

if TYPE_CHECKING:
    from scaling.sweep.spec import SweepSpec
    from scaling.sweep.throughput import Throughput

# FLOPs of the largest run. At the lower end the grid loses at most one cell to too few steps.
_LEAST, _MOST = 1.2e11, 1e27
_ROUNDS = 4  # each round measures the speed of the shapes that the last one chose
_STEP = 1.05  # budgets have two digits


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftedSweep:
    """A sweep file that does not exist yet.

    Attributes:
        text: The file's text.
        sweep: The sweep as `scaling plan` would plan it.
        seconds: Planned time on this machine [s]; None if not asked for.
    """

    text: str
    sweep: Sweep
    seconds: float | None


def draft_planned(
    wish: Wish,
    *,
    path: Path,
    root: Path,
    minutes: float | None = None,
    schema: str | None = None,
) -> DraftedSweep:
    """Draft a sweep, prepare its corpus and plan it.

    Args:
        wish: The user's wishes, without compute if `minutes` are given.
        path: Path of the future file, which the paths of its text are relative to.
        root: Folder that contains results/.cache.
        minutes: Planned time of the whole sweep on this machine, at most [min]; None: by the wish.
        schema: As for `draft_sweep`.

    Raises:
        UsageError: The wish has problems; its corpus cannot be read; or the sweep would read its
            text twice, needs more memory than there is, or more time. Every problem is named.
    """
    drafter = _Drafter(wish, path=path, root=root, schema=schema)
    if minutes is not None:
        return drafter.fit_into(minutes)
    if reason := drafter.find_obstacle(None):
        largest = wish.run_flops or (wish.total_flops or 0.0) / SHARE
        raise UsageError(f"{reason}\n{drafter.advise(largest)}")
    return drafter.draft(None)


class _Drafter:
    """One wish, its corpus, and the sweeps for more or less compute."""

    def __init__(self, wish: Wish, *, path: Path, root: Path, schema: str | None) -> None:
        from scaling.data.sources import prepare_source

        self._wish, self._path, self._root, self._schema = wish, path, root, schema
        self._memory = find_run_memory()
        base, cache = path.resolve().parent, root / "results" / ".cache" / "corpora"
        self._corpus = prepare_source(self._parse(_LEAST)[1], base=base, cache=cache)

    def find_obstacle(self, largest: float | None) -> str:
        """Say why a sweep should not be trained, empty if it may be; `largest` as for `_parse`."""
        facts = self._corpus.facts
        try:
            spec = self._parse(largest)[1]
            longest = max(wish.tokens for wish in list_wishes(spec, facts))
            if longest <= facts.train_tokens:
                plan_sweep(spec, facts, memory_bytes=self._memory)
                return ""
        except SpecError as error:
            return str(error)
        return (
            f"the longest run would read {format_count(longest)} tokens, and the text has "
            f"{format_count(facts.train_tokens)} to train on: {longest / facts.train_tokens:.1f} "
            "passes, where the law is for text that is read once."
        )

    def advise(self, largest: float) -> str:
        """Advise on the obstacle at this many FLOPs."""
        if largest < _LEAST:
            return f"Ask for more: --total-flops {format_flops(SHARE * _LEAST)} or above."
        most = self._find_most(largest)
        if most is None:
            return "Add text: even the smallest sweep needs more."
        total = f"{0.99 * SHARE * most:.2g}"
        return f"Add text, or ask for less: at most --total-flops {format_flops(float(total))}."

    def fit_into(self, minutes: float) -> DraftedSweep:
        """Find the largest sweep that is planned to take at most this long on this machine.

        Raises:
            UsageError: The smallest takes longer, or its text would be read twice.
        """
        most = self._find_most(_MOST)
        if most is None:
            raise UsageError(f"{self.find_obstacle(_LEAST)}\n{self.advise(_LEAST)}")
        limit, largest = 60.0 * minutes, _LEAST
        speed = self._measure(largest)
        for _ in range(_ROUNDS):
            largest = self._find_longest(limit, most, speed)
            speed = self._measure(largest)
            if self._time(largest, speed) <= limit:
                break
        while (seconds := self._time(largest, speed)) > limit:
            if largest <= _LEAST:
                raise UsageError(
                    f"--minutes {minutes:g}: the smallest sweep is planned to take "
                    f"{format_seconds(seconds)} on this machine. Give it that time."
                )
            largest = max(_LEAST, largest / _STEP)
            speed = self._measure(largest)
        why = " (the text would last no longer)" if largest == most else ""
        return self.draft(largest, seconds, why)

    def draft(
        self, largest: float | None, seconds: float | None = None, why: str = ""
    ) -> DraftedSweep:
        """Draft the file, with its assumptions in the head; `largest` as for `_parse`."""
        sweep = self._plan(largest)
        tokens = max(cell.run.tokens for cell in sweep.plan.cells)
        memory = max(estimate_memory(cell.run) for cell in sweep.plan.cells) / 2**30
        assumed = [
            f"Assumed: no text is read twice: {format_count(tokens)} of "
            f"{format_count(self._corpus.facts.train_tokens)} tokens in the longest run;",
            f"  {memory:.2g} GiB of memory a run, of {self._memory / 2**30:.3g} there are.",
        ]
        if seconds is not None:
            slots = count_slots(sweep.spec)
            assumed.append(
                f"  {slots} run{'s' * (slots > 1)} at a time at the measured speed of this "
                f"machine: planned to train for {format_seconds(seconds)}{why}."
            )
        text, _ = self._parse(largest, tuple(assumed))
        return DraftedSweep(text=text, sweep=sweep, seconds=seconds)

    def _find_longest(self, limit: float, most: float, speed: Throughput) -> float:
        found = _search(_LEAST, most, lambda one: self._time(one, speed) <= limit)
        return _LEAST if found is None else found

    def _find_most(self, most: float) -> float | None:
        return _search(_LEAST, most, lambda one: not self.find_obstacle(one))

    def _parse(self, largest: float | None, assumed: tuple[str, ...] = ()) -> tuple[str, SweepSpec]:
        """The draft whose largest run takes this many FLOPs (None: as many as wished for), and its
        parsed sweep."""
        from scaling.sweep.reading import parse_sweep

        wish = self._wish
        if largest is not None:
            wish = dataclasses.replace(wish, run_flops=largest, total_flops=None)
        text = draft_sweep(wish, schema=self._schema, assumed=assumed)
        return text, parse_sweep(text.encode("utf-8"), source=str(self._path))

    def _plan(self, largest: float | None) -> Sweep:
        text, spec = self._parse(largest)
        plan = plan_sweep(spec, self._corpus.facts, memory_bytes=self._memory)
        return Sweep(path=self._path, text=text, spec=spec, corpus=self._corpus, plan=plan)

    def _measure(self, largest: float) -> Throughput:
        """The speed by which `scaling plan` would plan this sweep."""
        sweep = self._plan(largest)
        precision = settle_plan(sweep, root=self._root)
        throughput, _ = obtain_throughput(sweep, root=self._root, precision=precision)
        assert throughput is not None  # a draft asks for no particular device
        return throughput

    def _time(self, largest: float, throughput: Throughput) -> float:
        """Planned seconds from the first start to the last end."""
        sweep = self._plan(largest)
        held_out = sweep.corpus.facts.validation_tokens

        def estimate(run: RunSpec, first_step: int) -> float:
            return throughput.estimate_seconds(run, held_out=held_out, first_step=first_step)

        runs = (cell.run for cell in sweep.plan.cells)
        return find_makespan(runs, estimate, slots=count_slots(sweep.spec))


def _search(low: float, high: float, fits: Callable[[float], bool]) -> float | None:
    """The largest number of two digits from `low` to `high` that fits, by halving its logarithm;
    None if `low` does not. Everything below a number that fits is assumed to fit."""
    if not fits(low):
        return None
    if fits(high):
        return high
    while high / low > _STEP:
        middle = float(f"{(low * high) ** 0.5:.2g}")
        if middle in (low, high):
            break
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
