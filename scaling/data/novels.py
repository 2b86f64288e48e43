"""`corpus: {source: novels}`: English novels of 1840 to 1920, in the public domain, in the package.

Whole books are trained on. Held out are excerpts of other authors' books, one from the middle of
each, so that no book, and no author, stands on both sides. `novels/books.csv` says which book is
which, `novels/LICENCE.md` where they come from; tools/pack_novels.py packed them.

Source: ELTeC-eng, edited by Lou Burnard (COST Action CA16204), doi:10.5281/zenodo.4662490.
"""

from __future__ import annotations

import csv
import hashlib
import lzma
from pathlib import Path

from scaling.data.documents import Document
from scaling.errors import IntegrityError

_FOLDER = Path(__file__).parent / "novels"
# A changed text would be a different corpus, and its runs would no longer compare.
NOVELS_SHA256 = "3ad80a2242333526de623dcef64145db757b756cae8438af13dde9ce33463ebf"


def read_novels() -> tuple[Document, ...]:
    """Every book and every held-out excerpt.

    Raises:
        IntegrityError: The packed text is not the one this version was released with.
    """
    with (_FOLDER / "books.csv").open(encoding="utf-8", newline="") as file:
        books = list(csv.DictReader(file))
    try:
        text = lzma.decompress((_FOLDER / "novels.xz").read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise _name_damage(str(error)) from error
    if hashlib.sha256(text).hexdigest() != NOVELS_SHA256:
        raise _name_damage("its SHA-256 is another")
    documents, start = [], 0
    for book in books:
        end = start + int(book["bytes"])
        held_out = book["held_out"] == "1"
        name = f"{'held-out' if held_out else 'train'}/{book['file']}"
        documents.append(Document(name, text[start:end], held_out=held_out))
        start = end
    return tuple(documents)


def _name_damage(reason: str) -> IntegrityError:
    return IntegrityError(
        f"{_FOLDER / 'novels.xz'} is not the text of this version ({reason}).\n"
        "Install the package again."
    )
