"""A volume in memory: the voxels as they are stored, where they are in the world, and what the file said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid, step_between
from espcn_core.volumes.header import check_axes, header_on, typed_header


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with their grid and header.

    Upscaling is linear in intensity up to rounding, so it works on the stored values; slope and inter then
    stay in the header bit for bit.

    Attributes
    ----------
    array : ndarray, shape (I, J, K, *rest)
        Stored values (before slope and inter) in the file's own type, in the machine's byte order. A 2-D
        image has K = 1; ``rest`` are the axes after the third (time, vector components).
    grid : Grid
        Where the first three axes are in the world.
    header : object
        What else the file's header says. A detail of the format: only `espcn_core.volumes` looks into it.
        nibabel's header of a NIfTI file says the grid and the type too, and follows them; those of the other
        formats leave both to their writers.
    ndim : int
        Axes of the file: 2 for a 2-D image, which comes back 2-D.
    slope, inter : float
        Physical value = slope * stored value + inter.
    name : str
        What messages call the volume: the file's name.
    slice_thickness : float, optional
        Full width at half maximum of the acquired slices in mm, if the file says it.
    """

    array: npt.NDArray[Any]
    grid: Grid
    header: Any
    ndim: int
    slope: float = 1.0
    inter: float = 0.0
    name: str = "the image"
    slice_thickness: float | None = None

    def __post_init__(self) -> None:
        if self.array.shape[:3] != self.grid.shape or self.array.ndim != max(self.ndim, 3):
            raise ValueError(
                f"{self.array.shape} is not the shape of a {self.ndim}-D image on {self.grid.shape}"
            )

    def check_on(self, grid: Grid) -> None:
        """Raise `VolumeError` if the format cannot hold the volume on a grid; ask before the work is done."""
        if self.ndim == 2 and grid.shape[2] != 1:
            raise VolumeError(f"{self.name} is a single slice and cannot get finer along its third axis")
        if isinstance(self.header, nib.Nifti1Header):
            check_axes(self.header, grid.shape, self.name)

    def on(self, array: npt.NDArray[Any], grid: Grid, *, physical: bool = False) -> Volume:
        """The volume on another grid: new voxels, and the header by the policy in `volumes.header`.

        Parameters
        ----------
        array : ndarray, shape (I', J', K', *rest)
            The new voxels. If their type is not that of `Volume.array`, the header says the new type.
        grid : Grid
            Where they are: the axes and the centre are those of `Volume.grid`.
        physical : bool
            The values are physical: slope and inter are already applied, so the new header says 1 and 0. By
            default they are stored values as in `Volume.array`, and slope and inter are kept.

        Raises
        ------
        VolumeError
            If the format cannot hold the new shape or type.
        ValueError
            If the array does not have the grid's shape, or the grid has other axes or another centre.
        """
        self.check_on(grid)
        if array.shape != grid.shape + self.array.shape[3:]:
            raise ValueError(f"the new array has shape {array.shape}, which does not fit {grid.shape}")
        step_between(self.grid, grid)
        header, slope, inter = self.header, self.slope, self.inter
        scaled = physical and (slope, inter) != (1.0, 0.0)
        if scaled:
            slope, inter = 1.0, 0.0
        if isinstance(header, nib.Nifti1Header):
            header = header_on(header, self.grid, grid)
            if array.dtype.newbyteorder("=") != self.array.dtype.newbyteorder("="):
                header = typed_header(header, array.dtype)
            if scaled:
                header["scl_slope"], header["scl_inter"] = slope, inter
        return replace(self, array=array, grid=grid, header=header, slope=slope, inter=inter)


def native(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The array in the machine's byte order; `VolumeError` if its values are not real numbers."""
    if array.dtype.kind not in "iuf":
        raise VolumeError(
            f"{name} holds {array.dtype.name} values, and only real numbers can be upscaled; "
            "convert it to one number per voxel"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def in_physical_values(volume: Volume, real: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """The voxels with slope and inter applied, for formats that have neither.

    Where the slope is 1 and the values stay whole they get the smallest signed type of at least 16 bits that
    holds them; otherwise ``real``, by default float32 for types of up to 16 bits and float64 for others.
    """
    array, slope, inter = volume.array, volume.slope, volume.inter
    if (slope, inter) == (1.0, 0.0):
        return array
    if slope == 1 and inter == round(inter) and array.dtype.kind in "iu":
        low, high = int(array.min()) + round(inter), int(array.max()) + round(inter)
        for kind in (np.int16, np.int32):
            if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
                # Both may wrap around on the way, and together they are right.
                return np.asarray(array.astype(kind) + np.asarray(round(inter), np.int64).astype(kind))
    floats = np.dtype(real or (np.float32 if array.dtype.itemsize <= 2 else np.float64))
    values = np.empty(array.shape, floats, order="F")
    for last in range(array.shape[-1]):  # for what is in between is in float64
        values[..., last] = array[..., last] * np.float64(slope) + inter
    return values
