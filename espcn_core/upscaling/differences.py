"""What a plane makes of thick slices, kept as what it differs from them by: half the memory of float32."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from espcn_core.grid import Grid
from espcn_core.upscaling.slices import Slices
from espcn_core.upscaling.sweep import Values

Array = npt.NDArray[Any]

_MOST = float(np.finfo(np.float16).max)

_ROOM = 4
"""How many times as far from 0 as any thick voxel a difference may lie."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Differences(Values):
    """A volume that is finer along one axis, as its differences from the nearest thick voxels.

    A difference is rounded to the eleven bits of float16, so by a 2048th of itself at most: where a voxel is
    off from its thick one by a tenth of the range, by 0.012 grey levels of 255.

    Attributes
    ----------
    array : ndarray of float16, shape (I', J', K', *rest)
        The differences in the networks' range, divided by ``scale``.
    thick : Values
        Gaps count as 0.
    axis : int
        That is finer than in ``thick``, by a whole factor.
    scale : float
        A power of two, 1 unless there are voxels far beyond the networks' range.
    """

    thick: Values
    axis: int
    scale: float

    @classmethod
    def empty(cls, thick: Values, grid: Grid, axis: int, slice_axis: int) -> Self:
        """To be written slice by slice across an axis.

        In Fortran order, but those of slices across the first axis have each slice side by side: what is
        written is otherwise scattered over all of the memory.
        """
        shape = (*grid.shape, *thick.array.shape[3:])
        if slice_axis:
            array = np.empty(shape, np.float16, order="F")
        else:
            array = np.moveaxis(np.empty((*shape[1:], shape[0]), np.float16, order="F"), -1, 0)
        scale = 2.0 ** max(0, math.ceil(math.log2(max(_ROOM * thick.farthest, 1.0) / _MOST)))
        return cls(array=array, grid=grid, thick=thick, axis=axis, scale=scale)

    @property
    def is_array(self) -> bool:
        """See `Values.is_array`."""
        return False

    def raw(self, slice_axis: int, numbers: Iterable[int]) -> Iterator[npt.NDArray[np.float32]]:
        """See `Values.raw`; there are no gaps."""
        slices = Slices(self.array, slice_axis)
        for n in numbers:
            image = torch.from_numpy(slices[n]).float().mul_(self.scale)
            yield image.add_(self._nearest(slice_axis, n)).numpy()

    def put(
        self, slice_axis: int, number: int, rows: slice, columns: slice, image: npt.NDArray[np.float32]
    ) -> None:
        """Keep some rows and columns of a slice, in the networks' range."""
        difference = torch.from_numpy(image) - self._nearest(slice_axis, number)[rows, columns]
        kept = torch.from_numpy(Slices(self.array, slice_axis)[number])[rows, columns]
        half = difference.div_(self.scale).half()
        kept.T.copy_(half.T)  # rows of what is kept may lie side by side in memory: torch is then faster so

    def _nearest(self, slice_axis: int, number: int) -> Tensor:
        """The thick voxels nearest to those of a slice."""
        factor = self.array.shape[self.axis] // self.thick.array.shape[self.axis]
        if slice_axis == self.axis:
            number //= factor  # of later time points, too: each has a whole number of thick slices
        (said,) = self.thick.raw(slice_axis, [number])
        image = torch.from_numpy(said).nan_to_num(0.0, 0.0, 0.0)
        if slice_axis == self.axis:
            return image
        return image.repeat_interleave(factor, dim=self.axis - (slice_axis < self.axis))
