"""What of an example is shown: the window around its region, and the line across an edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from espcn_core.evaluation.records import Example, Mask

SMALLEST = 96
"""Fine pixels; less shows no surroundings."""


@dataclass(frozen=True)
class Window:
    """A rectangle of fine pixels, half open, on the borders of coarse pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """To cut it out of a fine image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def coarser(self, factor: int) -> Window:
        """The same rectangle in coarse pixels."""
        return Window(*(edge // factor for edge in (self.top, self.left, self.bottom, self.right)))


@dataclass(frozen=True)
class Line:
    """Fine pixels in a row or a column, from ``start`` to ``stop``, half open."""

    along: str
    place: int
    start: int
    stop: int

    @property
    def slices(self) -> tuple[int | slice, int | slice]:
        """To cut it out of a fine image."""
        part = slice(self.start, self.stop)
        return (self.place, part) if self.along == "row" else (part, self.place)


def shown_region(example: Example) -> str | None:
    """The region that is drawn in: the tumor, or else the head."""
    return next((name for name in ("tumor", "head") if name in example.regions), None)


def find_window(example: Example) -> Window:
    """A square around the region, twice as long and at least `SMALLEST` pixels, as far as the image goes."""
    region = shown_region(example)
    shape = example.truth.shape
    extents = [(0, size) for size in shape]
    if region is not None:
        inside = [np.flatnonzero(example.regions[region].any(axis=1 - axis)) for axis in (0, 1)]
        extents = [(int(places[0]), int(places[-1]) + 1) for places in inside]
    factor = shape[0] // example.coarse.shape[0]
    wanted = max(SMALLEST, *(2 * (high - low) for low, high in extents))
    wanted = -(-wanted // factor) * factor
    edges = []
    for size, (low, high) in zip(shape, extents, strict=True):
        side = min(size, wanted)
        start = min(max((low + high - side) // 2, 0), size - side) // factor * factor
        edges.append((start, start + side))
    (top, bottom), (left, right) = edges
    return Window(top, left, bottom, right)


def find_edge(example: Example, window: Window) -> Line:
    """A short line across the steepest edge of the truth in and around the region."""
    truth = np.asarray(example.truth, float)
    down, across = (ndimage.gaussian_filter1d(truth, 1, axis, order=1) for axis in (0, 1))
    steep = np.hypot(down, across)
    near: Mask = np.zeros(truth.shape, bool)
    for name in ("tumor", "ring"):
        if name in example.regions:
            near |= example.regions[name]
    inside = np.zeros_like(near)
    inside[window.slices] = True
    near = near & inside if (near & inside).any() else inside
    row, column = np.unravel_index(int(np.argmax(np.where(near, steep, -1))), steep.shape)
    reach = 6 * (truth.shape[0] // example.coarse.shape[0])
    if abs(across[row, column]) >= abs(down[row, column]):
        along, place, middle, size = "row", int(row), int(column), truth.shape[1]
    else:
        along, place, middle, size = "column", int(column), int(row), truth.shape[0]
    return Line(along, place, max(0, middle - reach), min(size, middle + reach + 1))
