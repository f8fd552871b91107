"""Where the voxels of a volume are in the world. The only place with affine arithmetic.

A voxel is a box, not a point: along an axis of ``n`` voxels the field of view runs from index -0.5 to
index n - 0.5. Every operation here keeps the world position of what it does not remove.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]
Triple = tuple[int, int, int]

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

_EQUAL = 1e-6
"""Relative difference of lengths that is rounding."""


def finer_affine(affine: npt.ArrayLike, factor: Sequence[int]) -> Affine:
    """The affine of the grid whose voxels are 1/factor of the old ones and tile the same field of view.

    Parameters
    ----------
    affine : array_like, shape (4, 4)
        Voxel index to world (mm).
    factor : sequence of 3 int
        New voxels per old voxel along each axis.

    Notes
    -----
    New index j lies at old index (j + 0.5) / r - 0.5, so ``A' = A @ [[diag(1/r), t], [0, 1]]`` with
    ``t = -(r - 1) / (2 r)``: the corner at index -0.5 stays where it is.
    """
    r = np.asarray(factor, dtype=np.float64)
    step = np.eye(4)
    step[:3, :3] = np.diag(1 / r)
    step[:3, 3] = -(r - 1) / (2 * r)
    return np.asarray(affine, dtype=np.float64) @ step


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular grid of voxels in the world.

    Attributes
    ----------
    shape : (I, J, K)
        Number of voxels along each axis.
    affine : ndarray, shape (4, 4)
        Index of a voxel's centre to world coordinates in mm (RAS+, as in NIfTI). Read-only.

    Raises
    ------
    ValueError
        If an axis has no voxel, or the affine is not finite, not invertible or its last row is not 0 0 0 1.
    """

    shape: Triple
    affine: Affine

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"a grid has three axes of at least one voxel, not {shape}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or (affine[3] != [0, 0, 0, 1]).any():
            raise ValueError("an affine is a finite 4 x 4 matrix that ends in the row 0 0 0 1")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if lengths.min() == 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
            raise ValueError("the affine is singular: its axes do not span space")
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm between neighbouring voxel centres along each axis."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def directions(self) -> Affine:
        """Unit vectors of the axes in the world, one per column, shape (3, 3)."""
        return np.asarray(self.affine[:3, :3] / self.spacing)

    @property
    def has_shear(self) -> bool:
        """Whether two axes are not at right angles (to 1e-4)."""
        cosines = self.directions.T @ self.directions
        return bool(np.abs(cosines - np.eye(3)).max() > 1e-4)

    @property
    def is_oblique(self) -> bool:
        """Whether an axis is not parallel to a world axis (to 1e-4)."""
        return bool(np.abs(np.sort(np.abs(self.directions), axis=0)[:2]).max() > 1e-4)

    @property
    def world_axes(self) -> Triple:
        """For each axis of the array the world axis (0 right, 1 anterior, 2 superior) nearest to it.

        Each world axis is used once: the pairing with the largest sum of absolute direction cosines.
        """
        cosines = np.abs(self.directions)
        i, j, k = max(
            itertools.permutations(range(3)), key=lambda p: sum(cosines[w, axis] for axis, w in enumerate(p))
        )
        return i, j, k

    def world(self, index: npt.ArrayLike) -> Affine:
        """World coordinates (mm) of voxel indices, shape (..., 3) to (..., 3); fractions are allowed."""
        return np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def corners(self) -> Affine:
        """World coordinates of the eight corners of the field of view, shape (8, 3), first axis slowest."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        return self.world(list(itertools.product(*ends)))

    def finer(self, factor: Sequence[int]) -> Grid:
        """The same field of view in ``factor`` times as many voxels along each axis."""
        _check_factor(factor)
        i, j, k = (n * r for n, r in zip(self.shape, factor, strict=True))
        return Grid((i, j, k), finer_affine(self.affine, factor))

    def coarser(self, factor: Sequence[int]) -> Grid:
        """The same field of view in voxels ``factor`` times as long: coarse voxel j covers jr .. jr + r - 1.

        Raises
        ------
        ValueError
            If the factor of an axis does not divide its number of voxels.
        """
        _check_factor(factor)
        if any(n % r for n, r in zip(self.shape, factor, strict=True)):
            raise ValueError(f"{self.shape} voxels are not a whole multiple of {tuple(factor)}: crop first")
        r = np.asarray(factor, dtype=np.float64)
        step = np.eye(4)
        step[:3, :3] = np.diag(r)
        step[:3, 3] = (r - 1) / 2
        i, j, k = (n // r for n, r in zip(self.shape, factor, strict=True))
        return Grid((i, j, k), self.affine @ step)

    def resized(self, shape: Triple) -> Grid:
        """The same field of view in another number of voxels along each axis."""
        ratio = np.asarray(self.shape, dtype=np.float64) / shape
        step = np.eye(4)
        step[:3, :3] = np.diag(ratio)
        step[:3, 3] = (ratio - 1) / 2
        return Grid(shape, self.affine @ step)

    def respaced(self, spacing: Sequence[float]) -> Grid:
        """Another spacing in mm along each axis, and as many voxels as fill the field of view best.

        Its centre stays; each of its faces stays to a quarter of a new voxel (a single voxel excepted).
        """
        ratio = np.asarray(spacing, dtype=np.float64) / self.spacing
        i, j, k = (max(1, round(n / r)) for n, r in zip(self.shape, ratio.tolist(), strict=True))
        step = np.eye(4)
        step[:3, :3] = np.diag(ratio)
        step[:3, 3] = (np.asarray(self.shape) - 1 - ratio * (np.array([i, j, k]) - 1)) / 2
        return Grid((i, j, k), self.affine @ step)

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Grid:
        """Keep the voxels ``start`` to ``stop - 1`` of each axis."""
        if any(not 0 <= a < b <= n for a, b, n in zip(start, stop, self.shape, strict=True)):
            raise ValueError(f"cannot keep {tuple(start)} to {tuple(stop)} of {self.shape} voxels")
        i, j, k = (b - a for a, b in zip(start, stop, strict=True))
        return Grid((i, j, k), self._moved(start))

    def pad(self, before: Sequence[int], after: Sequence[int]) -> Grid:
        """Add voxels before the first and after the last one of each axis."""
        if min(*before, *after) < 0:
            raise ValueError("padding is counted in voxels, zero or more")
        i, j, k = (n + a + b for n, a, b in zip(self.shape, before, after, strict=True))
        return Grid((i, j, k), self._moved([-a for a in before]))

    def reorder(self, axes: Sequence[int]) -> Grid:
        """The grid of ``array.transpose(axes)``."""
        if sorted(axes) != [0, 1, 2]:
            raise ValueError(f"axes must be an order of 0, 1, 2, not {tuple(axes)}")
        i, j, k = (self.shape[axis] for axis in axes)
        return Grid((i, j, k), self.affine[:, [*axes, 3]])

    def flip(self, axis: int) -> Grid:
        """The grid of ``numpy.flip(array, axis)``."""
        step = np.eye(4)
        step[axis, axis] = -1
        step[axis, 3] = self.shape[axis] - 1
        return Grid(self.shape, self.affine @ step)

    def matches(self, other: Grid, tolerance: float = 1e-3) -> bool:
        """Whether both have the same shape and their corners lie within ``tolerance`` mm."""
        return self.shape == other.shape and bool(np.abs(self.corners() - other.corners()).max() <= tolerance)

    def to_itk(self) -> dict[str, Any]:
        """``origin``, ``spacing`` and ``direction`` as SimpleITK wants them (LPS, direction row by row)."""
        affine = _LPS @ self.affine
        direction = affine[:3, :3] / self.spacing
        return {
            "origin": affine[:3, 3].tolist(),
            "spacing": list(self.spacing),
            "direction": direction.ravel().tolist(),
        }

    @classmethod
    def from_itk(
        cls,
        shape: Triple,
        origin: Sequence[float],
        spacing: Sequence[float],
        direction: Sequence[float],
    ) -> Grid:
        """The grid of a 3-D SimpleITK image; ``shape`` in the order of ``image.GetSize()``."""
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing)
        affine[:3, 3] = origin
        return cls(shape, _LPS @ affine)

    def _moved(self, index: Sequence[int]) -> Affine:
        step = np.eye(4)
        step[:3, 3] = index
        return self.affine @ step


def ratios_between(old: Grid, new: Grid) -> tuple[float, float, float]:
    """New voxels per old voxel along each axis; whole numbers are exact."""
    i, j, k = (
        m // n if m % n == 0 and abs(a / b - m // n) < _EQUAL * (m // n) else a / b
        for n, m, a, b in zip(old.shape, new.shape, old.spacing, new.spacing, strict=True)
    )
    return i, j, k


def step_between(old: Grid, new: Grid) -> Affine:
    """From new to old voxel indices, shape (4, 4), for two grids of the same axes and the same centre.

    `Grid.finer`, `Grid.coarser` and `Grid.respaced` keep both. New index j of m lies at old index
    ``(j - (m - 1) / 2) / r + (n - 1) / 2``. Where ``m = n r`` that is the step of `finer_affine`, and
    computed as there.

    Raises
    ------
    ValueError
        If the grids differ in more than spacing and shape.
    """
    step = np.eye(4)
    ratios = ratios_between(old, new)
    for axis, (n, m, r) in enumerate(zip(old.shape, new.shape, ratios, strict=True)):
        step[axis, axis] = 1 / r
        step[axis, 3] = -(r - 1) / (2 * r) if m == n * r else ((n - 1) - (m - 1) / r) / 2
    apart = np.abs(Grid(new.shape, old.affine @ step).corners() - new.corners())
    if apart.max() > _EQUAL * np.abs(old.corners()).max():
        raise ValueError("the new grid has other axes or another centre than the old one")
    return step


def _check_factor(factor: Sequence[int]) -> None:
    if len(factor) != 3 or any(int(r) != r or r < 1 for r in factor):
        raise ValueError(f"a factor is three whole numbers of at least 1, not {tuple(factor)}")
