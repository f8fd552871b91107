from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from espcn_core.evaluation.report.plots import radial_power
from espcn_core.evaluation.report.view import SMALLEST, find_edge, find_window, shown_region


@pytest.fixture(scope="module")
def example(make_example):
    return make_example("1", "P1", tumor=True)


def test_the_window_is_a_square_of_whole_coarse_pixels_around_the_tumor(example):
    window = find_window(example)
    assert (window.bottom - window.top, window.right - window.left) == (SMALLEST, SMALLEST)
    assert all(edge % 4 == 0 for edge in (window.top, window.left, window.bottom, window.right))
    tumor = example.regions["tumor"]
    assert tumor[window.slices].sum() == tumor.sum()
    assert example.coarse[window.coarser(4).slices].shape == (SMALLEST // 4, SMALLEST // 4)


def test_the_window_stays_within_the_image(example):
    corner = np.zeros_like(example.regions["tumor"])
    corner[120:, :5] = True
    window = find_window(dataclasses.replace(example, regions={"tumor": corner}))
    assert (window.left, window.bottom) == (0, 128)


def test_without_a_tumor_the_head_is_shown(make_example):
    example = make_example("1", "P1", tumor=False)
    assert shown_region(example) == "head"
    window = find_window(example)
    assert (window.top, window.bottom, window.left, window.right) == (0, 128, 0, 112)


def test_without_any_region_all_is_shown(example):
    nothing = dataclasses.replace(example, regions={})
    assert shown_region(nothing) is None
    assert example.truth[find_window(nothing).slices].shape == example.truth.shape


def test_the_profile_crosses_the_edge_of_the_tumor(example):
    line = find_edge(example, find_window(example))
    profile = example.truth[line.slices]
    assert np.ptp(profile) > 450  # from the head to the tumor
    inside = example.regions["tumor"][line.slices]
    assert inside.any()
    assert not inside.all()


def test_a_wave_has_its_power_at_its_frequency():
    x = np.arange(128)
    frequency, power = radial_power(100 + np.sin(2 * np.pi * x / 8) * np.ones((96, 1)))
    assert frequency[np.argmax(power)] == pytest.approx(1 / 8, abs=0.01)


def test_noise_has_the_same_power_everywhere():
    _, power = radial_power(np.random.default_rng(0).normal(0, 1, (256, 256)))
    assert power[20:].std() / power[20:].mean() < 0.2
