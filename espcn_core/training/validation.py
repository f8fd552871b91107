"""How good a network is on whole slices of patients that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from espcn_core.evaluation.metrics import psnr, ssim
from espcn_core.models.registry import adapted, receptive_radius
from espcn_core.models.shuffle import crop
from espcn_core.training.ranks import Ranks
from espcn_core.upscaling.slices import pad


@dataclass(frozen=True)
class Score:
    """Means over slices; the peak is the range of each true slice.

    Attributes
    ----------
    psnr : float
        In dB.
    ssim : float
    slices : int
        How many were measured.
    """

    psnr: float
    ssim: float
    slices: int


def measure(
    upscale: Callable[[Tensor], Tensor], pairs: Iterable[tuple[Tensor, Tensor]], device: torch.device
) -> Score:
    """Score of a function from (1, 1, H, W) to (1, 1, H r_row, W r_col) on pairs of coarse and fine."""
    decibels, similarities = [], []
    with torch.inference_mode():
        for coarse, fine in pairs:
            truth = fine.to(device)
            peak = float(truth.max() - truth.min())
            if peak > 0:  # an empty slice has no signal to compare with
                result = upscale(coarse.to(device)).float()
                decibels.append(psnr(result, truth, peak))
                similarities.append(ssim(result, truth, peak))
    count = len(decibels)
    return Score(sum(decibels) / max(1, count), sum(similarities) / max(1, count), count)


def combined(score: Score, ranks: Ranks) -> Score:
    """The score over the slices of all processes, of that over the slices of each."""
    if ranks.size == 1:
        return score
    n = score.slices
    decibels, similarities, count = ranks.sums(score.psnr * n, score.ssim * n, n)
    return Score(decibels / max(1, count), similarities / max(1, count), int(count))


def padded(network: nn.Module, factor: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """The network as it is used for upscaling: edges repeated by the receptive radius, then cut off.

    A slice counts as a volume of its own, which an adaptive network is adapted to.
    """
    radius = receptive_radius(network)

    def upscale(coarse: Tensor) -> Tensor:
        fine: Tensor = adapted(network, coarse.cpu()[:, 0])(pad(coarse, radius))
        return crop(fine, radius, factor)

    return upscale


def bicubic(factor: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    """The interpolation that a network has to beat (edge-aligned, a = -0.75, as torch has it)."""

    def upscale(coarse: Tensor) -> Tensor:
        size = (coarse.shape[-2] * factor[0], coarse.shape[-1] * factor[1])
        return functional.interpolate(coarse, size, mode="bicubic", align_corners=False)

    return upscale
