"""Doing less: what is exactly constant around a head is not given to a network."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from espcn_core.upscaling.engine import Engine, Piece, Say

_STEP = 8
"""A box has sides of multiples of this: a new size costs an engine a millisecond and, for good, 0.3 MB."""

_WORTH_IT = 0.9
"""A box of a larger part of the pixels, padding included, saves no more than a new size costs."""


class SparingEngine:
    """An engine that computes only what differs from the border, and knows the rest from one pixel.

    A network sees no further than its radius. So where all within it equals the border, each fine voxel is
    one of r_row x r_col values, which the network gives for that constant.

    Parameters
    ----------
    engine : Engine
        Adapted to the volume.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._answers: dict[float, Tensor] = {}

    def __call__(self, batch: Tensor, say: Say) -> Iterator[Piece]:
        """The pieces of the fine slices, which cover each voxel once; see `Engine.__call__`.

        Parameters
        ----------
        batch : Tensor, shape (B, 1, H, W)
            The border is the first pixel of the first slice.
        say : callable
        """
        count, _, height, width = batch.shape
        whole = (slice(0, count), slice(0, height), slice(0, width))
        radius = self._engine.radius
        box = varying_box(batch[:, 0].numpy(), radius)
        if _work(box, radius) > _WORTH_IT * _work(whole, radius):
            yield from self._engine(batch, say)
            return
        numbers, rows, columns = box
        if numbers.stop > numbers.start:
            down, across = (
                side.start * r for side, r in zip((rows, columns), self._engine.factor, strict=True)
            )
            for piece in self._engine(batch[numbers, :, rows, columns], say):
                yield piece._replace(
                    numbers=_moved(piece.numbers, numbers.start),
                    rows=_moved(piece.rows, down),
                    columns=_moved(piece.columns, across),
                )
        answer = self._answer(float(batch[0, 0, 0, 0]), say)
        for part in _around(box, whole):
            yield self._filled(part, answer)

    def _answer(self, border: float, say: Say) -> Tensor:
        """What the network makes of a pixel among many of the same value, shape (r_row, r_col)."""
        if border not in self._answers:
            (piece,) = self._engine(torch.full((1, 1, 1, 1), border), say)
            self._answers[border] = piece.image[0, 0]
        return self._answers[border]

    def _filled(self, part: Box, answer: Tensor) -> Piece:
        """A piece of which each coarse pixel has the same answer; its slices share their memory."""
        numbers, *sides = part
        tiles = [side.stop - side.start for side in sides]
        rows, columns = (
            slice(side.start * r, side.stop * r) for side, r in zip(sides, self._engine.factor, strict=True)
        )
        image = answer.repeat(tiles).expand(numbers.stop - numbers.start, 1, -1, -1)
        return Piece(numbers, rows, columns, image)


Box = tuple[slice, slice, slice]
"""Numbers, rows and columns of a batch of coarse slices."""


def varying_box(images: npt.NDArray[np.float32], radius: int) -> Box:
    """The smallest box around all pixels whose answers may differ from that of the border, or a little more.

    Parameters
    ----------
    images : ndarray, shape (B, H, W)
        The border is their first pixel.
    radius : int
        How far an answer depends on other pixels along rows and columns.

    Returns
    -------
    (slice, slice, slice)
        Of no slices, but all their pixels, if all pixels are equal.
    """
    differs = images != images[0, 0, 0]
    by_row, by_column = differs.any(2), differs.any(1)
    found = [np.flatnonzero(flags) for flags in (by_row.any(1), by_row.any(0), by_column.any(0))]
    if not found[0].size:
        return slice(0, 0), slice(0, images.shape[1]), slice(0, images.shape[2])
    numbers, rows, columns = (slice(int(places[0]), int(places[-1]) + 1) for places in found)
    return numbers, _grown(rows, radius, images.shape[1]), _grown(columns, radius, images.shape[2])


def _grown(side: slice, radius: int, length: int) -> slice:
    """By the radius at both ends, then to a multiple of the step, within the slice."""
    start, stop = max(0, side.start - radius), min(length, side.stop + radius)
    size = min(length, -(-(stop - start) // _STEP) * _STEP)
    start = min(start, length - size)
    return slice(start, start + size)


def _work(box: Box, radius: int) -> int:
    """Pixels that a network computes for a box, padding included."""
    numbers, rows, columns = (side.stop - side.start for side in box)
    return int(numbers * (rows + 2 * radius) * (columns + 2 * radius))


def _around(box: Box, whole: Box) -> Iterator[Box]:
    """Parts that cover what a box leaves of the whole."""
    for axis in range(3):
        for start, stop in ((whole[axis].start, box[axis].start), (box[axis].stop, whole[axis].stop)):
            if stop > start:
                sides = [*box[:axis], slice(start, stop), *whole[axis + 1 :]]
                yield sides[0], sides[1], sides[2]


def _moved(side: slice, by: int) -> slice:
    return slice(side.start + by, side.stop + by)
