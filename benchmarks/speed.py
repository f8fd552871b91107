"""How fast upscaling is, beside interpolation on the same machine in the same run.

    python -m benchmarks.speed [--quick] [--out DIR] [--device cpu]

Four tables: one slice through each network and each interpolation; whole files, each in a process of its own
(.nii.gz and .nii, with the peak of its memory); how the cost grows with the size of a slice and the number of
slices; where the time of a run goes. All rows of a table take turns, round after round; shown are the
medians, half the distance of the quartiles, and the ratio to SimpleITK's B-spline. `--out` also writes the
numbers as speed.json and a chart as speed.png.

Interpolations other than torch's run in a process as Python starts it, for what the command line sets for its
own process (`espcn_core.cli.process`) makes SimpleITK faster too; one more row says by how much. OpenCV's row
needs opencv-contrib-python and its models (https://github.com/fannymonori/TF-ESPCN, folder export).

The head is that of the sample, repeated to the size that is wanted. The share is that of the rate at which
torch multiplies matrices of 2048 x 2048 on the device, in the format that the network computes in; the rate
at which the device copies memory is shown as well.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from espcn_core.cli.process import prepare

prepare()  # as the command line does, before torch is imported
# isort: split
import torch
from torch.nn import functional

from benchmarks import speed_plain
from benchmarks.speed_files import FILES, REFERENCE, Rows, head, spread, whole_files
from benchmarks.speed_parts import parts
from benchmarks.speed_plain import TASKS
from espcn_core.grid import Grid
from espcn_core.models.registry import multiplies_per_pixel
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request, make_plan
from espcn_core.upscaling.upscaler import run

Job = Callable[[], object]

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
    parser.add_argument("--opencv", type=Path, help="folder of ESPCN_x2.pb and ESPCN_x4.pb, for a row more")
    options = parser.parse_args()
    rounds = 3 if options.quick else 9
    result: dict[str, Any] = {"machine": machine(options.device), "slices": {}, "files": {}}
    print(" ".join(f"{key}: {value};" for key, value in result["machine"].items()), flush=True)
    for task in TASKS:
        result["slices"][task] = show(
            f"One slice, {task}", take_turns(slice_jobs(task, options), rounds, result["machine"])
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


def machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    card = {"card": torch.cuda.get_device_name()} if device == "cuda" else {}
    return {
        "cpu": names[0].partition(": ")[2] if names else platform.processor(),
        "threads": torch.get_num_threads(),
        **card,
        "torch": torch.__version__,
        "openvino": importlib.metadata.version("openvino") if has_openvino() else "none",
        "fp32 GFLOP/s": round(matrix_rate(torch.float32, device) / 1e9),
        "bf16 GFLOP/s": round(matrix_rate(torch.bfloat16, device) / 1e9),
        "copied GB/s": round(copy_rate(device) / 1e9),
    }


def has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def matrix_rate(dtype: torch.dtype, device: str) -> float:
    """Operations per second, two for each multiplication."""
    one = torch.ones(2048, 2048, dtype=dtype, device=device)
    return 2 * 2048**3 / fastest(lambda: one @ one, device)


def copy_rate(device: str) -> float:
    """Bytes per second, read and written."""
    one = torch.ones(2**26, device=device)
    other = torch.empty_like(one)
    return 8 * one.numel() / fastest(lambda: other.copy_(one), device)


def fastest(job: Job, device: str) -> float:
    """Seconds of the fastest of some rounds."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        job()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)


def slice_jobs(task: str, options: argparse.Namespace) -> dict[str, tuple[Job, float]]:
    """For each way the work on one slice, and its share of multiplications in operations (0 if not known)."""
    shape, factor = TASKS[task]
    image = torch.from_numpy(head((*shape, 1))[..., 0].astype(np.float32) / 255)
    batch = image[None, None].contiguous()
    fine = tuple(n * r for n, r in zip(shape, factor, strict=True))

    def network(engine: Engine) -> Job:
        return lambda: [piece.image for piece in engine(batch)]

    jobs: dict[str, tuple[Job, float]] = {
        name: (job, 0) for name, job in elsewhere(task, options.opencv).items()
    }
    jobs[f"{REFERENCE}, in our process"] = (speed_plain.ways(task)[REFERENCE], 0)
    jobs["torch bicubic"] = (lambda: functional.interpolate(batch, fine, mode="bicubic"), 0)
    ways = [("torch", "fp32"), ("torch", "bf16")]
    if options.device == "cpu" and has_openvino():
        ways += [("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8")]
    for name in MODELS[task]:
        for by, precision in ways:
            if precision == "int8" and not name.startswith("espcn-r"):
                continue
            engine = Engines(options.device, precision, by).load(name).adapted([image])
            operations = 2 * multiplies_per_pixel(engine.network) * image.numel()
            jobs[f"{name}, {by} {precision}"] = (network(engine), operations)
    return jobs


def elsewhere(task: str, opencv: Path | None) -> dict[str, Job]:
    """Ways that a process as Python starts it takes; each returns its seconds."""
    words = [sys.executable, "-m", "benchmarks.speed_plain", task, *([] if opencv is None else [str(opencv)])]
    ours = {"GOMP_SPINCOUNT", "OMP_NUM_THREADS"}
    environment = {name: text for name, text in os.environ.items() if name not in ours}
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdin is not None
    assert child.stdout is not None
    asks, answers = child.stdin, child.stdout

    def seconds(name: str) -> float:
        asks.write(f"{name}\n")
        asks.flush()
        return float(answers.readline())

    return {name: partial(seconds, name) for name in answers.readline().strip().split("|")}


def take_turns(jobs: dict[str, tuple[Job, float]], rounds: int, rates: dict[str, Any]) -> Rows:
    """Seconds of each job, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, (job, _) in jobs.items():
            started = time.perf_counter()
            said = job()
            if number:  # the first time is for warming up
                times[name].append(said if isinstance(said, float) else time.perf_counter() - started)
    rows = {name: {**spread(found)} for name, found in times.items()}
    for name, (_, operations) in jobs.items():
        rate = rates.get(f"{name[-4:]} GFLOP/s")
        if operations and rate:
            rows[name]["share"] = operations / rows[name]["seconds"] / (1e9 * rate)
    return rows


def growth(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Nanoseconds per fine voxel by the side of a slice and by the number of slices."""
    engines = Engines(options.device, "auto", "auto")
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
    counts = [len(rows) for rows in tables.values()]
    figure, axes = pyplot.subplots(
        len(tables), 1, figsize=(8, 0.22 * sum(counts) + 0.7 * len(counts)), layout="constrained",
        gridspec_kw={"height_ratios": counts},
    )  # fmt: skip
    for axis, (title, rows) in zip(axes, tables.items(), strict=True):
        names = list(rows)[::-1]
        colours = ["#3b6ea5" if "espcn" in name or "--" in name else "#b0b0b0" for name in names]
        axis.barh(names, [rows[name]["ratio"] for name in names], color=colours)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(title, loc="left", fontsize=10)
    axes[-1].set_xlabel(f"time, {REFERENCE} = 1")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
