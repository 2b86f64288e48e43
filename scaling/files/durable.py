"""Files that are whole or absent: durable writes, the exclusive link, guarded reads.

    replace:  write name.<uuid>.tmp · fsync · os.replace · fsync of the folder     last writer wins
    link:     write name.<uuid>.tmp · fsync · os.link    · fsync of the folder     first writer wins

Measurements showed that neither leaves a torn file under SIGKILL, and that the link has exactly one
winner among racing processes. Reads refuse links, anything that is not a plain file, and files that
are unreasonably large, so that a stranger's folder can be opened.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scaling.errors import EnvironmentFault, IntegrityError
from scaling.files import faults

TEMPORARY_SUFFIX = ".tmp"

_FAULTS_OF_THE_MACHINE = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Raise the quota or free some space",
    errno.EROFS: "Choose a writable folder with --root",
    errno.EACCES: "Make it writable, or choose another folder with --root",
    errno.EPERM: "Make it writable, or choose another folder with --root",
    errno.EFBIG: 'Raise the limit on the size of a file ("ulimit -f")',
    errno.ENOMEM: "Free some memory, or raise its limit",
    errno.EIO: "Check the disk",
    errno.ESTALE: "Check the network file system",
    errno.EMFILE: 'Raise the limit on open files ("ulimit -n")',
    errno.ENFILE: "Raise the system's limit on open files",
}
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV)


def explain_fault(error: OSError, path: Path | str) -> EnvironmentFault | None:
    """The EnvironmentFault behind an OSError; None if the machine is not to blame."""
    advice = _FAULTS_OF_THE_MACHINE.get(error.errno or 0)
    if advice is None:
        return None
    where = error.filename if isinstance(error.filename, str) else str(path)
    return EnvironmentFault(
        f"{where}: {os.strerror(error.errno or 0)}. {advice}; the same command then continues."
    )


@contextlib.contextmanager
def blaming_machine(path: Path | str) -> Iterator[None]:
    """Turn "no space left", "read-only" and the like into an EnvironmentFault naming the path.

    Raises:
        EnvironmentFault: In place of such an OSError; every other error passes unchanged.
    """
    try:
        yield
    except OSError as error:
        fault = explain_fault(error, path)
        if fault is None:
            raise
        raise fault from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents unless they exist.

    Raises:
        EnvironmentFault: The disk is full or read-only.
        IntegrityError: Something else is in its place.
    """
    try:
        with blaming_machine(path):
            path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise IntegrityError(f"{error.filename} is not a folder. Move it away.") from error


def write_durably(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace `path` by `data`, whole or not at all, even under SIGKILL or power loss.

    Args:
        path: Final name; its folder exists.
        data: The whole content.
        sync: False for data that may be lost (heartbeats): atomic, but not flushed.

    Raises:
        EnvironmentFault: The disk is full, read-only or failing.
        IntegrityError: There is a folder in its place.
    """
    temporary = _temporary_beside(path)
    with blaming_machine(path), _removed_on_error(temporary):
        _write_new(temporary, data, sync=sync)
        if sync:
            faults.reach("replace.written")
        try:
            os.replace(temporary, path)
        except IsADirectoryError as error:
            raise IntegrityError(f"{path} is a folder. Move it away.") from error
        if sync:
            faults.reach("replace.replaced")
            sync_folder(path.parent)


def link_exclusively(source: Path, target: Path) -> bool:
    """Give the durable file `source` the name `target`; of all processes that try, one wins.

    Returns:
        True if this call made `target`, False if it existed before.

    Raises:
        EnvironmentFault: Disk trouble, or a file system without hard links. There is no fallback:
            creating `target` with O_EXCL would be exclusive but not whole under SIGKILL.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        # A retried request on a network file system may answer "exists" for our own link.
        if not os.path.samefile(source, target):
            return False
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            raise EnvironmentFault(
                f"{target.parent}: this file system refuses hard links "
                f"({os.strerror(error.errno or 0)}), which exclusive commits need. "
                "Choose a folder on another file system with --root."
            ) from error
        fault = explain_fault(error, target)
        if fault is None:
            raise
        raise fault from error
    faults.reach("link.linked")
    with blaming_machine(target):
        sync_folder(target.parent)
    return True


def sync_file(path: Path) -> None:
    """Flush a file that someone else wrote to the disk."""
    _sync_path(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Flush a folder's names to the disk."""
    _sync_path(path, os.O_RDONLY | os.O_DIRECTORY)


def digest_file(root: Path, relative: str, *, limit: int | None = None) -> str:
    """SHA-256 of the plain file root/relative, never following a link below `root`.

    Args:
        root, relative: As for `read_plain`.
        limit: Largest size [bytes] that is read; None: any, such as that of weights.

    Raises:
        IntegrityError: Not a plain file, reached through a link, or larger than `limit`.
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    with _open_plain(root, relative) as descriptor:
        _check_size(descriptor, relative, limit)
        while block := os.read(descriptor, 1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_plain(root: Path, relative: str, *, limit: int, own: bool = False) -> bytes:
    """Content of the plain file root/relative, never following a link below `root`.

    Args:
        root: The results folder, trusted to be where it is.
        relative: Path below it, `/`-separated, without `..`.
        limit: Largest size [bytes] that is read.
        own: Read only a file that no other user but root can have written.

    Raises:
        IntegrityError: Not a plain file, reached through a link, larger than `limit`, or not `own`.
        OSError: It cannot be read (FileNotFoundError where there is none).
    """
    with _open_plain(root, relative) as descriptor:
        if own:
            _check_owner(descriptor, relative)
        _check_size(descriptor, relative, limit)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()


def read_document(root: Path, relative: str, *, limit: int) -> dict[str, Any]:
    """The JSON object in root/relative; NaN, Infinity and absurd nesting are refused.

    Raises:
        IntegrityError: Not a plain small file, or not a JSON object.
        OSError: It cannot be read (FileNotFoundError where there is none).
    """
    try:
        value = json.loads(read_plain(root, relative, limit=limit), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{relative} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{relative} holds {type(value).__name__}, not an object")
    return value


def refuse_links(root: Path, relative: str) -> None:
    """Make sure that a file written to root/relative lands below `root`.

    Raises:
        IntegrityError: A part of the path below `root` is a link, or no folder.
    """
    parts = relative.split("/")
    for depth in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:depth])
        if path.is_symlink():
            raise IntegrityError(f"{path} is a link. Nothing is written through it.")
        if depth < len(parts) and path.exists() and not path.is_dir():
            raise IntegrityError(f"{path} is not a folder. Move it away.")


@contextlib.contextmanager
def _open_plain(root: Path, relative: str) -> Iterator[int]:
    parts = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise IntegrityError(f"{relative!r} does not name a file inside the folder")
    for folder in itertools.accumulate(parts[:-1], "{}/{}".format):
        if os.path.islink(f"{root}/{folder}"):
            raise IntegrityError(f"{folder} is a link")
    # O_NONBLOCK: opening a FIFO must not wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(root / relative, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IntegrityError(f"{relative} is a link") from error
        if error.errno == errno.ENOTDIR:
            raise IntegrityError(f"{relative} does not lie in a folder") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IntegrityError(f"{relative} is not a plain file")
        yield descriptor
    finally:
        os.close(descriptor)


def _check_size(descriptor: int, relative: str, limit: int | None) -> None:
    size = os.fstat(descriptor).st_size
    if limit is not None and size > limit:
        raise IntegrityError(f"{relative} has {size} bytes; at most {limit} are expected")


def _check_owner(descriptor: int, relative: str) -> None:
    status = os.fstat(descriptor)
    if status.st_uid not in (os.getuid(), 0):
        raise IntegrityError(f"{relative} belongs to another user (uid {status.st_uid})")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(status.st_mode)
        raise IntegrityError(f"{relative} can be written by other users (mode {mode:03o})")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")


def _write_new(path: Path, data: bytes, *, sync: bool) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def _sync_path(path: Path, flags: int) -> None:
    _close_after(os.open(path, flags | os.O_CLOEXEC), os.fsync)


def _close_after(descriptor: int, act: Callable[[int], None]) -> None:
    try:
        act(descriptor)
    finally:
        os.close(descriptor)
