"""Finding a stored fit again by the bytes it rests on.

    results/<sweep>/fits/known/<digest of bytes and question>.json  →  fits/<digest of rows>.json

Naming the fit of a results folder by its rows takes the sweep file, its plan and the ladder's cost:
.2 s, and pydantic's .1 s to import. The same contents under the same question give the same rows,
so a small note beside the fits records the fit found last time. A note is written only if nothing
was damaged; if anything is wrong, this module gives no answer and never an error: the full way then
reports it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling._version import __version__
from scaling.errors import ScalingError
from scaling.files.durable import read_document, refuse_links, write_durably
from scaling.files.sealed import build_value, canonical_json, open_document, seal_document
from scaling.fitting.fitted import Fit
from scaling.fitting.store import FORMAT_VERSION, read_fit
from scaling.ledger.contents import Contents
from scaling.sweep.families.registry import AnyShape, AnyShapes
from scaling.sweep.ladder import Ladder, is_first
from scaling.sweep.shapes import ModelShape, NamedModel

_FOLDER = "fits/known"
_NOTE_BYTES = 2**20  # a list of models may be long


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The place of the fit that answers a question.

    Attributes:
        fit: Name of its file in fits/.
        table_digest: Digest of the fitted rows.
        rung: The first rung of the sweep's ladder, from which the others follow.
        layers: Depth of all rungs, if the sweep file fixes it.
        listed: The other models, if a sweep file lists them, since nothing else gives them.
    """

    fit: str
    table_digest: str
    rung: AnyShape
    layers: int | None = None
    listed: AnyShapes = ()


def recall_fit(
    contents: Contents, question: Mapping[str, Any]
) -> tuple[Fit, Iterable[ModelShape]] | None:
    """The stored fit of a results folder and the sweep's ladder; None if neither is known.

    Args:
        contents: The folder's files.
        question: Every option that rows and fit depend on, JSON values.
    """
    folder, fingerprint = contents.ledger.folder, contents.fingerprint
    if fingerprint is None:
        return None
    try:
        path = f"{_FOLDER}/{_name_note(fingerprint, question)}"
        body, _ = open_document(read_document(folder, path, limit=_NOTE_BYTES))
        note: Note = build_value(Note, body, "note")
        fit = read_fit(folder / "fits" / Path(note.fit).name)
    except (OSError, ScalingError):
        return None
    if fit.table_digest != note.table_digest:
        return None
    if isinstance(note.rung, NamedModel):
        return fit, (note.rung, *note.listed)
    # The folder may be a stranger's: do not walk a ladder that never ends.
    integers = [one for one in dataclasses.astuple(note.rung) if isinstance(one, int)]
    if min(integers) < 1 or not is_first(note.rung, layers=note.layers):
        return None
    return fit, Ladder(note.rung, note.layers)


def note_fit(folder: Path, fingerprint: str, question: Mapping[str, Any], note: Note) -> None:
    """Note which stored fit answers the question; ignores a folder that cannot be written."""
    path = folder / _FOLDER / _name_note(fingerprint, question)
    try:
        refuse_links(folder, f"{_FOLDER}/{path.name}")
        path.parent.mkdir(exist_ok=True)
        write_durably(path, seal_document(dataclasses.asdict(note)))
    except (OSError, ScalingError):
        return


def _name_note(fingerprint: str, question: Mapping[str, Any]) -> str:
    key = canonical_json([fingerprint, dict(question), __version__, FORMAT_VERSION])
    return f"{hashlib.sha256(key).hexdigest()[:16]}.json"
