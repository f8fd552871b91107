"""Where an image swings more than the slices did that a network's 8 bits were fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

_NEAR = 0.85
"""Of the largest swing that was seen: above it values within a network may be larger than was seen, too."""


@dataclass(frozen=True)
class Seen:
    """What some slices showed.

    Attributes
    ----------
    swing : float
        The largest distance of a pixel from the mean of the 3 x 3 about it.
    low, high : float
        The darkest and the brightest pixel.
    """

    swing: float
    low: float
    high: float

    @classmethod
    def of(cls, part: Tensor) -> Seen:
        """What a part of a slice shows, (1, 1, H, W)."""
        return cls(float(_swing(part).max()), float(part.min()), float(part.max()))

    @classmethod
    def of_all(cls, parts: Iterable[Seen]) -> Seen:
        """What some of them show together."""
        swings, lows, highs = zip(*((part.swing, part.low, part.high) for part in parts), strict=True)
        return cls(max(swings), min(lows), max(highs))

    def unseen(self, padded: Tensor, radius: int) -> Iterator[Odd]:
        """The pixels of a piece whose answers may depend on what was not seen.

        Parameters
        ----------
        padded : Tensor, shape (B, 1, H + 2 radius, W + 2 radius)
        radius : int
            How far an answer depends on other pixels.
        """
        inner = padded[:, :, 1:-1, 1:-1]
        odd = (_swing(padded) > _NEAR * self.swing) | (inner < self.low) | (inner > self.high)
        if bool(odd.any()):
            for number, image in enumerate(odd[:, 0]):
                if bool(image.any()):
                    yield _box(number, image, 2 * radius - 2)


class Odd(NamedTuple):
    """Pixels of one image of a piece that depend on what was not seen.

    Attributes
    ----------
    number : int
        Of the image.
    rows, columns : slice
        The box around them.
    pixels : Tensor, bool
        Which ones in the box. The same ones in whatever piece they are.
    """

    number: int
    rows: slice
    columns: slice
    pixels: Tensor


def _box(number: int, odd: Tensor, reach: int) -> Odd:
    """Around all pixels that see an odd one: pixel n sees the odd ones n to n + reach, along both axes."""
    rows, columns = (_seeing(odd.any(axis), reach) for axis in (1, 0))
    seen = odd[rows.start : rows.stop + reach, columns.start : columns.stop + reach]
    grown = functional.max_pool2d(seen[None].float(), (reach + 1, 1), 1)
    return Odd(number, rows, columns, functional.max_pool2d(grown, (1, reach + 1), 1)[0] > 0)


def _seeing(odd: Tensor, reach: int) -> slice:
    """From the first to the last pixel of a line that sees an odd one."""
    places = torch.nonzero(odd)
    return slice(max(0, int(places[0]) - reach), min(len(odd) - reach, int(places[-1]) + 1))


def _swing(images: Tensor) -> Tensor:
    """Of all pixels but those at the edge."""
    of_rows = images[:, :, :-2] + images[:, :, 1:-1] + images[:, :, 2:]
    total = of_rows[..., :-2] + of_rows[..., 1:-1]
    total += of_rows[..., 2:]
    return images[:, :, 1:-1, 1:-1].sub(total, alpha=1 / 9).abs_()
