"""Run a plan on an array: intensities, slices, networks, and back to the volume's own units and type."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from espcn_core.degradation import SliceProfile
from espcn_core.errors import CancelledError, VolumeError
from espcn_core.intensity import IntensityMap, count_nonfinite
from espcn_core.upscaling.blend import blend
from espcn_core.upscaling.differences import Differences
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.finish import Agreement, Form, Thick, finish
from espcn_core.upscaling.parallel import spread
from espcn_core.upscaling.resample import nearest
from espcn_core.upscaling.slices import Slices, restore_gaps
from espcn_core.upscaling.steps import Plan, Step
from espcn_core.upscaling.sweep import Sweep, Values, Write, is_exchanged

Array = npt.NDArray[Any]
Progress = Callable[[int, int], bool | None]
"""Gets the number of slices done and of all slices; returns False to stop the run."""


@dataclass(frozen=True)
class Result:
    """What a run gives.

    Attributes
    ----------
    array : ndarray, shape (I', J', K', *rest)
        The upscaled volume, in Fortran order as NIfTI files are.
    device : str
        Where the networks ran, and by what if not by torch.
    notes : tuple of str
        Sentences that the user should read: voxels that are not finite, slices unlike those that a network
        was trained on (at most one for each pass), memory that was short.
    deviation : float, optional
        How far the result is from what thick slices said: the largest difference between these and the result
        as slices of the profile would show it, as a part of their range, after rounding to the result's type.
        Where other axes are made finer afterwards, the values before that are taken. None if no axis is made
        finer on its own.
    profile : SliceProfile, optional
        That the thick slices were taken to have: what was stated, if they do not contradict it, or else what
        is likeliest. Of the first axis that is made finer on its own; None if there is none.
    """

    array: Array
    device: str
    notes: tuple[str, ...]
    deviation: float | None = None
    profile: SliceProfile | None = None


def run(
    plan: Plan,
    array: Array,
    *,
    dtype: npt.DTypeLike | None = None,
    slope: float = 1.0,
    inter: float = 0.0,
    device: str = "auto",
    precision: str = "fp32",
    engines: Engines | None = None,
    progress: Progress | None = None,
    consistent: bool = True,
    profile: SliceProfile | None = None,
    sure: bool = False,
) -> Result:
    """Upscale an array by a plan.

    Parameters
    ----------
    plan : Plan
        Made for the array's grid.
    array : ndarray, shape (I, J, K, *rest)
        Real numbers. One intensity map holds for all of it, so that neither slices nor time points flicker.
    dtype : dtype, optional
        Of the result; the array's own by default. Integers are rounded and clipped.
    slope, inter : float
        The result is ``slope * value + inter``.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the networks run.
    precision : {"fp32", "bf16", "int8", "auto"}
        What their layers compute in (`espcn_core.upscaling.precision`).
    engines : Engines, optional
        Networks to use again, on their own device; by default they are loaded for this run.
    progress : callable, optional
        Called with (slices done, slices in all) after each batch, and again between slices where no network
        runs; the run stops if it returns False.
    consistent : bool
        Whether a result that is finer along the axis of thick slices is changed, as little as may be, so that
        it gives these slices again.
    profile : SliceProfile, optional
        Of the slices along the first axis that is made finer on its own, the thickest of these. By default,
        and along others, the likeliest one (`espcn_core.upscaling.likeliest`).
    sure : bool
        Whether ``profile`` is right whatever the slices say. If not, the likeliest one is taken where what
        the networks made of them clearly contradicts it.

    Returns
    -------
    Result

    Raises
    ------
    CancelledError
        If ``progress`` returned False.
    RequestError
        If a model does not have the factors of its pass, or there is no such device.
    VolumeError
        If the values are not real numbers, or some are not finite and the result's type cannot hold them.
    """
    if array.dtype.kind not in "iuf":
        raise VolumeError(f"values of type {array.dtype} cannot be upscaled: only real numbers can")
    dtype = array.dtype if dtype is None else np.dtype(dtype)
    gaps = count_nonfinite(array)
    if gaps and dtype.kind != "f":
        raise VolumeError(
            f"{gaps:,} voxels are NaN or infinite, which {dtype} cannot hold: use --dtype float32"
        )
    notes = [f"{gaps:,} voxels are NaN or infinite and stay so"] if gaps else []
    engines = engines or Engines(device, precision)
    for step in plan.steps:
        for only in step.passes:
            is_exchanged(only, engines.load(only.model))  # a wrong model says so before anything is done
    intensity = IntensityMap.fit(array)
    form = Form(dtype, IntensityMap(slope * intensity.low + inter, slope * intensity.high + inter))
    tally = _Tally(slice_count(plan, array), progress)

    values = Values(array, plan.source, intensity)
    said, agreements = values, list[Agreement]()
    thickest = next((step.axis for step in plan.steps if step.axis is not None), None)
    for number, step in enumerate(plan.steps):
        before, after = (
            plan.steps[n].axis if 0 <= n < len(plan.steps) else None for n in (number - 1, number + 1)
        )
        if step.axis is None or step.axis != before:
            said = values
        stated = profile if step.axis == thickest else None
        thick = None
        if step.axis is not None and step.axis != after:
            thick = Thick(said, step.axis, stated, enforced=consistent, sure=sure and stated is not None)
        last = number == len(plan.steps) - 1
        result, agreement = _done(values, step, engines, form if last else Form(), thick, notes, tally)
        values = Values(result, step.grid)
        if thick is not None and agreement is not None:
            agreements.append(agreement)
            if consistent and agreement.profile != (stated or SliceProfile()):
                notes.append(_judged(agreement.profile, stated, said.grid.spacing[thick.axis]))
    if not plan.steps:
        values = Values(finish(values, plan.target, form)[0], plan.target)
    if gaps:
        restore_gaps(values.array, array, nearest(plan.source, plan.target))
    return Result(
        values.array,
        engines.place,
        tuple(notes),
        max((found.deviation for found in agreements), default=None),
        agreements[0].profile if agreements else None,
    )


def _judged(profile: SliceProfile, stated: SliceProfile | None, apart: float) -> str:
    """What the user should know of a profile that nobody stated, or that is not the one that was."""
    if stated is not None and stated.shape == profile.shape:
        return (
            f"the slices are said to be {apart * stated.thickness:.4g} mm thick, and taken as "
            f"{apart * profile.thickness:.4g} mm, which explains them clearly better"
        )
    if stated is not None:
        return (
            f"the slices are said to have a {stated.shape} profile, and a {profile.shape} one explains them "
            "clearly better"
        )
    return (
        f"the slices are {apart:.4g} mm apart and taken as {apart * profile.thickness:.4g} mm thick, "
        "which explains them best: state their thickness if you know it"
    )


def slice_count(plan: Plan, array: Array) -> int:
    """How many slices the networks are given in a run, of an array of shape (I, J, K, *rest)."""
    grids = (plan.source, *(step.grid for step in plan.steps))
    counts = (
        grid.shape[p.slice_axis] for grid, step in zip(grids, plan.steps, strict=False) for p in step.passes
    )
    return sum(counts) * math.prod(array.shape[3:])


class _Tally:
    """Counts slices for whoever wants to know."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def add(self, count: int) -> None:
        """So many slices are done. Raises `CancelledError` if the run is to stop."""
        self._done += count
        self.look()

    def look(self) -> None:
        """Ask whether to go on, as between slices where no network runs."""
        if self._progress is not None and self._progress(self._done, self._total) is False:
            raise CancelledError(f"stopped after {self._done} of {self._total} slices")


def _done(
    values: Values,
    step: Step,
    engines: Engines,
    form: Form,
    thick: Thick | None,
    notes: list[str],
    tally: _Tally,
) -> tuple[Array, Agreement | None]:
    """The volume after a step, and how it agrees with the thick slices."""
    if not step.passes:
        return finish(values, step.grid, form, thick, tally.look)
    grid = values.grid.finer(step.factor)
    at_once = len(step.passes) == 1 and thick is None and grid.matches(step.grid)
    written = form if at_once else Form()
    planes: list[tuple[int, Values]] = []
    write: Write
    sweeps = [Sweep(values, only, engines.load(only.model)) for only in step.passes]
    for sweep in sweeps:
        if (warning := sweep.warning()) and warning not in notes:
            notes.append(warning)
    for _ in spread(Sweep.prepare, sweeps, min(len(sweeps), torch.get_num_threads())):
        pass
    for only, sweep in zip(step.passes, sweeps, strict=True):
        if len(step.passes) == 2 and step.axis is not None:
            differences = Differences.empty(values, grid, step.axis, only.slice_axis)
            planes.append((only.slice_axis, differences))
            write = partial(differences.put, only.slice_axis)
        else:
            array = np.empty((*grid.shape, *values.array.shape[3:]), written.dtype, order="F")
            planes.append((only.slice_axis, Values(array, grid)))
            write = _fill(Slices(array, only.slice_axis), written)
        for count in sweep.run(write, notes.append):
            tally.add(count)
    planes.sort(key=lambda plane: not plane[1].array.flags.f_contiguous)
    if len(planes) == 2 and step.axis is not None:
        (first_axis, first), (second_axis, second) = planes
        blend(first.array, second.array, step.axis, (first_axis, second_axis), grid.spacing)
        del planes[1], second
    made = planes[0][1]
    return (made.array, None) if at_once else finish(made, step.grid, form, thick, tally.look)


def _fill(fine: Slices, form: Form) -> Write:
    def write(number: int, rows: slice, columns: slice, image: Array) -> None:
        fine[number][rows, columns] = form.written(image)

    return write
