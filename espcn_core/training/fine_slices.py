"""The fine slices of a scan with thick ones, and what they would look like if they were thick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from espcn_core.degradation import SliceProfile
from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.models.ranges import CONTENT
from espcn_core.training.data import Pair, without_metadata
from espcn_core.transforms import Degraded
from espcn_core.upscaling.plan import Plan, Step
from espcn_core.upscaling.request import AXES
from espcn_core.upscaling.sweep import Values

LEAST_SLICES, LEAST_SIDE = 8, 24
"""Slices with content, and pixels along each of their sides, that there must be."""

_SQUARE = 1.5
"""Pixels longer than so many times their width are not fine along both axes."""


def adaptable(plan: Plan) -> tuple[Step, int]:
    """The step of a plan that weights can be adapted for, and its axis.

    Raises
    ------
    RequestError
        If no axis is made finer on its own, or it takes two stages.
    """
    along = [(step, step.axis) for step in plan.steps if step.axis is not None]
    if not along:
        raise RequestError(
            "no axis is made finer on its own, and only thick slices can be adapted to: "
            "take a scan whose slices are thicker than its pixels, or give --scale as in 1,1,4"
        )
    step, axis = along[0]
    if len(along) > 1 and along[1][1] == axis:
        raise RequestError(
            f"axis {AXES[axis]} is made finer in two stages, and weights are adapted to one: "
            "ask for a factor of 8 at most, by --scale or --spacing"
        )
    return step, axis


def fine_slices(volume: npt.NDArray[Any], grid: Grid, axis: int) -> list[Tensor]:
    """The slices across the thick axis that are more than air, in the networks' range by one map for all.

    Parameters
    ----------
    volume : ndarray, shape (I, J, K)
    grid : Grid
    axis : int

    Returns
    -------
    list of Tensor, shape (1, H, W)
        At least `LEAST_SLICES`, with `LEAST_SIDE` pixels or more along each side. Slices with less than half
        the contrast of the strongest one are left out, and gaps are filled.

    Raises
    ------
    RequestError
        If there are fewer, they are smaller, or their pixels are not fine along both axes.
    """
    sides = [n for a, n in enumerate(volume.shape) if a != axis]
    pixel = [mm for a, mm in enumerate(grid.spacing) if a != axis]
    if max(pixel) > _SQUARE * min(pixel):
        raise RequestError(
            f"the slices have pixels of {pixel[0]:.4g} x {pixel[1]:.4g} mm, and weights are adapted by "
            "slices that are fine along both axes: use those that ship"
        )
    values = Values(volume, grid, IntensityMap.fit(volume))
    images = list(values.filled(axis, range(values.count(axis))))
    spread = np.array([image.std() for image in images])
    full = [image for image, much in zip(images, spread, strict=True) if 0 < much >= CONTENT * spread.max()]
    if len(full) < LEAST_SLICES or min(sides) < LEAST_SIDE:
        raise RequestError(
            f"{len(full)} slices of {sides[0]} x {sides[1]} pixels are more than air, and weights are "
            f"adapted by {LEAST_SLICES} or more of {LEAST_SIDE} x {LEAST_SIDE}: use those that ship"
        )
    return [torch.from_numpy(np.ascontiguousarray(image))[None] for image in full]


def thick_pairs(slices: Sequence[Tensor], factor: tuple[int, int], profile: SliceProfile) -> list[Pair]:
    """Coarse and fine, with a batch axis, of each slice (1, H, W) made thick along either of its axes."""
    thick = Degraded("fine", factor, profile, into="coarse")
    with without_metadata():
        items = [thick({"fine": turned}) for image in slices for turned in (image, image.mT.contiguous())]
    return [(item["coarse"][None], item["fine"][None]) for item in items]
