"""Two planes, each counting where it saw more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.upscaling.blend import blend

SEEN = {0: 1, 1: 0}
"""With the third axis thick: what slices across an axis show besides."""


def wave(shape, angle, period=6.0):
    """Changes along a direction of the first two axes alone."""
    i, j, k = np.meshgrid(*map(np.arange, shape), indexing="ij")
    phase = 2 * np.pi * (i * np.cos(angle) + j * np.sin(angle)) / period
    return (np.sin(phase) * (1 + 0.1 * np.cos(k))).astype(np.float32)


@pytest.mark.parametrize("first_axis", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_pattern_along_an_axis_comes_from_the_plane_that_saw_it(axis, first_axis):
    shape = (48, 54, 5)
    for seen, angle in ((0, 0.0), (1, np.pi / 2)):
        pattern = wave(shape, angle)
        axes = first_axis, 1 - first_axis
        saw = SEEN[first_axis] == seen
        one, other = (pattern if saw else 0 * pattern), (0 * pattern if saw else pattern)
        order = {0: (2, 0, 1), 1: (0, 2, 1), 2: (0, 1, 2)}[axis]
        one, other = (np.asfortranarray(volume.transpose(order)) for volume in (one, other))
        two = [a for a in range(3) if a != axis]
        blend(one, other, axis, (two[axes[0]], two[axes[1]]), (1.0, 1.0, 1.0))
        inner = one.transpose(np.argsort(order))[8:-8, 8:-8]
        assert np.abs(inner - pattern[8:-8, 8:-8]).max() < 0.1


@pytest.mark.parametrize(("spacing", "share"), [((1, 1, 1), 0.5), ((1, 2, 1), 0.8), ((2, 1, 1), 0.2)])
def test_directions_are_those_in_the_world(spacing, share):
    """A pattern of 45 degrees in voxels is steeper along the shorter voxels."""
    pattern = wave((64, 64, 2), np.pi / 4)
    result = pattern.copy()
    blend(result, 0 * pattern, 2, (1, 0), spacing)  # the first saw the first axis
    inner = np.s_[16:-16, 16:-16]
    assert (result[inner] * pattern[inner]).sum() / (pattern[inner] ** 2).sum() == pytest.approx(
        share, abs=0.05
    )


@given(st.integers(2, 20), st.integers(2, 40), st.integers(0, 2**16))
def test_equal_results_and_means_stay(rows, columns, seed):
    random = np.random.default_rng(seed)
    volume, other = random.normal(size=(2, rows, columns, 3)).astype(np.float32)
    same = volume.copy()
    blend(same, volume, 2, (0, 1), (0.9, 1.1, 5))
    np.testing.assert_allclose(same, volume, atol=1e-5)
    turned, mixed = np.flip(volume, (0, 1)).copy(), volume.copy()
    blend(turned, np.flip(other, (0, 1)), 2, (0, 1), (0.9, 1.1, 5))
    blend(mixed, other, 2, (0, 1), (0.9, 1.1, 5))
    np.testing.assert_allclose(np.flip(turned, (0, 1)), mixed, atol=1e-4)
    swapped = other.copy()
    blend(swapped, volume, 2, (1, 0), (0.9, 1.1, 5))
    np.testing.assert_allclose(swapped, mixed, atol=1e-4)
    constant = np.full_like(volume, 2)
    blend(constant, np.full_like(volume, 4), 2, (0, 1), (1, 1, 1))
    np.testing.assert_allclose(constant, 3, atol=1e-5)  # neither plane saw more


def test_time_points_are_volumes_of_their_own():
    random = np.random.default_rng(1)
    one, other = random.normal(size=(2, 9, 8, 4, 3)).astype(np.float32)
    single = one[..., 1].copy()
    blend(single, other[..., 1], 2, (0, 1), (1, 1, 1))
    blend(one, other, 2, (0, 1), (1, 1, 1))
    np.testing.assert_allclose(one[..., 1], single, atol=1e-6)
