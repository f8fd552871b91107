"""How far a result, averaged over the voxels of its input, is from the input."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from espcn_core.grid import Grid
from espcn_core.upscaling.resample import positions
from espcn_core.volumes import Volume

Image = npt.NDArray[np.float64]

DARKEST, BRIGHTEST = 1.0, 99.5
"""The percentiles of the input between which its range lies: a few vessels would make it too wide."""

_SAMPLES = (96, 96, 96, 4)  # along each axis for percentiles; the last is for all after the third
_ROUNDING = 1e-9  # of a voxel


def range_of(volume: Volume) -> tuple[float, float]:
    """The 1st and the 99.5th percentile of the values, in physical units.

    Of large volumes at most 96 voxels along each axis are taken, evenly spread, and 4 volumes of a series.
    The least and the largest value where the percentiles are equal; 0 and 0 where no value is finite.
    """
    most = (*_SAMPLES, *_SAMPLES[-1:] * volume.array.ndim)
    steps = tuple(slice(None, None, -(-n // m)) for n, m in zip(volume.array.shape, most, strict=False))
    values = volume.array[steps].astype(np.float64) * volume.slope + volume.inter
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    low, high = np.percentile(values, (DARKEST, BRIGHTEST))
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def difference(coarse: Volume, fine: Volume, extent: float) -> float | None:
    """Root mean square of the fine volume, averaged over each coarse voxel, minus the coarse one.

    It is a part of the range, and both are compared in physical units. Voxels whose input or result is not
    finite are left out.

    Parameters
    ----------
    coarse, fine : Volume
        On grids of the same axes and centre, with the same axes after the third.
    extent : float
        The range of the input.

    Returns
    -------
    float or None
        None if nothing can be compared, or the range is 0 and the result differs.

    Notes
    -----
    The mean is weighted by the part of the coarse voxel that each fine voxel fills, along one axis after the
    other. Where a fine grid ends within a coarse voxel, its last voxel is taken to reach to the edge. A few
    slices are in memory at a time.
    """
    (rows, columns, slices) = (overlaps(coarse.grid, fine.grid, axis) for axis in range(3))
    squares, count = 0.0, 0
    for rest in np.ndindex(coarse.array.shape[3:]):
        for k, (index, weights) in enumerate(zip(*slices, strict=True)):
            parts = [(j, w) for j, w in zip(index, weights, strict=True) if w > 0]
            image = sum(w * fine.array[(slice(None), slice(None), j, *rest)].astype(float) for j, w in parts)
            mean, known = _mean(np.asarray(image), rows, columns)
            true = coarse.array[(slice(None), slice(None), k, *rest)].astype(float)
            known &= np.isfinite(true)
            error = (mean * fine.slope + fine.inter - true * coarse.slope - coarse.inter)[known]
            squares += float(error @ error)
            count += error.size
    if not count:
        return None
    mean_square = math.sqrt(squares / count)
    if extent == 0:
        return 0.0 if mean_square == 0 else None
    return mean_square / extent


def overlaps(coarse: Grid, fine: Grid, axis: int) -> tuple[npt.NDArray[np.int64], Image]:
    """Which fine voxels lie in each coarse one along an axis, and which part of it they fill.

    Returns
    -------
    index, weights : ndarray, shape (n, m)
        Of m fine voxels for each of n coarse ones. The sum of the weights of each row is 1; some may be 0.
    """
    n, count = coarse.shape[axis], fine.shape[axis]
    width = fine.spacing[axis] / coarse.spacing[axis]
    edges = positions(coarse, fine)[axis][0] + width * (np.arange(count + 1) - 0.5)
    edges[0], edges[-1] = min(edges[0], -0.5), max(edges[-1], n - 0.5)
    start = np.arange(n)[:, None] - 0.5
    first = np.searchsorted(edges, start + _ROUNDING, side="right") - 1
    last = np.searchsorted(edges, start + 1 - _ROUNDING, side="left") - 1
    index = first + np.arange((last - first).max() + 1)
    inside = index <= last
    index = np.minimum(index, count - 1)
    filled = np.minimum(edges[index + 1], start + 1) - np.maximum(edges[index], start)
    weights = np.where(inside, filled, 0.0)
    return index, weights / weights.sum(axis=1, keepdims=True)


def _mean(
    image: Image,
    rows: tuple[npt.NDArray[np.int64], Image],
    columns: tuple[npt.NDArray[np.int64], Image],
) -> tuple[Image, npt.NDArray[np.bool_]]:
    """A slice averaged over the coarse voxels, and where all that went into it is finite."""
    finite = np.isfinite(image)
    if finite.all():
        mean = _gathered(_gathered(image, 0, *rows), 1, *columns)
        return mean, np.ones(mean.shape, bool)
    mean = _gathered(_gathered(np.where(finite, image, 0.0), 0, *rows), 1, *columns)
    known = _gathered(_gathered(finite.astype(float), 0, *rows), 1, *columns)
    return mean, known > 1 - _ROUNDING


def _gathered(image: Image, axis: int, index: npt.NDArray[np.int64], weights: Image) -> Image:
    """Weighted means along one of two axes."""
    shape = (-1, 1) if axis == 0 else (1, -1)
    parts = (image.take(i, axis) * w.reshape(shape) for i, w in zip(index.T, weights.T, strict=True))
    return np.asarray(sum(parts))
