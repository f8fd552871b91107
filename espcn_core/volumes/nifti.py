"""NIfTI volumes: files (.nii, .nii.gz, .hdr with .img) and nibabel's images in memory."""

from __future__ import annotations

import contextlib
import io
import math
import os
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1PairHeader
from nibabel.nifti2 import Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError, SpatialImage

from espcn_core.errors import VolumeError
from espcn_core.files import complete_file
from espcn_core.grid import Grid
from espcn_core.volumes.checks import (
    LONGEST,
    check_claim,
    check_file,
    check_memory,
    is_gzip,
    opened,
    write_reason,
)
from espcn_core.volumes.compressed import Writable, compressor
from espcn_core.volumes.header import best_affine, file_header, typed_header
from espcn_core.volumes.parse import parse_extensions, parse_header, voxel_layout
from espcn_core.volumes.raw import Progress, read_voxels, write_voxels
from espcn_core.volumes.volume import Volume, native


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
        rest = stream.read(min(offset - header.sizeof_hdr, LONGEST + 1) if body == head else LONGEST + 1)
        header.extensions[:] = parse_extensions(rest, header, head)
    spatial = (*shape, 1)[:3]
    try:
        with np.errstate(all="ignore"):  # what overflows is refused by what comes of it
            grid = Grid((spatial[0], spatial[1], spatial[2]), best_affine(header))
        slope, inter = header.get_slope_inter()
    except (ValueError, HeaderDataError) as error:
        raise VolumeError(f"{path} has a damaged header ({error}); export the image again") from None
    with opened(body) as stream:
        stream.seek(offset)
        array = read_voxels(stream, size, dtype, body, to_end=is_gzip(body))
    array = array.reshape(spatial + shape[3:], order="F")
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
    header = volume.header if isinstance(volume.header, nib.Nifti1Header) else _new_header(volume)
    header = file_header(typed_header(header, volume.array.dtype), single=head == body)
    dtype = volume.array.dtype.newbyteorder(header.endianness)
    try:
        if path.is_dir():
            raise IsADirectoryError
        if head != body:
            with complete_file(head) as first, complete_file(body) as second:
                header.write_to(first)
                write_voxels(volume.array, dtype, second, progress)
                head.unlink(missing_ok=True)  # an old header must never stand beside new voxels
            return
        with complete_file(body) as file, _compressor(file, body) as stream:
            start = io.BytesIO()
            header.write_to(start)
            stream.write(start.getvalue())
            write_voxels(volume.array, dtype, stream, progress)
    except OSError as error:
        raise VolumeError(f"{path} cannot be written: {write_reason(error, path)}") from None


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


def _new_header(volume: Volume) -> nib.Nifti1Header:
    """A header for a volume of another format: where it is, its type and its scaling."""
    shape = volume.array.shape[: volume.ndim] if volume.ndim == 2 else volume.array.shape
    long = max(shape) > np.iinfo(np.int16).max
    header = (nib.Nifti2Header if long else nib.Nifti1Header)(endianness="<")
    header.set_data_shape(shape)
    header = typed_header(header, volume.array.dtype)
    header.set_qform(volume.grid.affine, code=0 if volume.grid.has_shear else 1)
    header.set_sform(volume.grid.affine, code=1)
    header.set_xyzt_units("mm", "sec")
    header["scl_slope"], header["scl_inter"] = volume.slope, volume.inter
    return header


def _compressor(file: io.BufferedWriter, path: Path) -> contextlib.AbstractContextManager[Writable]:
    return compressor(file) if is_gzip(path) else contextlib.nullcontext(file)
