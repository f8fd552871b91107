"""What the slices of a volume tell, as a whole, of how they came to be coarse and how noisy they are.

A box, a Gaussian or a cut in k-space between a scan's finest details and its voxels ask for different
networks, and the few voxels that a network sees at a time hardly tell them apart. Two traits of whole slices
do: how fast the power falls towards the Nyquist frequency, along the axes and across them, and how far the
values swing beyond flat ground beside edges.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

_FIFTHS = 5
"""Parts of the frequencies from 0 to Nyquist along each axis."""

_TAILS = (0.001, 0.01, 0.05, 0.2)
"""Parts of the pixels, at the dark and at the bright end."""

LENGTH = _FIFTHS * (_FIFTHS + 1) // 2 - 1 + 2 * len(_TAILS)
"""Numbers in a fingerprint: 22."""


def fingerprint(slices: Iterable[Tensor]) -> Tensor:
    """The traits of slices that belong to one volume.

    Parameters
    ----------
    slices : iterable of Tensor, shape (H, W)
        Whole coarse slices in the networks' range (`espcn_core.intensity.IntensityMap`).

    Returns
    -------
    Tensor, shape (22,), float32
        First log10 of the mean power in 13 squares of frequency over that in the lowest one, then log10 of
        the power in the highest square, which is the variance of white noise. Last log10 of how far 0.1, 1, 5
        and 20 % of the pixels lie from the darkest one and from the brightest one, as a part of the slice's
        range. Means over the slices before the logarithm, so that slices of air count little. Not finite
        where slices are too small.
    """
    powers, tails = zip(*((_powers(image.float()), _tails(image.float())) for image in slices), strict=True)
    power = torch.log10(torch.stack(powers).mean(0) + 1e-9)
    tail = torch.log10(torch.stack(tails).mean(0) + 1e-4)
    return torch.cat([power[1:] - power[0], power[-1:], tail])


def _powers(image: Tensor) -> Tensor:
    """Mean power in each square of frequency, under a Hann window (so that the borders make no cross)."""
    window, members = _layout(image.shape[0], image.shape[1])
    power = torch.fft.rfft2((image - image.mean()) * window).abs() ** 2 / (window**2).sum()
    mean: Tensor = members @ power.flatten()
    return mean


def _tails(image: Tensor) -> Tensor:
    """Distance from the ends of the slice's range that parts of the pixels keep within."""
    places = [int(part * image.numel()) for part in _TAILS]
    last = image.numel() - 1
    values = np.partition(image.numpy().ravel(), [0, *places, *(last - n for n in places), last])
    low, high = float(values[0]), float(values[-1])
    ends = torch.tensor([*(values[n] - low for n in places), *(high - values[last - n] for n in places)])
    return ends / (high - low + 1e-6)


@lru_cache(maxsize=16)
def _layout(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """The window, and for each square the weight of every frequency: together the mean over the square.

    A square holds the frequencies in two given fifths, whichever axis has which; the lowest, which is not
    used, holds the mean.
    """
    window = torch.hann_window(rows, periodic=False)[:, None] * torch.hann_window(columns, periodic=False)
    down = (2 * _FIFTHS * torch.fft.fftfreq(rows).abs())[:, None].expand(-1, columns // 2 + 1)
    across = (2 * _FIFTHS * torch.fft.rfftfreq(columns))[None].expand(rows, -1)
    fifths = torch.stack([down, across]).long().clamp(max=_FIFTHS - 1).flatten(1)
    low, high = fifths.amin(0), fifths.amax(0)
    squares = [(a, b) for a in range(_FIFTHS) for b in range(a, _FIFTHS) if b]
    both_signs = torch.full((columns // 2 + 1,), 2.0)  # half of the spectrum of a real image says it all
    both_signs[0] = 1.0
    if columns % 2 == 0:
        both_signs[-1] = 1.0
    members = torch.stack([(low == a) & (high == b) for a, b in squares]) * both_signs.repeat(rows)
    return window, members / members.sum(1, keepdim=True)
