from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from espcn_core.degradation import SliceProfile, thicken
from espcn_core.evaluation.through import metrics


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_width_of_a_blurred_edge_is_that_of_the_error_function(axis):
    sigma = 2.5  # 10 to 90 % of a Gaussian edge: 2.563 sigma
    step = np.zeros((40, 40, 40))
    step[20:] = 100
    step = np.moveaxis(step, 0, axis)
    truth = ndimage.gaussian_filter1d(step, 0.5, axis)
    blurred = ndimage.gaussian_filter1d(step, sigma, axis)
    edges = metrics.find_edges(truth, axis)
    assert len(edges.line) == 1600
    assert edges.width(blurred, 2.0) == pytest.approx(2 * 2.563 * sigma, rel=0.02)
    assert edges.width(truth, 2.0) < edges.width(blurred, 2.0)
    falling = np.flip(truth, axis).copy()
    again = metrics.find_edges(falling, axis)
    assert again.width(falling, 2.0) == pytest.approx(edges.width(truth, 2.0))


def test_the_steepest_edges_count_and_not_the_highest(monkeypatch):
    """A low sharp step before a high blurred one, and room for a width of one kind only."""
    volume = np.zeros((60, 10, 10))
    volume[15:] = 100
    volume[44:] += ndimage.gaussian_filter1d(np.repeat([0.0, 300.0], 8), 2.5)[:, None, None]
    monkeypatch.setattr(metrics, "_EDGES", 100)
    edges = metrics.find_edges(volume, 0)
    assert set(edges.place.tolist()) == {14}
    assert edges.width(volume, 1.0) == pytest.approx(0.8)


def test_a_volume_without_edges_has_no_width():
    volume = np.ones((20, 20, 20))
    assert math.isnan(metrics.find_edges(volume, 0).width(volume, 1.0))


@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_slice_edges_are_those_of_blocks_and_not_of_anatomy(ball, factor):
    texture = ndimage.gaussian_filter1d(np.random.default_rng(0).normal(size=(240, 40, 40)), 2.0, 0)
    assert metrics.slice_edges(texture, 0, factor) == pytest.approx(1, abs=0.02)
    profile = SliceProfile()
    blocks = thicken(torch.from_numpy(texture), 0, factor, profile).numpy().repeat(factor, 0)
    assert metrics.slice_edges(blocks, 0, factor) == pytest.approx(factor)


@pytest.mark.parametrize("factor", [2, 3, 4, 6])
def test_slice_edges_are_a_pattern_that_is_added_to_all_slices_as_well(factor):
    """At r = 2 it makes the steps of both places larger alike: only their signs tell."""
    texture = ndimage.gaussian_filter1d(np.random.default_rng(0).normal(size=(240, 40, 40)), 2.0, 0)
    pattern = (np.arange(240) % factor == 0)[:, None, None]
    height = 0.7 * np.diff(texture, axis=0).std()
    assert metrics.slice_edges(texture + height * pattern, 0, factor) > 1.1


def test_the_truth_itself_is_perfect(ball):
    ssim, hfen = metrics.similarity(ball, ball, 1, float(np.ptp(ball)))
    assert (ssim, hfen) == (pytest.approx(1), 0)
    assert metrics.mean_square(ball, ball) == 0
    assert metrics.decibels(0, 1) == math.inf


def test_errors_are_those_of_the_mask_and_of_the_other_axis_as_well(ball):
    mask = ball > 400
    worse = ball + np.where(mask, np.float32(0), np.float32(10))
    assert metrics.mean_square(worse, ball, mask) == 0
    assert metrics.mean_square(worse, ball) == pytest.approx(100 * (~mask).mean(), rel=1e-5)


def test_a_result_that_gives_the_slices_again_does_not_deviate(ball):
    profile = SliceProfile("box", 1.0)
    thick = thicken(torch.from_numpy(ball), 0, 4, profile).numpy()
    assert metrics.deviation(thick.repeat(4, 0), thick, 0, 4, profile) < 1e-6
    assert metrics.deviation(thick.repeat(4, 0) + 0.1 * np.ptp(thick), thick, 0, 4, profile) == pytest.approx(
        0.1, rel=1e-4
    )


def test_a_map_of_the_error_correlates_with_it(ball):
    noise = np.random.default_rng(1).normal(size=ball.shape)
    error = np.abs(noise)
    assert metrics.rank_correlation(error, ball + noise, ball) == pytest.approx(1, abs=1e-3)
    assert metrics.rank_correlation(-error, ball + noise, ball, ball > 400) == pytest.approx(-1, abs=1e-3)
