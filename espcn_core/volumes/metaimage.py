"""MetaImage volumes: .mha, and .mhd with the voxels in a file of their own."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid
from espcn_core.volumes.checks import check_memory
from espcn_core.volumes.pairs import companion, encoded, lines_of, numbers, reading, whole_numbers, writing
from espcn_core.volumes.raw import Progress, decoded, deflating, read_voxels, write_voxels
from espcn_core.volumes.volume import Volume, in_physical_values

ENDINGS = (".mha", ".mhd")

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NAMES = {np.dtype(kind): name for name, kind in reversed(_TYPES.items())}

_OFFSET = ("Offset", "Position", "Origin")
_MATRIX = ("TransformMatrix", "Rotation", "Orientation")
_BIG_ENDIAN = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
# Written anew or true no more: sizes and ranges of the old voxels.
_DROPPED = ("CompressedDataSize", "HeaderSize", "ElementMin", "ElementMax", "ElementSize", "ElementDataFile")


@dataclass(frozen=True)
class MetaHeader:
    """The fields of a MetaImage, in their order, as they are written.

    Attributes
    ----------
    fields : tuple of (str, str)
        Name and value. Those that say grid and type are replaced by the writer.
    """

    fields: tuple[tuple[str, str], ...] = (
        ("ObjectType", "Image"), ("NDims", "3"), ("BinaryData", "True"), ("BinaryDataByteOrderMSB", "False"),
        ("CompressedData", "True"),
    )  # fmt: skip

    def get(self, *names: str) -> str | None:
        """The value of the first of these fields that is there."""
        return next((value for name in names for key, value in self.fields if key == name), None)

    def says(self, *names: str) -> bool:
        """Whether a field is there and true."""
        return (self.get(*names) or "").lower() in ("true", "t", "1", "yes")


def read(path: str | os.PathLike[str]) -> Volume:
    """Read a volume; in memory there is one copy of its voxels, in the file's own type.

    Raises
    ------
    VolumeError
        If the file cannot be read, is damaged or incomplete, holds more than one number per voxel or spreads
        them over several files, or is larger than the free memory.
    """
    path = Path(path)
    with reading(path) as file:
        lines = lines_of(file, path, lambda line: line.partition("=")[0].strip() == "ElementDataFile")
        header = MetaHeader(tuple(_field(line, path) for line in lines if line.strip()))
        shape, dtype, grid = _layout(header, path)
        place = header.get("ElementDataFile")
        if place is None:
            raise VolumeError(f"{path} is not a MetaImage: it names no ElementDataFile; export it again")
        size = math.prod(shape) * dtype.itemsize
        check_memory(size, path)
        encoding = "zlib" if header.says("CompressedData") else "raw"
        skip = int(numbers(header.get("HeaderSize") or "0", 1, "HeaderSize", path)[0])
        if place.upper() == "LOCAL":
            with decoded(file, encoding, path) as stream:
                row = read_voxels(stream, size, dtype, path, to_end=encoding == "zlib")
        elif place.upper().startswith("LIST") or "%" in place:
            raise VolumeError(f"{path} spreads its voxels over several files; convert it to one .mha first")
        else:
            body = companion(path, place)
            with reading(body) as second:
                if skip == -1 and encoding == "raw":
                    skip = max(0, os.fstat(second.fileno()).st_size - size)
                second.seek(min(max(0, skip), os.fstat(second.fileno()).st_size))
                with decoded(second, encoding, body) as stream:
                    row = read_voxels(stream, size, dtype, body, to_end=encoding == "zlib")
    spatial = (*shape, 1)[:3]
    array = row.reshape(spatial + shape[3:], order="F")
    return Volume(array, grid, header, len(shape), name=str(path))


def write(volume: Volume, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
    """Write a volume as .mha, or as .mhd with the voxels in NAME.mhd.raw or .zraw. See `nifti.write`."""
    path = Path(path)
    array = in_physical_values(volume)
    check(array.dtype, array.shape, path)
    header = volume.header if isinstance(volume.header, MetaHeader) else MetaHeader()
    packed = header.says("CompressedData")
    local = path.suffix.lower() != ".mhd"
    body = path if local else body_of(path, packed)
    lines = [f"{name} = {value}" for name, value in _fields_of(volume, array.dtype, header)]
    dtype = array.dtype.newbyteorder(">" if header.says(*_BIG_ENDIAN) else "<")
    with writing(path, body) as (first, second):
        first.write(encoded(lines))
        place = first.tell()
        if packed:
            first.write(encoded([f"CompressedDataSize = {0:020}"]))
        first.write(encoded([f"ElementDataFile = {'LOCAL' if local else body.name}"]))
        start = second.tell()
        with deflating(second) if packed else contextlib.nullcontext(second) as stream:
            write_voxels(array if volume.ndim > 2 else array[:, :, 0], dtype, stream, progress)
        if packed:  # known only now
            size = second.tell() - start
            first.seek(place)
            first.write(encoded([f"CompressedDataSize = {size:020}"]))


def body_of(path: Path, packed: bool) -> Path:
    """Where the voxels of a .mhd go: a name that is no other volume's."""
    return path.with_name(path.name + (".zraw" if packed else ".raw"))


def check(dtype: npt.DTypeLike, shape: tuple[int, ...], name: str | os.PathLike[str]) -> None:
    """Raise `VolumeError` if the format has no such type."""
    if np.dtype(dtype) not in _NAMES:
        raise VolumeError(f"{os.fspath(name)} cannot hold {np.dtype(dtype)}; choose float32 or int16")


def _field(line: str, path: Path) -> tuple[str, str]:
    name, sign, value = line.partition("=")
    if not sign:
        raise VolumeError(f"{path} is not a MetaImage: its header is not made of fields; export it again")
    return name.strip(), value.strip()


def _layout(header: MetaHeader, path: Path) -> tuple[tuple[int, ...], np.dtype[Any], Grid]:
    """Shape, type and grid, as the header claims them."""
    ndim = whole_numbers(header.get("NDims") or "", 1, "NDims", path)[0]
    if not 2 <= ndim <= 7:
        raise VolumeError(f"{path} has {ndim} axes, and an image has two to seven; export it again")
    shape = tuple(whole_numbers(header.get("DimSize") or "", ndim, "DimSize", path))
    if (header.get("ElementNumberOfChannels") or "1") != "1":
        raise VolumeError(
            f"{path} holds more than one number per voxel, such as colours; split it into its components"
        )
    kind = _TYPES.get(header.get("ElementType") or "")
    if kind is None:
        raise VolumeError(f"{path} has an element type that cannot be read; convert it to MET_FLOAT")
    if not header.says("BinaryData"):
        raise VolumeError(f"{path} holds its voxels as text; convert it to binary data")
    dtype = np.dtype((">" if header.says(*_BIG_ENDIAN) else "<") + kind)
    spacing = numbers(
        header.get("ElementSpacing", "ElementSize") or " ".join(["1"] * ndim), ndim, "ElementSpacing", path
    )
    origin = numbers(header.get(*_OFFSET) or " ".join(["0"] * ndim), ndim, "Offset", path)
    identity = " ".join(str(int(a == b)) for a in range(ndim) for b in range(ndim))
    rows = numbers(header.get(*_MATRIX) or identity, ndim * ndim, "TransformMatrix", path)
    matrix = np.reshape(rows, (ndim, ndim)).T  # the file lists axis after axis
    n = min(ndim, 3)
    if np.any(matrix[n:, :n]) or np.any(matrix[:n, n:]):
        raise VolumeError(f"{path} turns space into its other axes; extract its volumes first")
    direction = np.eye(3)
    direction[:n, :n] = matrix[:n, :n]
    i, j, k = (*shape, 1)[:3]
    try:
        grid = Grid.from_itk(
            (i, j, k), (*origin[:n], 0.0)[:3], (*spacing[:n], 1.0)[:3], direction.ravel().tolist()
        )
    except ValueError as error:
        raise VolumeError(f"{path} has a damaged header ({error}); export the image again") from None
    return shape, dtype, grid


def _fields_of(volume: Volume, dtype: np.dtype[Any], header: MetaHeader) -> list[tuple[str, str]]:
    """The fields before ElementDataFile, for the volume's grid and this type."""
    ndim, geometry = volume.ndim, volume.grid.to_itk()
    n = min(ndim, 3)
    shape = volume.array.shape[:ndim]
    more = {name: numbers(header.get(name) or "", ndim, name, Path(volume.name))[n:]
            for name in ("ElementSpacing",) if header.get(name)}  # fmt: skip
    old = header.get(*_OFFSET)
    beyond = [float(word) for word in (old or "").split()[n:]] or [0.0] * (ndim - n)
    direction = np.eye(ndim)
    direction[:n, :n] = np.reshape(geometry["direction"], (3, 3))[:n, :n]
    # In the order of the format's own writer, for fields that were not there.
    wanted = {
        "NDims": str(ndim),
        next((name for name in _MATRIX if header.get(name)), _MATRIX[0]): header.get(*_MATRIX)
        or _text(direction.T.ravel()),
        next((name for name in _OFFSET if header.get(name)), _OFFSET[0]): _text(
            [*geometry["origin"][:n], *beyond]
        ),
        "ElementSpacing": _text([*geometry["spacing"][:n], *more.get("ElementSpacing", [1.0] * (ndim - n))]),
        "DimSize": " ".join(map(str, shape)),
        "ElementType": header.get("ElementType") or "",
    }
    if _TYPES.get(wanted["ElementType"]) != dtype.str[1:]:
        wanted["ElementType"] = _NAMES[dtype.newbyteorder("=")]
    fields = [(name, wanted.pop(name, value)) for name, value in header.fields if name not in _DROPPED]
    return [*fields, *wanted.items()]


def _text(values: Any) -> str:
    return " ".join(repr(float(value) + 0.0) for value in values)
