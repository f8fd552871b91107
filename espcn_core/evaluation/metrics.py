"""How far an image is from the truth."""

from __future__ import annotations

import torch
from torch import Tensor


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
    from monai.metrics.regression import compute_ssim_and_cs

    value, _ = compute_ssim_and_cs(
        test.float(),
        truth.float(),
        spatial_dims=2,
        kernel_size=(11, 11),
        kernel_sigma=(1.5, 1.5),
        data_range=peak,
    )
    return float(value.mean())
