"""How far a result depends on what should make no difference: mirror images, and the plane of the slices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.steps import Plan
from espcn_core.upscaling.upscaler import Progress, Result, run, slice_count

Array = npt.NDArray[Any]


def run_with_trust(
    plan: Plan,
    array: Array,
    *,
    dtype: npt.DTypeLike | None = None,
    device: str = "auto",
    precision: str = "fp32",
    engines: Engines | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[Result, npt.NDArray[np.float32]]:
    """Upscale an array, and say voxel by voxel how much the result varies where it should not.

    After the result itself, the plan is run on the four mirror images of the array along two axes, with each
    of the planes that are blended for itself. A mirrored network (`espcn_core.models.mirror`) makes the same
    of two of them as of the other two.

    Parameters
    ----------
    plan, array, dtype, device, precision, engines, progress, **options
        As for `espcn_core.upscaling.upscaler.run`.

    Returns
    -------
    Result
        The same as without.
    ndarray of float32, shape (I', J', K', *rest)
        Standard deviation of the four or eight, in the units of the result. NaN where that is not finite.

    Raises
    ------
    CancelledError, RequestError, VolumeError
        As `espcn_core.upscaling.upscaler.run` does.
    """
    engines = engines or Engines(device, precision)
    singles = list(_orientations(plan))
    mirrors = list(_mirrors(plan))
    total = slice_count(plan, array) + len(mirrors) * sum(slice_count(single, array) for single in singles)
    done = 0

    def shared(part: int, _: int) -> bool | None:
        return progress(done + part, total) if progress is not None else None

    options.update(engines=engines, progress=shared)
    result = run(plan, array, dtype=dtype, **options)
    options.update(profile=result.profile, sure=True)
    done += slice_count(plan, array)
    shape = result.array.shape
    mean, squares = (np.zeros(shape, np.float32, order="F") for _ in range(2))
    members = itertools.product(singles, mirrors)
    for number, (single, mirror) in enumerate(members, start=1):
        made = np.flip(run(single, np.flip(array, mirror), dtype=np.float32, **options).array, mirror)
        for k in range(shape[2]):
            where = np.s_[:, :, k]
            with np.errstate(invalid="ignore"):  # infinite voxels stay so
                step = made[where] - mean[where]
                mean[where] += step / number
                squares[where] += step * (made[where] - mean[where])
        done += slice_count(single, array)
        del made
    squares /= len(singles) * len(mirrors)
    return result, np.sqrt(squares, out=squares)


def _orientations(plan: Plan) -> Iterator[Plan]:
    """The plan with one of its planes at a time, wherever two are blended."""
    for number in range(max((len(step.passes) for step in plan.steps), default=1) or 1):
        steps = tuple(
            replace(step, passes=(step.passes[number % len(step.passes)],)) if step.passes else step
            for step in plan.steps
        )
        yield replace(plan, steps=steps)


def _mirrors(plan: Plan) -> Iterator[tuple[int, ...]]:
    """No axis, one, the other and both: axes that become finer, as far as there are two."""
    spacing = zip(plan.source.spacing, plan.target.spacing, strict=True)
    finer = [old / new for old, new in spacing]
    first, second = sorted(range(3), key=lambda axis: (plan.source.shape[axis] == 1, -finer[axis]))[:2]
    yield from ((), (first,), (second,), (first, second))
