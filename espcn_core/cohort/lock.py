"""One run at a time in an output folder."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from espcn_core.errors import RequestError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = ".espcn-core.lock"
_AS_IT_IS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # whoever put a link or a pipe there
_TRIES, _PAUSE = 5, 0.05  # `is_held` holds it for a moment


@contextlib.contextmanager
def locked(folder: Path, name: str = NAME, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock on a folder, which the system releases when the process ends in whatever way.

    It is one on a file in it, which is removed at the end.

    Parameters
    ----------
    folder : Path
    name : str
        Of the file.
    shared : bool
        Whether others may hold it too, if they share it.

    Raises
    ------
    RequestError
        If another process holds it.
    """
    path = folder / name
    for _ in range(_TRIES):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | _AS_IT_IS, 0o666)
        if _lock(handle, shared=shared) and _is_at(handle, path):
            break
        os.close(handle)
        time.sleep(_PAUSE)
    else:
        raise RequestError(
            f"another run writes into {folder}: wait for it, or use another folder "
            f"(espcn-core status {folder} shows how far it is)"
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if not shared or _lock(handle):  # the last one
                path.unlink()  # before the lock is released, so that it is nobody else's
        os.close(handle)


def is_held(folder: Path, name: str = NAME) -> bool:
    """Whether a run that is alive writes into a folder, and holds the lock alone."""
    try:
        handle = os.open(folder / name, os.O_RDONLY | _AS_IT_IS)
    except OSError:
        return False
    try:
        return not _lock(handle, shared=True)
    finally:
        os.close(handle)


def _lock(handle: int, *, shared: bool = False) -> bool:
    """Lock a file; whether it is ours. A file system without locks gives it to everybody."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file still has its name: who held it before removes it."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except OSError:
        return False
