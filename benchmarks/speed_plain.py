"""Interpolations of a slice in a process as Python starts it: a part of `benchmarks.speed`.

What the command line sets for its own process would make SimpleITK faster as well, and nobody who calls it
has set that. Reads the name of a way, a line each, and answers with the seconds that it took.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK

from benchmarks.speed_files import REFERENCE, head

TASKS = {"x2": ((256, 256), (2, 2)), "x4": ((128, 128), (4, 4)), "through x4": ((256, 64), (1, 4))}


def ways(task: str) -> dict[str, Callable[[], Any]]:
    """By name what makes a slice of the head finer."""
    shape, factor = TASKS[task]
    image = head((*shape, 1))[..., 0].astype(np.float32) / 255
    fine = [n * r for n, r in zip(shape, factor, strict=True)]

    def itk(interpolator: int) -> Any:
        grid = SimpleITK.GetImageFromArray(image)
        spacing = [1 / r for r in factor[::-1]]
        origin = [(mm - 1) / 2 for mm in spacing]
        made = SimpleITK.Resample(grid, fine[::-1], SimpleITK.Transform(), interpolator, origin, spacing)
        return SimpleITK.GetArrayFromImage(made)

    found: dict[str, Callable[[], Any]] = {
        REFERENCE: lambda: itk(SimpleITK.sitkBSpline),
        "SimpleITK linear": lambda: itk(SimpleITK.sitkLinear),
    }
    try:
        from scipy.ndimage import zoom
    except ModuleNotFoundError:
        return found
    found["scipy zoom, order 3"] = lambda: zoom(image, factor, order=3, mode="grid-constant", grid_mode=True)
    return found


def main() -> None:
    jobs = ways(sys.argv[1])
    print(*jobs, sep="|", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        jobs[line.strip()]()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
