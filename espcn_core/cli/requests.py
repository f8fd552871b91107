"""What the options of ``upscale`` ask for, checked as far as that can be done without a file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from espcn_core.errors import RequestError
from espcn_core.grid import Grid

if TYPE_CHECKING:
    from espcn_core.cohort.jobs import Job
    from espcn_core.upscaling.engines import Engines
    from espcn_core.upscaling.plan import Request

Number = TypeVar("Number", int, float)


def parse_request(
    scale: str | None, spacing: str | None, isotropic: bool, plane: str, model: str | None
) -> Request:
    """The request that the options make.

    Parameters
    ----------
    scale : str, optional
        A whole number, or three with commas between them.
    spacing : str, optional
        A length in mm, or three with commas between them.
    isotropic : bool
        The finest spacing of each file along all axes.
    plane, model : str
        As in `espcn_core.upscaling.plan.Request`.

    Raises
    ------
    RequestError
        If there is more than one of the first three, or one cannot be read.
    """
    from espcn_core.upscaling.plan import Request

    given = {
        f"--scale {scale}": scale is not None,
        f"--spacing {spacing}": spacing is not None,
        "--isotropic": isotropic,
    }
    options = [option for option, there in given.items() if there]
    if len(options) > 1:
        raise RequestError(f"{' and '.join(options)} ask for different things: give one of them")
    if scale is not None:
        factors = _numbers(scale, int)
        if factors is None:
            raise RequestError(
                f"--scale {scale} is neither one whole number nor three: give --scale 2 for both axes of a "
                "slice, or --scale 1,1,5 for a factor along each axis of the image"
            )
        return Request(factors, None, plane, model)
    if spacing is not None:
        lengths = _numbers(spacing, float)
        if lengths is None or not all(0 < mm < math.inf for mm in np.atleast_1d(lengths)):
            raise RequestError(
                f"--spacing {spacing} is neither one length in mm nor three: give --spacing 1 for all axes, "
                "or --spacing 0.9,0.9,1 for one along each axis of the image"
            )
        return Request(None, lengths, plane, model)
    return Request(None, "isotropic" if isotropic else None, plane, model)


def check_request(request: Request, engines: Engines) -> None:
    """Plan for a volume of no file, and load the models that every file needs.

    Raises
    ------
    RequestError
        If no volume could fulfil the request, or there is no such model.
    WeightsError
        If a model cannot be used.
    """
    from espcn_core.upscaling.plan import make_plan

    some = replace(request, spacing=None if request.spacing is None else 1.0)
    plan = make_plan(Grid((8, 8, 8), np.eye(4)), some)
    models = {only.model for step in plan.steps for only in step.passes}
    for model in sorted(models | ({request.model} if request.model is not None else set())):
        engines.load(model)


def check_slice_thickness(thickness: float | None) -> None:
    """Raise `RequestError` if it is no length; whether it goes with a file is for the file to say."""
    if thickness is not None and not 0 < thickness < math.inf:
        raise RequestError(
            f"--slice-thickness {thickness:g} is no length: give the full width at half maximum of a slice "
            "in mm, as in --slice-thickness 4"
        )


def bids_jobs_of(
    inputs: Sequence[Path], output: str | None, others: Sequence[str]
) -> tuple[list[Job], Path, Counter[str]]:
    """The jobs of a BIDS data set, the folder of the results, and how many images are left out, by reason.

    Parameters
    ----------
    inputs : sequence of Path
    output : str, optional
    others : sequence of str
        Options that were given and do not go with it.

    Raises
    ------
    RequestError
        If there are any, or more inputs than one, or what `espcn_core.cohort.bids.bids_jobs` refuses.
    """
    from espcn_core.cohort.bids import DERIVATIVES, bids_jobs

    if others:
        raise RequestError(f"{others[0]} does not go with --bids, which names results itself: leave it out")
    if len(inputs) != 1:
        raise RequestError(
            f"--bids goes with one data set, and {len(inputs)} inputs were given: name its root"
        )
    folder = inputs[0] / DERIVATIVES if output is None else Path(output)
    jobs, left_out = bids_jobs(inputs[0], folder)
    return jobs, folder, left_out


def _numbers(text: str, kind: Callable[[str], Number]) -> Number | tuple[Number, Number, Number] | None:
    """One number or three; None for any other text."""
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        return None
    if len(numbers) == 3:
        return numbers[0], numbers[1], numbers[2]
    return numbers[0] if len(numbers) == 1 else None
