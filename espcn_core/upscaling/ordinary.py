"""What is out of the ordinary in a volume, by some of its slices: that is not for 8 bits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_LEFT_OUT = 0.01
"""Part of the pixels that may lie in the boxes around what is left out: float32 takes three times as long."""

_BEYOND = 0.1
"""By so much more than in the slices that were looked at may swing what is ordinary: there are others."""

_STEP = 0.9
"""From one bound on the swing that is tried to the next."""

_STEPS = 30
"""That are tried: down to a 24th."""

_TILE = 24
"""Side of what is computed at once: torch needs milliseconds for a size that it has not seen."""

_MANY = 3
"""Where the box around all is more than a third of an image, all of it is computed: margins of tiles are
twice as much as the tiles, and for boxes of many sizes torch would keep much memory."""


class Odd(NamedTuple):
    """Pixels of one image of a piece that depend on what is out of the ordinary.

    Attributes
    ----------
    number : int
        Of the image.
    rows, columns : slice
        Of a tile that holds some, or all of the image.
    pixels : Tensor, bool
        Which ones in the tile. The same ones in whatever piece they are.
    """

    number: int
    rows: slice
    columns: slice
    pixels: Tensor


@dataclass(frozen=True)
class Ordinary:
    """What is ordinary in a volume, by parts of some of its slices.

    Attributes
    ----------
    swing : float
        Bound on the distance of a pixel from the mean of the 3 x 3 about it. A few pixels of the slices may
        swing more: one bright spot would else decide how fine the steps are for all the rest.
    low, high : float
        Bounds on the pixels.
    """

    swing: float
    low: float
    high: float

    @classmethod
    def of(cls, tiles: Iterable[Tensor], radius: int) -> Ordinary:
        """By padded parts of slices, (1, 1, H + 2 radius, W + 2 radius), for a network that sees so far."""
        swings, lows, highs, pixels = [], [], [], 0
        for tile in tiles:
            swing = _swing(tile)[0, 0]
            swings.append((swing.amax(1), swing.amax(0)))
            lows.append(float(tile.min()))
            highs.append(float(tile.max()))
            pixels += (tile.shape[2] - 2 * radius) * (tile.shape[3] - 2 * radius)
        bound = max(float(rows.max()) for rows, _ in swings)
        for _ in range(_STEPS):
            if sum(_area(*lines, _STEP * bound, radius) for lines in swings) > _LEFT_OUT * pixels:
                break
            bound *= _STEP
        low, high = min(lows), max(highs)
        margin = _BEYOND * (high - low)
        return cls((1 + _BEYOND) * bound, low - margin, high + margin)

    def exceeded(self, images: Tensor) -> Tensor | None:
        """Which pixels but those at the edge are out of the ordinary, (B, C, H - 2, W - 2); None if none."""
        inner = images[:, :, 1:-1, 1:-1]
        odd = (_swing(images) > self.swing) | (inner < self.low) | (inner > self.high)
        return odd if bool(odd.any()) else None

    def odd(self, padded: Tensor, radius: int) -> Iterator[Odd]:
        """The pixels of a piece whose answers depend on what is out of the ordinary.

        Parameters
        ----------
        padded : Tensor, shape (B, 1, H + 2 radius, W + 2 radius)
        radius : int
            How far an answer depends on other pixels.
        """
        found = self.exceeded(padded)
        for number, image in enumerate(() if found is None else found[:, 0]):
            if bool(image.any()):
                yield from _tiles(number, image, 2 * radius - 2)


def _tiles(number: int, odd: Tensor, reach: int) -> Iterator[Odd]:
    """Around all pixels that see an odd one: pixel n sees the odd ones n to n + reach, along both axes."""
    box = [_seeing(odd.any(axis), reach) for axis in (1, 0)]
    sizes = [size - reach for size in odd.shape]
    small = _MANY * math.prod(side.stop - side.start for side in box) < math.prod(sizes)
    sides = [_parts(side, size) if small else [slice(0, size)] for side, size in zip(box, sizes, strict=True)]
    for rows, columns in itertools.product(*sides):
        seen = odd[None, rows.start : rows.stop + reach, columns.start : columns.stop + reach].float()
        pixels = functional.max_pool2d(functional.max_pool2d(seen, (reach + 1, 1), 1), (1, reach + 1), 1)[0]
        if bool(pixels.any()):
            yield Odd(number, rows, columns, pixels > 0)


def _parts(side: slice, size: int) -> list[slice]:
    """Parts as long as a tile that cover a part of a line; they may overlap, and the line may be shorter."""
    starts = (max(0, min(start, size - _TILE)) for start in range(side.start, side.stop, _TILE))
    return [slice(start, min(start + _TILE, size)) for start in starts]


def _seeing(odd: Tensor, reach: int) -> slice:
    """From the first to the last pixel of a line that sees an odd one."""
    places = torch.nonzero(odd)
    return slice(max(0, int(places[0]) - reach), min(len(odd) - reach, int(places[-1]) + 1))


def _area(rows: Tensor, columns: Tensor, bound: float, radius: int) -> int:
    """Of the box around all that sees a pixel that swings more, by the largest swing in each line."""
    area = 1
    for line in (rows, columns):
        odd = line > bound
        if not bool(odd.any()):
            return 0
        side = _seeing(odd, 2 * radius - 2)
        area *= side.stop - side.start
    return area


def _swing(images: Tensor) -> Tensor:
    """Of all pixels but those at the edge."""
    of_rows = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    total = of_rows[..., :-2] + of_rows[..., 1:-1]
    total += of_rows[..., 2:]
    return images[:, :, 1:-1, 1:-1].sub(total, alpha=1 / 9).abs_()
