"""From the voxels of one grid to those of another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from espcn_core.grid import Grid
from espcn_core.upscaling.resample import Banded, cubic_weights, gathered, nearest, positions

seeds = st.integers(0, 2**31)
sizes = st.integers(1, 30)
spacings = st.floats(0.3, 4)


def grid(*shape, spacing=1.0):
    return Grid((*shape, 1, 1, 1)[:3], np.diag([spacing, 1, 1, 1]))


def oblique(seed, shape):
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * rng.uniform(0.3, 5, 3)
    affine[:3, 3] = rng.uniform(-90, 90, 3)
    return Grid(shape, affine)


@given(seeds, st.tuples(*[st.integers(1, 6)] * 3), st.tuples(*[st.floats(0.3, 2)] * 3))
def test_positions_are_where_the_voxels_lie_in_the_world(seed, shape, part):
    source = oblique(seed, shape)
    target = source.respaced(np.multiply(source.spacing, part))
    index = np.stack(np.meshgrid(*positions(source, target), indexing="ij"), axis=-1)
    world = target.world(np.moveaxis(np.indices(target.shape), 0, -1))
    np.testing.assert_allclose(source.world(index), world, atol=1e-8)


@given(sizes, spacings)
def test_the_weights_of_a_voxel_have_the_sum_one(size, spacing):
    source = grid(size)
    target = source.respaced((spacing, 1, 1))
    weights = cubic_weights(source, target, 0)
    assert weights.shape == (target.shape[0], size)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)


@given(sizes, spacings)
def test_flipping_before_or_after_makes_no_difference(size, spacing):
    source = grid(size)
    weights = cubic_weights(source, source.respaced((spacing, 1, 1)), 0)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-12)


@given(seeds, st.integers(0, 2), spacings)
def test_an_oblique_grid_has_the_weights_of_a_straight_one(seed, axis, spacing):
    turned = oblique(seed, (11, 12, 13))
    straight = Grid(turned.shape, np.diag([*turned.spacing, 1]))
    weights = [
        cubic_weights(g, g.respaced(np.where(np.arange(3) == axis, spacing, g.spacing)), axis)
        for g in (turned, straight)
    ]
    np.testing.assert_allclose(*weights, atol=1e-9)


def test_the_same_grid_is_left_alone():
    source = oblique(1, (11, 12, 13))
    for axis in range(3):
        np.testing.assert_allclose(
            cubic_weights(source, source, axis), np.eye(source.shape[axis]), atol=1e-12
        )


@pytest.mark.parametrize("spacing", [0.2, 0.45, 0.95])
@pytest.mark.parametrize("power", [1, 2])
def test_ramps_and_parabolas_are_interpolated_exactly(spacing, power):
    source = grid(30)
    target = source.respaced((spacing, 1, 1))
    place = positions(source, target)[0]
    inner = (place > 1) & (place < 28)
    made = cubic_weights(source, target, 0) @ np.arange(30.0) ** power
    np.testing.assert_allclose(made[inner], place[inner] ** power, atol=1e-9)


@pytest.mark.parametrize("size", [13, 17, 25, 47, 90])
def test_away_from_the_edges_it_is_what_torch_calls_antialiased_bicubic(size):
    values = np.random.default_rng(3).normal(size=30)
    source = grid(30)
    made = cubic_weights(source, source.resized((size, 1, 1)), 0) @ values
    image = torch.from_numpy(values)[None, None, None].expand(1, 1, 4, 30)
    expected = functional.interpolate(image, (4, size), mode="bicubic", antialias=True, align_corners=False)
    edge = int(np.ceil(2 * max(1, size / 30))) + 1
    np.testing.assert_allclose(made[edge:-edge], expected[0, 0, 0, edge:-edge], atol=1e-6)


def test_beyond_the_edge_the_last_voxel_is_repeated():
    values = np.random.default_rng(4).normal(size=12)
    padded = np.pad(values, 8, mode="edge")
    source, longer = grid(12), grid(12).pad((8, 0, 0), (8, 0, 0))
    target = source.resized((29, 1, 1))
    np.testing.assert_allclose(
        cubic_weights(source, target, 0) @ values, cubic_weights(longer, target, 0) @ padded, atol=1e-12
    )


def test_what_the_coarser_grid_cannot_show_is_gone():
    fine = grid(60)
    pattern = (-1.0) ** np.arange(60)
    made = cubic_weights(fine, fine.resized((20, 1, 1)), 0) @ pattern
    assert np.abs(made[3:-3]).max() < 0.02  # 1 without antialiasing


@given(seeds, st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 5)] * 3))
def test_the_nearest_voxel_of_a_whole_factor_is_the_one_around(seed, shape, factor):
    source = oblique(seed, shape)
    for found, n, r in zip(nearest(source, source.finer(factor)), shape, factor, strict=True):
        np.testing.assert_array_equal(found, np.arange(n).repeat(r))


@given(seeds, st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.floats(0.2, 0.95)] * 3))
def test_the_nearest_voxel_is_at_most_half_a_voxel_away(seed, shape, part):
    source = oblique(seed, shape)
    target = source.respaced(np.multiply(source.spacing, part))
    for found, place, n in zip(nearest(source, target), positions(source, target), shape, strict=True):
        assert found.min() >= 0
        assert found.max() <= n - 1
        assert np.abs(found - place.clip(-0.5, n - 0.5)).max() <= 0.5 + 1e-9


def test_weights_beyond_the_edge_go_to_the_edge():
    index = np.array([[-2, -1, 0, 1], [1, 2, 3, 4]])
    values = np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(gathered(index, values, 3), [[6, 4, 0], [0, 5, 21]])


@pytest.mark.parametrize("size", [1, 31, 32, 33, 240])
@pytest.mark.parametrize("spacing", [0.4, 1.08, 3.7])
def test_a_band_gives_the_product_of_its_matrix(size, spacing):
    source = grid(size)
    weights = cubic_weights(source, source.respaced((spacing, 1, 1)), 0)
    image = np.random.default_rng(0).normal(size=(size, 5))
    np.testing.assert_allclose(Banded(weights) @ image, weights @ image, rtol=0, atol=1e-12)
