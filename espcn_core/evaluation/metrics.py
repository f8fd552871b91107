"""How far an image is from the truth."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

WINDOW = 5
"""Pixels that the window of the SSIM reaches beyond its centre."""


def psnr(test: Tensor, truth: Tensor, peak: float) -> float:
    """Peak signal-to-noise ratio in dB, ``10 log10(peak^2 / MSE)``.

    Parameters
    ----------
    test, truth : Tensor
        Of the same shape.
    peak : float
        One number for all methods that are compared on an image; here the range of the truth.

    Returns
    -------
    float
        Infinite where both are equal.
    """
    error = torch.mean((test.double() - truth.double()) ** 2)
    return float(10 * torch.log10(peak**2 / error))


def ssim(test: Tensor, truth: Tensor, peak: float) -> float:
    """Structural similarity of slices (Wang et al. 2004): Gaussian window of 11, sigma 1.5, K 0.01, 0.03.

    Parameters
    ----------
    test, truth : Tensor, shape (B, C, H, W)
        At least 11 pixels in each direction.
    peak : float
        As for `psnr`.
    """
    return float(ssim_map(test, truth, peak).mean())


def ssim_map(test: Tensor, truth: Tensor, peak: float) -> Tensor:
    """The structural similarity around each pixel whose window lies within the slice.

    Parameters
    ----------
    test, truth, peak
        As for `ssim`.

    Returns
    -------
    Tensor, shape (B, C, H - 10, W - 10)
        Its first pixel belongs to row and column 5 of the slice.
    """
    from monai.metrics.regression import compute_ssim_and_cs

    value: Tensor = compute_ssim_and_cs(
        test.float(),
        truth.float(),
        spatial_dims=2,
        kernel_size=(2 * WINDOW + 1, 2 * WINDOW + 1),
        kernel_sigma=(1.5, 1.5),
        data_range=peak,
    )[0]
    return value


def hfen(test: Tensor, truth: Tensor) -> float:
    """High-frequency error norm: the error of the edges, relative to the edges of the truth.

    ``|LoG(test) - LoG(truth)| / |LoG(truth)|`` with a Laplacian of Gaussian of 15 x 15 pixels and sigma 1.5,
    over the pixels whose window lies within the slice; 0 is best, and an image without any edge has 1.

    Parameters
    ----------
    test, truth : Tensor, shape (H, W)
        At least 15 pixels in each direction.

    Notes
    -----
    Ravishankar and Bresler (2011), MR image reconstruction from highly undersampled k-space data by
    dictionary learning, doi 10.1109/TMI.2010.2090538. Here it is divided by the norm of the truth, so that it
    has no unit.
    """
    from scipy.signal import fftconvolve

    kernel = _laplacian_of_gaussian().numpy()
    error, signal = (
        np.linalg.norm(fftconvolve(image.float().numpy(), kernel, mode="valid").astype(np.float64))
        for image in (test - truth, truth - truth.mean())
    )
    return float(error / signal) if signal else math.nan


@lru_cache(maxsize=1)
def _laplacian_of_gaussian(size: int = 15, sigma: float = 1.5) -> Tensor:
    """Shape (size, size); the sum is 0, as MATLAB's ``fspecial('log', 15, 1.5)`` has it."""
    x = torch.arange(size, dtype=torch.float64) - size // 2
    square = x[:, None] ** 2 + x**2
    gaussian = torch.exp(-square / (2 * sigma**2))
    kernel = gaussian / gaussian.sum() * (square - 2 * sigma**2) / sigma**4
    return (kernel - kernel.mean()).float()


def checkerboard(image: Tensor, factor: int) -> float:
    """Share of a slice's energy around the sub-pixel period, where pixel shuffle leaves its pattern.

    A pattern that repeats every ``factor`` fine pixels has its energy at the harmonics (k / r, l / r) cycles
    per pixel, k and l from 0 to r - 1 and not both 0; where it follows the anatomy, close by. This is the
    energy within 1 / (16 r) of a harmonic along both axes, divided by that of all frequencies, after the mean
    is taken off and the slice is faded out towards its edges (Hann). Real slices have some energy there, so
    that it only tells in comparison with the truth: a method that adds a pattern has more.

    Parameters
    ----------
    image : Tensor, shape (H, W)
    factor : int
        Fine pixels per coarse pixel, r.

    Returns
    -------
    float
        From 0 to 1; NaN for a constant slice.
    """
    height, width = image.shape
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    energy = torch.fft.fft2((image.float() - image.float().mean()) * window).abs().double() ** 2
    near = [_near_harmonic(n, factor) for n in (height, width)]
    base = [_near_base(n, factor) for n in (height, width)]
    around = energy[near[0]][:, near[1]].sum() - energy[base[0]][:, base[1]].sum()
    return float(around / energy.sum())


def _near_harmonic(count: int, factor: int) -> Tensor:
    """Which frequencies of a row lie within 1 / (16 r) of any multiple of 1 / r, 0 too."""
    in_periods = torch.fft.fftfreq(count, dtype=torch.float64) * factor
    near: Tensor = (in_periods - in_periods.round()).abs() <= 1 / 16
    return near


def _near_base(count: int, factor: int) -> Tensor:
    """Which of them lie within 1 / (16 r) of 0."""
    near: Tensor = torch.fft.fftfreq(count, dtype=torch.float64).abs() * factor <= 1 / 16
    return near


def drift(test: Tensor, coarse: Tensor, peak: float) -> float:
    """How much brighter a method makes a slice: its mean less the mean of the coarse slice, over the peak."""
    return float((test.double().mean() - coarse.double().mean()) / peak)
