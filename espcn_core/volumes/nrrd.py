"""NRRD volumes: .nrrd, and .nhdr with the voxels in a file of their own."""

from __future__ import annotations

import contextlib
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from espcn_core.errors import VolumeError
from espcn_core.grid import Affine, Grid
from espcn_core.volumes.checks import LONGEST, check_memory
from espcn_core.volumes.compressed import compressor
from espcn_core.volumes.pairs import companion, encoded, lines_of, numbers, reading, whole_numbers, writing
from espcn_core.volumes.raw import Progress, decoded, read_voxels, write_voxels
from espcn_core.volumes.volume import Volume, in_physical_values

ENDINGS = (".nrrd", ".nhdr")

_TYPES = {
    "i1": ("int8", "signed char", "int8_t"),
    "u1": ("uint8", "uchar", "unsigned char", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64",
           "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
_KINDS = {name: kind for kind, names in _TYPES.items() for name in names}
_SPACES = {
    "right-anterior-superior": (1, 1, 1), "ras": (1, 1, 1), "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1), "left-posterior-superior": (-1, -1, 1), "lps": (-1, -1, 1),
}  # fmt: skip
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_COLOURS = ("color", "complex", "quaternion")
_VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)
# Written anew or true no more: places in the file, and what was measured of the old voxels.
_DROPPED = (
    "data file", "datafile", "byte skip", "byteskip", "line skip", "lineskip", "min", "max", "old min",
    "oldmin", "old max", "oldmax", "thicknesses", "axis mins", "axismins", "axis maxs", "axismaxs",
    "block size", "blocksize", "number",
)  # fmt: skip
_MAGIC = re.compile(r"NRRD000[1-9]$")


@dataclass(frozen=True)
class NrrdHeader:
    """The lines of a NRRD header, in their order, as they are written.

    Attributes
    ----------
    lines : tuple of str
        The magic, fields, keys and comments. Fields that say grid and type are replaced by the writer.
    axes : tuple of int
        Which of the file's axes are in space, in its order; the others come after them in an array.
    """

    lines: tuple[str, ...] = (
        "NRRD0005", "type: short", "dimension: 3", "space: left-posterior-superior", "sizes: 1 1 1",
        "space directions: none", "kinds: domain domain domain", "endian: little", "encoding: gzip",
        "space origin: (0,0,0)",
    )  # fmt: skip
    axes: tuple[int, ...] = (0, 1, 2)

    def get(self, *names: str) -> str | None:
        """The value of the first line with one of these fields."""
        return next((value for name, value in map(_field, self.lines) if name in names), None)


def read(path: str | os.PathLike[str]) -> Volume:
    """Read a volume; in memory there is one copy of its voxels, in the file's own type.

    Axes that are not in space, such as time, come after those that are, wherever the file has them.

    Raises
    ------
    VolumeError
        If the file cannot be read, is damaged or incomplete, holds colours or complex numbers, is not placed
        in the patient, spreads its voxels over several files, or is larger than the free memory.
    """
    path = Path(path)
    with reading(path) as file:
        lines = [line for line in lines_of(file, path, lambda line: not line) if line]
        if not lines or not _MAGIC.match(lines[0]):
            raise VolumeError(f"{path} is not a NRRD image; export it again, for instance from 3D Slicer")
        header = NrrdHeader(tuple(lines))
        sizes, dtype = _layout(header, path)
        axes, affine = _placed(header, len(sizes), path)
        size = math.prod(sizes) * dtype.itemsize
        check_memory(size, path)
        place = header.get("data file", "datafile")
        if place is None:
            row = _row(file, header, size, dtype, path)
        elif len(place.split()) > 1 or "%" in place or place.upper() == "LIST":
            raise VolumeError(f"{path} spreads its voxels over several files; convert it to one .nrrd first")
        else:
            body = companion(path, place)
            with reading(body) as second:
                row = _row(second, header, size, dtype, body)
    array = np.moveaxis(row.reshape(sizes, order="F"), axes, range(len(axes)))
    if len(axes) == 2:
        array = array[:, :, None]
    ndim = len(sizes)
    if len(axes) == 2 and ndim > 2:
        raise VolumeError(f"{path} is a series of single slices; write each as an image of its own")
    i, j, k = array.shape[:3]
    try:
        grid = Grid((i, j, k), affine)
    except ValueError as error:
        raise VolumeError(f"{path} has a damaged header ({error}); export the image again") from None
    return Volume(array, grid, NrrdHeader(header.lines, axes), ndim, name=str(path))


def write(volume: Volume, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
    """Write a volume as .nrrd, or as .nhdr with the voxels in NAME.nhdr.raw or .raw.gz. See `nifti.write`."""
    path = Path(path)
    array = in_physical_values(volume)
    check(array.dtype, array.shape, path)
    header = volume.header if isinstance(volume.header, NrrdHeader) else _new_header(volume)
    packed = _ENCODINGS.get((header.get("encoding") or "").lower()) != "raw"
    local = path.suffix.lower() != ".nhdr"
    body = path if local else body_of(path, packed)
    lines = _lines_of(volume, array.dtype, header, packed)
    if not local:
        lines.append(f"data file: {body.name}")
    voxels = array if volume.ndim > 2 else array[:, :, 0]
    voxels = np.moveaxis(voxels, range(len(header.axes)), header.axes)
    dtype = array.dtype.newbyteorder(">" if (header.get("endian") or "").lower() == "big" else "<")
    with writing(path, body) as (first, second):
        first.write(encoded([*lines, ""]))
        with compressor(second) if packed else contextlib.nullcontext(second) as stream:
            write_voxels(voxels, dtype, stream, progress)


def body_of(path: Path, packed: bool) -> Path:
    """Where the voxels of a .nhdr go: a name that is no other volume's."""
    return path.with_name(path.name + (".raw.gz" if packed else ".raw"))


def check(dtype: npt.DTypeLike, shape: tuple[int, ...], name: str | os.PathLike[str]) -> None:
    """Raise `VolumeError` if the format has no such type."""
    if np.dtype(dtype).str[1:] not in _TYPES:
        raise VolumeError(f"{os.fspath(name)} cannot hold {np.dtype(dtype)}; choose float32 or int16")


def _field(line: str) -> tuple[str, str]:
    """Name and value; the name is empty for keys and comments, which say nothing about the voxels."""
    name, sign, value = line.partition(":")
    if not sign or line.startswith("#") or value.startswith("="):
        return "", line
    return name.strip().lower(), value.strip()


def _layout(header: NrrdHeader, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Sizes and type, as the header claims them."""
    ndim = whole_numbers(header.get("dimension") or "", 1, "dimension", path)[0]
    if not 2 <= ndim <= 7:
        raise VolumeError(f"{path} has {ndim} axes, and an image has two to seven; export it again")
    sizes = tuple(whole_numbers(header.get("sizes") or "", ndim, "sizes", path))
    kind = _KINDS.get((header.get("type") or "").lower())
    if kind is None:
        raise VolumeError(f"{path} has a type that cannot be read; convert it to float or short")
    kinds = (header.get("kinds") or "").lower()
    if any(word in kinds for word in _COLOURS):
        raise VolumeError(f"{path} holds colours or complex numbers; convert it to one real number per voxel")
    if (header.get("encoding") or "").lower() not in _ENCODINGS:
        raise VolumeError(f"{path} has an encoding that cannot be read; convert it to raw or gzip")
    endian = (header.get("endian") or "little").lower()
    if endian not in ("little", "big") or (header.get("endian") is None and kind[1] != "1"):
        raise VolumeError(f"{path} has a damaged header: its byte order is unknown; export the image again")
    return sizes, np.dtype((">" if endian == "big" else "<") + kind)


def _placed(header: NrrdHeader, ndim: int, path: Path) -> tuple[tuple[int, ...], Affine]:
    """Which axes are in space, and their affine in RAS."""
    signs = _SPACES.get((header.get("space") or "").lower())
    directions = _VECTOR.findall(header.get("space directions") or "")
    if signs is None or not directions:
        raise VolumeError(
            f"{path} does not say how it lies in the patient (space and space directions); "
            "export it again, for instance from 3D Slicer"
        )
    if len(directions) != ndim:
        raise VolumeError(f"{path} has a damaged header: it has not {ndim} space directions; export it again")
    vectors = {axis: numbers(text[1:-1], 3, "space directions", path)
               for axis, text in enumerate(directions) if text.startswith("(")}  # fmt: skip
    if len(vectors) not in (2, 3):
        raise VolumeError(f"{path} has {len(vectors)} axes in space, not two or three; export it again")
    columns = np.array(list(vectors.values())).T
    if len(vectors) == 2:
        normal = np.cross(columns[:, 0], columns[:, 1])
        length = np.linalg.norm(normal)
        columns = np.column_stack([columns, normal / length if length else normal])
    origin = header.get("space origin") or "(0,0,0)"
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = numbers(origin.strip().strip("()"), 3, "space origin", path)
    return tuple(vectors), np.diag([*signs, 1.0]) @ affine


def _row(file: BinaryIO, header: NrrdHeader, size: int, dtype: np.dtype[Any], path: Path) -> npt.NDArray[Any]:
    """The voxels, from where the file stands."""
    encoding = _ENCODINGS[(header.get("encoding") or "").lower()]
    lines = int(numbers(header.get("line skip", "lineskip") or "0", 1, "line skip", path)[0])
    skip = int(numbers(header.get("byte skip", "byteskip") or "0", 1, "byte skip", path)[0])
    for _ in range(min(lines, 1000)):
        file.readline(1 << 20)
    if skip == -1 and encoding == "raw":
        skip = os.fstat(file.fileno()).st_size - size - file.tell()
    if skip < 0:
        raise VolumeError(f"{path} is cut short: it has fewer than {size} bytes of voxels; copy it again")
    if encoding == "raw":
        file.seek(min(skip, os.fstat(file.fileno()).st_size), os.SEEK_CUR)
        skip = 0
    if skip > LONGEST:
        raise VolumeError(f"{path} has a damaged header: byte skip is {skip}; export the image again")
    with decoded(file, encoding, path) as stream:
        while skip > 0 and (passed := stream.read(min(skip, 1 << 20))):
            skip -= len(passed)
        return read_voxels(stream, size, dtype, path, to_end=encoding != "raw")


def _new_header(volume: Volume) -> NrrdHeader:
    more = volume.ndim - 3
    if more <= 0:
        return NrrdHeader(axes=(0, 1, 2)[: volume.ndim])
    new = NrrdHeader()
    kinds = "kinds: " + " ".join(["domain"] * 3 + ["list"] * more)
    return NrrdHeader(tuple(kinds if line.startswith("kinds") else line for line in new.lines))


def _lines_of(volume: Volume, dtype: np.dtype[Any], header: NrrdHeader, packed: bool) -> list[str]:
    """The header for the volume's grid and this type, without the name of a second file."""
    ndim, n = volume.ndim, len(header.axes)
    signs = _SPACES[(header.get("space") or "").lower()]
    affine = np.diag([*signs, 1.0]) @ volume.grid.affine
    shape = np.empty(ndim, int)
    others = [axis for axis in range(ndim) if axis not in header.axes]
    shape[[*header.axes, *others]] = [*volume.array.shape[:n], *volume.array.shape[3:]]
    directions = ["none"] * ndim
    for column, axis in enumerate(header.axes):
        directions[axis] = _vector(affine[:3, column])
    wanted = {
        "type": header.get("type") or "",
        "dimension": str(ndim),
        "sizes": " ".join(map(str, shape)),
        "space directions": " ".join(directions),
        "space origin": _vector(affine[:3, 3]),
        "encoding": "gzip" if packed else "raw",
    }
    if _KINDS.get(wanted["type"].lower()) != dtype.str[1:]:
        wanted["type"] = _TYPES[dtype.str[1:]][0]
    kinds = header.get("kinds")
    if kinds is not None and len(kinds.split()) != ndim:
        wanted["kinds"] = " ".join("domain" if axis in header.axes else "list" for axis in range(ndim))
    lines = []
    for line in header.lines:
        name, _ = _field(line)
        if name in _DROPPED and name:
            continue
        lines.append(f"{name}: {wanted.pop(name)}" if name in wanted else line)
    lines += [f"{name}: {value}" for name, value in wanted.items()]
    if dtype.itemsize > 1 and header.get("endian") is None:
        lines.append("endian: little")
    return lines


def _vector(values: npt.NDArray[np.float64]) -> str:
    return f"({','.join(repr(float(value) + 0.0) for value in values)})"
