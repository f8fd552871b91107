from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import fourier_shift

from espcn_core.degradation import degrade
from espcn_core.evaluation.methods import BASELINES
from espcn_core.evaluation.shift import best_shift
from espcn_core.figshare import open_source


@pytest.fixture(scope="module")
def truths(figshare_dir):
    with open_source(figshare_dir) as source:
        return [source.read(index).image.astype(np.float32) for index in (57, 1069)]


def moved(image, shift):
    return np.fft.ifft2(fourier_shift(np.fft.fft2(image), shift)).real


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -1.62), (-2.5, 0.125)])
def test_a_known_shift_is_found(truths, shift):
    noise = np.random.default_rng(1).normal(0, 20, truths[0].shape)
    found = best_shift([(moved(truth, shift) + noise, truth) for truth in truths])
    np.testing.assert_allclose(found, np.negative(shift), rtol=0.02, atol=0.003)


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize("factor", [2, 4])
def test_no_baseline_is_shifted(truths, method, factor):
    pairs = []
    for truth in truths:
        coarse = degrade(torch.from_numpy(truth), (factor, factor), "bicubic").numpy()
        pairs.append((BASELINES[method](coarse[:, :, None], factor)[:, :, 0], truth))
    assert np.abs(best_shift(pairs)).max() < 0.02


def test_the_usual_mistake_is_seen(truths):
    """Coarse pixels taken for the first of their fine ones: (r - 1) / 2 fine pixels."""
    pairs = []
    for truth in truths:
        coarse = degrade(torch.from_numpy(truth), (4, 4), "bicubic").numpy()
        fine = BASELINES["bspline"](coarse[:, :, None], 4)[:, :, 0]
        pairs.append((moved(fine, (-1.5, -1.5)), truth))
    np.testing.assert_allclose(best_shift(pairs), 1.5, atol=0.05)
