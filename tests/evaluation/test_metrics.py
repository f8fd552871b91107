from __future__ import annotations

import math

import pytest
import torch

from espcn_core.evaluation.metrics import psnr, ssim


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
