"""A volume in memory: the voxels as they are stored, where they are in the world, and what the file said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import nibabel as nib
import numpy.typing as npt

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid
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
    header : nibabel.Nifti1Header or nibabel.Nifti2Header
        The header as the file has it. A detail of the format: only `espcn_core.volumes` looks into it.
    ndim : int
        Axes of the file: 2 for a 2-D image, which comes back 2-D.
    slope, inter : float
        Physical value = slope * stored value + inter.
    name : str
        What messages call the volume: the file's name.
    """

    array: npt.NDArray[Any]
    grid: Grid
    header: nib.Nifti1Header
    ndim: int
    slope: float = 1.0
    inter: float = 0.0
    name: str = "the image"

    def __post_init__(self) -> None:
        if self.array.shape[:3] != self.grid.shape or self.array.ndim != max(self.ndim, 3):
            raise ValueError(
                f"{self.array.shape} is not the shape of a {self.ndim}-D image on {self.grid.shape}"
            )

    def check_on(self, grid: Grid) -> None:
        """Raise `VolumeError` if the format cannot hold the volume on a grid; ask before the work is done."""
        if self.ndim == 2 and grid.shape[2] != 1:
            raise VolumeError(f"{self.name} is a single slice and cannot get finer along its third axis")
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
        header = header_on(self.header, self.grid, grid)
        if array.dtype.newbyteorder("=") != self.array.dtype.newbyteorder("="):
            header = typed_header(header, array.dtype)
        slope, inter = self.slope, self.inter
        if physical and (slope, inter) != (1.0, 0.0):
            header["scl_slope"], header["scl_inter"] = slope, inter = 1.0, 0.0
        return replace(self, array=array, grid=grid, header=header, slope=slope, inter=inter)


def native(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """The array in the machine's byte order; `VolumeError` if its values are not real numbers."""
    if array.dtype.kind not in "iuf":
        raise VolumeError(
            f"{name} holds {array.dtype.name} values, and only real numbers can be upscaled; "
            "convert it to one number per voxel"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)
