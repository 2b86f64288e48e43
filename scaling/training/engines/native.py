"""Compiling C++ once per machine, and loading what came of it.

    <cache>/scaling/native/<key>.so      key: sources, compiler and its version, flags, C library,
                                         processor
    <cache>/scaling/native/<key>.sha256  of the library, checked before it is loaded

The cache is the user's own ($XDG_CACHE_HOME, else ~/.cache), never a results folder: opening a
stranger's results must execute nothing. A folder that others could write to is not used either;
then, and where there is no home, the library is compiled for this process alone. So is one that
does not load. Only what was loaded once is kept.

Messages reach logs and results folders, so they name variables of the environment, never their
values.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from scaling.errors import EnvironmentFault, ScalingError
from scaling.files.durable import write_durably

# -fno-trapping-math and -fno-math-errno let loops be vectorised without changing a result.
# -ffast-math would not do: NaN must propagate, and sums have a fixed order. -Wno-psabi: vectors are
# only passed within the library.
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

logger = logging.getLogger(__name__)


class CompilerError(EnvironmentFault):
    """C++ cannot be compiled here; the message says why and what would help."""


@functools.lru_cache
def load_library(source: Path) -> ctypes.CDLL:
    """The compiled `source`, which may include headers that lie beside it.

    Raises:
        CompilerError: There is no compiler, it fails, or what it makes does not load.
    """
    compiler = _find_compiler()
    command = (compiler, *_FLAGS, _choose_target())
    files = {path.name: path.read_bytes() for path in (source, *sorted(source.parent.glob("*.h")))}
    built_with = (" ".join(command).encode(), _ask_version(compiler), _name_c_library())
    parts = [*files.values(), *built_with, _name_processor()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]
    folder = _find_cache()
    kept = folder / f"{key}.so" if folder else None
    if kept is not None and _is_intact(kept):
        try:
            return ctypes.CDLL(str(kept))
        except OSError as error:  # the home folder is shared with another system, or mounted noexec
            logger.info("the compiled steps are compiled again: %s", _strip_path(error))
    try:
        with tempfile.TemporaryDirectory() as private:
            path = _compile(command, files, Path(private))
            library = ctypes.CDLL(str(path))
            if kept is not None:
                _keep(path.read_bytes(), kept)
    except OSError as error:
        raise CompilerError(
            f"what the C++ compiler made does not load: {_strip_path(error)}."
        ) from None
    return library


def _choose_target() -> str:
    return "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"


def _find_compiler() -> str:
    asked = os.environ.get("CXX")
    for name in (asked,) if asked else _COMPILERS:
        if found := shutil.which(name):
            return found
    missing = "CXX names no compiler" if asked else "no C++ compiler was found"
    raise CompilerError(f"{missing}. Install one (Debian: apt-get install g++).")


def _ask_version(compiler: str) -> bytes:
    try:
        done = subprocess.run(
            [compiler, "--version"], capture_output=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = _hide(compiler, str(error))
        raise CompilerError(f"the C++ compiler does not tell its version: {why}.") from None
    return done.stdout


def _name_c_library() -> bytes:
    """What the library is linked against, such as `glibc 2.36`."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").encode()
    except (ValueError, OSError):  # not glibc
        return "-".join(platform.libc_ver()).encode()


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
    except (OSError, RuntimeError):  # RuntimeError: no home folder
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


def _compile(command: tuple[str, ...], files: dict[str, bytes], folder: Path) -> Path:
    """The library of the first file, made in `folder`."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    source, library = folder / next(iter(files)), folder / "library.so"
    try:
        done = subprocess.run(
            [*command, "-o", str(library), str(source)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CompilerError(f"the C++ compiler: {_hide(command[0], str(error))}.") from None
    if done.returncode != 0:
        first = (done.stderr.strip() or "no message").splitlines()[0]
        said = _hide(command[0], first)[:300]
        raise CompilerError(f"the C++ compiler failed with {done.returncode}: {said}")
    return library


def _keep(content: bytes, path: Path) -> None:
    """For the next process; those that compile at once write the same."""
    try:
        write_durably(path, content)
        write_durably(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    except (OSError, ScalingError):
        logger.info("the compiled steps are not kept: the cache cannot be written")


def _hide(compiler: str, said: str) -> str:
    """What a compiler said, without where it lies."""
    for name in (compiler, Path(compiler).name):
        said = said.replace(name, "compiler")
    return said


def _strip_path(error: OSError) -> str:
    return error.strerror or str(error).rpartition(": ")[2]
