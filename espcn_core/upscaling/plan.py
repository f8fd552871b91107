"""From a grid and a request to the passes that fulfil it. Pure: nothing is read and nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from espcn_core.errors import RequestError
from espcn_core.grid import Grid, Triple

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The anatomical planes, each with the world axis (0 right, 1 anterior, 2 superior) that it is normal to."""

_SAME_SPACING = 1.01
"""Spacings whose ratio is below this count as equal when the thickest axis is looked for."""


@dataclass(frozen=True)
class Pass:
    """One sweep of one model over the slices of one plane.

    Attributes
    ----------
    plane : str
        Anatomical name of the plane that the slices lie in.
    slice_axis : int
        Axis of the array along which the slices are counted; it keeps its size.
    factors : (r_row, r_col)
        Fine voxels per coarse voxel along the two other axes, in their order in the array.
    model : str
        Name of shipped weights, or path of a weight file.
    """

    plane: str
    slice_axis: int
    factors: tuple[int, int]
    model: str

    @property
    def factor(self) -> Triple:
        """Fine voxels per coarse voxel along all three axes of the array."""
        factor = [*self.factors]
        factor.insert(self.slice_axis, 1)
        return factor[0], factor[1], factor[2]


@dataclass(frozen=True)
class Plan:
    """What is done to a volume: the passes, one after the other, and the grid they lead to.

    Attributes
    ----------
    source, target : Grid
        Before the first and after the last pass.
    passes : tuple of Pass
        At least one.
    """

    source: Grid
    target: Grid
    passes: tuple[Pass, ...]

    @property
    def factor(self) -> Triple:
        """Fine voxels per voxel of the source along all three axes."""
        i, j, k = (new // old for new, old in zip(self.target.shape, self.source.shape, strict=True))
        return i, j, k

    def __str__(self) -> str:
        steps = "; ".join(f"{p.plane} slices x{_times(p.factors)} by {p.model}" for p in self.passes)
        return f"{_size(self.source)} -> {_size(self.target)}: {steps}"


def make_plan(grid: Grid, scale: int, plane: str, model: str) -> Plan:
    """The passes that make the slices of a plane finer.

    Parameters
    ----------
    grid : Grid
        Of the volume.
    scale : int
        Fine voxels per coarse voxel along both axes of a slice.
    plane : {"auto", "axial", "coronal", "sagittal"}
        The plane of the slices. For an oblique volume the one nearest to the anatomical plane of that name;
        ``auto`` takes the plane whose slices are thickest apart, and axial among equals.
    model : str
        Name of shipped weights, or path of a weight file, of this scale.

    Raises
    ------
    RequestError
        If the plane has no such name or its slices would be one voxel wide.
    """
    slice_axis = _thickest_axis(grid) if plane == "auto" else _axis_normal_to(grid, plane)
    if any(n == 1 for axis, n in enumerate(grid.shape) if axis != slice_axis):
        raise RequestError(
            f"an image of {' x '.join(map(str, grid.shape))} voxels has no {plane} slices to upscale: "
            f"use --plane {_plane_of(grid, _thickest_axis(grid))} or auto"
        )
    only = Pass(_plane_of(grid, slice_axis), slice_axis, (scale, scale), model)
    return Plan(grid, grid.finer(only.factor), (only,))


def _thickest_axis(grid: Grid) -> int:
    """The axis across the slices: one with a single voxel, or else the one with the largest spacing."""
    single = [axis for axis, n in enumerate(grid.shape) if n == 1]
    thickest = max(grid.spacing)
    equal = [axis for axis, spacing in enumerate(grid.spacing) if spacing * _SAME_SPACING > thickest]
    return max(
        single or equal, key=lambda axis: grid.world_axes[axis]
    )  # axial before coronal before sagittal


def _axis_normal_to(grid: Grid, plane: str) -> int:
    if plane not in PLANES:
        raise RequestError(f"no plane is called {plane!r}: there are auto, {', '.join(PLANES)}")
    return grid.world_axes.index(PLANES[plane])


def _plane_of(grid: Grid, slice_axis: int) -> str:
    return next(name for name, world in PLANES.items() if world == grid.world_axes[slice_axis])


def _times(factors: Sequence[int]) -> str:
    return str(factors[0]) if len(set(factors)) == 1 else "x".join(map(str, factors))


def _size(grid: Grid) -> str:
    voxels = " x ".join(map(str, grid.shape))
    return f"{voxels} at {' x '.join(f'{mm:.4g}' for mm in grid.spacing)} mm"
