"""Pack the novels of `corpus: {source: novels}` from a copy of ELTeC-eng's plain text.

    python tools/pack_novels.py FOLDER

FOLDER holds manifest.csv (split, file, year, author, title, chars) and eltec_eng_train.txt and
eltec_eng_val.txt, the manifest's books in its order, with two empty lines between them. Written are
scaling/data/novels/novels.xz (the texts, one after another) and books.csv (what they are).

Whole authors are held out, in the order of a hash of their names, until there are 27 books; each
gives one excerpt from its middle, so that the held-out set is as long as one evaluation should be
and its documents are as many authors' as it can hold. Every book of the other authors is trained
on.
"""

import csv
import hashlib
import lzma
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "scaling" / "data" / "novels"
HELD_OUT_BOOKS = 27
EXCERPT_BYTES = 20 * 1024  # 27 excerpts are slightly more than the 512 kB of an evaluation
FIELDS = ("held_out", "file", "year", "author", "title", "bytes")


def main() -> None:
    """Write both files."""
    folder = Path(sys.argv[1])
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts: list[str] = []
    for split in ("train", "val"):
        whole = (folder / f"eltec_eng_{split}.txt").read_text(encoding="utf-8")
        texts += whole.rstrip("\n").split("\n\n\n")
    if len(texts) != len(rows):
        raise SystemExit(f"{len(texts)} texts for the {len(rows)} rows of the manifest")
    books = sorted(zip(rows, texts, strict=True), key=lambda book: book[0]["file"])
    held_out: set[str] = set()
    for author in sorted({row["author"] for row, _ in books}, key=_hash):
        if sum(row["author"] in held_out for row, _ in books) < HELD_OUT_BOOKS:
            held_out.add(author)
    TARGET.mkdir(exist_ok=True)
    packed: list[bytes] = []
    with (TARGET / "books.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        for row, text in books:
            aside = row["author"] in held_out
            content = _cut_excerpt(text.encode()) if aside else text.encode()
            packed.append(content)
            name = Path(row["file"]).stem
            writer.writerow(
                {field: row.get(field) for field in FIELDS}
                | {"held_out": int(aside), "file": name, "bytes": len(content)}
            )
    content = b"".join(packed)
    stored = lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)
    (TARGET / "novels.xz").write_bytes(stored)
    print(f"{len(content)} bytes in {len(stored)}, SHA-256 {hashlib.sha256(content).hexdigest()}")


def _hash(author: str) -> str:
    return hashlib.sha256(author.encode()).hexdigest()


def _cut_excerpt(text: bytes) -> bytes:
    """Whole paragraphs from the middle of a book."""
    start = text.index(b"\n", len(text) // 2 - EXCERPT_BYTES // 2) + 1
    return text[start : text.rindex(b"\n", start, start + EXCERPT_BYTES)].strip()


if __name__ == "__main__":
    main()
