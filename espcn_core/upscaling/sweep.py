"""One model over all slices of a volume."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from espcn_core.errors import RequestError
from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap, extremes
from espcn_core.models.outside import range_warning
from espcn_core.models.ranges import CONTRAST_RANGE, contrast_of
from espcn_core.upscaling.constant import SparingEngine
from espcn_core.upscaling.engine import Engine, Say
from espcn_core.upscaling.parallel import spread, threads_for
from espcn_core.upscaling.slices import Slices, batches, evenly, fill_gaps
from espcn_core.upscaling.steps import Pass

Array = npt.NDArray[Any]

Write = Callable[[int, slice, slice, npt.NDArray[np.float32]], None]
"""Gets the number of a fine slice, rows and columns of it, and their values in the networks' range.

Several threads call it, each for slices of its own.
"""

_LOOKED_AT = 16
"""Slices of a pass that its network is adapted to, and that are compared with those of its training."""

_SHARED = {"fp32": 3.0, "bf16": 3.0, "int8": 1.5}
"""Batches on a CPU are smaller by this, for each of several threads holds one: with 2, OpenVINO in float32
took a little more memory than is promised. It does not depend on the number of threads, for the size of a
batch changes last bits. In int8, which takes less time for each, threads waited for one another with 3."""


@dataclass(frozen=True, eq=False)
class Values:
    """A volume whose slices are given as networks read them.

    Attributes
    ----------
    array : ndarray, shape (I, J, K, *rest)
    grid : Grid
    intensity : IntensityMap, optional
        To the networks' range; none if the array is in it and finite.
    """

    array: Array
    grid: Grid
    intensity: IntensityMap | None = None

    def raw(self, slice_axis: int, numbers: Iterable[int]) -> Iterator[npt.NDArray[np.float32]]:
        """Slices across an axis in the networks' range, float32, with NaN and infinities where they are."""
        slices = Slices(self.array, slice_axis)
        for n in numbers:
            yield slices[n] if self.intensity is None else self.intensity.forward(slices[n])

    def filled(self, slice_axis: int, numbers: Iterable[int]) -> Iterator[npt.NDArray[np.float32]]:
        """`raw` slices without gaps."""
        for image in self.raw(slice_axis, numbers):
            yield image if self.intensity is None else fill_gaps(image)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value in the networks' range; gaps do not count."""
        ends: Array = np.array(extremes(self.array))
        low, high = ends if self.intensity is None else self.intensity.forward(ends)
        return float(low), float(high)

    @property
    def farthest(self) -> float:
        """How far from 0 the values reach."""
        return max(map(abs, self.ends))

    @property
    def is_array(self) -> bool:
        """Whether the array holds what the slices give."""
        return self.intensity is None

    def count(self, slice_axis: int) -> int:
        """Number of slices across an axis."""
        return len(Slices(self.array, slice_axis))


class Sweep:
    """A pass, with its network, over a volume.

    Parameters
    ----------
    values : Values
    only : Pass
    engine : Engine
        Of the pass's factors, or of these exchanged: then rows and columns are exchanged for it.
    """

    def __init__(self, values: Values, only: Pass, engine: Engine) -> None:
        self._values, self._axis, self._engine = values, only.slice_axis, engine
        self._exchanged = is_exchanged(only, engine)
        slices = Slices(values.array, self._axis)
        pixels, at_once = slices[0].size, engine.batch_pixels
        shared = _SHARED[engine.precision] if engine.is_on_cpu else 1.0
        self._batches = batches(len(slices), pixels, int(at_once / shared))
        small = engine.is_on_cpu and pixels <= at_once  # or each thread would hold a large slice
        self._threads = threads_for(len(self._batches)) if small else 1
        self._adapted: Engine | None = None

    def warning(self) -> str | None:
        """A sentence if the slices lie outside of what the network was trained on, by a few of them."""
        spacing = [mm for axis, mm in enumerate(self._values.grid.spacing) if axis != self._axis]
        rows, columns = reversed(spacing) if self._exchanged else spacing
        card = self._engine.card
        contrast = contrast_of(self._images(self._few())) if CONTRAST_RANGE in card.training else {}
        return range_warning(card, (rows, columns), contrast)

    def prepare(self) -> None:
        """Adapt the network to the volume. `run` does it if it was not done; several threads may, for sweeps
        of their own."""
        self._adapted = self._engine.adapted(_Each(self._images, self._few()), self._threads)

    def run(self, write: Write, say: Say) -> Iterator[int]:
        """Write all fine slices; yields the number of coarse ones done, after each batch."""
        if self._adapted is None:
            self.prepare()
        assert self._adapted is not None
        computed = SparingEngine(self._adapted)

        def done(numbers: range) -> int:
            batch = torch.from_numpy(np.stack(list(self._images(numbers))))[:, None]
            for piece in computed(batch, say):
                for n, image in zip(numbers[piece.numbers], piece.image[:, 0].numpy(), strict=True):
                    if self._exchanged:
                        write(n, piece.columns, piece.rows, image.T)
                    else:
                        write(n, piece.rows, piece.columns, image)
            return len(numbers)

        yield from spread(done, self._batches, self._threads)
        self._adapted = None  # what it was compiled to takes memory

    def _few(self) -> list[int]:
        return evenly(range(self._values.count(self._axis)), _LOOKED_AT)

    def _images(self, numbers: Iterable[int]) -> Iterator[npt.NDArray[np.float32]]:
        for image in self._values.filled(self._axis, numbers):
            yield image.T if self._exchanged else image


class _Each(Sequence[torch.Tensor]):
    """Slices of some numbers, each made when it is asked for and not kept."""

    def __init__(
        self, make: Callable[[list[int]], Iterator[npt.NDArray[np.float32]]], numbers: list[int]
    ) -> None:
        self._make, self._numbers = make, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> Any:
        (image,) = self._make([self._numbers[index]])
        return torch.from_numpy(image)


def is_exchanged(only: Pass, engine: Engine) -> bool:
    """Whether the slices of a pass are given to its network with rows and columns exchanged.

    Raises
    ------
    RequestError
        If the network has other factors.
    """
    if engine.factor == only.factors:
        return False
    if engine.factor == only.factors[::-1]:
        return True
    has, wants = ("x".join(map(str, factors)) for factors in (engine.factor, only.factors))
    raise RequestError(f"model {only.model} has scale {has}, not {wants}")
