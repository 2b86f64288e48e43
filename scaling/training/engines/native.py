"""Compiling C++ once per machine, and loading what came of it.

    <cache>/scaling/native/<key>.so      key: sources, compiler and its version, flags, processor
    <cache>/scaling/native/<key>.sha256  of the library, checked before it is loaded

The cache is the user's own ($XDG_CACHE_HOME, else ~/.cache), never a results folder: opening a
stranger's results must execute nothing. A folder that others could write to is not used either;
then, and where there is no home, the library is compiled for this process alone.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from scaling.durable import write_durably
from scaling.errors import EnvironmentFault

# -fno-trapping-math and -fno-math-errno let loops be vectorised; neither changes a result. Not
# -ffast-math: NaN must come through, and sums have a stated order. -Wno-psabi: vectors are passed
# within the library only.
_FLAGS = (
    "-std=c++17",
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-shared",
    "-fPIC",
)
_COMPILERS = ("c++", "g++", "clang++")
_SECONDS = 120.0


class CompilerError(EnvironmentFault):
    """C++ cannot be compiled here; the message says why and what would help."""


@functools.lru_cache
def load_library(source: Path) -> ctypes.CDLL:
    """The compiled `source`, which may include headers that lie beside it.

    Raises:
        CompilerError: There is no compiler, or it fails.
    """
    compiler = _find_compiler()
    command = (compiler, *_FLAGS, _choose_target())
    files = {path.name: path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))}
    parts = [*files.values(), " ".join(command).encode(), _ask_version(compiler), _name_processor()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]
    folder = _find_cache()
    if folder is None:
        with tempfile.TemporaryDirectory() as private:
            return ctypes.CDLL(str(_compile(command, files, Path(private), key)))
    path = folder / f"{key}.so"
    if not _is_intact(path):
        _compile(command, files, folder, key)
    return ctypes.CDLL(str(path))


def _choose_target() -> str:
    return "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"


def _find_compiler() -> str:
    asked = os.environ.get("CXX")
    for name in (asked,) if asked else _COMPILERS:
        if found := shutil.which(name):
            return found
    missing = f"CXX is {asked!r}, which is not there" if asked else "no C++ compiler was found"
    raise CompilerError(f"{missing}. Install one (Debian: apt-get install g++).")


def _ask_version(compiler: str) -> bytes:
    try:
        done = subprocess.run(
            [compiler, "--version"], capture_output=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompilerError(f"{compiler} --version: {error}.") from error
    return done.stdout


def _name_processor() -> bytes:
    """What -march=native looks at, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor().encode()
    wanted = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)})).encode()


def _find_cache() -> Path | None:
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(base) / "scaling" / "native"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    open_to_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    own = status.st_uid == os.getuid() and not open_to_others and os.access(folder, os.W_OK)
    return folder if own else None


def _is_intact(path: Path) -> bool:
    try:
        digest = path.with_suffix(".sha256").read_text()
        return hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except (OSError, UnicodeDecodeError):
        return False


def _compile(command: tuple[str, ...], files: dict[str, bytes], folder: Path, key: str) -> Path:
    """The library of the first file, complete or not there; processes that compile at once write
    the same."""
    with tempfile.TemporaryDirectory() as work:
        for name, content in files.items():
            (Path(work) / name).write_bytes(content)
        source, library = Path(work) / next(iter(files)), Path(work) / "library.so"
        try:
            done = subprocess.run(
                [*command, "-o", str(library), str(source)],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CompilerError(f"{command[0]}: {error}.") from error
        if done.returncode != 0:
            first = (done.stderr.strip() or "no message").splitlines()[0]
            raise CompilerError(f"{command[0]} failed with {done.returncode}: {first[:300]}")
        content = library.read_bytes()
    path = folder / f"{key}.so"
    try:
        write_durably(path, content)
        write_durably(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    except OSError as error:
        raise CompilerError(f"{folder}: cannot be written ({error.strerror}).") from error
    return path
