"""What becomes of a NIfTI header on another grid of the same axes and centre. The policy, field by field:

======================================  =====================================================================
field                                   in the new volume
======================================  =====================================================================
dim[1:4]                                the new shape
pixdim[1:4]                             divided by the new voxels per old voxel
srow_x, srow_y, srow_z                  the sform after the step from new to old indices
qoffset_x, _y, _z                       the offset of the qform after the same step
slice_start, _end, _code, _duration     0: the new slices were not acquired one by one
cal_min, cal_max                        0: the window was chosen for other voxels
datatype, bitpix                        kept, unless another type was asked for
scl_slope, scl_inter                    kept, unless they were applied to the values: then 1 and 0
magic, vox_offset                       what the kind of file needs (.nii, or .hdr and .img)
everything else, extensions included    kept bit for bit: both codes, quaternion, qfac, units, TR, text, ...
======================================  =====================================================================

Each transform moves by itself, so two that differed still do, and neither is derived from the other. With
both codes 0 nibabel centres the volume on the world's origin by dim and pixdim alone, which keeps the centre
without further ado. (ITK puts the first voxel there instead and so sees a shift by a part of a voxel;
a header without codes has no field that could prevent it.)

nibabel parses and serialises, but its images and its ``set_*`` methods are not used on the way from file to
file: they repair, round and re-derive fields.
"""

from __future__ import annotations

import logging

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.nifti1 import Nifti1PairHeader
from nibabel.nifti2 import Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError

from espcn_core.errors import VolumeError
from espcn_core.grid import Affine, Grid, Triple, ratios_between, step_between

_CLEARED = ("slice_start", "slice_end", "slice_code", "slice_duration", "cal_min", "cal_max")
_OFFSET = ("qoffset_x", "qoffset_y", "qoffset_z")
_ROWS = ("srow_x", "srow_y", "srow_z")

# A logger of our own, under no other: nibabel's would print what it repairs on the terminal.
_SILENT = logging.Logger("silent")
_SILENT.addHandler(logging.NullHandler())


@np.errstate(all="ignore")  # fields that are no numbers are kept, not complained about
def header_on(header: nib.Nifti1Header, old: Grid, new: Grid) -> nib.Nifti1Header:
    """A copy of the header for a volume that is brought from one grid to another.

    Parameters
    ----------
    header : nibabel.Nifti1Header or nibabel.Nifti2Header
    old, new : Grid
        Of the header's volume, and of the new one: the same axes, and the same centre of the field of view
        along each of them, as `Grid.finer` and `Grid.respaced` keep it.

    Raises
    ------
    VolumeError
        If an axis gets longer than the format can say (`check_axes`).
    ValueError
        If the grids differ in more than spacing and shape.
    """
    check_axes(header, new.shape)
    step = step_between(old, new)
    copy = header.copy()
    readable = repaired(header)
    for axis, (n, r) in enumerate(zip(new.shape, ratios_between(old, new), strict=True), start=1):
        if r != 1:
            copy["dim"][axis] = n
            # Readers take a pixdim of 0 for 1, and so must what we divide.
            copy["pixdim"][axis] = (copy["pixdim"][axis] or 1) / r
    sform = readable.get_sform()
    if np.isfinite(sform).all():
        for name, row in zip(_ROWS, sform @ step, strict=False):
            copy[name] = row
    try:
        qform = readable.get_qform()
    except (ValueError, HeaderDataError):  # no rotation in it: nothing that could be moved
        pass
    else:
        if np.isfinite(qform).all():
            for name, value in zip(_OFFSET, (qform @ step)[:3, 3], strict=True):
                copy[name] = value
    for name in _CLEARED:
        copy[name] = 0
    return copy


def check_axes(header: nib.Nifti1Header, shape: Triple, name: str = "the image") -> None:
    """Raise `VolumeError` if the shape has an axis too long for the format (NIfTI-1: 32767)."""
    longest = int(np.iinfo(header["dim"].dtype).max)
    for axis, n in enumerate(shape, start=1):
        if n > longest:
            raise VolumeError(
                f"{name} would get {n} voxels along axis {axis}, and NIfTI-1 allows {longest}; "
                "ask for fewer or convert it to NIfTI-2"
            )


def typed_header(header: nib.Nifti1Header, dtype: npt.DTypeLike) -> nib.Nifti1Header:
    """A copy of the header for voxels of this type; no field changes if it already is."""
    new = header.copy()
    if new.get_data_dtype().newbyteorder("=") != np.dtype(dtype).newbyteorder("="):
        try:
            new.set_data_dtype(np.dtype(dtype))
        except HeaderDataError:
            raise VolumeError(f"NIfTI has no data type {np.dtype(dtype)}; choose float32 or int16") from None
    return new


def file_header(header: nib.Nifti1Header, single: bool) -> nib.Nifti1Header:
    """A copy of the header for a single file (.nii) or a pair (.hdr, .img): magic and vox_offset change."""
    if isinstance(header, nib.Nifti2Header):
        kind = nib.Nifti2Header if single else Nifti2PairHeader
    else:
        kind = nib.Nifti1Header if single else Nifti1PairHeader
    new = kind(header.binaryblock, header.endianness, check=False, extensions=header.extensions)
    new["magic"] = kind.single_magic if single else kind.pair_magic
    new["vox_offset"] = kind.single_vox_offset + int(header.extensions.get_sizeondisk()) if single else 0
    return new


def repaired(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """A copy with nibabel's silent repairs (qfac and pixdim of 0, unknown codes), to compute with."""
    new = header.copy()
    new.check_fix(logger=_SILENT, error_level=100)
    return new


def best_affine(header: nib.Nifti1Header) -> Affine:
    """The affine that nibabel takes: the sform, else the qform, else the one centred by dim and pixdim.

    Raises
    ------
    ValueError
        If the qform is needed and its quaternion is no rotation.
    """
    try:
        return np.asarray(repaired(header).get_best_affine(), dtype=np.float64)
    except (ValueError, HeaderDataError):
        raise ValueError("the quaternion of the qform is no rotation") from None
