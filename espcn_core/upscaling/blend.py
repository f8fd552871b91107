"""Two results of the same grid, from slices of two planes, made into one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from espcn_core.upscaling.parallel import spread, threads_for
from espcn_core.upscaling.slices import Slices

Array = npt.NDArray[Any]

_MARGIN = 16
"""Voxels that a slice is mirrored by on each side, so that what lies at its ends does not meet."""


def blend(
    first: Array, second: Array, axis: int, slice_axes: tuple[int, int], spacing: tuple[float, float, float]
) -> None:
    """Mix two volumes into the first, each where it saw more.

    A network that runs over slices sees what changes within a slice and nothing of what changes from slice to
    slice. So of a pattern that changes at an angle in between, each of the two planes has its share: the
    square of the sine and of the cosine, by the direction of each frequency across the thick axis.

    Parameters
    ----------
    first, second : ndarray of float32 or float16, shape (I, J, K, *rest)
    axis : int
        The thick one, which both saw.
    slice_axes : (int, int)
        The axis across the slices of the first and of the second; the other one is the axis that each saw.
    spacing : (i, j, k)
        In mm.
    """
    rows, columns = sorted(slice_axes)
    first_saw_rows = slice_axes[0] == columns
    ones, others = Slices(first, axis), Slices(second, axis)

    def mix(n: int) -> None:
        one, other = (torch.from_numpy(np.ascontiguousarray(slices[n])).float() for slices in (ones, others))
        share = _mixed(one - other, spacing[rows], spacing[columns])
        torch.from_numpy(ones[n]).copy_(other + share if first_saw_rows else one - share)

    for _ in spread(mix, range(len(ones)), threads_for(len(ones))):
        pass


def _mixed(difference: Tensor, down: float, across: float) -> Tensor:
    """The part of an image, (H, W), that changes along its rows' axis, by the direction of each frequency."""
    margins = [min(_MARGIN, n - 1) for n in difference.shape]
    padded = functional.pad(
        difference[None, None], (margins[1], margins[1], margins[0], margins[0]), mode="reflect"
    )[0, 0]
    share = _share(padded.shape[0], padded.shape[1], down / across)
    mixed = torch.fft.irfft2(torch.fft.rfft2(padded) * share, padded.shape)
    part: Tensor = mixed[margins[0] :, margins[1] :][: difference.shape[0], : difference.shape[1]]
    return part


@lru_cache(maxsize=4)
def _share(rows: int, columns: int, ratio: float) -> Tensor:
    """Of each frequency of `torch.fft.rfft2`; ``ratio`` is the rows' spacing over the columns'."""
    down = (torch.fft.fftfreq(rows) / ratio)[:, None] ** 2
    across = torch.fft.rfftfreq(columns) ** 2
    total = down + across
    return torch.where(total > 0, down / total.clamp(min=1e-12), 0.5)
