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
    error = torch.mean((_double(test) - _double(truth)) ** 2)
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
    return float(Similarity(truth, peak).map(test).mean())


class Similarity:
    """The structural similarity to one truth, whose own means are computed once for all tests.

    Parameters
    ----------
    truth : Tensor, shape (..., H, W)
        At least 11 pixels in each direction.
    peak : float
        As for `psnr`.

    Notes
    -----
    scikit-image gives the same, MONAI's ``compute_ssim_and_cs`` the same up to the rounding of its single
    precision (3e-5 in a small bright region). Both take three times as long: they compute the means of the
    truth again for every test, and MONAI's window is not separated.
    """

    def __init__(self, truth: Tensor, peak: float) -> None:
        self._luminance, self._contrast = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        self._truth = _double(truth)
        self._mean = _windowed(self._truth)
        self._variance = _windowed(self._truth**2) - self._mean**2

    def map(self, test: Tensor) -> Tensor:
        """The similarity around each pixel whose window lies within the slice.

        Parameters
        ----------
        test : Tensor
            Of the shape of the truth.

        Returns
        -------
        Tensor, shape (..., H - 10, W - 10)
            In double precision. Its first pixel belongs to row and column 5 of the slice.
        """
        test = _double(test)
        mean = _windowed(test)
        variance = _windowed(test**2) - mean**2
        covariance = _windowed(test * self._truth) - mean * self._mean
        luminance = (2 * mean * self._mean + self._luminance) / (mean**2 + self._mean**2 + self._luminance)
        contrast = (2 * covariance + self._contrast) / (variance + self._variance + self._contrast)
        return luminance * contrast


def _double(image: Tensor) -> Tensor:
    """On the CPU, for not every device has double precision."""
    return image.to("cpu", torch.float64)


def _windowed(image: Tensor) -> Tensor:
    """Gaussian means over the last two axes, one after the other, where the window lies within."""
    position = torch.arange(-WINDOW, WINDOW + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (position / 1.5) ** 2)
    weights /= weights.sum()
    for axis in (-2, -1):
        size = image.shape[axis] - 2 * WINDOW
        parts = (image.narrow(axis, start, size) for start in range(2 * WINDOW + 1))
        # Sums of moved images: torch's convolutions take ten times as long where there is one channel.
        total = torch.zeros_like(image.narrow(axis, 0, size))
        for part, weight in zip(parts, weights.tolist(), strict=True):
            total.add_(part, alpha=weight)
        image = total
    return image


def hfen(test: Tensor, truth: Tensor, edges: float | None = None) -> float:
    """High-frequency error norm: the error of the edges, relative to the edges of the truth.

    ``|LoG(test) - LoG(truth)| / |LoG(truth)|`` with a Laplacian of Gaussian of 15 x 15 pixels and sigma 1.5,
    over the pixels whose window lies within the slice; 0 is best, and an image without any edge has 1.

    Parameters
    ----------
    test, truth : Tensor, shape (H, W)
        At least 15 pixels in each direction.
    edges : float, optional
        `edge_norm` of the truth, if it is known already.

    Notes
    -----
    Ravishankar and Bresler (2011), MR image reconstruction from highly undersampled k-space data by
    dictionary learning, doi 10.1109/TMI.2010.2090538. Here it is divided by the norm of the truth, so that it
    has no unit.
    """
    signal = edge_norm(truth) if edges is None else edges
    return _edges(test - truth) / signal if signal else math.nan


def edge_norm(truth: Tensor) -> float:
    """What `hfen` divides by: the norm of the edges of an image, shape (H, W)."""
    return _edges(truth - truth.mean())


def _edges(image: Tensor) -> float:
    from scipy.signal import fftconvolve

    found = fftconvolve(image.float().numpy(), _laplacian_of_gaussian().numpy(), mode="valid")
    return float(np.linalg.norm(found.astype(np.float64)))


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
    spectrum = torch.fft.rfft2((image.float() - image.float().mean()) * _hann(height, width))
    energy = spectrum.abs().double() ** 2
    energy[:, 1 : (width + 1) // 2] *= 2  # the other half of the spectrum mirrors these columns
    harmonics = [_near_harmonic(height, factor), _near_harmonic(width, factor)[: width // 2 + 1]]
    base = [_near_base(height, factor), _near_base(width, factor)[: width // 2 + 1]]
    around = energy[harmonics[0]][:, harmonics[1]].sum() - energy[base[0]][:, base[1]].sum()
    return float(around / energy.sum())


@lru_cache(maxsize=4)
def _hann(height: int, width: int) -> Tensor:
    return torch.hann_window(height)[:, None] * torch.hann_window(width)


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
