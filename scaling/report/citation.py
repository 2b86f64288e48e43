"""How to cite a report: a BibTeX entry that names the sweep, the rows and the version."""

from __future__ import annotations

import re

from scaling.report.data import ReportData

_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:;()/+_-]")


def cite_report(data: ReportData) -> str:
    """One @misc entry; characters that BibTeX or TeX would read are left out."""
    version, digest = data.versions.get("scaling", ""), data.fit.table_digest
    date = re.match(r"(\d{4})-(\d{2})-\d{2}", data.created)
    lines = [
        f"@misc{{scaling-{re.sub('[^A-Za-z0-9-]', '-', data.name)},",
        f"  title = {{Scaling report: {_escape(data.name)}}},",
        f"  note = {{scaling {_escape(version)}, fitted rows SHA-256 {_escape(digest[:16])}}},",
    ]
    if date is not None:
        lines += [f"  year = {{{date[1]}}},", f"  month = {{{int(date[2])}}},"]
    return "\n".join([*lines, "}"])


def _escape(text: str) -> str:
    return _UNSAFE.sub("", text).replace("_", r"\_")
