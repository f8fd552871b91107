"""Interpolations of a slice in a process as Python starts it: a part of `benchmarks.speed`.

What the command line sets for its own process would make SimpleITK faster as well, and nobody who calls it
has set that. Reads the name of a way, a line each, and answers with the seconds that it took.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from benchmarks.speed_files import REFERENCE, head

TASKS = {"x2": ((256, 256), (2, 2)), "x4": ((128, 128), (4, 4)), "through x4": ((256, 64), (1, 4))}


def ways(task: str, models: Path | None = None) -> dict[str, Callable[[], Any]]:
    """By name what makes a slice of the head finer; in ``models`` OpenCV's ESPCN_x2.pb and ESPCN_x4.pb."""
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
    with contextlib.suppress(ModuleNotFoundError):
        from scipy.ndimage import zoom

        how = {"order": 3, "mode": "grid-constant", "grid_mode": True}
        found["scipy zoom, order 3"] = lambda: zoom(image, factor, **how)
    if models is not None and factor[0] == factor[1]:
        import cv2

        network = cv2.dnn_superres.DnnSuperResImpl_create()
        network.readModel(str(models / f"ESPCN_x{factor[0]}.pb"))
        network.setModel("espcn", factor[0])
        colours = np.repeat((255 * image).astype(np.uint8)[..., None], 3, axis=2)
        found["OpenCV dnn_superres, ESPCN"] = lambda: network.upsample(colours)
    return found


def main() -> None:
    jobs = ways(sys.argv[1], *map(Path, sys.argv[2:]))
    print(*jobs, sep="|", flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        jobs[line.strip()]()
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
