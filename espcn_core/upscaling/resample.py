"""From the voxels of one grid to those of another whose axes are the same: positions, and cubic weights.

All of it is in voxel indices, so an oblique volume is no special case.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from espcn_core.grid import Grid, step_between

Weights = npt.NDArray[np.float64]

_ROWS = 32
"""Of a band that are multiplied at once."""

_CUBIC = -0.5
"""Keys's parameter: with it a parabola is interpolated without an error."""


def cubic_weights(source: Grid, target: Grid, axis: int) -> Weights:
    """Cubic interpolation along an axis, antialiased where the target is coarser.

    Beyond the edge the last voxel is repeated. The weights of a voxel have the sum 1.

    Parameters
    ----------
    source, target : Grid
        Of n and n' voxels along the axis.
    axis : int

    Returns
    -------
    ndarray, shape (n', n)
        Values at the target's voxels are this matrix times those at the source's.

    Notes
    -----
    Cubic convolution after Keys (1981), doi 10.1109/TASSP.1981.1163711. Where the target's voxels are further
    apart than the source's, the kernel is stretched by their ratio.
    """
    stretch = max(1.0, target.spacing[axis] / source.spacing[axis])
    position = positions(source, target)[axis][:, None]
    reach = int(np.ceil(2 * stretch)) + 1
    index = np.floor(position).astype(int) + np.arange(-reach, reach + 1)
    values = _kernel((index - position) / stretch)
    return gathered(index, values / values.sum(1, keepdims=True), source.shape[axis])


def positions(source: Grid, target: Grid) -> tuple[Weights, Weights, Weights]:
    """Where the target's voxels lie along each axis, in indices of the source."""
    step = step_between(source, target)
    i, j, k = (step[axis, axis] * np.arange(n) + step[axis, 3] for axis, n in enumerate(target.shape))
    return i, j, k


def nearest(source: Grid, target: Grid) -> tuple[npt.NDArray[np.int64], ...]:
    """Index of the source's voxel that is nearest to each of the target's, along each axis."""
    return tuple(
        np.clip(np.floor(position + 0.5).astype(np.int64), 0, n - 1)
        for position, n in zip(positions(source, target), source.shape, strict=True)
    )


def gathered(index: npt.NDArray[np.int64], values: Weights, count: int) -> Weights:
    """A matrix of ``count`` columns from the weights of each row at indices; those beyond go to the edge.

    Parameters
    ----------
    index, values : ndarray, shape (rows, m)
    count : int
    """
    matrix = np.zeros((len(index), count))
    rows = np.broadcast_to(np.arange(len(index))[:, None], index.shape)
    np.add.at(matrix, (rows, index.clip(0, count - 1)), values)
    return matrix


def weighted(weights: npt.NDArray[Any], image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """``weights @ image``, both of one type, by torch.

    NumPy's own library has threads of its own, which wait for the processors that torch's threads are still
    turning on: a volume that takes 0.2 s then took 3 s.
    """
    product: npt.NDArray[Any] = (torch.from_numpy(weights) @ torch.from_numpy(image)).numpy()
    return product


class Banded:
    """A matrix whose elements lie about its diagonal, for products with images.

    Rows are taken some at a time, with the columns that these have elements in.

    Parameters
    ----------
    weights : ndarray, shape (n', n)
    """

    def __init__(self, weights: npt.NDArray[Any]) -> None:
        self._parts = []
        for start in range(0, len(weights), _ROWS):
            rows = weights[start : start + _ROWS]
            used = np.flatnonzero(rows.any(0))
            columns = slice(used[0], used[-1] + 1)
            self._parts.append((columns, np.ascontiguousarray(rows[:, columns])))

    def __matmul__(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The product with an image of shape (n, m), as `weighted` gives it: shape (n', m)."""
        return np.concatenate([weighted(part, image[columns]) for columns, part in self._parts])


def _kernel(x: Weights) -> Weights:
    x = np.abs(x)
    near = ((_CUBIC + 2) * x - (_CUBIC + 3)) * x**2 + 1
    far = _CUBIC * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
