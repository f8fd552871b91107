"""What it saves to give networks nothing that is constant: air that is exactly zero, and padding.

    python -m benchmarks.less [FILE ...] [--isotropic] [--precision auto]

Each volume is upscaled all of it and without its constant parts, in turns; as it is, and with values below
8 % of the largest one set to 0, the sample also without its skull. Shown are the part of the pixels that
networks compute, padding included, median CPU seconds of one thread, and voxels of the result that differ.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from espcn_core import volumes
from espcn_core.upscaling.constant import SparingEngine
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Plan, Request, make_plan
from espcn_core.upscaling.torch_engine import TorchEngine
from espcn_core.upscaling.upscaler import run

Array = np.ndarray[Any, Any]
SAMPLE = Path(__file__).parents[1] / "resources" / "sample_t1ce.nii.gz"
ROUNDS, WAYS = 5, (lambda engine: engine, SparingEngine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=[SAMPLE])
    parser.add_argument("--isotropic", action="store_true")
    parser.add_argument("--precision", default="auto", help="fp32, bf16, or auto")
    options = parser.parse_args()
    torch.set_num_threads(1)
    request = Request(spacing="isotropic") if options.isotropic else Request(scale=2, plane="axial")
    engines = Engines("cpu", options.precision)
    print(f"{'':42}{'pixels':>8}{'all':>9}{'less':>9}{'saved':>8}{'differ':>9}")
    for path in options.files:
        volume = volumes.read(path)
        plan, array = make_plan(volume.grid, request), volume.array
        cases = {"": array, ", air set to 0": array * (array >= 0.08 * array.max())}
        if path == SAMPLE:
            i, j = np.ogrid[-1 : 1 : array.shape[0] * 1j, -1 : 1 : array.shape[1] * 1j]
            cases[", skull set to 0"] = array * ((i / 0.65) ** 2 + (j / 0.8) ** 2 < 1)[..., None]
        for name, array in cases.items():
            found = [[measured(way, plan, array, engines) for way in WAYS] for _ in range(ROUNDS + 1)]
            (_, all_pixels, one), (_, pixels, other) = found[0]
            every, less = (statistics.median(run[way][0] for run in found[1:]) for way in (0, 1))
            cells = f"{pixels / all_pixels:8.0%}{every:9.2f}{less:9.2f}{1 - less / every:8.0%}"
            print(f"{path.name + name:42}{cells}{np.sum(one != other):9,}", flush=True)


def measured(way: Any, plan: Plan, array: Array, engines: Engines) -> tuple[float, int, Array]:
    """CPU seconds of a run, pixels that its networks computed, and its result."""
    pixels, start = [], TorchEngine.start

    def counted(engine: TorchEngine, padded: torch.Tensor) -> Any:
        pixels.append(padded.numel())
        return start(engine, padded)

    with patch("espcn_core.upscaling.sweep.SparingEngine", way), patch.object(TorchEngine, "start", counted):
        started = time.process_time()
        result = run(plan, array, engines=engines).array
        return time.process_time() - started, sum(pixels), result


if __name__ == "__main__":
    main()
