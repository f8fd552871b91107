"""Read members of a zip file, or of a zip file inside a zip file, without unpacking anything."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from espcn_core.errors import DataError

# A slice takes about half a megabyte and a public zip file 230: what claims more than this is damaged.
_MAX_MEMBER = 64 << 20
_MAX_INNER = 2 << 30

_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, NotImplementedError, RuntimeError,
    UnicodeDecodeError,
)  # fmt: skip


class Archive:
    """A zip file on disk, or the zip file ``inner`` within it.

    It is opened when first read and anew in each process, so worker processes may inherit or unpickle it.

    Raises
    ------
    DataError
        From its methods, if the file is damaged or gone.
    """

    def __init__(self, path: Path, inner: str | None = None) -> None:
        self.path = path
        self.inner = inner
        self._opened: tuple[int, zipfile.ZipFile, IO[bytes]] | None = None  # with the process it belongs to

    @property
    def name(self) -> str:
        """What messages call it: the file's name, and the inner one behind it."""
        return self.path.name if self.inner is None else f"{self.path.name}/{self.inner}"

    def members(self) -> list[str]:
        """Names of the files within."""
        return [name for name in self._zip().namelist() if name and not name.endswith("/")]

    def read(self, member: str) -> bytes:
        """The bytes of one member, checked against its CRC."""
        archive = self._zip()
        try:
            info = archive.getinfo(member)
            if info.file_size > _MAX_MEMBER:
                raise zipfile.BadZipFile(f"it claims {info.file_size:,} bytes")
            _check_method(info)
            with archive.open(info) as stream:  # its `read` would unpack all there is, whatever it claims
                content = b"".join(iter(lambda: stream.read(1 << 20), b""))
            if len(content) != info.file_size:
                raise zipfile.BadZipFile("it is cut short")
            return content
        except _DAMAGED as error:
            raise DataError(f"{self.name}/{member} cannot be read ({error}): fetch the zip again") from error

    def close(self) -> None:
        """Let go of the file; the next read opens it again."""
        if self._opened is not None and self._opened[0] == os.getpid():
            self._opened[1].close()
            self._opened[2].close()
        self._opened = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _zip(self) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != os.getpid():
            file: IO[bytes] | None = None
            try:
                file = self.path.open("rb") if self.inner is None else _inner_file(self.path, self.inner)
                self._opened = os.getpid(), zipfile.ZipFile(file), file
            except _DAMAGED as error:
                if file is not None:
                    file.close()
                raise DataError(f"{self.name} is not a whole zip file ({error}): fetch it again") from error
        return self._opened[1]


def _inner_file(path: Path, inner: str) -> IO[bytes]:
    """The zip file ``inner`` as a file: a window on the outer one if it is stored, a copy if compressed."""
    with zipfile.ZipFile(path) as outer:
        info = outer.getinfo(inner)
        if info.file_size > _MAX_INNER:
            raise zipfile.BadZipFile(f"it claims {info.file_size:,} bytes")
        if info.compress_type == zipfile.ZIP_STORED:
            return io.BufferedReader(_Window(path, _data_offset(path, info), info.file_size))
        _check_method(info)
        copy = tempfile.TemporaryFile()
        with outer.open(info) as stream:
            shutil.copyfileobj(stream, copy, 1 << 20)
        return copy


def _check_method(info: zipfile.ZipInfo) -> None:
    """Others than these two unpack without any bound."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotImplementedError(f"its compression {info.compress_type} is not that of the data set")


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: behind its local header of 30 bytes, its name and its extra field."""
    with path.open("rb") as raw:
        raw.seek(info.header_offset)
        header = raw.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("a member is not where the directory says")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    return info.header_offset + 30 + lengths


class _Window(io.RawIOBase):
    """Part of a file as a file of its own.

    `zipfile` offers the same, but reaches a place by reading all that lies before it.
    """

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._raw = path.open("rb", buffering=0)
        self._start, self._size, self._at = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self._size - self._at))
        self._raw.seek(self._start + self._at)
        count = self._raw.readinto(memoryview(buffer)[:wanted]) or 0
        self._at += count
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
