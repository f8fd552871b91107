"""Whole files, each upscaled in a process of its own: a part of `benchmarks.speed`."""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from espcn_core.degradation import degrade

ROOT = Path(__file__).parents[1]
REFERENCE = "SimpleITK B-spline"
Rows = dict[str, dict[str, float]]

FILES = {
    "x2": ((256, 256, 180), (0.98, 0.98, 1.0), ["--scale", "2", "--plane", "axial"]),
    "isotropic": ((256, 256, 40), (0.9, 0.9, 5.0), ["--isotropic"]),
}

BY_ITK = """
import sys
import SimpleITK as sitk
source, target, interpolator, *spacing = sys.argv[1:]
image = sitk.ReadImage(source)
spacing = [float(mm) for mm in spacing]
size = [round(n * old / new) for n, old, new in zip(image.GetSize(), image.GetSpacing(), spacing)]
shift = [(new - old) / 2 for old, new in zip(image.GetSpacing(), spacing)]
origin = image.TransformContinuousIndexToPhysicalPoint([s / old for s, old in zip(shift, image.GetSpacing())])
grid = (size, sitk.Transform(), getattr(sitk, interpolator), origin, spacing, image.GetDirection(), 0)
sitk.WriteImage(sitk.Resample(image, *grid, image.GetPixelID()), target, useCompression=target.endswith("gz"))
"""


MEASURED = """
import os, sys, time
started = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
print(status, time.perf_counter() - started, usage.ru_maxrss)
"""
"""A small process that starts a large one: what it says of the memory is not that of this benchmark."""


def whole_files(task: str, ending: str, folder: Path, options: argparse.Namespace) -> Rows:
    """Seconds and peak memory of a process from file to file."""
    shape, spacing, words = FILES[task]
    shape = (*shape[:2], 16 if options.quick else shape[2])
    source, target = folder / f"{task}.{ending}", folder / f"out.{ending}"
    nib.save(nib.Nifti1Image(head(shape), np.diag([*spacing, 1.0])), source)
    fine = [mm / 2 for mm in spacing[:2]] + [spacing[2]] if task == "x2" else [min(spacing)] * 3
    ours = [sys.executable, "-m", "espcn_core", "upscale", source, "--output", target, *words, "--quiet"]
    ours += ["--existing", "overwrite", "--device", options.device]
    by_itk = [sys.executable, "-c", BY_ITK, source, target]
    calls = {
        REFERENCE: [*by_itk, "sitkBSpline", *fine],
        "SimpleITK linear": [*by_itk, "sitkLinear", *fine],
        "espcn-core upscale": ours,
        "espcn-core upscale --engine torch": [*ours, "--engine", "torch"],
        "... --engine torch --precision fp32": [*ours, "--engine", "torch", "--precision", "fp32"],
    }
    if options.device == "cpu" and importlib.util.find_spec("openvino") is not None:
        calls["espcn-core upscale --precision fp32"] = [*ours, "--precision", "fp32"]
    times: dict[str, list[float]] = {name: [] for name in calls}
    memory: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(1 if options.quick else 3):
        for name, call in calls.items():
            words = [sys.executable, "-S", "-c", MEASURED, *map(str, call)]
            said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
            if said[-3] != "0":
                raise SystemExit(f"{name} failed")
            times[name].append(float(said[-2]))
            memory[name].append(float(said[-1]) / 1024)
    size = np.prod(nib.load(target).shape) * 2 / 2**20 + np.prod(shape) * 2 / 2**20
    return {
        name: {**spread(found), "MB": max(memory[name]), "voxels MB": float(size)}
        for name, found in times.items()
    }


def head(shape: Sequence[int]) -> np.ndarray[Any, Any]:
    """Slices of the sample, halved as often as it takes, over and over, int16."""
    values = np.asarray(nib.load(ROOT / "resources" / "sample_t1ce.nii.gz").dataobj).astype(np.float32)
    slices = torch.from_numpy(values.transpose(2, 0, 1).copy())
    while slices.shape[1] > max(shape[:2]):
        slices = degrade(slices, (2, 2), "area")
    repeated = slices.repeat(-(-shape[2] // len(slices)), -(-shape[0] // slices.shape[1]), 1)
    repeated = repeated.repeat(1, 1, -(-shape[1] // slices.shape[2]))
    cut = repeated[: shape[2], : shape[0], : shape[1]]
    return np.asfortranarray(cut.permute(1, 2, 0).numpy().round().astype(np.int16))


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median, and half the distance of the quartiles."""
    low, middle, high = (
        statistics.quantiles(times, n=4) if len(times) > 2 else (min(times), *[max(times)] * 2)
    )
    return {"seconds": middle, "spread": (high - low) / 2}
