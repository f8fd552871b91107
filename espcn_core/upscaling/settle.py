"""Whole numbers that give thick slices again: a few are rounded to the other side, or once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.intensity import IntensityMap

Image = npt.NDArray[np.floating[Any]]

_ROUNDS = 24
"""At most so many voxels of a line are changed."""


def settle(
    whole: npt.NDArray[Any],
    exact: Image,
    lacking: Image,
    weights: Image,
    near: npt.NDArray[np.int64],
    back: IntensityMap,
    most: float,
) -> npt.NDArray[np.int64]:
    """Change whole numbers by one, in place, until those of a line together deviate no more than they may.

    Of the fine voxels near a thick one, that is changed which counts much in it and was rounded far the other
    way.
    A line is left as it is when that makes the sum of squares of its deviations no smaller.

    Parameters
    ----------
    whole : ndarray of int, shape (n', m)
        Lines of fine voxels.
    exact : ndarray, shape (n', m)
        The same in the networks' range, before they were rounded.
    lacking : ndarray, shape (n, m)
        Of the thick voxels of each line, what the fine ones lack of them (`consistency.Consistency`).
    weights : ndarray, shape (n, n')
        Of the fine voxels in the thick ones.
    near : ndarray of int, shape (n, k)
        Of each thick voxel, the fine ones that may change.
    back : IntensityMap
        From the networks' range to the whole numbers.
    most : float
        The largest deviation that is left alone.

    Returns
    -------
    ndarray of int, shape (k,)
        The lines that deviated more.
    """
    ends = np.iinfo(whole.dtype)
    unit = 1 / (back.high - back.low)
    lines = found = np.flatnonzero(np.abs(lacking).max(0) > most)
    lacking = lacking[:, lines]
    for _ in range(_ROUNDS):
        if not lines.size:
            break
        each = np.arange(len(lines))
        worst = np.abs(lacking).argmax(0)
        before = lacking[worst, each]
        step = np.sign(before * unit)
        places = near[worst].T
        now, weight = whole[places, lines], weights[worst, places]
        # What was rounded the other way by a half is as near then, and what was rounded this way stays.
        worth = weight * (0.5 + step * (exact[places, lines] - (now - back.low) * unit) / unit)
        worth[np.where(step > 0, now == ends.max, now == ends.min)] = 0
        worth[weight * abs(unit) >= 2 * np.abs(before)] = 0  # too much
        choice = worth.argmax(0)
        place = places[choice, each]
        after = lacking - weights[:, place] * (step * unit)
        better = (worth[choice, each] > 0) & (np.square(after).sum(0) < np.square(lacking).sum(0))
        lines, place, step, lacking = lines[better], place[better], step[better], after[:, better]
        whole[place, lines] += step.astype(np.int64).astype(whole.dtype)  # -1 wraps to what takes one off
        open_ = np.abs(lacking).max(0) > most
        lines, lacking = lines[open_], lacking[:, open_]
    return found
