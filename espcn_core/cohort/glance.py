"""Two small pictures of a result and its input, side by side, and how far they are apart."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.cohort.difference import difference, range_of
from espcn_core.grid import Grid, ratios_between
from espcn_core.upscaling.planes import PLANES, plane_of, thickest_axis
from espcn_core.upscaling.resample import nearest, positions
from espcn_core.volumes import Volume

MOST = 192
"""Fine voxels along a side of a picture, at most; of a larger slice the middle is shown."""

_COARSE_BYTES, _FINE_BYTES = 1500, 3600
_QUALITIES = (85, 70, 55, 40, 25, 10)
_SAME = 1.01  # ratio of factors that count as equal
_TALLEST = 8  # times as long as the other side, at most


@dataclass(frozen=True)
class Glance:
    """What a page shows of a result.

    Attributes
    ----------
    coarse, fine : bytes
        WebP pictures of the same part of the input and of the result, in the same grey values.
    width, height : int
        The size at which both are shown, in CSS pixels.
    view : str
        Which slice they show.
    difference : float, optional
        See `espcn_core.cohort.difference.difference`.
    """

    coarse: bytes
    fine: bytes
    width: int
    height: int
    view: str
    difference: float | None


def glance_at(coarse: Volume, fine: Volume) -> Glance:
    """Pictures of the middle slice, and the difference.

    They show the plane of the slices, or, if an axis alone was made finer, a plane that holds it, coronal if
    there is a choice. The patient's right is on the left, anterior on the left of a sagittal picture and at
    the top of an axial one. Of several volumes the first is shown.

    Parameters
    ----------
    coarse, fine : Volume
        The input and the result.
    """
    low, high = range_of(coarse)
    axis = shown_axis(coarse.grid, fine.grid)
    middle = coarse.grid.shape[axis] // 2
    starts, stops = [0, 0, 0], list(coarse.grid.shape)
    ratios = ratios_between(coarse.grid, fine.grid)
    for side in {0, 1, 2} - {axis}:
        size = min(stops[side], max(1, int(MOST / ratios[side])))
        starts[side] = (stops[side] - size) // 2
        stops[side] = starts[side] + size
    starts[axis], stops[axis] = middle, middle + 1
    part = tuple(map(slice, starts, stops))
    cut = _picture(coarse, part, axis, low, high)
    finer = _picture(fine, _within(coarse.grid, fine.grid, part, axis), axis, low, high)
    width, height = _shown_size(coarse.grid, part, axis)
    many = coarse.grid.shape[axis]
    whole = all(stops[side] - starts[side] == coarse.grid.shape[side] for side in {0, 1, 2} - {axis})
    return Glance(
        _webp(cut, _COARSE_BYTES),
        _webp(finer, _FINE_BYTES),
        width,
        height,
        f"{plane_of(coarse.grid, axis)}, slice {middle + 1} of {many}{'' if whole else ', its middle'}",
        difference(coarse, fine, high - low),
    )


def shown_axis(coarse: Grid, fine: Grid) -> int:
    """The axis that a picture is normal to: one that was made finer least."""
    ratios = ratios_between(coarse, fine)
    least = [axis for axis in range(3) if ratios[axis] < min(ratios) * _SAME]
    if (thickest := thickest_axis(coarse)) in least:
        return thickest
    coronal = coarse.world_axes.index(PLANES["coronal"])
    return coronal if coronal in least else least[0]


def _within(coarse: Grid, fine: Grid, part: tuple[slice, ...], axis: int) -> tuple[slice, ...]:
    """The fine voxels whose centres lie in a part of the coarse ones; across it the one slice nearest."""
    found = []
    for side, (centres, wanted) in enumerate(zip(positions(coarse, fine), part, strict=True)):
        inside = np.flatnonzero((centres > wanted.start - 0.5) & (centres < wanted.stop - 0.5))
        if side == axis or not inside.size:
            middle = int(nearest(fine, coarse)[side][(wanted.start + wanted.stop - 1) // 2])
            found.append(slice(middle, middle + 1))
        else:
            found.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(found)


def _picture(
    volume: Volume, part: tuple[slice, ...], axis: int, low: float, high: float
) -> npt.NDArray[np.uint8]:
    """A part of one slice in grey, as it is looked at."""
    first: tuple[Any, ...] = (*part, *(0,) * (volume.array.ndim - 3))
    values = volume.array[first].astype(np.float64).squeeze(axis) * volume.slope + volume.inter
    share = np.nan_to_num((values - low) / ((high - low) or 1.0), nan=0.0, posinf=1.0, neginf=0.0)
    grey: npt.NDArray[np.uint8] = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    sides = [side for side in range(3) if side != axis]
    world = volume.grid.world_axes
    for place, side in enumerate(sides):
        if volume.grid.directions[world[side], side] > 0:
            grey = np.flip(grey, place)
    return grey if world[sides[0]] > world[sides[1]] else grey.T


def _shown_size(grid: Grid, part: tuple[slice, ...], axis: int) -> tuple[int, int]:
    """Width and height in proportion to mm."""
    sides = sorted({0, 1, 2} - {axis}, key=lambda side: grid.world_axes[side])
    lengths = [(part[side].stop - part[side].start) * grid.spacing[side] for side in sides]
    longest = max(lengths)
    width, height = (round(MOST * max(length / longest, 1 / _TALLEST)) for length in lengths)
    return width, height


def _webp(grey: npt.NDArray[np.uint8], most: int) -> bytes:
    """A picture of so many bytes at most: of poorer quality where it must be, and of half the size last."""
    from PIL import Image

    image: Any = Image.fromarray(np.ascontiguousarray(grey))
    while True:
        for quality in _QUALITIES:
            file = io.BytesIO()
            image.save(file, format="WEBP", quality=quality)
            if file.tell() <= most:
                return file.getvalue()
        image = image.reduce(2)
