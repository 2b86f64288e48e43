"""docs/commands.md: every verb of the command line, written from click's own help.

python -m tools.commands_page > docs/commands.md
"""

from __future__ import annotations

import re
import signal
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable

import click

from scaling.cli import cli
from scaling.errors import EnvironmentFault, LockedError, ScalingError, UsageError
from scaling.verbs.exits import DAMAGED, NO_USABLE_FIT, SIGNAL_BASE, SOME_RUNS_FAILED
from tools.markdown import escape, tabulate

_HEAD = """\
# Commands

Every verb: what it does, two examples, its options. `scaling VERB --help` says the same. This page
is written from it: `python -m tools.commands_page > docs/commands.md`.

Answers go to standard output, notes and errors to standard error; numbers may be written as `1e21`,
`10^21`, `70M` or `300B`. Options that several verbs share stand [at the end](#shared-options).
"""
_SHARED = """\
## Shared options
"""
_EXITS = """\
## Exit codes
"""
_LEAVES = """\
## What a run leaves

```
results/<sweep>/
  sweep.yaml  sweep.json          what was asked, on which corpus
  runs/<run_id>/result.json       committed once, with its SHA-256
  runs/<run_id>/attempts/...      curves, weights, logs
  index/runs.csv                  every run as a row
  trackers/                       what --track wrote
  fits/                           stored fits, for instant answers
  forecasts/                      what was said of runs before they were trained, each sealed
reports/<sweep>/index.html        the page
```

What a sweep survives, and what is tried again: [faults.md](faults.md).
"""
_CODES = (
    (0, "done, or an answer"),
    (ScalingError.exit_code, "a mistake of this program: please report it"),
    (UsageError.exit_code, "bad usage, or a bad file; every problem is named at once"),
    (SOME_RUNS_FAILED, "finished, but some runs failed"),
    (NO_USABLE_FIT, "the runs carry no usable fit"),
    (EnvironmentFault.exit_code, "disk, memory, Ray or permissions; the same command continues"),
    (LockedError.exit_code, "another driver works on this sweep"),
    (DAMAGED, "stored results are damaged"),
    (SIGNAL_BASE + signal.SIGINT, "interrupted"),
    (SIGNAL_BASE + signal.SIGTERM, "terminated"),
)
# Options of at least this many verbs are described once.
_SHARED_BY = 3
_Row = tuple[str, str, str]  # (name with its argument, default, meaning)


def write_command_page() -> str:
    """The page, in Markdown."""
    rows = {name: list(_list_options(name, verb)) for name, verb in cli.commands.items()}
    count = Counter(row for some in rows.values() for row in some)
    shared = [row for row, times in count.items() if times >= _SHARED_BY]
    listed = [
        (f"[`{name}`](#scaling-{name})", escape(verb.short_help or ""))
        for name, verb in cli.commands.items()
    ]
    parts = [_HEAD, tabulate(("verb", "what it does"), listed)]
    for name, verb in cli.commands.items():
        parts += _describe(name, verb, rows[name], shared)
    users = {
        row: ", ".join(f"`{name}`" for name in cli.commands if row in rows[name]) for row in shared
    }
    parts.append(_SHARED)
    parts.append(tabulate((*_HEADINGS, "verbs"), [(*row, users[row]) for row in shared]))
    codes = [(str(code), words) for code, words in _CODES]
    return "\n".join([*parts, _EXITS, tabulate(("code", "meaning"), codes), _LEAVES])


_HEADINGS = ("option", "default", "meaning")


def _describe(name: str, verb: click.Command, rows: list[_Row], shared: list[_Row]) -> list[str]:
    """Usage, words, examples and options of one verb."""
    examples, _, words = (verb.help or "").replace("\b\n", "").partition("\n\n")
    context = click.Context(verb, info_name=f"scaling {name}")
    usage = " ".join(verb.collect_usage_pieces(context))
    prose = [" ".join(one.split()) for one in words.split("\n\n")]
    parts = [
        f"## scaling {name}\n",
        *(f"{escape(one)}\n" for one in prose),
        f"```\nscaling {name} {usage}\n```\n",
        f"```bash\n{textwrap.dedent(examples)}\n```\n",
    ]
    own = [row for row in rows if row not in shared]
    if own:
        parts.append(tabulate(_HEADINGS, own))
    if others := [row[0].split()[0].strip("`,") for row in rows if row in shared]:
        named = ", ".join(f"`{one}`" for one in others)
        parts.append(f"{'Also' if own else 'Options'}: {named} ([below](#shared-options)).\n")
    return parts


def _list_options(name: str, verb: click.Command) -> Iterable[_Row]:
    context = click.Context(verb, info_name=name)
    for param in verb.params:
        record = param.get_help_record(context) if isinstance(param, click.Option) else None
        if record is None:
            continue
        # Help texts look like "Which one.  [default: a]  [0<x<1]".
        words, *said = record[1].split("  [")
        facts = "; ".join(one.strip().removesuffix("]") for one in said).split("; ")
        default = ", ".join(
            f"`{one}`" if re.search("[<>]", one) else one.removeprefix("default: ") for one in facts
        )
        yield f"`{record[0]}`".replace("|", "\\|"), escape(default), escape(words)


if __name__ == "__main__":
    sys.stdout.write(write_command_page())
