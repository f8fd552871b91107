"""Whole numbers that give thick slices again: a few are rounded to the other side, or once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.intensity import IntensityMap
from espcn_core.upscaling.consistency import Consistency

Image = npt.NDArray[np.floating[Any]]

_ROUNDS = 12
"""At most so many voxels are changed for a thick one."""


def settle(
    whole: npt.NDArray[Any],
    exact: Image,
    thick: Image,
    relation: Consistency,
    back: IntensityMap,
    most: float,
) -> Image:
    """Change whole numbers by one, in place, until they give the thick voxels of their line again.

    For a thick voxel that is not given, one of those near it is changed that counts much in it and was
    rounded far the other way. None is changed twice.

    Parameters
    ----------
    whole : ndarray of int, shape (n', m)
        Lines of fine voxels.
    exact : ndarray, shape (n', m)
        The same in the networks' range, before they were rounded.
    thick : ndarray, shape (n, m)
        In the networks' range.
    relation : Consistency
    back : IntensityMap
        From the networks' range to the whole numbers.
    most : float
        The largest deviation from a thick voxel that is left alone.

    Returns
    -------
    ndarray, shape (n, m)
        What the whole numbers lack of the thick voxels in the end.
    """
    ends, unit = np.iinfo(whole.dtype), 1 / (back.high - back.low)
    before, first = whole.copy(), relation.lacking(back.forward(whole), thick)
    lines, open_, lacking = np.arange(whole.shape[1]), first, first.copy()
    for _ in range(_ROUNDS):
        voxel, at = np.nonzero(np.abs(open_) > most)
        short, line, places = open_[voxel, at][:, None], lines[at][:, None], relation.near[voxel]
        step = np.sign(short * unit)
        now, weight = whole[places, line], relation.degrade[voxel[:, None], places]
        # What was rounded the other way by a half is as near then, and what was rounded this way stays.
        worth = weight * (0.5 + step * (exact[places, line] - (now - back.low) * unit) / unit)
        worth[np.where(step > 0, now == ends.max, now == ends.min)] = 0
        worth[weight * abs(unit) >= 2 * np.abs(short)] = 0  # too much
        choice = worth.argmax(1)[:, None]
        can = np.take_along_axis(worth, choice, 1)[:, 0] > 0
        if not can.any():
            break
        place, value = (np.take_along_axis(values, choice, 1)[can, 0] for values in (places, now + step))
        whole[place, line[can, 0]] = value
        lines = np.unique(line[can])
        lacking[:, lines] = open_ = relation.lacking(back.forward(whole[:, lines]), thick[:, lines])
    worse = np.square(lacking).sum(0) > np.square(first).sum(0)  # of numbers too few to give them
    whole[:, worse], lacking[:, worse] = before[:, worse], first[:, worse]
    return lacking
