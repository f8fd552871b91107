"""How much memory a plan needs, known before it is begun."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from espcn_core.upscaling.plan import Plan

_WORKING = 400 << 20
"""Bytes that a run may need beside whole volumes."""

_FLOAT32 = np.dtype(np.float32)


def bytes_needed(plan: Plan, count: int, dtype: npt.DTypeLike, *, trust: bool = False) -> int:
    """Bytes that a run takes at most at a time, beside the volume that it reads.

    Between the steps of a plan values are float32, and float16 where two results are blended; the last step
    also writes the result. A trust map takes two more volumes of float32 beside the result, while the plan is
    run again, in one plane at a time.

    Parameters
    ----------
    plan : Plan
    count : int
        Volumes in a file: its voxels over those of the grid.
    dtype : dtype
        Of the result.
    trust : bool
        Whether a trust map is made as well.
    """
    result = np.dtype(dtype)
    needed = count * _most(plan, result)
    if trust:
        target = math.prod(plan.target.shape)
        kept = (result.itemsize + 2 * _FLOAT32.itemsize) * target
        needed = max(needed, count * (kept + _most(plan, _FLOAT32, blended=False)))
    return needed + _WORKING


def _most(plan: Plan, result: np.dtype[np.generic], blended: bool = True) -> int:
    """Of one volume, over the steps: what a step begins with, makes on its way and ends with."""
    most = result.itemsize * math.prod(plan.target.shape)
    before, begins = plan.source, 0
    for number, step in enumerate(plan.steps, start=1):
        dtype = result if number == len(plan.steps) else _FLOAT32
        made = before.finer(step.factor) if step.passes else step.grid
        ends = dtype.itemsize * math.prod(step.grid.shape)
        between = _FLOAT32.itemsize * math.prod(made.shape)
        if len(step.passes) == 2 and blended:  # when they are blended; the second is gone when the step ends
            between //= 2
            most = max(most, begins + 2 * between)
        elif step.passes and made.matches(step.grid) and (step.axis is None or dtype == _FLOAT32):
            between = 0  # what the networks write is what the step ends with
        most = max(most, begins + between + ends)
        before, begins = step.grid, ends
    return most
