"""The header of a NIfTI file, as it is, and what it says about the voxels."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension, Nifti1PairHeader, data_type_codes
from nibabel.nifti2 import Nifti2PairHeader

from espcn_core.errors import VolumeError
from espcn_core.volumes.checks import LONGEST

_MOST_EXTENSIONS = 1 << 12
_END_OF_LINE = ([13, 10, 26, 10], [0, 0, 0, 0])
"""In NIfTI-2: bytes that a transfer as text would change, or nothing."""


def parse_header(stream: io.BufferedIOBase, path: Path) -> nib.Nifti1Header:
    """The header as it is, without nibabel's repairs; its extensions are not read yet."""
    start = stream.read(4)
    sizes = {int.from_bytes(start, "little"): "<", int.from_bytes(start, "big"): ">"}
    size = next((n for n in (348, 540) if n in sizes), None)
    if size is None:
        raise VolumeError(f"{path} is not a NIfTI image; convert it, for instance with dcm2niix or 3D Slicer")
    block = start + stream.read(size - 4)
    if len(block) < size:
        raise VolumeError(f"{path} is cut short: it ends within its header; copy or export it again")
    single = path.suffix.lower() != ".hdr"
    if size == 348:
        kind = nib.Nifti1Header if single else Nifti1PairHeader
    else:
        kind = nib.Nifti2Header if single else Nifti2PairHeader
    header = kind(block, sizes[size], check=False)
    magic = header["magic"].item()
    text = magic.decode("latin-1")
    if magic not in (kind.single_magic, kind.pair_magic):
        if size == 348:
            raise VolumeError(
                f"{path} is an ANALYZE image (its magic is {text!r}), which does not say where left is; "
                "convert it to NIfTI with a tool that knows"
            )
        raise VolumeError(f"{path} is not a NIfTI-2 image (its magic is {text!r}); export it again")
    if (magic == kind.single_magic) != single:
        wanted = ".nii" if magic == kind.single_magic else ".hdr with the voxels in an .img file"
        raise VolumeError(f"{path} has the magic {text} of another kind of file; rename it to {wanted}")
    return header


def voxel_layout(header: nib.Nifti1Header, path: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, data type and first byte of the voxels, as the header claims them.

    Raises
    ------
    VolumeError
        If a field says what cannot be, or the voxels are not one real number each.
    """
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7:
        raise VolumeError(f"{path} has a damaged header: it says {dim[0]} axes; export the image again")
    shape = tuple(dim[1 : dim[0] + 1])
    if min(shape) < 1:
        raise VolumeError(f"{path} has a damaged header: it says {shape} voxels; export the image again")
    if len(shape) == 1:
        raise VolumeError(f"{path} is a row of {shape[0]} values; an image has at least two axes")
    code = int(header["datatype"])
    try:
        dtype = np.dtype(data_type_codes.dtype[code])
        label = data_type_codes.label[code]
    except KeyError:
        raise VolumeError(f"{path} has the unknown data type code {code}; export the image again") from None
    if dtype.names or dtype.kind == "c":
        what = "colours" if dtype.names else "complex numbers"
        raise VolumeError(f"{path} holds {what} ({label}); convert it to one real number per voxel")
    if dtype.itemsize == 0:
        raise VolumeError(f"{path} has the data type {label}, which cannot be read; convert it to float32")
    offset = float(header["vox_offset"])
    least = header.single_vox_offset if header.is_single else 0
    if not (math.isfinite(offset) and offset >= least and offset == int(offset)):
        raise VolumeError(
            f"{path} has a damaged header: its voxels cannot begin at byte {offset:g}; export the image again"
        )
    if isinstance(header, nib.Nifti2Header) and header["eol_check"].tolist() not in _END_OF_LINE:
        raise VolumeError(f"{path} was changed by a transfer as text; copy it again as a binary file")
    return shape, dtype.newbyteorder(header.endianness), int(offset)


def parse_extensions(block: bytes, header: nib.Nifti1Header, path: Path) -> list[Nifti1Extension]:
    """The extensions between the header and the voxels, each with all its bytes.

    nibabel's own reader drops zeros at their ends, believes any length, and decodes some of them.
    """
    order: Literal["little", "big"] = "little" if header.endianness == "<" else "big"
    found: list[Nifti1Extension] = []
    if len(block) > LONGEST:
        raise VolumeError(f"{path} has a damaged header: it is longer than {LONGEST} bytes; export it again")
    if block[:1] in (b"", b"\0"):
        return found
    at = 4
    while at + 8 <= len(block):
        size, code = (int.from_bytes(block[at + k : at + k + 4], order, signed=True) for k in (0, 4))
        if size == 0:  # padding
            break
        if size < 8 or at + size > len(block) or len(found) == _MOST_EXTENSIONS:
            raise VolumeError(f"{path} has a damaged header extension; export the image again")
        found.append(Nifti1Extension(code, block[at + 8 : at + size]))
        at += size
    return found
