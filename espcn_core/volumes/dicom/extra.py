"""pydicom, which is an extra, and kept quiet: what it says quotes the header."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from espcn_core.errors import VolumeError

_MOST_READS = 1 << 19
"""Of one file, about one for each element outside of sequences: what needs more is damaged."""

_DEFLATED, _PLAIN = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1".ljust(22, b"\0")
_MOST_INFLATED = 1 << 24
_RATIO = 64

_ONE_AT_A_TIME = threading.Lock()  # filters of warnings belong to the process


def pydicom_module() -> Any:
    """The package, or a `VolumeError` that says how to get it."""
    try:
        import pydicom
    except ModuleNotFoundError:
        raise VolumeError("DICOM needs pydicom: pip install 'espcn-core[dicom]'") from None
    return pydicom


@contextlib.contextmanager
def quiet() -> Iterator[Any]:
    """pydicom, which within the block neither warns nor insists on right values; one thread at a time."""
    pydicom = pydicom_module()
    settings = pydicom.config.settings
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reading, writing = settings.reading_validation_mode, settings.writing_validation_mode
        settings.reading_validation_mode = settings.writing_validation_mode = pydicom.config.IGNORE
        try:
            yield pydicom
        finally:
            settings.reading_validation_mode, settings.writing_validation_mode = reading, writing


def read_dataset(pydicom: Any, path: Path, **how: Any) -> Any:
    """What `pydicom.dcmread` reads, within bounds: a short file never takes much memory or time.

    Raises
    ------
    Exception
        Any, if the file is damaged.
    """
    with open(path, "rb") as file:
        meta = file.read(_META)
        file.seek(0)
        group_end = _META + int.from_bytes(meta[140:144], "little")
        if group_end < 1 << 16 and _DEFLATED in (start := file.read(group_end)):
            return pydicom.dcmread(_Bounded(io.BytesIO(_inflated(start, file.read()))), **how)
        file.seek(0)
        return pydicom.dcmread(_Bounded(file), **how)


_META = 144
"""Bytes to the end of the first element, which tells where those about the file end."""


def _inflated(start: bytes, rest: bytes) -> bytes:
    """A deflated file as if it never had been; not what unfolds to far more than an image does."""
    most = _MOST_INFLATED + _RATIO * len(rest)
    content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(rest, most)
    if len(content) == most:
        raise ValueError("it would need far more memory than its size")
    return start.replace(_DEFLATED, _PLAIN) + content


class _Bounded:
    """A file that is read so many times at most, and that is not asked for more bytes than it has."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._left = file, _MOST_READS
        self._size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise ValueError("it has too many elements")
        if size > 1 << 16:
            size = min(size, max(0, self._size - self._file.tell()))
        return self._file.read(size)
