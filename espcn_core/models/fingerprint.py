"""What the slices of a volume tell, as a whole, of how they came to be coarse and how noisy they are.

A box, a Gaussian or a cut in k-space between a scan's finest details and its voxels ask for different
networks, and the few voxels that a network sees at a time hardly tell them apart. Two traits of whole slices
do: how fast the power falls towards the Nyquist frequency, along the axes and across them, and how far the
values swing beyond flat ground beside edges.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_FIFTHS = 5
"""Parts of the frequencies from 0 to Nyquist along each axis."""

_SQUARES = [(a, b) for a in range(_FIFTHS) for b in range(a, _FIFTHS) if b]
"""Pairs of fifths, whichever axis has which; the lowest, which is not used, holds the mean."""

_PAIRS = torch.tensor(_SQUARES).T

_AT_ONCE = 2**18
"""Frequencies that are looked at together, for more copies of a large slice take much memory."""

_TAILS = (0.001, 0.01, 0.05, 0.2)
"""Parts of the pixels, at the dark and at the bright end."""


def length(thick: bool) -> int:
    """Numbers in a fingerprint: 22, or 11 where the columns are thicker than the rows."""
    unlike = sum(a != b for a, b in _SQUARES)
    return 1 + unlike if thick else len(_SQUARES) + 2 * len(_TAILS)


def fingerprint(slices: Iterable[Tensor], thick: float = 1.0) -> Tensor:
    """The traits of slices that belong to one volume.

    Parameters
    ----------
    slices : iterable of Tensor, shape (H, W)
        Whole coarse slices in the networks' range (`espcn_core.intensity.IntensityMap`).
    thick : float
        How many times as long as along its rows a slice's pixels are along its columns. Where that is not 1,
        powers are taken at the same frequencies in the world along both axes, up to the Nyquist frequency of
        the columns, and compared: what a head holds is much alike along both, so the power that the columns
        lack shows the profile of the thick slices.

    Returns
    -------
    Tensor, shape (22,) or, if ``thick`` is not 1, (11,), float32
        First log10 of the mean power in 13 squares of frequency over that in the lowest one, then log10 of
        the power at the highest frequencies, which is the variance of white noise. Last log10 of how far 0.1,
        1, 5 and 20 % of the pixels lie from the darkest one and from the brightest one, as a part of the
        slice's range. Of thick slices, log10 of the power at the highest frequencies alone and, for ten
        squares of frequency, log10 of the power over that in the same one with the axes exchanged. Means over
        the slices before the logarithm, so that slices of air count little. Not finite where slices are too
        small.
    """
    powers, tails = [], []
    for image in slices:  # one at a time: they may be large
        powers.append(_powers(image.float(), thick))
        if thick == 1:
            tails.append(_tails(image.float()))
    power = torch.log10(torch.stack(powers).mean(0) + 1e-9)
    noise = power[-1:]
    if thick == 1:
        tail = torch.log10(torch.stack(tails).mean(0) + 1e-4)
        return torch.cat([power[1:-1] - power[0], noise, tail])
    fine, coarse = power[:-1].reshape(2, -1)  # the higher frequency along the rows, along the columns
    unlike = torch.tensor([a != b for a, b in _SQUARES])
    return torch.cat([noise, (coarse - fine)[unlike]])


def _powers(image: Tensor, thick: float) -> Tensor:
    """Mean power in each square of frequency, under a Hann window (so that the borders make no cross).

    The last one is that in the square of the highest frequencies along each axis. Before it are the others,
    whichever axis has which; for thick slices first those whose higher frequency lies along the rows' axis
    and then those of the columns'.

    Sums are in float64: in float32 their last bits, and so those of voxels, would depend on how many threads
    share them.
    """
    layout = _layout(image.shape[0], image.shape[1], thick)
    level = image.mean(dtype=torch.float64).float()
    spectrum = torch.fft.rfft2((image - level).mul_(layout.windows[0][:, None]).mul_(layout.windows[1]))
    sums = torch.zeros_like(layout.counts)
    step = max(1, _AT_ONCE // image.shape[0])
    for columns in (slice(start, start + step) for start in range(0, spectrum.shape[1], step)):
        part = spectrum[:, columns]
        power = part.real.square().addcmul_(part.imag, part.imag).double()
        rows = torch.zeros(len(sums), power.shape[1], dtype=torch.float64).index_add_(0, layout.down, power)
        rows[-1] = rows[_FIFTHS - 1] if thick == 1 else power[layout.highest].sum(0)
        sums += rows @ layout.across[columns]
    means = sums / layout.counts
    low, high = _PAIRS
    corner = means[-1:, -1]
    if thick == 1:
        sums, counts = (both[:_FIFTHS] + both[:_FIFTHS].T for both in (sums, layout.counts))
        means = (sums / counts)[low, high]
    else:
        means = means[torch.cat([high, low]), torch.cat([low, high])]
    return (torch.cat([means, corner]) / layout.energy).float()


def _tails(image: Tensor) -> Tensor:
    """Distance from the ends of the slice's range that parts of the pixels keep within."""
    places = [int(part * image.numel()) for part in _TAILS]
    last = image.numel() - 1
    values = np.sort(image.numpy().ravel())  # by vector instructions, which selecting does not use
    low, high = float(values[0]), float(values[-1])
    ends = torch.tensor([*(values[n] - low for n in places), *(high - values[last - n] for n in places)])
    return ends / (high - low + 1e-6)


class _Layout(NamedTuple):
    """Which fifth of the frequencies from 0 to Nyquist each one lies in, down and across.

    Attributes
    ----------
    down : Tensor of int, shape (H)
        The fifth; a sixth for what lies beyond the Nyquist frequency of the columns of thick slices, where
        there is nothing to compare with.
    highest : Tensor of bool, shape (H)
        Whether it is the highest fifth of these pixels, which is another one of thick slices.
    across : Tensor of float64, shape (W // 2 + 1, 5)
        How often each column of half of a spectrum, which for a real image says it all, counts in a fifth.
    counts : Tensor of float64, shape (7, 5)
        How many frequencies lie in each pair, and last how many lie in ``highest`` and a fifth across.
    windows : pair of Tensor, shapes (H) and (W)
    energy : Tensor
        Of the windows.
    """

    down: Tensor
    highest: Tensor
    across: Tensor
    counts: Tensor
    windows: tuple[Tensor, Tensor]
    energy: Tensor


@lru_cache(maxsize=16)
def _layout(rows: int, columns: int, thick: float) -> _Layout:
    down, across = (2 * _FIFTHS * f.abs() for f in (torch.fft.fftfreq(rows), torch.fft.rfftfreq(columns)))
    signs = torch.full((columns // 2 + 1, 1), 2.0, dtype=torch.float64)
    signs[0] = 1.0
    if columns % 2 == 0:
        signs[-1] = 1.0
    top, fifths = _FIFTHS - 1, torch.arange(_FIFTHS)
    i = (down * thick).clamp(max=top if thick == 1 else _FIFTHS).long()
    j = across.clamp(max=top).long()
    highest = down >= top
    of_rows = torch.cat([torch.bincount(i, minlength=_FIFTHS + 1), highest.sum()[None]])
    of_columns = (j[:, None] == fifths).double() * signs
    windows = torch.hann_window(rows, periodic=False), torch.hann_window(columns, periodic=False)
    energy = (windows[0] ** 2).sum() * (windows[1] ** 2).sum()
    counts = of_rows[:, None] * of_columns.sum(0)
    return _Layout(i, highest, of_columns, counts, windows, energy)
