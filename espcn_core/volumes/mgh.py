"""FreeSurfer's volumes: .mgh, and .mgz or .mgh.gz, which are compressed."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nibabel.freesurfer.mghformat import DATA_OFFSET, header_dtype

from espcn_core.errors import VolumeError
from espcn_core.grid import Affine, Grid
from espcn_core.volumes.checks import LONGEST, check_claim, check_file, check_memory, is_gzip, opened
from espcn_core.volumes.compressed import compressor
from espcn_core.volumes.pairs import writing
from espcn_core.volumes.raw import Progress, pass_end, read_voxels, write_voxels
from espcn_core.volumes.volume import Volume, in_physical_values

ENDINGS = (".mgz", ".mgh", ".mgh.gz")

_TYPES = {0: "u1", 1: "i4", 3: "f4", 4: "i2", 10: "u2"}


@dataclass(frozen=True)
class MghHeader:
    """What an MGH file says besides grid and type.

    Attributes
    ----------
    dof : int
        Degrees of freedom.
    footer : bytes
        What follows the voxels: repetition time and the like, and tags; kept as it is.
    """

    dof: int = 0
    footer: bytes = b""


def read(path: str | os.PathLike[str]) -> Volume:
    """Read a volume; in memory there is one copy of its voxels.

    Raises
    ------
    VolumeError
        If the file cannot be read, is damaged or incomplete, or larger than the free memory.
    """
    path = Path(path)
    check_file(path)
    with opened(path) as stream:
        block = stream.read(DATA_OFFSET)
        if len(block) < DATA_OFFSET:
            raise VolumeError(f"{path} is cut short: it ends within its header; copy or export it again")
        fields = np.frombuffer(block, header_dtype, 1)[0]
        if fields["version"] != 1:
            raise VolumeError(f"{path} is not an MGH image; export it again, for instance with mri_convert")
        shape = [int(n) for n in fields["dims"]]
        if min(shape) < 1:
            raise VolumeError(f"{path} has a damaged header: it says {shape} voxels; export the image again")
        code = int(fields["type"])
        if code not in _TYPES:
            raise VolumeError(
                f"{path} has the data type code {code}, which cannot be read; convert it to float"
            )
        dtype = np.dtype(f">{_TYPES[code]}")
        size = math.prod(shape) * dtype.itemsize
        check_claim(path, DATA_OFFSET + size)
        check_memory(DATA_OFFSET + size, path)
        i, j, k, frames = shape
        try:
            grid = Grid((i, j, k), _affine(fields))
        except ValueError as error:
            raise VolumeError(f"{path} has a damaged header ({error}); export the image again") from None
        row = read_voxels(stream, size, dtype, path)
        footer = stream.read(LONGEST)
        if is_gzip(path):
            pass_end(stream, size, path)  # the checksum is there
    header = MghHeader(int(fields["dof"]), footer)
    if frames == 1:
        return Volume(row.reshape((i, j, k), order="F"), grid, header, 3, name=str(path))
    return Volume(row.reshape((i, j, k, frames), order="F"), grid, header, 4, name=str(path))


def write(volume: Volume, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
    """Write a volume; its name says whether it is compressed. See `nifti.write`."""
    path = Path(path)
    array = in_physical_values(volume, np.float32)
    check(array.dtype, array.shape, path)
    header = volume.header if isinstance(volume.header, MghHeader) else MghHeader()
    fields = np.zeros((), header_dtype)
    affine = volume.grid.affine
    fields["version"], fields["dof"], fields["goodRASFlag"] = 1, header.dof, 1
    fields["dims"] = (*array.shape[:3], math.prod(array.shape[3:]))
    fields["type"] = next(code for code, kind in _TYPES.items() if np.dtype(kind) == array.dtype)
    fields["delta"], fields["Mdc"] = volume.grid.spacing, volume.grid.directions.T
    fields["Pxyz_c"] = affine[:3, :3] @ (np.array(array.shape[:3]) / 2) + affine[:3, 3]
    with writing(path, path) as (_, file):
        packed = compressor(file) if is_gzip(path) else contextlib.nullcontext(file)
        with packed as stream:
            stream.write(fields.tobytes().ljust(DATA_OFFSET, b"\0"))
            write_voxels(array, array.dtype.newbyteorder(">"), stream, progress)
            stream.write(header.footer)


def check(dtype: npt.DTypeLike, shape: tuple[int, ...], name: str | os.PathLike[str]) -> None:
    """Raise `VolumeError` if the format has no such type or no so many axes."""
    if np.dtype(dtype) not in [np.dtype(kind) for kind in _TYPES.values()]:
        raise VolumeError(
            f"{os.fspath(name)} cannot hold {np.dtype(dtype)}, only uint8, int16, uint16, int32 and float32; "
            "choose one of them by --dtype, or another format"
        )
    if len(shape) > 4:
        raise VolumeError(
            f"{os.fspath(name)} cannot hold {len(shape)} axes, only three and time; choose another format"
        )


@np.errstate(all="ignore")  # what is no number is refused by what comes of it
def _affine(fields: Any) -> Affine:
    """The header places the centre of the field of view, which for it lies at voxel n / 2."""
    affine = np.eye(4)
    if fields["goodRASFlag"] == 1:
        directions, spacing, centre = fields["Mdc"].T.astype(float), fields["delta"], fields["Pxyz_c"]
    else:  # coronal, as the format lays down
        directions, spacing, centre = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), np.ones(3), np.zeros(3)
    affine[:3, :3] = directions * spacing.astype(float)
    affine[:3, 3] = centre.astype(float) - affine[:3, :3] @ (fields["dims"][:3].astype(float) / 2)
    return affine
