"""What a run was computed with: versions of the software, the project's own source, the processor.

Recorded with each result, so that a page can show the runs' versions and not those of the process
that renders it. None of it enters a run_id or decides whether results compare (`numerics` does).
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import re
import sys
from pathlib import Path

from scaling._version import __version__
from scaling.ledger.machine import name_processor

_PACKAGE = Path(__file__).parents[1]
_COMMIT = re.compile(r"[0-9a-f]{40}")


@functools.cache
def describe_versions() -> dict[str, str]:
    """Name -> version of what computes in this process; what cannot be found out is left out.

    `source` is the digest of this package's Python and C++ files: the same for two processes only
    where they run the same code, whatever `commit` says of files changed since.
    """
    found = {
        "scaling": __version__,
        "commit": _find_commit(),
        "source": _digest_source(),
        "python": platform.python_version(),
        "numpy": _find_version("numpy"),
        "torch": _find_version("torch"),
        # Only if Ray ran the worker; an inline run does not depend on it.
        "ray": _find_version("ray") if "ray" in sys.modules else "",
        "system": f"{platform.system()} {platform.release()}",
        "processor": name_processor(),
    }
    return {name: value for name, value in found.items() if value}


def _find_version(name: str) -> str:
    import importlib.metadata  # takes .02 s, needed only to commit a run

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _digest_source() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.suffix in (".py", ".cpp", ".h") and path.is_file():
            digest.update(path.relative_to(_PACKAGE).as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _find_commit() -> str:
    """Of the checkout that the package lies in, or that it was installed from; empty if neither is
    known. Read from files: no git is started."""
    try:
        return _read_head(_PACKAGE.parent) or _read_installed()
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _read_head(checkout: Path) -> str:
    git = checkout / ".git"
    if git.is_file():  # a git worktree
        git = checkout / git.read_text().removeprefix("gitdir:").strip()
    if not git.is_dir():
        return ""
    head = (git / "HEAD").read_text().strip()
    if _COMMIT.fullmatch(head):
        return head
    name = head.removeprefix("ref:").strip()
    shared = git / "commondir"
    homes = [git, *([git / shared.read_text().strip()] if shared.is_file() else [])]
    for home in homes:
        if (home / name).is_file():
            return _check((home / name).read_text().strip())
        packed = home / "packed-refs"
        for line in packed.read_text().splitlines() if packed.is_file() else ():
            if line.endswith(f" {name}"):
                return _check(line.split()[0])
    return ""


def _read_installed() -> str:
    """What pip noted of a package that it fetched from a repository (PEP 610)."""
    import importlib.metadata

    try:
        stated = importlib.metadata.distribution("scaling").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return ""
    return _check(json.loads(stated or "{}").get("vcs_info", {}).get("commit_id", ""))


def _check(commit: str) -> str:
    return commit if _COMMIT.fullmatch(commit) else ""
