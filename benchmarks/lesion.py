"""What thick slices cannot tell apart: two lesions of different shape that make the same slices.

    python -m benchmarks.lesion --data human-t1-colin27.nii.gz [--out lesion.png]

Puts a small bright lesion into a head of isotropic voxels, between two of the slices that the head is then
made into: once flat and bright, once tall and faint. Upscales both by `espcn_core.upscale`, draws them and
prints how much they differ, as a part of the flat lesion's height: in truth, as thick slices, in the results.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from matplotlib.figure import Figure

import espcn_core
from espcn_core.degradation import SliceProfile, thicken

FACTOR = 5
"""Fine slices to a thick one."""

FLAT, TALL = 1.0, 2.0
"""Standard deviations of the two lesions along the slice axis, in voxels; 1.5 within the slices."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a volume of isotropic voxels")
    parser.add_argument("--out", type=Path, default=Path("lesion.png"), help="the picture")
    options = parser.parse_args()

    image = nib.as_closest_canonical(nib.load(options.data))
    head = image.get_fdata(dtype=np.float32)
    head = head[:, :, : head.shape[2] // FACTOR * FACTOR]
    height = 0.5 * float(np.percentile(head, 99))
    i, j = head.shape[0] * 3 // 8, head.shape[1] // 2
    k = head.shape[2] // 2 // FACTOR * FACTOR + (2 * FACTOR - 1) / 2  # where two thick slices meet
    truths = [head + height * FLAT / size * lesion(head.shape, (i, j, k), size) for size in (FLAT, TALL)]
    thick = [thicken(torch.from_numpy(t), 2, FACTOR, SliceProfile()).numpy() for t in truths]
    affine = image.affine @ np.diag([1, 1, FACTOR, 1])
    ours = [espcn_core.upscale((t, affine), scale=(1, 1, FACTOR), device="cpu")[0] for t in thick]

    for name, (flat, tall) in (("truth", truths), ("thick slices", thick), ("ours", ours)):
        part = np.abs(flat - tall).max() / height
        print(f"{name:13}differ by at most {part:.2f} of the flat lesion's height")
    draw(options.out, j, (i, int(k)), truths, thick, ours, float(np.percentile(head, 99.8)))
    print(f"picture {options.out}")


def lesion(shape: tuple[int, ...], centre: tuple[float, float, float], tall: float) -> np.ndarray:
    """A Gaussian of height 1: standard deviations of 1.5 voxels, and of ``tall`` along the third axis."""
    x, y, z = (
        np.exp(-0.5 * ((np.arange(n) - c) / size) ** 2)
        for n, c, size in zip(shape, centre, (1.5, 1.5, tall), strict=True)
    )
    return np.asarray(x[:, None, None] * y[:, None] * z, dtype=np.float32)


Pair = list[np.ndarray]


def draw(
    path: Path, j: int, centre: tuple[int, int], truths: Pair, thick: Pair, ours: Pair, top: float
) -> None:
    """Truth, thick slices and ours of both lesions, in the coronal plane around them."""
    i, k = centre
    look = {"cmap": "gray", "vmin": 0, "vmax": top, "origin": "lower", "interpolation": "nearest"}
    window = (slice(i - 24, i + 24), slice(k - 24, k + 24))
    figure = Figure(figsize=(8.4, 6.0), layout="constrained", facecolor="white")
    axes = figure.subplots(2, 3)
    for row, name in enumerate(("flat and bright", "tall and faint")):
        shown = (truths[row], thick[row].repeat(FACTOR, axis=2), ours[row])
        for axis, title, volume in zip(axes[row], ("truth", "thick slices", "ours"), shown, strict=True):
            axis.imshow(volume[:, j][window].T, **look)
            axis.set_title(f"{title}: {name}" if not row or title == "truth" else title, fontsize=9)
            axis.axis("off")
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
