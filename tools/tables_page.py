"""docs/tables.md: which tables can be read and how they are understood, written from the readers.

python -m tools.tables_page > docs/tables.md
"""

import sys
from collections.abc import Iterable

from scaling.tables.columns import OPTIONAL, REQUIRED
from scaling.tables.opening import FORMATS, RUN_COLUMNS
from scaling.tables.shapes import SHAPES
from scaling.tables.states import STATE_COLUMNS, TRACKERS
from scaling.tables.units import RANGES
from scaling.units.numbers import EXAMPLES, read_number
from tools.markdown import tabulate

_HEAD = """\
# Tables of runs

`fit`, `allocate`, `predict`, `backtest` and `compare` take a table of runs made anywhere. This page
says what can be read and how it is understood; `scaling read TABLE` says the same of one table,
before anything is fitted. It is written from the readers:
`python -m tools.tables_page > docs/tables.md`.

Nothing is mapped, converted or left out silently. What was understood is a note on standard error;
what cannot be understood is refused (exit 2), every problem of a file at once, with what to say.

```bash
scaling read runs.csv --columns N=size,D=tokens
scaling fit runs.csv --columns N=params_M[M],D=steps*batch_tokens,C=total_gflops[GFLOP]
scaling fit runs.csv --columns loss=ppl,loss_se= --loss-unit ppl --state status=done --where data=c4
scaling fit runs.csv --group-by corpus --best-recipe
scaling fit curves.csv --last-of-run
scaling fit compute.csv --of C --at 1e22
scaling report runs.csv --backtest
scaling compare a.csv b.csv --of D --exponent 0.28
```
"""
_COLUMNS = """\
## Columns

`--columns` gives each of these the file's own name, or an expression of its columns. A name with a
comma stands in backticks; an empty one leaves an optional column out (`lr=`). Missing N or D are
never guessed: the error says from which columns they follow. What a table does not state is not
checked: with `loss_se`, `batch_tokens`, `steps`, `warmup_steps`, `decay_steps`, `corpus` and
`numerics` it is checked as a sweep of this package is ([checks](checks.md)).

```bash
# W&B: the runs table saved as CSV from its page, or runs from the API written as JSON lines
scaling fit wandb_export.csv --columns N=n_params,D=tokens,loss=val/loss
scaling fit runs.jsonl --columns N=config.n_params,D=config.tokens,loss=summary.val/loss
# MLflow: mlflow experiments csv -x 1 -o runs.csv
scaling fit runs.csv --columns N=params.N,D=params.D,loss=metrics.loss
```
"""
_EXPRESSIONS = """\
## Expressions and units

Columns and numbers with `+ - * / ^` (also `× ÷ **`) and parentheses: `D=C/(6*N)`, `N=10^logN`,
`D=epochs*2e9`. Where names overlap the longest counts. A unit in brackets multiplies: `[k] [M] [B]
[T]`, `[GFLOP]` … `[ZFLOP]`, `[PF-days]`; `[log10]` takes ten to that power. A number alone holds
for every row.
"""
_NUMBERS = """\
## Numbers

In tables, in every flag that takes N, D or FLOPs, in sweep files and on the page:
"""
_COMMAS = """
A comma may stand for thousands or for a fraction. In a table the other cells say which; alone,
`1,234` is refused with both readings.
"""
_LOSSES = """\
## Losses

`--loss-unit nats` (per token; the default), `bits` (per token), `bpb` (bits per byte) or `ppl` (a
perplexity) is the unit of the table, of the question (`--target-loss`, `--floor`,
`--family floor:…`, `--outcome`), of all that is printed and of JSON, whose `loss_unit` names it.
Fits are made in nats. Letters of a law that are proportional to the loss (`E`, `A`, `B`) follow
the unit; those of a perplexity, and of laws that hold the loss inside a power, stay in nats, and
the law says so. Bits per byte are fitted per byte: N* and D* do not depend on the bytes of a token,
so a table need not state them. A results folder knows those of its held-out text and answers in any
unit.
"""
_METRICS = """\
## Other quantities than the loss

`fit`, `allocate`, `predict` and `report` take `--metric NAME`: a column of numbers, with its
standard error in `NAME_se` if there is one, or a probe that a sweep asked for
(`evaluate: [tail_loss]`). The table then needs no loss. A law of ln(metric) is fitted; where
`--higher-is-better`, one of ln(B − metric), with `--bound B` what no model can pass: 1 for a share.
A probe states direction and bound itself. Answers are printed in the metric; in JSON `loss` is what
the law gives (B − metric), and `metric` holds name, unit, direction, bound, value and intervals.
Checks that speak of cross-entropy are not evaluated.

```bash
scaling fit runs.csv --metric accuracy --higher-is-better --bound 1
scaling predict runs.csv --metric error --columns error=eval/err --params 3e9 --tokens 6e10
scaling report results/mine --metric tail_loss      # reports/mine/tail_loss.md
```
"""
_STATES = """\
## Which rows count

A column of one of these names says how a run ended (letter case does not matter): {columns}.
Unfinished runs are malformed rows, left out by `--drop-bad`. `--state COLUMN=word,word` names the
words of rows that count, `--state any` takes all. A word that is not here is kept and named.
"""
_RULES = """
`--where COLUMN=VALUE` (repeated: all of them; numbers compare as numbers) reads only some rows;
`--group-by COLUMN` fits one law for each value. Rows that share their value in one of {runs}
and their N, each with its own D, are points along a run: `--last-of-run` keeps the end of each.

Rows leave a fit only by a rule that you declare: `--flops-range 1e18:1e21`, `--first-epoch`
(D ≤ U), `--min-ratio 4` (tokens per parameter), `--last-of-run`, `--best-recipe` (the lowest loss
of each (N, D), with the other seeds of its recipe). Each says how many rows it left out, and `fit`
prints the law of all rows beside that of the rest. `report` takes the same rules.
"""
_ALONG_RUNS = """\
## Points along runs

Rows that share a `run` are points along one training run. They compare with finished runs, and
Chinchilla's Approach 1 (the envelope of training curves) can be drawn, only where `schedule` says
why, with one word in every row:

- `cooldown`: each row is the end of a decay of its own, branched from the run's constant phase;
- `constant`: the rate decays nowhere. Law and frontier are then those of undecayed loss, and every
  answer says so.

```bash
scaling fit branches.csv --columns run=trunk,N=params,D=tokens,loss=val_loss
scaling allocate branches.csv --columns run=trunk,N=params,D=tokens --approach envelope --flops 1e21
```

Rows of one run share its noise, so runs, not rows, are resampled. Under any other schedule a point
in the middle is not what a shorter run would have reached: the check `mid_run_points` fails, and
there is no envelope, as on tables of finished runs.
"""
_UNITS = """\
## Units

Outside these ranges the check `implausible_units` fails and names the likely unit. Several units in
one column, or D/N beyond its outer range, end with exit 2 unless you say `--anyway`.
"""


def write_table_page() -> str:
    """The page, in Markdown."""
    states = [(one.name, *map(_quote, (one.finished, one.unfinished, one.unclear)))
              for one in TRACKERS]  # fmt: skip
    columns = [(f"`{one.name}`", one.unit, "needed" if one in REQUIRED else "", one.meaning)
               for one in (*REQUIRED, *OPTIONAL)]  # fmt: skip
    numbers = [(f"`{text}`", f"{read_number(text):.10g}") for text in EXAMPLES]
    parts = [
        _HEAD,
        "## Files\n\n" + tabulate(("suffix", "read as"), FORMATS),
        "## Shapes\n\n" + tabulate(("what it looks like", "how it is understood"), SHAPES),
        _COLUMNS + "\n" + tabulate(("column", "unit", "", "meaning"), columns),
        _EXPRESSIONS,
        _NUMBERS + "\n" + tabulate(("written", "read as"), numbers) + _COMMAS,
        _LOSSES,
        _METRICS,
        _STATES.format(columns=_quote(STATE_COLUMNS))
        + "\n" + tabulate(("program", "finished", "unfinished", "says neither"), states)
        + _RULES.format(runs=_quote(RUN_COLUMNS)),
        _ALONG_RUNS,
        _UNITS + "\n" + tabulate(("quantity", "range"), RANGES),
    ]  # fmt: skip
    return "\n".join(parts)


def _quote(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


if __name__ == "__main__":
    sys.stdout.write(write_table_page())
