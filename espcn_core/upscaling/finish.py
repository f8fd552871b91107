"""What follows the networks of a step: resample, make consistent, write in the type that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.degradation import SliceProfile
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.upscaling.consistency import Consistency
from espcn_core.upscaling.likeliest import likeliest_profile
from espcn_core.upscaling.parallel import spread, threads_for
from espcn_core.upscaling.resample import Banded, cubic_weights
from espcn_core.upscaling.settle import settle
from espcn_core.upscaling.slices import Slices, batches
from espcn_core.upscaling.sweep import Values

Array = npt.NDArray[Any]
Image = npt.NDArray[np.float32]


_FLOAT32 = np.dtype(np.float32)

AGREES = 0.001
"""Up to this part of their range a result agrees with thick slices."""

_DEVIATION = 0.00095
"""Of their range: more than that is not left to rounding, where a change by one helps."""

_MOST_TOGETHER, _PIXELS_TOGETHER = 8, 2**19
"""Fine slices, and pixels of them, that are finished at once: threads wait for one another at small steps."""


@dataclass(frozen=True)
class Form:
    """What the values of a step are written as.

    Attributes
    ----------
    dtype : dtype
    back : IntensityMap, optional
        From the networks' range to the units that are wanted; none between two steps.
    """

    dtype: np.dtype[Any] = _FLOAT32
    back: IntensityMap | None = None

    @cached_property
    def ends(self) -> tuple[float, float] | None:
        """The smallest and the largest value that a whole number can be, in the networks' range."""
        if self.back is None or self.dtype.kind not in "iu":
            return None
        info = np.iinfo(self.dtype)
        low, high = sorted(map(float, self.back.forward(np.array([info.min, info.max], np.float64))))
        return low, high

    def written(self, image: Image) -> Array:
        """Values in the networks' range, in this form."""
        return image if self.back is None else self.back.inverse(image, self.dtype)

    def read(self, image: Array) -> Image:
        """Values of this form, in the networks' range."""
        return image if self.back is None else self.back.forward(image)


@dataclass(frozen=True, eq=False)
class Thick:
    """What the thick slices along an axis said, before the first step along it.

    Attributes
    ----------
    values : Values
    axis : int
    profile : SliceProfile, optional
        That is stated of these slices.
    enforced : bool
        Whether the fine values are changed until they give the thick ones again.
    sure : bool
        Whether what is stated holds; if not, the likeliest profile is taken.
    """

    values: Values
    axis: int
    profile: SliceProfile | None
    enforced: bool
    sure: bool = False


@dataclass(frozen=True)
class Agreement:
    """How well what was written agrees with thick slices.

    Attributes
    ----------
    profile : SliceProfile
        That they were taken to have.
    deviation : float
        The largest one, as a part of their range.
    """

    profile: SliceProfile
    deviation: float


def finish(
    made: Values,
    grid: Grid,
    form: Form,
    thick: Thick | None = None,
    each: Callable[[], None] = lambda: None,
) -> tuple[Array, Agreement | None]:
    """The values on another grid, consistent with thick slices, in a form.

    Parameters
    ----------
    made : Values
        What the networks gave. If nothing is to be resampled and the type is the same, it is overwritten.
    grid : Grid
        Of the result. With ``thick``, it may differ along that axis alone.
    form : Form
    thick : Thick, optional
    each : callable
        Called after each slice; what it raises ends the work.

    Returns
    -------
    ndarray
        In Fortran order.
    Agreement, optional
        Of what was written with the thick slices.
    """
    before = made.grid
    if thick is not None and not thick.sure:
        thick = replace(thick, profile=likeliest_profile(thick.values, made, thick.axis, thick.profile))
    moved = [axis for axis in range(3) if not _same_along(before, grid, axis)]
    if len(moved) == 3:  # a slice has two of them
        half = before.respaced((*grid.spacing[:2], before.spacing[2]))
        array, _ = finish(made, half, Form(), each=each)
        return finish(Values(array, half), grid, form, thick, each)
    across = next(axis for axis in (2, 1, 0) if axis not in moved and (thick is None or axis != thick.axis))
    first, second = (
        Banded(cubic_weights(before, grid, axis).astype(np.float32)) if axis in moved else None
        for axis in range(3)
        if axis != across
    )
    array = made.array
    if moved or not made.is_array or array.dtype != form.dtype:
        array = np.empty((*grid.shape, *array.shape[3:]), form.dtype, order="F")
    judge = None if thick is None or thick.profile is None else _Judge(thick, thick.profile, grid, across)
    slices = Slices(array, across)

    def write(numbers: range) -> float:
        images = []
        for image in made.filled(across, numbers):
            image = image if first is None else first @ image
            images.append(image if second is None else (second @ image.T).T)
        if judge is None:
            for n, image in zip(numbers, images, strict=True):
                slices[n][...] = form.written(image)
            return 0.0
        return judge.written(images, numbers, [slices[n] for n in numbers], form)

    some = batches(len(slices), slices[0].size, _PIXELS_TOGETHER, _MOST_TOGETHER)
    deviations = []
    for numbers, deviation in zip(some, spread(write, some, threads_for(len(some))), strict=True):
        deviations.append(deviation)
        for _ in numbers:
            each()
    return array, None if judge is None else judge.agreement(deviations)


class _Judge:
    """Thick slices seen across another axis."""

    def __init__(self, thick: Thick, profile: SliceProfile, fine: Grid, across: int) -> None:
        self._enforced = thick.enforced
        self._profile = profile
        self._relation = Consistency(thick.values.grid, fine, thick.axis, profile)
        self._values = thick.values
        self._across = across
        self._turned = thick.axis != min(axis for axis in range(3) if axis != across)

    @cached_property
    def _span(self) -> float:
        """Between the smallest and the largest of the thick values."""
        low, high = self._values.ends
        return high - low

    def agreement(self, deviations: Sequence[float]) -> Agreement:
        """Of all slices, from the largest deviation of each."""
        most = max(deviations)
        return Agreement(self._profile, most / self._span if self._span > 0 else most)

    def written(self, images: Sequence[Image], numbers: range, to: Sequence[Array], form: Form) -> float:
        """Write fine slices in a form, made consistent; how far they then are from the thick ones at most.

        Where rounding to whole numbers makes that too large, some of these are changed.
        """
        fine, said = self._lines(images), self._lines(self._values.raw(self._across, numbers))
        most = _DEVIATION * self._span
        if self._enforced:
            fine = self._relation(fine, said)
            if form.ends is not None:
                fine = self._relation.within(fine, said, form.ends, most)
        made = form.written(fine)
        if self._enforced and form.back is not None and form.ends is not None:
            lacking = settle(made, fine, said, self._relation, form.back, most)
        else:
            lacking = self._relation.lacking(form.read(made), said)
        for image, part in zip(to, np.split(made, len(to), axis=1), strict=True):
            self._upright(image)[...] = part
        return float(np.abs(lacking).max())

    def _lines(self, images: Iterable[Image]) -> Image:
        """Those of all slices side by side, with the thick axis first."""
        return np.concatenate([self._upright(image) for image in images], axis=1)

    def _upright(self, image: Image) -> Image:
        """With the thick axis first."""
        return image.T if self._turned else image


def _same_along(one: Grid, other: Grid, axis: int) -> bool:
    ratio = one.spacing[axis] / other.spacing[axis]
    return one.shape[axis] == other.shape[axis] and abs(ratio - 1) < 1e-6
