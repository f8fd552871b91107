"""What half the bits, a quarter of them, and another engine change: in dB, and in grey levels of 255.

    python -m benchmarks.precision --data FIGSHARE VOLUME... [--models NAMES] [--limit N]

Slices of patients that the networks were not trained on, each a volume of its own, and up to twelve axial
slices from the middle half of each NIfTI file are made coarser in the way that a network is for
(`Card.degradation`), upscaled by shipped networks, and compared with what they were (PSNR, peak: from the
smallest to the largest value). Shown are the change of the mean PSNR against torch in float32, and the root
mean square of the difference to it.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from espcn_core.degradation import degrade
from espcn_core.evaluation.metrics import psnr
from espcn_core.figshare import from_runs, open_source, split, unseen
from espcn_core.models.cards import find_weights, read_card
from espcn_core.upscaling.engine import Engine
from espcn_core.upscaling.engines import Engines

MODELS = (
    "espcn-r-x2",
    "espcn-r-x2-bicubic",
    "espcn-r-x4",
    "espcn-r-x4-bicubic",
    "espcn-r-through-x4",
    "espcn-x4",
)
WAYS = (("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the figshare data set, in any of its forms")
    parser.add_argument("volumes", type=Path, nargs="*", metavar="VOLUME")
    parser.add_argument("--models", default=",".join(MODELS), help="shipped networks, with commas")
    parser.add_argument("--limit", type=int, default=40, help="about so many slices of the data set")
    options = parser.parse_args()

    there = [way for way in WAYS if way[0] == "torch" or importlib.util.find_spec("openvino") is not None]
    for model in options.models.split(","):
        ways = [way for way in there if way[1] != "int8" or model.startswith("espcn-r")]
        exact = Engines("cpu").load(model)
        engines = {way: Engines("cpu", way[1], way[0]).load(model) for way in ways}
        changes: dict[tuple[str, str], list[list[float]]] = {way: [] for way in ways}
        distances: dict[tuple[str, str], list[list[float]]] = {way: [] for way in ways}
        sources = [figshare(options.data, model, options.limit), *map(volume, options.volumes)]
        for source in sources:
            for way in ways:
                changes[way].append([])
                distances[way].append([])
            for fine in source:
                fine = fine[..., : fine.shape[2] // exact.factor[0] * exact.factor[0], :]
                fine = fine[..., : fine.shape[3] // exact.factor[1] * exact.factor[1]]
                coarse = degrade(fine, exact.factor, exact.card.degradation)
                expected = upscaled(exact, coarse)
                before = quality(expected, fine)
                for way, engine in engines.items():
                    result = upscaled(engine, coarse)
                    changes[way][-1].append(quality(result, fine) - before)
                    distances[way][-1].append(255 * float((result - expected).square().mean().sqrt()))
        names = ["figshare", *(path.name.partition(".")[0][:15] for path in options.volumes)]
        print(f"\n{model:24}" + "".join(f"{name:>16}" for name in names))
        for way in ways:
            cells = zip(changes[way], distances[way], strict=True)
            row = (f"{statistics.fmean(dB):+.3f} ({statistics.fmean(rms):.2f})" for dB, rms in cells)
            print(f"{' '.join(way):24}" + "".join(f"{cell:>16}" for cell in row), flush=True)


def figshare(path: Path, model: str, limit: int) -> Iterator[Tensor]:
    """Slices that no network has seen, in the range 0 .. 1, (1, 1, H, W)."""
    card = read_card(find_weights(model).with_suffix(".json"))
    with open_source(path) as source:
        held_out = split(source, int(card.training["held_out_fold"])).validation
        indices = unseen(source, held_out, from_runs(card.training.get("trained_slices", "")))
        for index in indices[:: max(1, len(indices) // limit)]:
            yield in_range(torch.from_numpy(source.read(index).image.astype(np.float32))[None, None])


def volume(path: Path) -> Iterator[Tensor]:
    """Slices from the middle half of a volume, as one batch in the range 0 .. 1, (B, 1, H, W)."""
    array = np.asarray(nib.load(path).dataobj, np.float32)
    array = array.reshape(*array.shape[:3], -1)[..., 0]
    middle = array[..., array.shape[2] // 4 : 3 * array.shape[2] // 4 + 1]
    few = middle[..., :: -(-middle.shape[2] // 12)]
    yield in_range(torch.from_numpy(few.transpose(2, 0, 1).copy())[:, None])


def in_range(images: Tensor) -> Tensor:
    low, high = images.min(), images.max()
    return (images - low) / (high - low)


def upscaled(engine: Engine, coarse: Tensor) -> Tensor:
    """The fine slices of one volume."""
    fine = torch.empty(len(coarse), 1, *(n * r for n, r in zip(coarse.shape[2:], engine.factor, strict=True)))
    for piece in engine.adapted(coarse[:, 0])(coarse):
        fine[piece.numbers, :, piece.rows, piece.columns] = piece.image
    return fine


def quality(result: Tensor, fine: Tensor) -> float:
    """Mean PSNR of the slices, in dB."""
    return statistics.fmean(psnr(result[n : n + 1], fine[n : n + 1], 1.0) for n in range(len(fine)))


if __name__ == "__main__":
    main()
