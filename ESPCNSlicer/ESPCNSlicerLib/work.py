"""The computation of a run. It knows neither the scene nor the panel, so it may run in any thread."""

import time
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Work:
    """What is to be computed.

    Attributes
    ----------
    plan : espcn_core.upscaling.plan.Plan
    array : ndarray, shape (I, J, K, *rest)
    dtype : numpy.dtype
        Of the result.
    device : {"auto", "cpu", "cuda", "mps"}
    compare : bool
        Whether cubic interpolation is computed as well.
    """

    plan: object
    array: np.ndarray
    dtype: np.dtype
    device: str = "auto"
    compare: bool = False


@dataclass(frozen=True, eq=False)
class Made:
    """What came of it.

    Attributes
    ----------
    array : ndarray, shape (I', J', K', *rest)
    interpolated : ndarray, optional
        The same by cubic interpolation.
    notes : tuple of str
        What the user should know.
    device : str
        Where the networks ran.
    seconds : float
    """

    array: np.ndarray
    interpolated: np.ndarray | None
    notes: tuple
    device: str
    seconds: float


def compute(work, progress=None, say=lambda sentence: None):
    """Run the networks; on the CPU if the memory of a graphics card does not do.

    Parameters
    ----------
    work : Work
    progress : callable, optional
        Called with (slices done, slices in all); the run stops if it returns False.
    say : callable
        Gets sentences while the run goes on.

    Returns
    -------
    Made

    Raises
    ------
    EspcnError
        `CancelledError` if ``progress`` returned False, or another one that says what is wrong.
    """
    from espcn_core.errors import DeviceMemoryError, EspcnError

    try:
        from espcn_core.upscaling.torch_engine import choose_device
    except ImportError as error:
        raise EspcnError(
            f"PyTorch cannot be used ({error}): install it by the PyTorch extension or the panel's button"
        ) from error

    started = time.monotonic()
    device = choose_device(work.device)
    notes = []
    try:
        try:
            result = _run(work, device.type, progress)
        except DeviceMemoryError:
            if device.type == "cpu":
                raise
            notes.append(f"the memory of {device.type} is too small or in use: the CPU does it")
            say(notes[-1])
            result = _run(work, "cpu", progress)
        interpolated = _interpolated(work) if work.compare else None
    except MemoryError:
        raise EspcnError(
            "there is not enough memory for the result: choose a coarser target, crop the volume, or close "
            "other programs"
        ) from None
    for note in result.notes:
        say(note)
    seconds = time.monotonic() - started
    return Made(result.array, interpolated, (*notes, *result.notes), result.device, seconds)


def _run(work, device, progress):
    """The result; whatever becomes of it, the card's memory is free afterwards."""
    from espcn_core.upscaling.engines import Engines
    from espcn_core.upscaling.torch_engine import free_memory
    from espcn_core.upscaling.upscaler import run

    engines = Engines(device, "auto")
    try:
        return run(work.plan, work.array, dtype=work.dtype, engines=engines, progress=progress)
    finally:
        place = engines.device
        del engines
        free_memory(place)


def _interpolated(work):
    """The plan's target by cubic interpolation, for comparison."""
    from espcn_core.intensity import IntensityMap
    from espcn_core.upscaling.finish import Form, finish
    from espcn_core.upscaling.sweep import Values

    intensity = IntensityMap.fit(work.array)
    values = Values(work.array, work.plan.source, intensity)
    array, _ = finish(values, work.plan.target, Form(work.dtype, intensity))
    return array
