"""What is asked of a volume, and what that means for each axis of its grid."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from espcn_core.errors import RequestError
from espcn_core.grid import Grid

AXES = "ijk"
"""What the axes of an image are called in sentences."""

MOST = 16
"""The largest factor along an axis."""

_WHOLE = 0.01
"""A factor this near to a whole number, as a part of itself, is that number."""

_INTERPOLATED = 1.1
"""The last part of a factor that is not whole may be interpolated, up to this."""


@dataclass(frozen=True)
class Request:
    """What is asked of a volume: a scale, a spacing or a model; of nothing at all, a scale of 2.

    Attributes
    ----------
    scale : int, or three int, optional
        Fine voxels per voxel: one number along both axes of the slices of ``plane``, or three along the axes
        of the image. By default the factors of the ``model``; (1, r) is for the axis across the slices.
    spacing : float, three float, or "isotropic", optional
        Wanted along each axis of the image in mm; ``isotropic`` is the finest spacing of the image.
    plane : {"auto", "axial", "coronal", "sagittal"}
        Of the slices. It follows from three factors or a spacing, and is left at ``auto`` with these.
    model : str, optional
        Name of shipped weights, or path of a weight file, for the passes that have its factors.
    """

    scale: int | tuple[int, int, int] | None = None
    spacing: float | tuple[float, float, float] | str | None = None
    plane: str = "auto"
    model: str | None = None


@dataclass(frozen=True)
class Goal:
    """What is to become of one axis.

    Attributes
    ----------
    factor : int, optional
        Fine voxels per voxel; None if they are not a whole number.
    spacing : float
        In mm.
    network : int
        What the networks do of it: at most a tenth more is then left to interpolation.
    """

    factor: int | None
    spacing: float
    network: int

    @property
    def is_there(self) -> bool:
        """Whether the axis is as it should be."""
        return self.factor == 1

    @classmethod
    def times(cls, mm: float, factor: int) -> Goal:
        """A whole number of fine voxels for each voxel of ``mm``."""
        return cls(factor, mm / factor, factor)


Goals = tuple[Goal, Goal, Goal]


def one_or_three(given: Any) -> Any:
    """A number of any library as Python's own, three of them as a tuple; anything else as it is."""
    if isinstance(given, str) or given is None:
        return given
    if np.ndim(given) == 1:
        return tuple(map(one_or_three, given))
    try:
        return operator.index(given)
    except TypeError:
        return given


def goals_of(grid: Grid, request: Request) -> Goals:
    """A goal for each axis of a grid, for a request with a spacing or three factors.

    Raises
    ------
    RequestError
        If these are no three (or one) positive numbers, or an axis cannot become what is asked for.
    """
    if request.plane != "auto":
        raise RequestError(
            f"three factors or a spacing need no plane, and {request.plane} was given: leave out --plane"
        )
    if request.spacing is None:
        i, j, k = (Goal.times(mm, r) for mm, r in zip(grid.spacing, _factors(request.scale), strict=True))
    else:
        wanted = _wanted(grid, request.spacing)
        _refuse_coarser(grid, wanted)
        i, j, k = (
            _goal(axis, mm, aim) for axis, (mm, aim) in enumerate(zip(grid.spacing, wanted, strict=True))
        )
    goals = i, j, k
    single = [axis for axis, n in enumerate(grid.shape) if n == 1 and not goals[axis].is_there]
    if single:
        raise RequestError(
            f"axis {AXES[single[0]]} has one voxel and cannot be made finer: "
            f"give {_without(grid, goals, single, request)}"
        )
    return goals


def _factors(scale: Any) -> Sequence[int]:
    """Three whole numbers, checked."""
    numbers = _numbers(scale)
    if len(numbers) != 3 or any(r % 1 or not 1 <= r <= MOST for r in numbers):
        raise RequestError(
            f"a scale is one whole number, or three from 1 to {MOST}, not {_text(scale)}: "
            "for instance --scale 2 or --scale 1,1,5"
        )
    return [int(r) for r in numbers]


def _wanted(grid: Grid, spacing: Any) -> Sequence[float]:
    """Three spacings in mm, checked. One number for all leaves an axis of a single voxel as it is."""
    wide = [mm for mm, n in zip(grid.spacing, grid.shape, strict=True) if n > 1]
    if isinstance(spacing, str) and spacing == "isotropic":
        spacing = min(wide or grid.spacing)
    numbers = _numbers(spacing)
    if len(numbers) not in (1, 3) or min(numbers) <= 0:
        raise RequestError(
            f"a spacing is one or three positive numbers in mm, or isotropic, not {_text(spacing)}: "
            "for instance --spacing 1 or --spacing 0.9,0.9,1"
        )
    if len(numbers) == 1:
        return [numbers[0] if n > 1 else mm for mm, n in zip(grid.spacing, grid.shape, strict=True)]
    return numbers


def _numbers(given: Any) -> list[float]:
    """One or more finite numbers as a list; an empty one for anything else."""
    try:
        numbers = np.atleast_1d(np.asarray(given))
    except ValueError:
        return []
    if numbers.dtype.kind not in "iuf" or numbers.ndim > 1 or not np.isfinite(numbers).all():
        return []
    return [float(number) for number in numbers]


def _refuse_coarser(grid: Grid, wanted: Sequence[float]) -> None:
    for axis, (mm, aim) in enumerate(zip(grid.spacing, wanted, strict=True)):
        if mm / aim < 1 - _WHOLE:
            right = ",".join(f"{min(pair):.4g}" for pair in zip(grid.spacing, wanted, strict=True))
            raise RequestError(
                f"{aim:.4g} mm is coarser than the {mm:.4g} mm of axis {AXES[axis]}: "
                f"give --spacing {right}, or --isotropic"
            )


def _goal(axis: int, mm: float, aim: float) -> Goal:
    """The goal for an axis of ``mm`` that is to have a spacing of ``aim``."""
    ratio = mm / aim
    if ratio > MOST * (1 + _WHOLE):
        raise RequestError(
            f"from {mm:.4g} to {aim:.4g} mm along axis {AXES[axis]} is a factor of {ratio:.3g}, and {MOST} "
            f"is the largest: give {math.ceil(1e4 * mm / MOST) / 1e4:g} mm or more"
        )
    if abs(ratio - round(ratio)) <= _WHOLE * ratio:
        return Goal.times(mm, round(ratio))
    return Goal(None, aim, math.ceil(ratio / _INTERPOLATED - 1e-9))


def _without(grid: Grid, goals: Goals, single: Sequence[int], request: Request) -> str:
    """The option that leaves some axes as they are."""
    if request.spacing is None:
        kept = [str(1 if axis in single else goal.factor) for axis, goal in enumerate(goals)]
        return f"--scale {','.join(kept)}"
    kept = [f"{grid.spacing[a] if a in single else goal.spacing:.4g}" for a, goal in enumerate(goals)]
    return f"--spacing {','.join(kept)}"


def _text(given: Any) -> str:
    return ",".join(map(str, given)) if isinstance(given, (tuple, list)) else str(given)
