"""A population of texts: each with one small grid, and five models at ten times its largest budget.

    python benchmarks/population.py --root FOLDER --out population.csv \
        novels=novels python=python-stdlib chain=synthetic:1 \
        french='CORPORA/eltec_fra/*.txt' c='/usr/include/**/*.h'

A text is NAME=SOURCE; a SOURCE is `novels`, `python-stdlib`, `synthetic:SEED`, or globs of text
files joined by commas, which may be compressed (.gz). Files are taken in the order of their
SHA-256 until 24 MB are full, so that a sample does not follow the alphabet; the recipe of every
text (files, bytes, digest of the prepared corpus) is written beside the CSV as JSON.

Each text gets two sweeps in FOLDER: `NAME` (5 budgets of 7e10 to 6.5e11 FLOPs, 5 sizes, 4
replicates: the quickstart's grid) and `NAME-far` (5 sizes within ×3 of 150k parameters at 6.5e12).
Both resume. The CSV has a row for each finished run: text, role (`grid`, `far`), N, D, C, budget,
loss, loss_se, seed. A text whose CSV rows are written is not trained again.
"""

import argparse
import glob
import gzip
import hashlib
import json
from pathlib import Path

import pandas as pd

from scaling.workflow.preparing import prepare_sweep
from scaling.workflow.stored import read_runs
from scaling.workflow.training import open_ledger, train_sweep

TEXT_BYTES = 24_000_000
GRID = (
    "{budgets: [7e10, 1.2e11, 2.1e11, 3.7e11, 6.5e11], sizes: 5, span: 4, prior: {params: 15000}}"
)
FAR = "{budgets: [6.5e12], sizes: 5, span: 3, prior: {params: 150000, flops: 6.5e12}}"
SWEEP = """\
name: {name}
corpus: {corpus}
model: {{family: transformer, seq_len: 128}}
grid: {grid}
seeds: [0]
replicates: {replicates}
resources: {{cpus_per_run: 1, precision: mixed}}
keep_weights: false
"""


def choose_files(patterns: list[str]) -> list[tuple[Path, bytes]]:
    """Files of text that the globs name, by their digest, up to TEXT_BYTES."""
    found = {}
    for pattern in patterns:
        for name in glob.glob(pattern, recursive=True):
            path = Path(name)
            if not path.is_file() or path.is_symlink():
                continue
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                continue
            if b"\0" not in content:
                found[hashlib.sha256(content).hexdigest()] = (path, content)
    chosen, total = [], 0
    for digest in sorted(found):
        if total + len(found[digest][1]) <= TEXT_BYTES:
            chosen.append(found[digest])
            total += len(found[digest][1])
    return chosen


def describe_corpus(name: str, source: str, root: Path) -> tuple[str, dict[str, object]]:
    """The key `corpus` of a sweep file, and where the text comes from."""
    if source in ("novels", "python-stdlib"):
        return f"{{source: {source}, tokenizer: bytes}}", {"source": source}
    if source.startswith("synthetic:"):
        seed = int(source.partition(":")[2])
        return f"{{source: synthetic, tokens: 4e7, seed: {seed}}}", {"source": source}
    files = choose_files(source.split(","))
    folder = root / "texts" / name
    folder.mkdir(parents=True, exist_ok=True)
    for at, (_, content) in enumerate(files):
        (folder / f"{at:05d}.txt").write_bytes(content)
    told = {
        "source": source,
        "files": len(files),
        "bytes": sum(len(content) for _, content in files),
    }
    return f"{{source: text, paths: ['{folder.absolute()}/*.txt'], tokenizer: bytes}}", told


def train(name: str, source: str, *, root: Path, executor: str) -> tuple[pd.DataFrame, dict]:
    corpus, told = describe_corpus(name, source, root)
    parts = []
    for role, suffix, grid, replicates in (("grid", "", GRID, 4), ("far", "-far", FAR, 0)):
        path = root / f"{name}{suffix}.yaml"
        text = SWEEP.format(name=name + suffix, corpus=corpus, grid=grid, replicates=replicates)
        path.write_text(text, encoding="utf-8")
        sweep = prepare_sweep(path, root=root)
        ledger = open_ledger(sweep, root=root, retrain=False)
        train_sweep(sweep, ledger, executor=executor)
        table, _ = read_runs(root / "results" / sweep.spec.name)
        told["corpus_sha256"] = sweep.corpus.facts.digest
        columns = {
            "text": name, "role": role, "N": table.params, "D": table.tokens, "C": table.flops,
            "budget": table.budget, "loss": table.loss, "loss_se": table.loss_se,
            "seed": table.seed,
        }  # fmt: skip
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts), told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("texts", nargs="+", metavar="NAME=SOURCE")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--executor", default="ray", choices=("ray", "inline"))
    asked = parser.parse_args()
    recipe_path = asked.out.with_suffix(".json")
    rows = pd.read_csv(asked.out) if asked.out.is_file() else pd.DataFrame({"text": []})
    recipe = json.loads(recipe_path.read_text()) if recipe_path.is_file() else {}
    for text in asked.texts:
        name, _, source = text.partition("=")
        if name in set(rows.text):
            continue
        asked.root.mkdir(parents=True, exist_ok=True)
        new, told = train(name, source, root=asked.root, executor=asked.executor)
        rows = pd.concat([rows, new]) if len(rows) else new
        recipe[name] = told
        rows.to_csv(asked.out, index=False, float_format="%.8g")
        recipe_path.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {len(new)} runs, {told}", flush=True)


if __name__ == "__main__":
    main()
