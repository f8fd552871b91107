"""The true slices that are measured, of figshare or of volumes, and the coarse ones that are made of them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from espcn_core.degradation import degrade, rician
from espcn_core.errors import DataError
from espcn_core.evaluation.records import Image, Mask
from espcn_core.figshare import FigshareSource
from espcn_core.figshare.folds import person
from espcn_core.grid import Grid
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.slices import evenly

Value = TypeVar("Value", bound=np.generic)

NOISY = "+rician2"
"""Behind a kind of degradation: with Rician noise of `NOISE`."""

NOISE = 0.02
"""Standard deviation of the noise, as a share of the range of the true slices."""

_LEAST_SIDE = 16
"""Fine pixels of a slice along either side: the windows of the metrics are up to 15 wide."""

_LEAST_RANGE = 0.05
"""Of the range of a volume; a slice with less holds next to nothing but air."""


@dataclass(frozen=True, eq=False)
class Stack:
    """True slices that share one intensity map: a volume, or a single slice.

    Attributes
    ----------
    patient : str
    cases : tuple of K str
        What each slice is called.
    truth : ndarray, shape (H, W, K)
        In native units.
    tumor : ndarray of bool, shape (H, W, K), optional
    upright : tuple of 3 bool
        How to show a slice as radiologists do: exchange rows and columns, then turn the rows, the columns.
    look : str
        Plane and pixels of the true slices of a volume, in words.
    """

    patient: str
    cases: tuple[str, ...]
    truth: Image
    tumor: Mask | None = None
    upright: tuple[bool, bool, bool] = (False, False, False)
    look: str = ""

    def only(self, numbers: Sequence[int]) -> Stack:
        """Some of the slices."""
        chosen = list(numbers)
        tumor = None if self.tumor is None else self.tumor[:, :, chosen]
        cases = tuple(self.cases[k] for k in chosen)
        return replace(self, cases=cases, truth=self.truth[:, :, chosen], tumor=tumor)

    def shown(self, image: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """One slice, shape (H, W), as it is shown."""
        exchange, *turned = self.upright
        rows, columns = (-1 if turn else 1 for turn in turned)
        return (image.T if exchange else image)[::rows, ::columns]


class Cases(Protocol):
    """Stacks by their number. They may be read from worker processes."""

    @property
    def kind(self) -> Literal["figshare", "volumes"]: ...

    @property
    def shrink(self) -> int: ...

    def __len__(self) -> int: ...

    def read(self, number: int) -> Stack:
        """One stack; a `DataError` or `VolumeError` that names the file if it cannot be used."""

    def find(self, case: str) -> int:
        """Number of the stack that a case lies in."""


@dataclass(frozen=True)
class FigshareCases:
    """Slices of the figshare data set, a stack each.

    Attributes
    ----------
    source : FigshareSource
    indices : tuple of int
        Numbers in the data set.
    scale : int
        The true slices are cut off at the far edges to a whole multiple of it.
    shrink : int
        Each slice is first made so many times coarser, by antialiased bicubic.
    """

    source: FigshareSource
    indices: tuple[int, ...]
    scale: int
    shrink: int = 1
    kind: Literal["figshare"] = "figshare"

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, number: int) -> Stack:
        index = self.indices[number]
        piece = self.source.read(index)
        truth = _cut(piece.image.astype(np.float32)[:, :, None], self.shrink)
        tumor = _cut(piece.mask.astype(np.float32)[:, :, None], self.shrink)
        if self.shrink > 1:
            truth = _degraded(truth, self.shrink, "bicubic")
            tumor = _degraded(tumor, self.shrink, "area")
        truth, tumor = _cut(truth, self.scale), _cut(tumor, self.scale)
        _check_size(truth, f"slice {index}")
        return Stack(person(piece.patient), (str(index),), truth, tumor >= 0.5)

    def find(self, case: str) -> int:
        return self.indices.index(int(case))


@dataclass(frozen=True)
class VolumeCases:
    """The slices of NIfTI volumes, one volume a stack and a patient, in physical values.

    Slices whose range is less than 5 % of that of their volume are left out.

    Attributes
    ----------
    paths : tuple of Path
    names : tuple of str
        Of the patients, one for each path.
    scale, shrink : int
        As for `FigshareCases`.
    plane : str
        Of the slices: ``auto`` or an anatomical name.
    most : int, optional
        Slices of a volume that are measured at most, evenly spread.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    scale: int
    shrink: int = 1
    plane: str = "auto"
    most: int | None = None
    kind: Literal["volumes"] = "volumes"

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, number: int) -> Stack:
        from espcn_core import volumes

        path, name = self.paths[number], self.names[number]
        volume = volumes.read(path)
        request = Request(scale=self.scale, plane=self.plane)
        sweep = make_plan(volume.grid, request, lambda factors: "").steps[0].passes[0]
        axis = sweep.slice_axis
        wide = volume.array.dtype.itemsize > 2 and volume.array.dtype != np.float32
        array: Image = volume.array.astype(np.float64 if wide else np.float32)
        array = array * array.dtype.type(volume.slope) + array.dtype.type(volume.inter)
        if not np.isfinite(array).all():
            raise DataError(f"{path} holds values that are NaN or infinite: leave it out, or fill them first")
        array = np.moveaxis(array, axis, 2)
        slices = _cut(array.reshape(*array.shape[:2], -1, order="F"), self.shrink)
        spans = np.ptp(slices, axis=(0, 1))
        kept = [k for k, span in enumerate(spans) if span > 0 and span >= _LEAST_RANGE * np.ptp(slices)]
        if not kept:
            raise DataError(f"{path} holds one value only: leave it out")
        kept = evenly(kept, self.most)
        truth = slices[:, :, kept]
        if self.shrink > 1:
            truth = _degraded(truth, self.shrink, "bicubic")
        truth = _cut(truth, self.scale)
        _check_size(truth, str(path))
        size = (f"{self.shrink * mm:.3g}" for a, mm in enumerate(volume.grid.spacing) if a != axis)
        return Stack(
            name,
            tuple(f"{name} {k}" for k in kept),
            truth,
            upright=_upright(volume.grid, axis),
            look=f"{sweep.plane}, {' x '.join(size)} mm",
        )

    def find(self, case: str) -> int:
        return self.names.index(case.rpartition(" ")[0])


def coarsen(stack: Stack, degradation: str, factor: int) -> Image:
    """The coarse slices of a stack, shape (H / factor, W / factor, K).

    Parameters
    ----------
    degradation : str
        A kind of `espcn_core.degradation`, alone or with `NOISY` behind it. The noise depends on the stack's
        name alone: every method, and every call, sees the same.
    """
    kind = degradation.removesuffix(NOISY)
    coarse = _degraded(stack.truth, factor, kind)
    if kind == degradation:
        return coarse
    generator = torch.Generator().manual_seed(zlib.crc32(stack.cases[0].encode()))
    low, high = float(stack.truth.min()), float(stack.truth.max())
    noisy: Image = rician(torch.from_numpy(coarse), NOISE * (high - low), low, generator).numpy()
    return noisy


def _degraded(slices: Image, factor: int, kind: str) -> Image:
    """`degrade` of slices of shape (H, W, K)."""
    first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(slices, 2, 0)))
    return np.ascontiguousarray(np.moveaxis(degrade(first, (factor, factor), kind).numpy(), 0, 2))


def _cut(slices: Image, factor: int) -> Image:
    """Cut off the rows and columns at the far edges that do not fill a coarse pixel."""
    rows, columns = (n - n % factor for n in slices.shape[:2])
    return slices[:rows, :columns]


def _check_size(truth: Image, name: str) -> None:
    if min(truth.shape[:2]) < _LEAST_SIDE:
        size = " x ".join(map(str, truth.shape[:2]))
        raise DataError(f"{name} leaves {size} pixels to measure, and {_LEAST_SIDE} are needed: leave it out")


def _upright(grid: Grid, axis: int) -> tuple[bool, bool, bool]:
    """Front or top of the head up, and the patient's right, or front, on the left."""
    rows, columns = (a for a in range(3) if a != axis)
    world = grid.world_axes
    exchange = world[rows] < world[columns]
    order: Iterator[int] = iter((columns, rows) if exchange else (rows, columns))
    turned = [bool(grid.directions[world[a], a] > 0) for a in order]
    return exchange, turned[0], turned[1]
