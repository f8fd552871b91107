"""Where an image swings more than the slices did that a network's 8 bits were fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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

    def unseen(self, padded: Tensor, radius: int) -> Tensor | None:
        """The pixels whose answers may depend on what was not seen, (B, 1, H, W); None if there are none.

        It says the same of a pixel in whatever piece it is.

        Parameters
        ----------
        padded : Tensor, shape (B, 1, H + 2 radius, W + 2 radius)
        radius : int
            How far an answer depends on other pixels.
        """
        inner = padded[:, :, 1:-1, 1:-1]
        odd = (_swing(padded) > _NEAR * self.swing) | (inner < self.low) | (inner > self.high)
        if not bool(odd.any()):
            return None
        return functional.max_pool2d(odd.float(), 2 * radius - 1, 1) > 0


def boxes(odd: Tensor) -> Iterator[tuple[int, slice, slice]]:
    """Number, rows and columns of the smallest box around the pixels of each image that has some."""
    for number, image in enumerate(odd[:, 0]):
        rows, columns = (torch.nonzero(image.any(axis))[:, 0] for axis in (1, 0))
        if len(rows):
            yield number, _from_to(rows), _from_to(columns)


def _from_to(places: Tensor) -> slice:
    return slice(int(places[0]), int(places[-1]) + 1)


def _swing(images: Tensor) -> Tensor:
    """Of all pixels but those at the edge."""
    return (images[:, :, 1:-1, 1:-1] - functional.avg_pool2d(images, 3, 1)).abs_()
