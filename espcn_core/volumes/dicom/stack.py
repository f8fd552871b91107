"""From the places of single slices to one grid; what is no regular stack is refused with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid

Vector = npt.NDArray[np.float64]

_SAME_PLACE = 1e-3  # mm
_SAME_DIRECTION = 1e-3
"""Sine of an angle that is rounding in the header."""

_UNEVEN = 0.1
"""How far a slice may be from where an even stack has it, as a part of the spacing: positions are rounded."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice: a file, or a frame of it.

    Attributes
    ----------
    file, frame : int
        Which of the files, which of its frames.
    size : (columns, rows)
    position : ndarray, shape (3,)
        Of the centre of its first pixel in mm (LPS, as DICOM has it).
    row, column : ndarray, shape (3,)
        Unit vectors along which the column index, and the row index, grows.
    spacing : (float, float)
        In mm between neighbours along ``row`` and along ``column``.
    slope, inter : float
        Physical value = slope * stored value + inter.
    """

    file: int
    frame: int
    size: tuple[int, int]
    position: Vector
    row: Vector
    column: Vector
    spacing: tuple[float, float]
    slope: float = 1.0
    inter: float = 0.0


def stacked(slices: Sequence[Slice], apart: float | None, name: str) -> tuple[list[Slice], Grid]:
    """The slices in order along their normal, and their grid.

    Parameters
    ----------
    slices : sequence of Slice
    apart : float, optional
        The distance that the header gives; it is needed for a single slice only.
    name : str
        What messages call the series.

    Raises
    ------
    VolumeError
        If sizes, spacings or orientations differ, slices lie at the same place, are missing or uneven, or
        are shifted against each other, as under a tilted gantry.
    """
    first = slices[0]
    _check_same(slices, name)
    row = first.row / np.linalg.norm(first.row)
    column = first.column - row * (first.column @ row)
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    ordered = sorted(slices, key=lambda s: float(s.position @ normal))
    places = np.array([s.position for s in ordered])
    along = places @ normal
    n = len(ordered)
    if n == 1:
        origin, step = first.position, apart or 1.0
    else:
        step = _even_step(along, name)
        k = np.arange(n)
        shift = np.stack([np.polyfit(k, places @ axis, 1) for axis in (row, column)])  # (2, slope and start)
        tilt = float(np.linalg.norm(shift[:, 0])) / step
        if tilt > _SAME_DIRECTION and tilt * step * (n - 1) > _SAME_DIRECTION:
            raise VolumeError(
                f"{name} is sheared: each slice is shifted sideways against the one before, by "
                f"{np.degrees(np.arctan(tilt)):.1f} degrees, as under a tilted gantry; "
                "resample it onto a rectangular grid first, for instance with dcm2niix"
            )
        start = float(np.mean(along) - step * (n - 1) / 2)
        sideways = places @ np.stack([row, column], axis=1)
        origin = start * normal + row * np.mean(sideways[:, 0]) + column * np.mean(sideways[:, 1])
    direction = np.stack([row, column, normal], axis=1)
    try:
        grid = Grid.from_itk(
            (*first.size, n), origin.tolist(), (*first.spacing, step), direction.ravel().tolist()
        )
    except ValueError as error:
        raise VolumeError(f"{name} is not placed in space ({error}); export it again") from None
    return ordered, grid


def _check_same(slices: Sequence[Slice], name: str) -> None:
    first = slices[0]
    sizes = Counter(s.size for s in slices)
    if len(sizes) > 1:
        listed = ", ".join(f"{count} of {i} x {j}" for (i, j), count in sizes.most_common(4))
        raise VolumeError(f"{name} has images of several sizes ({listed}); put each size into its own folder")
    turned = sum(
        max(_angle(s.row, first.row), _angle(s.column, first.column)) > _SAME_DIRECTION for s in slices
    )
    if turned:
        raise VolumeError(
            f"{name} has slices of several orientations ({turned} of {len(slices)} differ from the first), "
            "as a localizer has; put each orientation into its own folder"
        )
    if not np.allclose([s.spacing for s in slices], first.spacing, rtol=1e-4):
        raise VolumeError(f"{name} has slices of several pixel spacings; put each into its own folder")


def _even_step(along: Vector, name: str) -> float:
    """The distance of the slices, which lie at these places along their normal."""
    apart = np.diff(along)
    usual = float(np.median(apart))
    twice = int(np.sum(apart < _SAME_PLACE))
    if twice:
        raise VolumeError(
            f"{name} has {len(along)} slices at {len(along) - twice} places: several times, echoes or "
            "weightings, or copies; put one of each place into a folder of its own"
        )
    n = len(along)
    step = float(along[-1] - along[0]) / (n - 1)
    even = along[0] + step * np.arange(n)
    off = along - even
    if np.max(np.abs(off - np.mean(off))) <= _UNEVEN * step:
        slope: Any = np.polyfit(np.arange(n), along, 1)[0]
        # Where all is even to rounding, the ends say the distance best.
        return step if np.max(np.abs(off)) < _SAME_PLACE else float(slope)
    gaps = apart / usual
    if np.all(np.abs(gaps - np.round(gaps)) < _UNEVEN) and np.round(gaps).min() == 1:
        missing = int(np.sum(np.round(gaps) - 1))
        raise VolumeError(
            f"{name} lacks {missing} slice{'s' * (missing > 1)}: its slices are {usual:.4g} mm apart, but "
            f"{apart.max():.4g} mm somewhere; copy or export all of them"
        )
    raise VolumeError(
        f"{name} has slices that are unevenly far apart, {apart.min():.4g} to {apart.max():.4g} mm; "
        "resample it onto an even grid first"
    )


def _angle(a: Vector, b: Vector) -> float:
    """Sine of the angle between two unit vectors; 2 if they are opposite."""
    return 2.0 if a @ b < 0 else float(np.linalg.norm(np.cross(a, b)))
