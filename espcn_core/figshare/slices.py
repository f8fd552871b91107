"""One slice of the figshare brain tumor data set, and what is known about all 3,064 of them.

Cheng, Jun (2017): brain tumor dataset. figshare. doi 10.6084/m9.figshare.1512427, CC BY 4.0.
T1-weighted contrast-enhanced slices of 233 patients, 0.49 x 0.49 mm, 6 mm thick with a gap of 1 mm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

SLICE_COUNT = 3064
"""Slices in the whole data set; they are numbered from 1."""

SPACING = 0.49
"""Of the pixels of a 512 x 512 slice, in mm."""

LABELS = {1: "meningioma", 2: "glioma", 3: "pituitary tumor"}
"""The tumor of each value of `FigshareSlice.label`."""

HALF_SIZE = frozenset([*range(955, 958), *range(1070, 1077), *range(1203, 1208)])
"""The 15 slices that are 256 x 256; every other one is 512 x 512."""


@dataclass(frozen=True, eq=False)
class FigshareSlice:
    """One slice, oriented as it is displayed: row 0 is the top, column 0 the left.

    Attributes
    ----------
    index : int
        Number in the data set, 1 to 3064.
    image : ndarray of int16, shape (H, W)
        Intensities as stored, without a unit.
    label : int
        1 meningioma, 2 glioma, 3 pituitary tumor.
    patient : str
        Patient id (PID).
    border : ndarray of float64, shape (N, 2)
        Points along the tumor's outline, as drawn by hand: ``border[:, 0]`` is x, the column, and
        ``border[:, 1]`` is y, the row.
    mask : ndarray of bool, shape (H, W)
        Where the tumor is.
    """

    index: int
    image: npt.NDArray[np.int16]
    label: int
    patient: str
    border: npt.NDArray[np.float64]
    mask: npt.NDArray[np.bool_]


class FigshareSource(Protocol):
    """Slices by their number in the data set. A source may be read from threads and worker processes."""

    indices: tuple[int, ...]
    """Numbers of the slices that are there, sorted."""

    def read(self, index: int) -> FigshareSlice:
        """One slice; a `DataError` that names the file if it is broken or not there."""

    def patients(self) -> dict[int, str]:
        """Patient id (PID) of every slice, without reading images."""

    def folds(self) -> dict[int, int] | None:
        """Fold (1 to 5) of every slice that has one in ``cvind.mat``; None without that file."""

    def close(self) -> None:
        """Let go of open files."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def expected_size(index: int) -> tuple[int, int]:
    """Rows and columns of a slice in the public data set."""
    return (256, 256) if index in HALF_SIZE else (512, 512)


def as_runs(numbers: Iterable[int]) -> list[str]:
    """Numbers as sorted runs: 3, 1, 2, 7 are 1-3 and 7."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [str(a) if a == b else f"{a}-{b}" for a, b in runs]


def from_runs(text: str) -> frozenset[int]:
    """The numbers of runs with commas between them; the inverse of `as_runs`.

    Raises
    ------
    ValueError
        If the text is something else.
    """
    numbers: set[int] = set()
    for run in filter(None, text.replace(" ", "").split(",")):
        first, _, last = run.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)
