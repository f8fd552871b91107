"""Run a plan on an array: intensities, slices, networks, and back to the volume's own units and type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from espcn_core.errors import CancelledError, RequestError, VolumeError
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap, count_nonfinite
from espcn_core.models.ranges import CONTRAST_RANGE, contrast_of, range_warning
from espcn_core.upscaling.plan import Pass, Plan
from espcn_core.upscaling.slices import Slices, evenly, fill_gaps, restore_gaps
from espcn_core.upscaling.torch_engine import Engines, TorchEngine

Array = npt.NDArray[Any]
Progress = Callable[[int, int], bool | None]
"""Gets the number of slices done and of all slices; returns False to stop the run."""

_LOOKED_AT = 16
"""Slices of a pass that its network is adapted to, and that are compared with those of its training."""


@dataclass(frozen=True)
class Result:
    """What a run gives.

    Attributes
    ----------
    array : ndarray, shape (I r_0, J r_1, K r_2, *rest)
        The upscaled volume, in Fortran order as NIfTI files are.
    device : str
        Where the networks ran.
    notes : tuple of str
        Sentences that the user should read: voxels that are not finite, slices unlike those that a network
        was trained on (at most one for each pass), memory that was short.
    """

    array: Array
    device: str
    notes: tuple[str, ...]


def run(
    plan: Plan,
    array: Array,
    *,
    dtype: npt.DTypeLike | None = None,
    slope: float = 1.0,
    inter: float = 0.0,
    device: str = "auto",
    engines: Engines | None = None,
    progress: Progress | None = None,
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
    engines : Engines, optional
        Networks to use again, on their own device; by default they are loaded for this run.
    progress : callable, optional
        Called with (slices done, slices in all) after each batch; the run stops if it returns False.

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
    engines = engines or Engines(device)
    steps = [(step, _engine(step, engines)) for step in plan.passes]
    intensity = IntensityMap.fit(array)
    back = IntensityMap(slope * intensity.low + inter, slope * intensity.high + inter)

    total = sum(_slice_counts(plan, array))
    done = 0
    result, grid = array, plan.source
    for number, (step, engine) in enumerate(steps, start=1):
        coarse = Slices(result, step.slice_axis)
        fitted = intensity if number == 1 else None
        last = number == len(steps)
        some = evenly(range(len(coarse)), _LOOKED_AT)
        if warning := _unlike_training(engine, step, grid, _mapped(coarse, some, fitted)):
            notes.append(warning)
        engine = engine.adapted(torch.from_numpy(image) for image in _mapped(coarse, some, fitted))
        fine_shape = (
            tuple(n * r for n, r in zip(result.shape[:3], step.factor, strict=True)) + array.shape[3:]
        )
        fine_array = np.empty(fine_shape, dtype=dtype if last else np.float32, order="F")
        fine = Slices(fine_array, step.slice_axis)
        for numbers in _batches(len(coarse), coarse[0].size, engine.pixels_at_once):
            batch = torch.from_numpy(np.stack(list(_mapped(coarse, numbers, fitted))))[:, None]
            for piece in engine(batch, notes.append):
                for n, image in zip(numbers[piece.numbers], piece.image[:, 0].numpy(), strict=True):
                    fine[n][piece.rows, piece.columns] = back.inverse(image, dtype) if last else image
            done += len(numbers)
            if progress is not None and progress(done, total) is False:
                raise CancelledError(f"stopped after {done} of {total} slices")
        result, grid = fine_array, grid.finer(step.factor)
    if gaps:
        restore_gaps(result, array, plan.factor)
    return Result(result, str(engines.device), tuple(notes))


def _engine(step: Pass, engines: Engines) -> TorchEngine:
    engine = engines.load(step.model)
    if engine.factor != step.factors:
        has, wants = ("x".join(map(str, factors)) for factors in (engine.factor, step.factors))
        raise RequestError(f"model {step.model} has scale {has}, not {wants}")
    return engine


def _mapped(coarse: Slices, numbers: Iterable[int], fitted: IntensityMap | None) -> Iterator[Array]:
    """Slices as a network reads them: what an earlier pass made is in its range already."""
    for n in numbers:
        yield coarse[n] if fitted is None else fill_gaps(fitted.forward(coarse[n]))


def _unlike_training(engine: TorchEngine, step: Pass, grid: Grid, slices: Iterable[Array]) -> str | None:
    """A warning if the slices of a pass lie outside of what its network was trained on, by a few of them."""
    rows, columns = (mm for axis, mm in enumerate(grid.spacing) if axis != step.slice_axis)
    contrast = contrast_of(slices) if CONTRAST_RANGE in engine.card.training else {}
    return range_warning(engine.card, (rows, columns), contrast)


def _slice_counts(plan: Plan, array: Array) -> Iterator[int]:
    """The number of slices of each pass."""
    shape = plan.source.shape
    rest = int(np.prod(array.shape[3:]))
    for step in plan.passes:
        yield shape[step.slice_axis] * rest
        i, j, k = (n * r for n, r in zip(shape, step.factor, strict=True))
        shape = (i, j, k)


def _batches(count: int, pixels: int, pixels_at_once: int) -> Iterator[range]:
    """Ranges of slice numbers, each of about as many pixels as the engine takes at once."""
    size = max(1, pixels_at_once // pixels)
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
