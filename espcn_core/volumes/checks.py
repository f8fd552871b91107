"""Whether a file is what it says, found out before anything large is allocated."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import psutil

from espcn_core.errors import VolumeError
from espcn_core.volumes.compressed import DAMAGE, decompressor

CHUNK = 1 << 20
LONGEST = 1 << 24
"""Bytes of a header: more is no header."""
_DEFLATE = 1032  # the largest factor by which deflate can compress
_GZIP = b"\x1f\x8b"


def is_gzip(path: Path) -> bool:
    """Whether the name says that the file is compressed."""
    return path.suffix.lower() in (".gz", ".mgz")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """The file's bytes, uncompressed; what the system or the decompressor says becomes a `VolumeError`."""
    try:
        with open(path, "rb") as file:
            _check_signature(path, file)
            if not is_gzip(path):
                yield file
                return
            with decompressor(file) as stream:
                yield stream
    except EOFError:
        raise VolumeError(f"{path} is cut short: its compressed data end too early; copy it again") from None
    except DAMAGE as error:
        raise VolumeError(
            f"{path} is damaged: its compressed data are not valid ({error}); copy it again"
        ) from None
    except OSError as error:
        raise VolumeError(f"{path} cannot be read: {reason(error)}") from None


def reason(error: OSError) -> str:
    """What the system says about a file, with what to do."""
    remedies: dict[type[OSError], str] = {
        FileNotFoundError: "it does not exist; check the name",
        PermissionError: "permission denied; ask its owner or choose another place",
        IsADirectoryError: "it is a folder; name a file",
        NotADirectoryError: "what should be its folder is a file; check the name",
    }
    known = next((text for kind, text in remedies.items() if isinstance(error, kind)), None)
    return known or f"{(error.strerror or str(error)).lower()}; check the disk"


def write_reason(error: OSError, path: Path) -> str:
    """What the system says about a file that cannot be written."""
    if isinstance(error, FileNotFoundError):
        return f"there is no folder {path.parent}; create it"
    return reason(error)


def check_file(path: Path) -> int:
    """The size in bytes of a regular file that is not empty."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if path.is_symlink():
            target = os.readlink(path)
            raise VolumeError(f"{path} is a link to {target}, which does not exist; fetch it first") from None
        raise VolumeError(f"{path} cannot be read: it does not exist; check the name") from None
    except OSError as error:
        raise VolumeError(f"{path} cannot be read: {reason(error)}") from None
    if stat.S_ISDIR(status.st_mode):
        raise VolumeError(f"{path} cannot be read: it is a folder; name a file")
    if not stat.S_ISREG(status.st_mode):
        raise VolumeError(f"{path} is not a regular file but a device or a pipe; name a file")
    if status.st_size == 0:
        raise VolumeError(f"{path} is empty (0 bytes); copy or export it again")
    return status.st_size


def check_claim(path: Path, claimed: int) -> None:
    """Raise `VolumeError` if the file, once uncompressed, holds fewer bytes than its header claims.

    The uncompressed size of a .gz file is known only after reading all of it. But deflate's largest ratio
    bounds it, and the last four bytes give the size of the last member modulo 2^32; only if these leave a
    doubt are the bytes counted.
    """
    held, bound = check_file(path), ""
    if is_gzip(path):
        if claimed > held * _DEFLATE:
            held, bound = held * _DEFLATE, "at most "
        else:
            with opened(path) as stream:
                held = claimed if _trailer_agrees(path, claimed) else _count(stream, claimed)
    if held < claimed:
        raise VolumeError(
            f"{path} is cut short or has a damaged header: the header claims {_size(claimed)}, "
            f"and the file holds {bound}{_size(held)}; copy or export it again"
        )


def check_memory(needed: int, name: str | os.PathLike[str]) -> None:
    """Raise `VolumeError` if so many bytes are more than the memory that is free now."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise VolumeError(
            f"{os.fspath(name)} needs {_size(needed)} of memory, and {_size(free)} are free; "
            "close other programs or use a machine with more memory"
        )


def _check_signature(path: Path, file: BinaryIO) -> None:
    compressed = file.read(2) == _GZIP
    file.seek(0)
    if compressed and not is_gzip(path):
        raise VolumeError(
            f"{path} is gzip-compressed, but its name does not say so; rename it to {path.name}.gz"
        )
    if is_gzip(path) and not compressed:
        plain = path.stem + ".mgh" * (path.suffix.lower() == ".mgz")
        raise VolumeError(f"{path} is not gzip-compressed, though its name says so; rename it to {plain}")


def _trailer_agrees(path: Path, claimed: int) -> bool:
    with open(path, "rb") as file:
        file.seek(-4, os.SEEK_END)
        trailer = int.from_bytes(file.read(4), "little")
    return trailer == claimed % 2**32 or trailer >= claimed


def _count(stream: io.BufferedIOBase, enough: int) -> int:
    total = 0
    while total < enough and (chunk := stream.read(CHUNK)):
        total += len(chunk)
    return total


def _size(n: int) -> str:
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB")):
        if n >= 1000**power:
            return f"{n / 1000**power:.4g} {unit}"
    return f"{n} bytes"
