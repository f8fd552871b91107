"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_SUFFIX = ".espcn-part"
_RANDOM = 8  # hexadecimal digits


@contextlib.contextmanager
def complete_file(path: str | os.PathLike[str]) -> Iterator[io.BufferedWriter]:
    """Write a file that takes its name only when all of it is on the disk.

    The bytes go to ``.{name}.{random}.espcn-part`` in the same folder. After the block that file is flushed
    to the disk and renamed; after an error it is removed. While it is written it is locked, so that
    `clear_leftovers` can tell it from what a killed process left behind.

    Parameters
    ----------
    path : path
        The final name. What is there is replaced (a symbolic link itself, not its target).

    Yields
    ------
    file : binary file open for writing

    Raises
    ------
    OSError
        As the system says it: no space, no such folder, no permission.
    """
    path = Path(path)
    temporary, file = _create(path)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if sys.platform != "win32":
                os.replace(temporary, path)  # before it is closed, for closing releases the lock
        if sys.platform == "win32":
            os.replace(temporary, path)  # there an open file has no second name and needs no lock
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


@contextlib.contextmanager
def complete_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Fill a folder that takes its name only when all that is in it is on the disk.

    The files go into ``.{name}.{random}.espcn-part`` beside it, which is locked meanwhile as a file of
    `complete_file` is. A folder that was there is moved aside and removed; a process that is killed just then
    leaves neither name, never a mixture.

    Parameters
    ----------
    path : path
        The final name.

    Yields
    ------
    folder : Path
        Where to write. After the block the files are flushed to the disk and the folder is renamed; after an
        error all of it is removed.

    Raises
    ------
    OSError
        As the system says it.
    """
    path = Path(path)
    temporary = path.with_name(_temporary_name(path.name))
    temporary.mkdir()
    try:
        with _locked_folder(temporary):
            yield temporary
            for file in sorted(temporary.iterdir()):
                with file.open("r+b") as handle:
                    os.fsync(handle.fileno())
            _sync_folder(temporary)
            old = path.with_name(_temporary_name(path.name))
            if path.is_dir() and not path.is_symlink():
                os.rename(path, old)
            try:
                os.rename(temporary, path)
            except OSError:
                if old.exists():
                    os.rename(old, path)
                raise
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    _sync_folder(path.parent)


def clear_leftovers(folder: str | os.PathLike[str], names: Collection[str] | None = None) -> int:
    """Remove the temporary files and folders in a folder that no living process is writing.

    Parameters
    ----------
    folder : path
        Looked at itself, not its subfolders. It may be missing.
    names : collection of str, optional
        Only what belongs to these final names; an .hdr/.img pair has two. By default all.

    Returns
    -------
    int
        How many were removed.
    """
    stems = None if names is None else {_stem(name) for name in names}
    removed = 0
    for leftover in Path(folder).glob(f".*{_SUFFIX}"):
        stem = leftover.name[1 : -(1 + _RANDOM + len(_SUFFIX))]
        if (stems is None or stem in stems) and _remove_unheld(leftover):
            removed += 1
    return removed


def is_plain_name(name: str) -> bool:
    """Whether a text from a file can name a new file: no folders, nothing hidden or unprintable."""
    return (
        0 < len(name) <= 100 and name.isprintable() and name[0] != "." and not set(name) & set('/\\:*?"<>|')
    )


def part_path(path: Path) -> Path:
    """Where a file grows that a later run may go on with: hidden, in the same folder. See `publish`."""
    return path.with_name(f".{path.name}.part")


def publish(path: Path) -> None:
    """Give the file at `part_path` its name, after its bytes have reached the disk."""
    part = part_path(path)
    with part.open("r+b") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    _sync_folder(path.parent)


def _create(path: Path) -> tuple[Path, io.BufferedWriter]:
    while True:
        temporary = path.with_name(_temporary_name(path.name))
        file = open(temporary, "xb")
        _lock(file)
        # Between open and lock a rerun may have taken the file for a leftover and removed it.
        if temporary.exists():
            return temporary, file
        file.close()


def _temporary_name(name: str) -> str:
    return f".{_stem(name)}.{secrets.token_hex(_RANDOM // 2)}{_SUFFIX}"


@contextlib.contextmanager
def _locked_folder(folder: Path, how: int = 0) -> Iterator[None]:
    """A folder's own lock; `OSError` if ``how`` says not to wait and somebody has it."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | how)
        except OSError:
            if how:
                raise
        yield
    finally:
        os.close(handle)


def _stem(name: str) -> str:
    """The part of the final name that the temporary name holds: it must leave room within 255 bytes."""
    return os.fsdecode(os.fsencode(name)[:200])


def _lock(file: io.BufferedWriter) -> None:
    if sys.platform != "win32":
        # A file system without locks: then nobody else can lock the file either, and it is left alone.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)


def _remove_unheld(leftover: Path) -> bool:
    try:
        if leftover.is_dir():
            with _locked_folder(leftover, 0 if sys.platform == "win32" else fcntl.LOCK_NB):
                shutil.rmtree(leftover)
        elif sys.platform == "win32":
            leftover.unlink()  # refused there while a process has the file open
        else:
            with open(leftover, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()
    except OSError:  # held by a living process, already gone, or not ours to remove
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Bring the new name itself to the disk; not every file system can, and the file is complete anyway."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
