"""Cut a volume into slices, fill what a network cannot read, and put the results back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

Array = npt.NDArray[Any]
T = TypeVar("T")

_ALL = slice(None)


class Slices:
    """The slices of a volume along one axis, as views: what is written to them is written to the volume.

    Parameters
    ----------
    array : ndarray, shape (I, J, K, *rest)
        Further axes (time, components) count as more slices.
    slice_axis : int
        0, 1 or 2. The other two keep their order: the first of them is the row axis of a slice.
    """

    def __init__(self, array: Array, slice_axis: int) -> None:
        self._moved = np.moveaxis(array, slice_axis, 2)
        self._counts = self._moved.shape[2:]

    def __len__(self) -> int:
        return int(np.prod(self._counts))

    def __getitem__(self, number: int) -> Array:
        """View of one slice, shape (rows, columns); the slices of the first volume come first."""
        where: tuple[Any, ...] = np.unravel_index(number, self._counts, order="F")
        return self._moved[(slice(None), slice(None), *where)]


def evenly(numbers: Sequence[T], count: int | None) -> list[T]:
    """``count`` of them, evenly spread; all of them if there are fewer, or the count is None."""
    if count is None or count >= len(numbers):
        return list(numbers)
    return [numbers[(2 * i + 1) * len(numbers) // (2 * count)] for i in range(count)]


def batches(count: int, pixels: int, at_once: int, most: int | None = None) -> list[range]:
    """Numbers of slices of so many pixels, in batches of about ``at_once`` pixels and ``most`` slices."""
    size = max(1, at_once // pixels)
    size = size if most is None else min(most, size)
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def pad(batch: Tensor, radius: int, rows: slice = _ALL, columns: slice = _ALL) -> Tensor:
    """Some rows and columns of slices, (B, C, H, W), and ``radius`` more on each side.

    Beyond the edge of the slices their last pixel is repeated.
    """
    sides, margins = [], []
    for side, size in zip((rows, columns), batch.shape[2:], strict=True):
        start, stop, _ = side.indices(size)
        first, last = max(0, start - radius), min(size, stop + radius)
        sides.append(slice(first, last))
        margins.append((first - start + radius, stop + radius - last))
    (above, below), (left, right) = margins
    return functional.pad(batch[:, :, sides[0], sides[1]], (left, right, above, below), mode="replicate")


def fill_gaps(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Replace NaN and infinities in a slice by what lies around them, so that they do not spread.

    Ring after ring, a gap takes the mean of the finite ones among its eight neighbours; no more rings than a
    network can see. What is then left, far from any finite value, becomes 0.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)

    Returns
    -------
    ndarray, same shape
        The same array if nothing had to be filled.
    """
    known = np.isfinite(image)
    if known.all():
        return image
    value = torch.from_numpy(np.where(known, image, np.float32(0)))[None, None]
    weight = torch.from_numpy(known.astype(np.float32))[None, None]
    window = torch.ones(1, 1, 3, 3)
    for _ in range(_RINGS):
        total = functional.conv2d(weight, window, padding=1)
        mean = functional.conv2d(value, window, padding=1) / total.clamp(min=1)
        fresh = (weight == 0) & (total > 0)
        if not fresh.any():
            break
        value = torch.where(fresh, mean, value)
        weight = torch.where(fresh, torch.ones_like(weight), weight)
    return np.asarray(value[0, 0].numpy())


def restore_gaps(fine: Array, coarse: Array, nearest: Sequence[Array]) -> None:
    """Write NaN and infinities of ``coarse`` into all fine voxels that are nearest to them, in place.

    Parameters
    ----------
    fine : ndarray, shape (I', J', K', *rest)
    coarse : ndarray, shape (I, J, K, *rest)
    nearest : three of ndarray of int
        For each fine voxel along each axis the coarse one that is nearest to it, shapes (I'), (J') and (K').
    """
    rows, columns, slices = nearest
    for rest in np.ndindex(coarse.shape[3:]):
        for number, k in enumerate(slices):
            values = coarse[(slice(None), slice(None), k, *rest)]
            if np.isfinite(values).all():
                continue
            values = values[np.ix_(rows, columns)]
            target = fine[(slice(None), slice(None), number, *rest)]
            np.copyto(target, values, where=~np.isfinite(values), casting="same_kind")


_RINGS = 16
