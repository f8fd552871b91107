"""What an ONNX file loses: without the volume that an adaptive network is adapted to, and by 8 bits.

    python -m benchmarks.export --data PATH [--models NAMES] [--limit N] [--int8]

The slices are of patients that the models have not seen, made coarser by each kind of degradation, and run
one by one, padded as in a run. First the network that `espcn-core export` writes for the mean of the
training, against the one that ``--for`` adapts to a slice. With ``--int8`` instead: each calibration method
and choice of layers that stay in float, on the slices that the command would measure on.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from espcn_core.degradation import SliceProfile, thicken
from espcn_core.evaluation.cases import NOISY, Cases, Stack, coarsen
from espcn_core.evaluation.choices import choose_cases
from espcn_core.evaluation.metrics import psnr
from espcn_core.export.graph import Runner, to_onnx
from espcn_core.export.int8 import mean_psnr, quantised
from espcn_core.export.slices import Image, calibration_pairs
from espcn_core.intensity import IntensityMap
from espcn_core.models.cards import Card
from espcn_core.models.eight_bits import meeting_alike
from espcn_core.models.registry import adapted, receptive_radius
from espcn_core.models.shuffle import crop
from espcn_core.models.trained import load_model
from espcn_core.upscaling.slices import pad

MODELS = "espcn-r-x2,espcn-r-x3,espcn-r-x4,espcn-r-through-x2,espcn-r-through-x4,espcn-r-through-x6"

IN_PLANE = ("bicubic", "area", "gaussian", "kspace", "bicubic" + NOISY, "kspace" + NOISY)

THROUGH = ("gaussian:1", "box:1", "gaussian:0.8", "gaussian:1.2")
"""Profiles of thick slices, and their thickness as a part of the distance between them."""

METHODS = ("MinMax", "Entropy", "Percentile")

IN_FLOAT = ((), (0,), (0, -1), (0, 1, -1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="as espcn-core evaluate takes it")
    parser.add_argument("--models", default=MODELS, help="with commas")
    parser.add_argument("--limit", type=int, default=44, help="slices, evenly spread; not with --int8")
    parser.add_argument("--int8", action="store_true", help="compare calibrations instead")
    options = parser.parse_args()
    names = options.models.split(",")
    for name in names:
        network, card = load_model(name)
        if options.int8:
            calibrations(at_mean(network), card, options.data)
        else:
            lost_at_mean(network, card, options.data, options.limit)


def at_mean(network: nn.Module) -> nn.Module:
    """What the command writes without ``--for``."""
    adaptation = getattr(network, "adaptation", None)
    return adapted(network, []) if adaptation is None else network.adapted(adaptation.centre)


def lost_at_mean(network: nn.Module, card: Card, data: Path, limit: int) -> None:
    """A table of the gains over bicubic of both networks, in dB, by degradation."""
    cases, _ = choose_cases(
        data, {card.name: card}, scale=max(card.factor), shrink=None, fold=None, plane="auto", limit=limit
    )
    content = to_onnx(at_mean(network), card, "")
    print(f"{card.name}, gain over bicubic, dB: {'adapted':>14} {'mean':>8} {'lost':>8} {'most lost':>10}")
    for kind in IN_PLANE if card.factor[0] == card.factor[1] else THROUGH:
        rows = [
            row for number in range(len(cases)) for row in gains(network, card, content, cases, number, kind)
        ]
        ours, usual = (statistics.fmean(column) for column in zip(*rows, strict=True))
        most = max(one - other for one, other in rows)
        print(f"  {kind:<38} {ours:>+8.2f} {usual:>+8.2f} {ours - usual:>8.2f} {most:>10.2f}", flush=True)


def gains(
    network: nn.Module, card: Card, content: bytes, cases: Cases, number: int, kind: str
) -> Iterator[tuple[float, float]]:
    """Of the adapted network and of the exported one over bicubic, for each slice of a case."""
    radius, factor = receptive_radius(network), card.factor
    stack, run = cases.read(number), Runner(content)
    coarse = coarsened(stack, factor, kind)
    intensity = IntensityMap.fit(coarse)
    for k in range(coarse.shape[2]):
        image = torch.from_numpy(np.ascontiguousarray(intensity.forward(coarse[:, :, k])))
        fine = torch.from_numpy(np.ascontiguousarray(intensity.forward(stack.truth[:, :, k])))
        padded = pad(image[None, None], radius)
        made = (
            functional.interpolate(padded, scale_factor=tuple(map(float, factor)), mode="bicubic"),
            adapted(network, [image])(padded),
            torch.from_numpy(run(padded.numpy())),
        )
        peak = float(fine.max() - fine.min())
        bicubic, ours, usual = (psnr(crop(one, radius, factor)[0, 0], fine, peak) for one in made)
        yield ours - bicubic, usual - bicubic


def coarsened(stack: Stack, factor: tuple[int, int], kind: str) -> Image:
    """Coarse slices, (H / r_row, W / r_col, K); thick ones along the columns by a profile."""
    if ":" not in kind:
        return coarsen(stack, kind, factor[0])
    shape, _, thickness = kind.partition(":")
    fine = torch.from_numpy(np.ascontiguousarray(stack.truth))
    coarse: Image = thicken(fine, 1, factor[1], SliceProfile(shape, float(thickness))).numpy()
    return coarse


def calibrations(network: nn.Module, card: Card, data: Path) -> None:
    """A table of what 8 bits lose."""
    radius, content = receptive_radius(network), to_onnx(meeting_alike(network), card, "")
    known, others = calibration_pairs(data, card)
    right = mean_psnr(content, others, radius, card.factor)
    print(
        f"{card.name}: {len(known)} slices to calibrate, {len(others)} to measure: {right:.2f} dB in float32"
    )
    print(f"  {'dB lost; layers in float:':<26}" + "".join(f"{listed(layers):>14}" for layers in IN_FLOAT))
    for method in METHODS:
        lost = [
            right - mean_psnr(made, others, radius, card.factor)
            for layers in IN_FLOAT
            for made in [quantised(content, known, radius, method=method, in_float=layers)]
        ]
        print(f"  {method:<26}" + "".join(f"{loss:>14.3f}" for loss in lost), flush=True)


def listed(layers: Sequence[int]) -> str:
    return ", ".join("last" if n < 0 else str(n + 1) for n in layers) or "none"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), torch.inference_mode():
        main()
