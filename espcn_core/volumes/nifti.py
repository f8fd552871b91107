"""NIfTI volumes: files (.nii, .nii.gz, .hdr with .img) and nibabel's images in memory."""

from __future__ import annotations

import contextlib
import io
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1PairHeader
from nibabel.nifti2 import Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError, SpatialImage

from espcn_core.errors import CancelledError, VolumeError
from espcn_core.files import complete_file
from espcn_core.grid import Grid
from espcn_core.volumes.checks import (
    CHUNK,
    check_claim,
    check_file,
    check_memory,
    is_gzip,
    opened,
    reason,
)
from espcn_core.volumes.compressed import Writable, compressor
from espcn_core.volumes.header import best_affine, file_header, typed_header
from espcn_core.volumes.parse import parse_extensions, parse_header, voxel_layout
from espcn_core.volumes.volume import Volume, native

Progress = Callable[[int, int], bool | None]


def is_volume(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name is that of a NIfTI volume: .nii, .nii.gz or .hdr, in any case.

    A pair counts once, by its .hdr; `read` takes either of its names.
    """
    return Path(path).name.lower().endswith((".nii", ".nii.gz", ".hdr"))


def read(path: str | os.PathLike[str]) -> Volume:
    """Read a volume; in memory there is one copy of its voxels, in the file's own type.

    Parameters
    ----------
    path : path
        A .nii, .nii.gz, .hdr or .img file of NIfTI-1 or NIfTI-2, in either byte order.

    Raises
    ------
    VolumeError
        If the file cannot be read, is damaged or incomplete, holds colours or complex numbers, is not placed
        in space, or is larger than the free memory. That is found out before anything large is allocated.
    """
    path = Path(path)
    head, body = _files(path)
    check_file(head)
    with opened(head) as stream:
        header = parse_header(stream, head)
        shape, dtype, offset = voxel_layout(header, head)
        if body != head and not body.exists():
            raise VolumeError(f"{path} lacks its other half {body.name}; put it into the same folder")
        size = math.prod(shape) * dtype.itemsize
        check_claim(body, offset + size)
        check_memory(offset + size, path)
        rest = stream.read(offset - header.sizeof_hdr if body == head else -1)
        header.extensions[:] = parse_extensions(rest, header, head)
    spatial = (*shape, 1)[:3]
    try:
        with np.errstate(all="ignore"):  # what overflows is refused by what comes of it
            grid = Grid((spatial[0], spatial[1], spatial[2]), best_affine(header))
        slope, inter = header.get_slope_inter()
    except (ValueError, HeaderDataError) as error:
        raise VolumeError(f"{path} has a damaged header ({error}); export the image again") from None
    array = _voxels(body, offset, size, dtype).reshape(spatial + shape[3:], order="F")
    scaling = {} if slope is None else {"slope": slope, "inter": inter}
    return Volume(array, grid, header, len(shape), name=str(path), **scaling)


def write(volume: Volume, path: str | os.PathLike[str], progress: Progress | None = None) -> None:
    """Write a volume as .nii, .nii.gz or .hdr and .img; the same volume always gives the same bytes.

    A file appears under its name only when it is complete; of a pair the .hdr, which names it, comes last.

    Parameters
    ----------
    volume : Volume
    path : path
    progress : callable, optional
        Called with (voxels written, voxels in all) after each piece; the writing stops if it returns False.

    Raises
    ------
    CancelledError
        If ``progress`` returned False. There is no file then, or the one that was there before.
    VolumeError
        If the name has another ending, the folder is missing or read-only, or the disk is full.
    """
    path = Path(path)
    head, body = _files(path)
    header = file_header(typed_header(volume.header, volume.array.dtype), single=head == body)
    try:
        if path.is_dir():
            raise IsADirectoryError
        if head != body:
            with complete_file(head) as first, complete_file(body) as second:
                header.write_to(first)
                _write_voxels(volume, header, second, progress)
                head.unlink(missing_ok=True)  # an old header must never stand beside new voxels
            return
        with complete_file(body) as file, _compressor(file, body) as stream:
            start = io.BytesIO()
            header.write_to(start)
            stream.write(start.getvalue())
            _write_voxels(volume, header, stream, progress)
    except OSError as error:
        raise VolumeError(f"{path} cannot be written: {_write_reason(error, path)}") from None


def from_nibabel(image: Any) -> Volume:
    """The volume of a nibabel image, 2-D to 7-D; one of another format becomes NIfTI first.

    Scaled voxels are taken as floats, as nibabel hands them out; the header's type for the disk stays.

    Raises
    ------
    VolumeError
        If it has no voxels on a grid, they are not one real number each, or it is not placed in space.
    """
    if not isinstance(image, SpatialImage):
        raise VolumeError(
            f"a {type(image).__name__} has no voxels on a grid; give an image such as Nifti1Image"
        )
    name = image.get_filename() or "the nibabel image"
    try:
        if not isinstance(image, nib.Nifti1Pair):
            image = nib.Nifti1Image.from_image(image)
        # A new image, because the affine or the shape may have been changed since the header was made.
        header = type(image)(image.dataobj, image.affine, image.header).header
    except (AttributeError, HeaderDataError):  # nibabel trips over its own message for some of the types
        raise VolumeError(
            f"{name} has a type or an affine that NIfTI cannot hold; convert it first"
        ) from None
    data = image.dataobj
    scaled = isinstance(data, ArrayProxy) and (data.slope, data.inter) != (1, 0)
    try:
        array = np.asarray(data, np.result_type(data.dtype, np.float32) if scaled else None)
    except (OSError, EOFError, zlib.error):
        raise VolumeError(f"{name} is cut short or damaged: nibabel cannot read it; copy it again") from None
    if not 2 <= array.ndim <= 7 or array.size == 0:
        raise VolumeError(
            f"{name} has shape {array.shape}; an image has two to seven axes, none of them empty"
        )
    array = native(array, name)
    ndim = array.ndim
    array = array[:, :, None] if ndim == 2 else array
    try:
        affine = best_affine(header) if image.affine is None else image.affine
        grid = Grid((array.shape[0], array.shape[1], array.shape[2]), affine)
    except ValueError as error:
        raise VolumeError(f"{name} is not placed in space ({error}); set its affine") from None
    return Volume(array, grid, header, ndim, name=name)


def to_nibabel(volume: Volume) -> Any:
    """A nibabel image of the header's kind, with physical values and the header's fields untouched."""
    array = volume.array if volume.ndim > 2 else volume.array[:, :, 0]
    if (volume.slope, volume.inter) != (1.0, 0.0):
        array = array * np.float64(volume.slope) + volume.inter
    kinds = {
        nib.Nifti2Header: nib.Nifti2Image,
        Nifti2PairHeader: nib.Nifti2Pair,
        Nifti1PairHeader: nib.Nifti1Pair,
    }
    image = kinds.get(type(volume.header), nib.Nifti1Image)(array, None, volume.header)
    # Given an affine, nibabel may rewrite both forms and their codes; so it takes the header's.
    image.set_sform(None, int(volume.header["sform_code"]))
    return image


def _files(path: Path) -> tuple[Path, Path]:
    """The file with the header and the file with the voxels."""
    suffix = path.suffix.lower()
    if path.name.lower().endswith((".nii", ".nii.gz")):
        return path, path
    if suffix not in (".hdr", ".img"):
        raise VolumeError(f"{path} has no name of a NIfTI file; it must end in .nii, .nii.gz, .hdr or .img")
    other = ".img" if suffix == ".hdr" else ".hdr"
    partner = path.with_suffix(other.upper() if path.suffix.isupper() else other)
    return (path, partner) if suffix == ".hdr" else (partner, path)


def _voxels(path: Path, offset: int, size: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The voxels as one row, in the machine's byte order."""
    try:
        raw = np.empty(size, np.uint8)
    except MemoryError:
        raise VolumeError(f"{path} needs more memory than this process may have; raise its limit") from None
    view, got = raw.data, 0
    with opened(path) as stream:
        stream.seek(offset)
        # In pieces, because a decompressor hands out copies.
        while got < size and (n := stream.readinto(view[got : got + CHUNK])):
            got += n
        if got < size:
            raise VolumeError(f"{path} is cut short: it has {got} of {size} bytes of voxels; copy it again")
        while is_gzip(path) and stream.read(CHUNK):
            pass  # the checksum is compared when the end is met, and damage may have moved the end
    array = raw.view(dtype)
    return array if dtype.isnative else array.byteswap(inplace=True).view(dtype.newbyteorder("="))


def _write_voxels(
    volume: Volume, header: nib.Nifti1Header, stream: Writable, progress: Progress | None
) -> None:
    """First axis fastest, in the header's byte order, piece by piece."""
    dtype = volume.array.dtype.newbyteorder(header.endianness)
    pieces = np.nditer(
        volume.array,
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
        if progress is not None and progress(done, volume.array.size) is False:
            raise CancelledError(f"stopped after {done:,} of {volume.array.size:,} voxels were written")


def _compressor(file: io.BufferedWriter, path: Path) -> contextlib.AbstractContextManager[Writable]:
    return compressor(file) if is_gzip(path) else contextlib.nullcontext(file)


def _write_reason(error: OSError, path: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no folder {path.parent}; create it"
    return reason(error)
