"""The main job on a real sample: make a head coarser, upscale it by command line, compare with the truth.

    python -m benchmarks.demo [--out demo]

Writes the coarse volume, ours and a picture into a folder; prints PSNR and SSIM of bicubic and of ours and,
last, the gain in dB.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn import functional

from espcn_core.degradation import degrade
from espcn_core.evaluation.metrics import psnr, ssim
from espcn_core.grid import Grid

SAMPLE = Path(__file__).parents[1] / "resources" / "sample_t1ce.nii.gz"
SCALE = 4
SHOWN = 5
"""The slice in the picture, and the rows and columns of it that are shown enlarged."""
WINDOW = (slice(152, 368), slice(152, 368))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the results")
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)

    image = nib.load(SAMPLE)
    truth = torch.from_numpy(image.get_fdata(dtype=np.float32)).movedim(-1, 0)[
        :, None
    ]  # (slices, 1, rows, columns)
    coarse = degrade(truth, (SCALE, SCALE), "bicubic")
    grid = Grid(image.shape, image.affine).coarser((SCALE, SCALE, 1))
    coarse_path, ours_path = folder / "coarse.nii.gz", folder / "ours.nii.gz"
    nib.save(nib.Nifti1Image(coarse[:, 0].movedim(0, -1).numpy(), grid.affine), coarse_path)
    print(f"A head of {len(truth)} slices, {_size(truth)}, made {SCALE} times coarser (antialiased bicubic).")

    command = ["upscale", coarse_path, "--output", ours_path, "--scale", SCALE, "--existing", "overwrite"]
    print("espcn-core", *command)
    subprocess.run([sys.executable, "-m", "espcn_core", *map(str, command)], check=True)
    ours = torch.from_numpy(nib.load(ours_path).get_fdata(dtype=np.float32)).movedim(-1, 0)[:, None]
    bicubic = functional.interpolate(coarse, tuple(truth.shape[2:]), mode="bicubic", align_corners=False)

    picture = folder / "comparison.png"
    draw(picture, *(stack[SHOWN, 0].numpy() for stack in (coarse, bicubic, ours, truth)))
    print(f"coarse volume {coarse_path}, ours {ours_path}, picture {picture}")
    mean = {}
    for name, test in (("bicubic", bicubic), ("ours", ours)):
        pairs = [(a[None], b[None], float(b.max() - b.min())) for a, b in zip(test, truth, strict=True)]
        mean[name] = statistics.fmean(psnr(*pair) for pair in pairs)
        print(f"{name:8}{mean[name]:6.2f} dB   SSIM {statistics.fmean(ssim(*pair) for pair in pairs):.4f}")
    print(f"{mean['ours'] - mean['bicubic']:+.2f} dB")


def draw(path: Path, coarse: np.ndarray, bicubic: np.ndarray, ours: np.ndarray, truth: np.ndarray) -> None:
    """Coarse, bicubic, ours and truth, and below them the two error maps on one scale."""
    figure = Figure(figsize=(14, 7.4), layout="constrained", facecolor="white")
    axes = figure.subplots(2, 4)
    top = np.percentile(truth, 99.9)
    shown = tuple(slice(part.start // SCALE, part.stop // SCALE) for part in WINDOW)
    titles = (f"coarse, {0.49 * SCALE:.2f} mm", "bicubic", "ours", "truth, 0.49 mm")
    for axis, title, full in zip(axes[0], titles, (coarse, bicubic, ours, truth), strict=True):
        part = full[shown if full is coarse else WINDOW]
        axis.imshow(part.T, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
        axis.set_title(title)
    errors = {"bicubic - truth": bicubic - truth, "ours - truth": ours - truth}
    reach = np.percentile(np.abs(errors["bicubic - truth"][WINDOW]), 99.5)
    for axis, (title, error) in zip(axes[1, 1:3], errors.items(), strict=True):
        drawn = axis.imshow(error[WINDOW].T, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
        rms = float(np.sqrt(np.mean(error[WINDOW] ** 2)))
        axis.set_title(f"{title} (RMS {rms:.1f})")
    axes[1, 0].imshow(truth.T, cmap="gray", vmin=0, vmax=top)
    (left, right), (upper, lower) = ((part.start, part.stop) for part in WINDOW)
    axes[1, 0].plot([left, right, right, left, left], [upper, upper, lower, lower, upper], "y-", linewidth=1)
    axes[1, 0].set_title("where in the slice")
    for axis in axes.flat:
        axis.axis("off")
    scale = axes[1, 3].inset_axes((0.02, 0.02, 0.06, 0.96))
    figure.colorbar(drawn, cax=scale, label="error in units of the image")
    figure.savefig(path, dpi=80)


def _size(stack: torch.Tensor) -> str:
    return " x ".join(map(str, stack.shape[2:]))


if __name__ == "__main__":
    main()
