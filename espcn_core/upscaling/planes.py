"""The anatomical planes of the slices of a volume, also of an oblique one."""

from __future__ import annotations

from espcn_core.errors import RequestError
from espcn_core.grid import Grid

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The anatomical planes, each with the world axis (0 right, 1 anterior, 2 superior) that it is normal to."""

_SAME_SPACING = 1.01
"""Spacings whose ratio is below this count as equal when the thickest axis is looked for."""


def thickest_axis(grid: Grid) -> int:
    """The axis across the slices: one with a single voxel, or else the one with the largest spacing."""
    single = [axis for axis, n in enumerate(grid.shape) if n == 1]
    thickest = max(grid.spacing)
    equal = [axis for axis, spacing in enumerate(grid.spacing) if spacing * _SAME_SPACING > thickest]
    # axial before coronal before sagittal
    return max(single or equal, key=lambda axis: grid.world_axes[axis])


def slice_axis_of(grid: Grid, plane: str) -> int:
    """The axis across the slices of a plane; ``auto`` takes the thickest.

    Raises
    ------
    RequestError
        If there is no such plane.
    """
    if plane == "auto":
        return thickest_axis(grid)
    if plane not in PLANES:
        raise RequestError(f"no plane is called {plane!r}: there are auto, {', '.join(PLANES)}")
    return grid.world_axes.index(PLANES[plane])


def plane_of(grid: Grid, slice_axis: int) -> str:
    """The plane whose slices are counted along an axis."""
    return next(name for name, world in PLANES.items() if world == grid.world_axes[slice_axis])
