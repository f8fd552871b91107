"""Voxels as bytes, to and from a stream, piece by piece."""

from __future__ import annotations

import bz2
import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from espcn_core.errors import CancelledError, VolumeError
from espcn_core.volumes.checks import CHUNK, LONGEST, reason
from espcn_core.volumes.compressed import DAMAGE, LEVEL, Writable, decompressor

Progress = Callable[[int, int], bool | None]


def read_voxels(
    stream: io.BufferedIOBase, size: int, dtype: np.dtype[Any], path: Path, *, to_end: bool = False
) -> npt.NDArray[Any]:
    """The next ``size`` bytes as one row of voxels, in the machine's byte order.

    Parameters
    ----------
    stream : binary stream at the first voxel
    size : int
        Bytes.
    dtype : dtype
        With its byte order.
    path : Path
        What messages name.
    to_end : bool
        Read what follows too: a checksum is compared when the end is met, and damage may have moved the end.

    Raises
    ------
    VolumeError
        If the bytes are fewer, or far more, or the memory is not there.
    """
    try:
        raw = np.empty(size, np.uint8)
    except MemoryError:
        raise VolumeError(f"{path} needs more memory than this process may have; raise its limit") from None
    view, got = raw.data, 0
    # In pieces, because a decompressor hands out copies.
    while got < size and (n := stream.readinto(view[got : got + CHUNK])):
        got += n
    if got < size:
        raise VolumeError(f"{path} is cut short: it has {got} of {size} bytes of voxels; copy it again")
    if to_end:
        pass_end(stream, size, path)
    array = raw.view(dtype)
    return array if dtype.isnative else array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def pass_end(stream: io.BufferedIOBase, size: int, path: Path) -> None:
    """Read to the end of what is compressed; `VolumeError` if it is far from ``size``, as in a zip bomb."""
    most = size + LONGEST
    while passed := len(stream.read(CHUNK)):
        most -= passed
        if most < 0:
            raise VolumeError(
                f"{path} has a damaged header: it claims {size} bytes, and far more are compressed in the "
                "file; export the image again"
            )


def write_voxels(
    array: npt.NDArray[Any], dtype: np.dtype[Any], stream: Writable, progress: Progress | None
) -> None:
    """First axis fastest, in the byte order of ``dtype``.

    Raises
    ------
    CancelledError
        If ``progress`` returned False.
    """
    pieces = np.nditer(
        array,
        flags=["external_loop", "buffered"],
        op_dtypes=[dtype],
        casting="equiv",
        order="F",
        buffersize=CHUNK // dtype.itemsize,
    )
    done = 0
    for piece in pieces:
        row = np.ascontiguousarray(piece)
        stream.write(row.view(np.uint8).data)
        done += row.size
        if progress is not None and progress(done, array.size) is False:
            raise CancelledError(f"stopped after {done:,} of {array.size:,} voxels were written")


@contextlib.contextmanager
def decoded(file: BinaryIO, encoding: str, path: Path) -> Iterator[io.BufferedIOBase]:
    """The bytes from where the file stands, uncompressed; what is wrong with them becomes a `VolumeError`.

    Parameters
    ----------
    encoding : {"raw", "gzip", "zlib", "bzip2"}
    """
    try:
        if encoding == "raw":
            yield cast("io.BufferedIOBase", file)
            return
        openers: dict[str, Callable[[BinaryIO], Any]] = {
            "gzip": decompressor, "bzip2": bz2.BZ2File, "zlib": lambda f: io.BufferedReader(_Inflated(f))
        }  # fmt: skip
        with openers[encoding](file) as stream:
            yield stream
    except EOFError:
        raise VolumeError(f"{path} is cut short: its compressed data end too early; copy it again") from None
    except DAMAGE:
        raise VolumeError(f"{path} is damaged: its compressed data are not valid; copy it again") from None
    except OSError as error:
        why = "its compressed data are not valid; copy it again" if error.errno is None else reason(error)
        raise VolumeError(f"{path} cannot be read: {why}") from None


@contextlib.contextmanager
def deflating(file: Writable) -> Iterator[Writable]:
    """Compress what is written into one zlib stream, complete at the end of the block."""
    pressed = isal_zlib.compressobj(LEVEL, wbits=15)

    class Stream:
        def write(self, data: bytes | memoryview, /) -> int:
            file.write(pressed.compress(data))
            return len(data)

    yield Stream()
    file.write(pressed.flush())


class _Inflated(io.RawIOBase):
    """A zlib stream, uncompressed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._pressed = file, isal_zlib.decompressobj(wbits=15)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._pressed.eof:
            given = self._pressed.unconsumed_tail or self._file.read(CHUNK)
            piece = self._pressed.decompress(given, len(buffer))
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
            if not given:
                raise EOFError
        return 0
