"""How fast upscaling is, beside interpolation on the same machine in the same run.

    python -m benchmarks.speed [--quick] [--out DIR] [--device cpu]

Four tables: one slice through each network and each interpolation; whole files, each in a process of its own
(.nii.gz and .nii, with the peak of its memory); how the cost grows with the size of a slice and the number of
slices; where the time of a run goes. All rows of a table take turns, round after round; shown are the
medians, half the distance of the quartiles, and the ratio to SimpleITK's B-spline. `--out` also writes the
numbers as speed.json and a chart as speed.png.

The head is that of the sample, repeated to the size that is wanted. The share is that of the rate at which
this machine multiplies matrices of 2048 x 2048, in the format that the network computes in.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK
import torch
from torch.nn import functional

from benchmarks.speed_files import FILES, REFERENCE, Rows, head, spread, whole_files
from espcn_core import volumes
from espcn_core.grid import Grid
from espcn_core.models.registry import multiplies_per_pixel
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.torch_engine import TorchEngine
from espcn_core.upscaling.upscaler import run

Job = Callable[[], object]

TASKS = {"x2": ((256, 256), (2, 2)), "x4": ((128, 128), (4, 4)), "through x4": ((256, 64), (1, 4))}
MODELS = {
    "x2": ("espcn-r-x2",),
    "x4": ("espcn-r-x4", "espcn-x4"),
    "through x4": ("espcn-r-through-x4",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="few rounds and small files, to see that it works"
    )
    parser.add_argument("--out", type=Path, help="folder for speed.json and speed.png")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, of the networks")
    options = parser.parse_args()
    rounds = 3 if options.quick else 9
    result: dict[str, Any] = {"machine": machine(), "slices": {}, "files": {}}
    print(" ".join(f"{key}: {value};" for key, value in result["machine"].items()), flush=True)
    for task in TASKS:
        result["slices"][task] = show(
            f"One slice, {task}", take_turns(slice_jobs(task, options.device), rounds)
        )
    with tempfile.TemporaryDirectory() as folder:
        for task in FILES:
            for ending in ("nii.gz", "nii"):
                rows = whole_files(task, ending, Path(folder), options)
                result["files"][f"{task} .{ending}"] = show(f"File to file, {task}, .{ending}", rows)
    result["growth"] = growth(options)
    result["parts"] = parts(options)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "speed.json").write_text(json.dumps(result, indent=1) + "\n")
        chart(result, options.out / "speed.png")


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0].partition(": ")[2] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "fp32 GFLOP/s": round(matrix_rate(torch.float32) / 1e9),
        "bf16 GFLOP/s": round(matrix_rate(torch.bfloat16) / 1e9),
    }


def matrix_rate(dtype: torch.dtype) -> float:
    """Operations per second, two for each multiplication."""
    one = torch.ones(2048, 2048, dtype=dtype)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        one @ one
        times.append(time.perf_counter() - started)
    return float(2 * 2048**3 / min(times))


def slice_jobs(task: str, device: str) -> dict[str, tuple[Job, float]]:
    """For each way the work on one slice, and its share of multiplications in operations (0 if not known)."""
    shape, factor = TASKS[task]
    image = torch.from_numpy(head((*shape, 1))[..., 0].astype(np.float32) / 255)
    batch = image[None, None].contiguous()
    fine = tuple(n * r for n, r in zip(shape, factor, strict=True))

    def itk(interpolator: int) -> object:
        grid = SimpleITK.GetImageFromArray(image.numpy())
        spacing = [1 / r for r in factor[::-1]]
        origin = [(mm - 1) / 2 for mm in spacing]
        made = SimpleITK.Resample(grid, fine[::-1], SimpleITK.Transform(), interpolator, origin, spacing)
        return SimpleITK.GetArrayFromImage(made)

    def network(engine: TorchEngine) -> Job:
        return lambda: [piece.image for piece in engine(batch)]

    jobs: dict[str, tuple[Job, float]] = {
        REFERENCE: (lambda: itk(SimpleITK.sitkBSpline), 0),
        "SimpleITK linear": (lambda: itk(SimpleITK.sitkLinear), 0),
        "torch bicubic": (lambda: functional.interpolate(batch, fine, mode="bicubic"), 0),
    }
    try:
        from scipy.ndimage import zoom

        jobs["scipy zoom, order 3"] = (
            lambda: zoom(image.numpy(), factor, order=3, mode="grid-constant", grid_mode=True),
            0,
        )
    except ModuleNotFoundError:
        pass
    for name in MODELS[task]:
        for precision in ("fp32", "bf16"):
            engine = TorchEngine(name, torch.device(device), precision).adapted([image])
            operations = 2 * multiplies_per_pixel(engine.network) * image.numel()
            jobs[f"{name}, torch {precision}"] = (network(engine), operations)
    return jobs


def take_turns(jobs: dict[str, tuple[Job, float]], rounds: int) -> Rows:
    """Seconds of each job, which take turns."""
    rates = {"fp32": matrix_rate(torch.float32), "bf16": matrix_rate(torch.bfloat16)}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, (job, _) in jobs.items():
            started = time.perf_counter()
            job()
            if number:  # the first time is for warming up
                times[name].append(time.perf_counter() - started)
    rows = {name: {**spread(found)} for name, found in times.items()}
    for name, (_, operations) in jobs.items():
        if operations:
            rows[name]["share"] = operations / rows[name]["seconds"] / rates[name[-4:]]
    return rows


def growth(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Nanoseconds per fine voxel by the side of a slice and by the number of slices."""
    engines = Engines(options.device, "auto")
    found: dict[str, dict[str, float]] = {"side": {}, "slices": {}}
    sides = (64, 128, 256) if options.quick else (64, 128, 256, 512, 1024)
    counts = (10, 40) if options.quick else (10, 50, 100, 200, 400)
    for kind, shapes in (("side", [(n, n, 8) for n in sides]), ("slices", [(128, 128, n) for n in counts])):
        for shape in shapes:
            array = head(shape)
            plan = make_plan(Grid(shape, np.eye(4)), Request(scale=2, plane="axial"))
            times = []
            for _ in range(2 if options.quick else 5):
                started = time.perf_counter()
                run(plan, array, engines=engines)
                times.append(time.perf_counter() - started)
            size = shape[0] if kind == "side" else shape[2]
            found[kind][str(size)] = 1e9 * statistics.median(times) / (4 * array.size)
        print(
            f"\nns per fine voxel by {kind}: { ({n: round(ns, 1) for n, ns in found[kind].items()}) }",
            flush=True,
        )
    return found


def parts(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of reading, of the run, of its networks alone, and of writing, for the .nii.gz file of x2."""
    shape, spacing, _ = FILES["x2"]
    shape = (*shape[:2], 16 if options.quick else shape[2])
    engines = Engines(options.device, "auto")
    marks, names = [time.perf_counter()], []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.nii.gz"
        nib.save(nib.Nifti1Image(head(shape), np.diag([*spacing, 1.0])), source)

        def mark(name: str) -> None:
            marks.append(time.perf_counter())
            names.append(name)

        mark("make")
        volume = volumes.read(source)
        mark("read")
        plan = make_plan(volume.grid, Request(scale=2, plane="axial"))
        result = run(plan, volume.array, engines=engines)
        mark("map, networks, round")
        engine = engines.load("espcn-r-x2").adapted(
            [torch.from_numpy(volume.array[..., 0] / np.float32(255))]
        )
        for k in range(shape[2]):
            batch = torch.from_numpy(volume.array[..., k].astype(np.float32) / 255)[None, None]
            for _ in engine(batch):
                pass
        mark("networks alone")
        volumes.write(volume.on(result.array, plan.target), Path(folder) / "out.nii.gz")
        mark("write")
    seconds = {name: marks[n + 1] - marks[n] for n, name in enumerate(names)}
    print(
        f"\nseconds of x2 .nii.gz: { ({k: round(v, 2) for k, v in seconds.items() if k != 'make'}) }",
        flush=True,
    )
    return seconds


def show(title: str, rows: Rows) -> Rows:
    """Print a table, with the ratios to the reference."""
    reference = rows[REFERENCE]["seconds"]
    print(f"\n{title}\n{'':38}{'ms':>9}{'+-':>8}{'ratio':>8}{'share':>8}{'MB':>8}{'voxels':>8}")
    for name, row in rows.items():
        row["ratio"] = row["seconds"] / reference
        cells = f"{1e3 * row['seconds']:9.1f}{1e3 * row['spread']:8.1f}{row['ratio']:8.2f}"
        cells += f"{row['share']:8.0%}" if "share" in row else f"{'':8}"
        cells += f"{row['MB']:8.0f}{row['voxels MB']:8.0f}" if "MB" in row else ""
        print(f"{name:38}{cells}", flush=True)
    return rows


def chart(result: dict[str, Any], path: Path) -> None:
    """Ratios to the reference as bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tables = {**result["slices"], **result["files"]}
    figure, axes = pyplot.subplots(len(tables), 1, figsize=(8, 1.9 * len(tables)), layout="constrained")
    for axis, (title, rows) in zip(axes, tables.items(), strict=True):
        names = list(rows)[::-1]
        axis.barh(names, [rows[name]["ratio"] for name in names], color="#3b6ea5")
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(title, loc="left", fontsize=10)
    axes[-1].set_xlabel(f"time, {REFERENCE} = 1")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
