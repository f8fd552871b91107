"""How much better than bicubic a model is on slices of patients that it was not trained on.

    python -m benchmarks.quality --data PATH --model espcn-r-x4 [--fold 5] [--limit N] [--orientations]

Each held-out slice is first made smaller if the model's card says so, then coarser by the degradation of the
card, then upscaled by the same code as the command line and compared with what it was. The peak of the PSNR
is the range of the true slice, for all methods. This is the quick look: the numbers of the cards, by
region and with intervals, come from ``espcn-core evaluate`` (`benchmarks.cards`). With ``--orientations``
the result is the mean over the eight mirrored and turned ones, which takes eight times as long and is the
most that a network could learn from them.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from espcn_core.api import upscale_array
from espcn_core.degradation import degrade
from espcn_core.evaluation.metrics import psnr, ssim
from espcn_core.figshare import SPACING, from_runs, open_source, split, unseen
from espcn_core.grid import Grid
from espcn_core.models.cards import find_weights, read_card
from espcn_core.upscaling.engines import Engines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the figshare data set, in any of its forms")
    parser.add_argument("--model", required=True, help="name of shipped weights, or a weight file")
    parser.add_argument("--fold", type=int, help="held-out fold; by default the one that the card names")
    parser.add_argument("--limit", type=int, help="measure about so many slices, evenly spread")
    parser.add_argument("--orientations", action="store_true", help="mean over the eight of each slice")
    options = parser.parse_args()
    turns = list(itertools.product((0, 1, 2, 3), (False, True))) if options.orientations else [(0, False)]

    card = read_card(find_weights(options.model).with_suffix(".json"))
    fold = options.fold or int(card.training["held_out_fold"])
    shrink = int(card.training["config"]["shrink"])
    (scale, _) = card.factor

    gains, rows, engines = [], [], Engines()
    with open_source(options.data) as source:
        trained = from_runs(card.training.get("trained_slices", ""))
        indices = unseen(source, split(source, fold).validation, trained)
        patients = source.patients()
        if options.limit:
            indices = indices[:: max(1, len(indices) // options.limit)]
        for index in indices:
            image = torch.from_numpy(source.read(index).image.astype(np.float32))
            if shrink > 1:
                image = degrade(image, (shrink, shrink), "bicubic")
            image = image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
            rows.append(measure(image, scale, card.degradation, options.model, engines, turns))
            gains.append(rows[-1][1] - rows[-1][0])

    bicubic, ours, bicubic_ssim, ours_ssim = (statistics.fmean(column) for column in zip(*rows, strict=True))
    size = f"{'halved to 256, ' if shrink == 2 else ''}{card.degradation} / {scale}"
    people = len({patients[index] for index in indices})
    print(f"{options.model}: {len(rows)} slices of {people} patients, fold {fold}, {size}, peak: its range")
    print(f"bicubic  {bicubic:6.2f} dB  SSIM {bicubic_ssim:.4f}")
    print(f"model    {ours:6.2f} dB  SSIM {ours_ssim:.4f}")
    print(
        f"better on {sum(gain > 0 for gain in gains)} of {len(gains)} slices; least gain {min(gains):+.2f} dB"
    )
    print(f"{round(ours - bicubic, 2) + 0.0:+.2f} dB")


def measure(
    image: torch.Tensor,
    scale: int,
    degradation: str,
    model: str,
    engines: Engines,
    turns: Sequence[tuple[int, bool]] = ((0, False),),
) -> tuple[float, float, float, float]:
    """PSNR of bicubic and of the model, then SSIM of both, for one fine slice of shape (H, W).

    The model's result is the mean over the turns: quarters, and whether it is mirrored first.
    """
    coarse = degrade(image, (scale, scale), degradation)
    results = []
    for quarters, mirrored in turns:
        turned = torch.rot90(coarse.flip(1) if mirrored else coarse, quarters).numpy()[:, :, None]
        grid = Grid(turned.shape, np.diag([SPACING * scale, SPACING * scale, 7.0, 1.0]))
        result, _ = upscale_array(turned, grid, scale, model=model, plane="axial", engines=engines)
        back = torch.rot90(torch.from_numpy(result.array[:, :, 0].copy()), -quarters)
        results.append(back.flip(1) if mirrored else back)
    ours = torch.stack(results).mean(0)
    size = tuple(image.shape)
    bicubic = functional.interpolate(coarse[None, None], size, mode="bicubic", align_corners=False)[0, 0]
    peak = float(image.max() - image.min())
    images = [(test[None, None], image[None, None]) for test in (bicubic, ours)]
    return (
        psnr(*images[0], peak),
        psnr(*images[1], peak),
        ssim(*images[0], peak),
        ssim(*images[1], peak),
    )


if __name__ == "__main__":
    main()
