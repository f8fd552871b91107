"""The sub-pixel shuffle with a factor per axis, and a start without a checkerboard."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def sub_pixel_shuffle(x: Tensor, factor: tuple[int, int]) -> Tensor:
    """Rearrange channels into space: (B, C r_row r_col, H, W) to (B, C, H r_row, W r_col).

    The periodic shuffle of Shi et al. 2016, eq. 4, in the channel order of `torch.nn.PixelShuffle`, which it
    equals where both factors are the same.
    """
    r_row, r_col = factor
    batch, channels, height, width = x.shape
    x = x.reshape(batch, channels // (r_row * r_col), r_row, r_col, height, width)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(batch, -1, height * r_row, width * r_col)


def crop(x: Tensor, radius: int, factor: tuple[int, int]) -> Tensor:
    """Without ``radius`` coarse pixels at each edge, which are ``factor`` times as large: (B, C, H, W)."""
    rows, columns = radius * factor[0], radius * factor[1]
    return x[..., rows : x.shape[-2] - rows, columns : x.shape[-1] - columns]


@torch.no_grad()
def start_sub_pixels_equal(conv: nn.Conv2d, factor: tuple[int, int]) -> None:
    """Give the r_row r_col sub-pixels of each channel the same kernel, and all of them bias 0 (ICNR).

    The layer then begins as a nearest-neighbour upscaling of a convolution (Aitken et al. 2017, 1707.02937).
    The bias counts too: MONAI's `icnr_init` leaves it random, and with it a checkerboard.
    """
    copies = factor[0] * factor[1]
    conv.weight.copy_(conv.weight[::copies].repeat_interleave(copies, dim=0))
    if conv.bias is not None:
        conv.bias.zero_()
