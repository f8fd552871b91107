"""The slices that an export looks at: those of a volume, and coarse and fine pairs to calibrate by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from espcn_core.errors import DataError, RequestError, VolumeError
from espcn_core.evaluation.cases import coarsen
from espcn_core.evaluation.choices import choose_cases
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.models.cards import Card
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.slices import evenly
from espcn_core.upscaling.sweep import Values

Image = npt.NDArray[np.float32]

_LOOKED_AT = 16
"""Slices of a volume that a network is adapted to, as in `espcn_core.upscaling.sweep`."""

_PAIRS = 64
"""Pairs in all: one half to calibrate, one to measure."""


def slices_of(array: npt.NDArray[Any], grid: Grid, model: str, factor: tuple[int, int]) -> Iterator[Tensor]:
    """The slices of a volume that its run adapts a network to; of thick slices those of both planes.

    Parameters
    ----------
    array : ndarray, shape (I, J, K, *rest)
    grid : Grid
    model : str
        Name of shipped weights, or path of a weight file.
    factor : (r_row, r_col)
        Of the model.

    Raises
    ------
    RequestError
        If the volume has no slices for the model.
    VolumeError
        If its values are not real numbers.
    """
    if array.dtype.kind not in "iuf":
        raise VolumeError(f"values of type {array.dtype} are no slices for a network: only real numbers are")
    plan = make_plan(grid, Request(model=model))
    values = Values(array, grid, IntensityMap.fit(array))
    for only in plan.steps[0].passes:
        for image in values.filled(only.slice_axis, evenly(range(values.count(only.slice_axis)), _LOOKED_AT)):
            yield torch.from_numpy(image if only.factors == factor else image.T)


@dataclass(frozen=True, eq=False)
class Pair:
    """A true slice and the coarse one that was made of it, in the networks' range.

    Attributes
    ----------
    coarse : ndarray, shape (H, W)
    fine : ndarray, shape (H r, W r)
    """

    coarse: Image
    fine: Image


def calibration_pairs(data: Path, card: Card) -> tuple[list[Pair], list[Pair]]:
    """Pairs to calibrate by and, of other patients, pairs to measure on.

    The slices are made coarser by the degradation of the card. Every other patient is measured; the slices
    of one patient alone are parted in the middle.

    Parameters
    ----------
    data : Path
        The figshare data set in any form, of which the fold is taken that the model has not seen; or a NIfTI
        file, or a folder of them.
    card : Card

    Raises
    ------
    RequestError
        If the model has not the same factor along both axes.
    DataError
        If there are fewer than two slices.
    """
    rows, columns = card.factor
    if rows != columns:
        raise RequestError(
            f"{card.name} has scale {rows}x{columns}: leave out --int8, which is for models "
            "with the same for both axes"
        )
    known = {card.name: card} if card.training.get("held_out_fold") is not None else {}
    cases, _ = choose_cases(data, known, scale=rows, shrink=None, fold=None, plane="auto", limit=_PAIRS)
    people: dict[str, list[Pair]] = {}
    for number in evenly(range(len(cases)), _PAIRS):
        stack = cases.read(number)
        coarse = coarsen(stack, card.degradation, rows)
        intensity = IntensityMap.fit(coarse)
        people.setdefault(stack.patient, []).extend(
            Pair(intensity.forward(coarse[:, :, k]), intensity.forward(stack.truth[:, :, k]))
            for k in range(coarse.shape[2])
        )
    return _halves(list(people.values()), data)


def _halves(people: Sequence[list[Pair]], data: Path) -> tuple[list[Pair], list[Pair]]:
    if len(people) == 1:
        pairs = people[0]
        if len(pairs) < 2:
            raise DataError(f"{data} has one slice, and calibration needs others than those it measures")
        return pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
    first, second = ([pair for pairs in people[start::2] for pair in pairs] for start in (0, 1))
    return first, second
