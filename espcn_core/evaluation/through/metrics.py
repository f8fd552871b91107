"""How far a volume that was thick along one axis is from the truth, and how it looks along that axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from espcn_core.degradation import SliceProfile, thicken
from espcn_core.evaluation import metrics
from espcn_core.evaluation.records import Image, Mask
from espcn_core.upscaling.slices import evenly

Values = npt.NDArray[np.float64]

SLICES = 32
"""At most so many, evenly spread, of a volume's slices count for SSIM and HFEN."""

LEAST_RANGE = 0.05
"""Of the range of the volume; a slice with less holds next to nothing but air."""

REACH = 8
"""Voxels on both sides of an edge that its width is looked for in."""

_FLAT = 3
"""Of them, the outer ones that must be flat in the truth: they are the levels of the edge."""

_UNEVEN = 0.1
"""How far, as a part of the edge's height, such a level may range."""

_EDGES = 4000
"""The steepest edges of a volume whose widths are measured."""


def mean_square(test: Image, truth: Image, mask: Mask | None = None) -> float:
    """Mean square error over a volume, or over a mask, shape (I, J, K); slab by slab, in double precision."""
    total = 0.0
    for i in range(len(truth)):
        square = (test[i].astype(np.float64) - truth[i]) ** 2
        total += float(square.sum() if mask is None else square[mask[i]].sum())
    return total / (truth.size if mask is None else int(mask.sum()))


def decibels(mse: float, peak: float) -> float:
    """The PSNR of a mean square error."""
    return 10 * math.log10(peak**2 / mse) if mse else math.inf


def similarity(test: Image, truth: Image, axis: int, peak: float) -> tuple[float, float]:
    """SSIM and HFEN of slices that the thick axis lies in.

    Parameters
    ----------
    test, truth : ndarray, shape (I, J, K)
    axis : int
        The one that was thick. The slices are counted along the first of the others.
    peak : float
        Range of the true volume.

    Returns
    -------
    ssim : float
        Mean over the slices whose range is at least `LEAST_RANGE` of the peak, `SLICES` at most.
    hfen : float
        Norm of the error of the edges of all these slices, over that of the edges of the truth.
    """
    other = _other(axis)
    truths, tests = (np.moveaxis(volume, other, 0) for volume in (truth, test))
    kept = [k for k, image in enumerate(truths) if np.ptp(image) >= LEAST_RANGE * peak]
    low = float(truth.min())
    total, errors, edges = 0.0, 0.0, 0.0
    kept = evenly(kept, SLICES)
    for k in kept:
        true, ours = (torch.from_numpy(np.array(volume[k], dtype=np.float64)) for volume in (truths, tests))
        total += float(metrics.Similarity(true - low, peak).map(ours - low).mean())
        errors += metrics.hfen(ours, true, 1.0) ** 2
        edges += metrics.edge_norm(true) ** 2
    return total / len(kept) if kept else math.nan, math.sqrt(errors / edges) if edges else math.nan


@dataclass(frozen=True, eq=False)
class Edges:
    """Steps of a true volume along one axis: both sides are flat, so that their width means something.

    Attributes
    ----------
    axis : int
    line : ndarray of int, shape (N,)
        Which of the lines along the axis (of the other two axes, the last fastest).
    place : ndarray of int, shape (N,)
        The voxel before the steepest step of the edge.
    low, high : ndarray, shape (N,)
        The levels of the truth before and after it: ``low > high`` where it falls.
    """

    axis: int
    line: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    low: Values
    high: Values

    def width(self, volume: Image, spacing: float) -> float:
        """Median distance in which a volume goes from 10 % to 90 % of the true edges.

        Where it does not come that far within `REACH` voxels of the edge, the distance is that of the whole
        window.

        Parameters
        ----------
        volume : ndarray, shape (I, J, K)
        spacing : float
            In mm, along the axis.

        Returns
        -------
        float
            In mm; NaN if the truth has no such edge.
        """
        if not len(self.line):
            return math.nan
        lines = np.moveaxis(volume, self.axis, -1)
        first, second = np.unravel_index(self.line, lines.shape[:2])
        window = np.arange(1 - REACH, REACH + 1)
        values = lines[first[:, None], second[:, None], self.place[:, None] + window].astype(np.float64)
        rise = (values - self.low[:, None]) / (self.high - self.low)[:, None]
        return spacing * float(np.median([_rise_width(row) for row in rise]))


def find_edges(truth: Image, axis: int) -> Edges:
    """The steepest steps along an axis of a true volume that have a flat level on either side.

    Parameters
    ----------
    truth : ndarray, shape (I, J, K)
    axis : int
    """
    lines = np.moveaxis(truth, axis, -1)
    inside = lines.shape[-1] - 2 * REACH + 1  # places that have their whole window
    found: list[tuple[npt.NDArray[Any], ...]] = []
    for i, slab in enumerate(lines):
        values = slab.astype(np.float64)
        if inside < 1:
            break
        before, after = (
            np.lib.stride_tricks.sliding_window_view(values, _FLAT, axis=-1)[:, start : start + inside]
            for start in (0, 2 * REACH - _FLAT)
        )
        low, high = before.mean(-1), after.mean(-1)
        height = np.abs(high - low)
        ripple = np.maximum(np.ptp(before, axis=-1), np.ptp(after, axis=-1))
        steps = np.abs(np.diff(values, axis=-1))
        around = np.lib.stride_tricks.sliding_window_view(steps, 2 * REACH - 1, axis=-1)[:, :inside]
        middle = around.argmax(-1) == REACH - 1
        good = middle & (height > 0) & (ripple <= _UNEVEN * height)
        row, place = np.nonzero(good)
        line = i * lines.shape[1] + row
        place += REACH - 1
        found.append((line, place, low[good], high[good], steps[row, place]))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)] if found else [np.empty(0)] * 5
    lines_of, places, lows, highs, steepness = columns
    best = np.sort(np.argsort(-steepness, kind="stable")[:_EDGES])
    return Edges(
        axis, lines_of[best].astype(np.int64), places[best].astype(np.int64), lows[best], highs[best]
    )


def slice_edges(volume: Image, axis: int, factor: int) -> float:
    """How much of the steps along an axis goes with the slices: 1 nothing, r if they are all at slice edges.

    Steps from one voxel to the next, folded to the ``factor`` places within a slice. The mean square step by
    place tells whether a volume is rougher in some places: it counts the energy of that period, all its
    harmonics and the mean, over the energy of the mean alone. The mean step by place tells whether a pattern
    is added to all slices: to that comes its share of the energy of the steps. Anatomy shows in neither. The
    plain energy at the slice period is mostly anatomy, of which nearest interpolation has less than the truth
    from r = 4 on.

    Parameters
    ----------
    volume : ndarray, shape (I, J, K)
    axis : int
    factor : int
        Voxels of a slice, r; the first slice begins with the first voxel.

    Returns
    -------
    float
        From 1 to r, or a little more; NaN for a volume without a step.
    """
    lines = np.moveaxis(volume, axis, 0)
    start = factor // 2  # whole periods that begin and end within the volume
    periods = (len(lines) - 1 - start) // factor
    mean, square = np.zeros(factor), np.zeros(factor)
    for j in range(periods * factor):
        step = lines[start + j + 1].astype(np.float64) - lines[start + j]
        mean[j % factor] += step.mean() / periods
        square[j % factor] += np.mean(step**2) / periods
    total = square.sum()
    if not total:
        return math.nan
    return float(factor * (square**2).sum() / total**2 + (mean**2).sum() / total)


def deviation(test: Image, thick: Image, axis: int, factor: int, profile: SliceProfile) -> float:
    """Largest difference between a result, made thick again, and the thick slices, over their range."""
    again = thicken(torch.from_numpy(np.ascontiguousarray(test)), axis, factor, profile).numpy()
    span = float(np.ptp(thick))
    return float(np.abs(again - thick).max()) / span if span else math.nan


def rank_correlation(trust: Image, test: Image, truth: Image, mask: Mask | None = None) -> float:
    """Spearman's rank correlation of a trust map with the absolute error, over all voxels or a mask.

    In air both are next to nothing, which alone would be a correlation.
    """
    from scipy.stats import spearmanr

    within = np.s_[:] if mask is None else mask
    error = np.abs(test[within].astype(np.float64) - truth[within])
    return float(spearmanr(trust[within].ravel(), error.ravel()).statistic)


def _other(axis: int) -> int:
    """The first of the two other axes."""
    return 1 if axis == 0 else 0


def _rise_width(rise: Values) -> float:
    """Voxels from 0.1 to 0.9 of an edge that rises from about 0 to about 1."""
    reached = np.flatnonzero(rise >= 0.9)
    end = int(reached[0]) if len(reached) else 0
    below = np.flatnonzero(rise[:end] <= 0.1)
    if not len(below):
        return 2.0 * REACH
    start = int(below[-1])
    first = start + (0.1 - rise[start]) / (rise[start + 1] - rise[start])
    last = end - 1 + (0.9 - rise[end - 1]) / (rise[end] - rise[end - 1])
    return float(last - first)
