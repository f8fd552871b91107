from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics.regression import compute_ssim_and_cs
from scipy.ndimage import gaussian_filter

from espcn_core.evaluation.metrics import WINDOW, Similarity, checkerboard, drift, edge_norm, hfen, psnr, ssim


def test_psnr_by_hand():
    truth = torch.zeros(1, 1, 10, 10)
    assert psnr(truth + 0.1, truth, 1.0) == pytest.approx(20, abs=1e-5)
    assert psnr(truth + 0.1, truth, 10.0) == pytest.approx(40, abs=1e-5)
    assert psnr(truth, truth, 1.0) == math.inf


def test_psnr_is_the_same_in_other_units():
    truth, test = torch.rand(2, 1, 1, 32, 32)
    assert psnr(7 * test + 100, 7 * truth + 100, 7.0) == pytest.approx(psnr(test, truth, 1.0), abs=1e-4)


def test_ssim_of_a_pair_by_the_formula():
    """Where both images are constant, only the luminance term is left."""
    a, b, peak = 0.4, 0.5, 1.0
    images = [torch.full((1, 1, 24, 24), value) for value in (a, b)]
    expected = (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)
    assert ssim(*images, peak) == pytest.approx(expected, abs=1e-4)


def test_ssim_falls_with_noise_and_is_1_for_the_truth():
    truth = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(2))
    values = [ssim(truth + sd * noise, truth, 1.0) for sd in (0, 0.05, 0.2, 0.5)]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.6


def test_the_map_of_the_similarity_belongs_to_its_pixels():
    """An error in one place lowers what is within the window around it, and nothing else."""
    truth = torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(1))
    test = truth.clone()
    test[0, 0, 20, 30] += 0.5
    values = Similarity(truth, 1.0).map(test)[0, 0]
    assert values.shape == (30, 40)
    lowered = (values < 1 - 1e-5).nonzero() + WINDOW
    assert (lowered.amin(0) >= torch.tensor([15, 25])).all()
    assert (lowered.amax(0) <= torch.tensor([25, 35])).all()
    assert values.mean() == pytest.approx(ssim(test, truth, 1.0))


def test_ssim_is_that_of_monai_and_of_the_formula_by_scipy():
    generator = torch.Generator().manual_seed(3)
    truth = 1000 * torch.rand(1, 1, 60, 70, generator=generator)
    test = truth + 50 * torch.randn(1, 1, 60, 70, generator=generator)
    (monai, _) = compute_ssim_and_cs(test, truth, 2, (11, 11), (1.5, 1.5), 1000.0)
    assert ssim(test, truth, 1000.0) == pytest.approx(float(monai.mean()), abs=1e-5)

    def means(image):
        return gaussian_filter(image, 1.5, truncate=3.5)[5:-5, 5:-5]

    x, y = (image[0, 0].double().numpy() for image in (test, truth))
    a, b = means(x), means(y)
    luminance = (2 * a * b + 10**2) / (a**2 + b**2 + 10**2)
    covariance, variances = means(x * y) - a * b, means(x * x) - a * a + means(y * y) - b * b
    expected = luminance * (2 * covariance + 30**2) / (variances + 30**2)
    np.testing.assert_allclose(Similarity(truth[0, 0], 1000.0).map(test[0, 0]), expected, atol=1e-9)


def test_hfen_counts_edges_alone():
    truth = torch.rand(60, 50, generator=torch.Generator().manual_seed(1))
    assert hfen(truth, truth) == 0
    assert hfen(truth + 7, truth) == pytest.approx(0, abs=1e-4)
    assert hfen(torch.zeros_like(truth), truth) == pytest.approx(1, abs=1e-4)
    assert hfen(1.25 * truth, truth) == pytest.approx(0.25, abs=1e-4)
    assert hfen(100 * 1.25 * truth, 100 * truth) == pytest.approx(0.25, abs=1e-4)
    assert math.isnan(hfen(truth, torch.ones_like(truth)))
    assert hfen(1.25 * truth, truth, edge_norm(truth)) == hfen(1.25 * truth, truth)


def test_hfen_is_the_laplacian_of_a_gaussian():
    """A wave comes out with the kernel's response, which is near that of the formula."""
    x = torch.arange(200, dtype=torch.float64)
    wave = torch.cos(0.3 * x)[:, None].expand(-1, 60).float()
    ramp = (x / 1000)[:, None].expand(-1, 60).float()
    response = 0.3**2 * math.exp(-((0.3 * 1.5) ** 2) / 2)
    bump = torch.zeros(200, 60)
    bump[100, 30] = 1
    kernel = hfen(wave + bump, wave) * response * math.sqrt(0.5 * (200 - 14) * (60 - 14))
    expected = math.sqrt(2 / (math.pi * 1.5**6) / 4)  # norm of the kernel, by integration
    assert kernel == pytest.approx(expected, rel=0.02)
    assert hfen(wave + ramp, wave) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_checkerboard_finds_the_pattern_of_a_pixel_shuffle(factor):
    smooth = torch.hann_window(96)[:, None] * torch.hann_window(120)
    generator = torch.Generator().manual_seed(factor)
    tile = torch.randn(factor, factor, generator=generator)
    pattern = (tile - tile.mean()).repeat(96 // factor, 120 // factor)
    assert checkerboard(smooth, factor) < 1e-6
    assert checkerboard(pattern, factor) > 0.9
    assert checkerboard(smooth + 0.1 * pattern, factor) > 1000 * checkerboard(smooth, factor)
    assert checkerboard(smooth + 0.1 * smooth * pattern, factor) > 1000 * checkerboard(smooth, factor)


@pytest.mark.parametrize("shape", [(48, 60), (45, 63), (45, 60)])
def test_checkerboard_counts_the_whole_spectrum(shape):
    image = torch.rand(*shape, generator=torch.Generator().manual_seed(1)).double().numpy()
    window = np.multiply.outer(*(torch.hann_window(n, dtype=torch.float64).numpy() for n in shape))
    energy = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    near, base = (np.ones(shape, bool) for _ in range(2))
    for axis, n in enumerate(shape):
        periods = 3 * np.fft.fftfreq(n)
        turned = (-1, 1) if axis == 0 else (1, -1)
        near &= (np.abs(periods - periods.round()) <= 1 / 16).reshape(turned)
        base &= (np.abs(periods) <= 1 / 16).reshape(turned)
    expected = energy[near & ~base].sum() / energy.sum()
    assert checkerboard(torch.from_numpy(image), 3) == pytest.approx(expected, rel=1e-4)


def test_checkerboard_of_white_noise_is_the_share_of_the_frequencies():
    noise = torch.randn(256, 256, generator=torch.Generator().manual_seed(1))
    assert checkerboard(noise, 4) == pytest.approx(15 * 9**2 / 256**2, rel=0.25)
    assert checkerboard(3 * noise + 100, 4) == pytest.approx(checkerboard(noise, 4), rel=1e-3)


def test_drift_is_signed_and_relative():
    coarse = torch.rand(10, 10)
    fine = coarse.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert drift(fine, coarse, 4.0) == pytest.approx(0, abs=1e-7)
    assert drift(fine - 0.2, coarse, 4.0) == pytest.approx(-0.05, abs=1e-6)
