"""How to cite a report: a BibTeX entry that names the sweep, the rows and the version."""

from __future__ import annotations

import re

from scaling.report.data import ReportData

_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:;()/+_-]")


def cite_report(data: ReportData) -> str:
    """The entry of a report."""
    return write_bibtex(
        name=data.name,
        version=data.versions.get("scaling", ""),
        digest=data.fit.table_digest,
        created=data.created,
    )


def write_bibtex(*, name: str, version: str, digest: str, created: str) -> str:
    """One @misc entry; characters that BibTeX or TeX would read are left out.

    Args:
        name: Name of the sweep.
        version: Version of scaling.
        digest: SHA-256 of the fitted rows.
        created: "YYYY-MM-DD ...".
    """
    date = re.match(r"(\d{4})-(\d{2})-\d{2}", created)
    lines = [
        f"@misc{{scaling-{re.sub('[^A-Za-z0-9-]', '-', name)},",
        f"  title = {{Scaling report: {_escape(name)}}},",
        f"  note = {{scaling {_escape(version)}, fitted rows SHA-256 {_escape(digest[:16])}}},",
    ]
    if date is not None:
        lines += [f"  year = {{{date[1]}}},", f"  month = {{{int(date[2])}}},"]
    return "\n".join([*lines, "}"])


def _escape(text: str) -> str:
    return _UNSAFE.sub("", text).replace("_", r"\_")
