"""What a plane makes of thick slices, kept as differences from them."""

from __future__ import annotations

import numpy as np
import pytest

from espcn_core.grid import Grid
from espcn_core.intensity import IntensityMap
from espcn_core.upscaling.differences import Differences
from espcn_core.upscaling.slices import Slices
from espcn_core.upscaling.sweep import Values

R = 3
WHOLE = slice(None)


def thick_values(axis, dtype=np.float32, rest=()):
    array = np.random.default_rng(3).uniform(0, 900, (6, 5, 4, *rest)).astype(dtype)
    grid = Grid((6, 5, 4), np.diag([*(R if a == axis else 1 for a in range(3)), 1]))
    return Values(array, grid, IntensityMap.fit(array))


def finer(thick, axis):
    factor = [1, 1, 1]
    factor[axis] = R
    return thick.grid.finer(tuple(factor))


def filled(thick, axis, slice_axis, volume):
    """Differences of a volume, put in slice by slice."""
    differences = Differences.empty(thick, finer(thick, axis), axis, slice_axis)
    for n, image in enumerate(map(Slices(volume, slice_axis).__getitem__, range(thick.count(slice_axis)))):
        differences.put(slice_axis, n, WHOLE, WHOLE, np.ascontiguousarray(image))
    return differences


def nearest(thick, axis):
    """Each thick voxel over and over, in the networks' range."""
    return thick.intensity.forward(thick.array).repeat(R, axis)


@pytest.mark.parametrize("rest", [(), (2,)])
@pytest.mark.parametrize(("axis", "slice_axis"), [(a, b) for a in range(3) for b in range(3) if a != b])
def test_what_is_put_in_comes_out_across_any_axis(axis, slice_axis, rest):
    thick = thick_values(axis, rest=rest)
    off = np.random.default_rng(4).normal(0, 0.1, nearest(thick, axis).shape)
    volume = (nearest(thick, axis) + off).astype(np.float32)
    differences = filled(thick, axis, slice_axis, volume)
    assert differences.array.dtype == np.float16
    for across in range(3):
        numbers = range(differences.count(across))
        for n, image in zip(numbers, differences.filled(across, numbers), strict=True):
            error = np.abs(image - Slices(volume, across)[n])
            assert (error <= np.abs(Slices(off, across)[n]) / 2048 + 2e-7).all()


def test_a_piece_is_put_where_it_belongs():
    thick = thick_values(2)
    volume = np.zeros((6, 5, 4 * R), np.float32)
    differences = filled(thick, 2, 0, volume)
    differences.put(0, 1, slice(2, 4), slice(R, 2 * R), np.ones((2, R), np.float32))
    volume[1, 2:4, R : 2 * R] = 1
    found = np.stack(list(differences.raw(0, range(6))))
    np.testing.assert_allclose(found, volume, atol=3e-4)


def test_slices_across_the_first_axis_lie_side_by_side():
    thick = thick_values(2)
    assert Slices(Differences.empty(thick, finer(thick, 2), 2, 0).array, 0)[1].flags.f_contiguous
    assert Differences.empty(thick, finer(thick, 2), 2, 1).array.flags.f_contiguous


@pytest.mark.parametrize("spike", [1e3, 1e6, -1e8])
def test_a_voxel_far_out_of_the_range_overflows_nothing(spike):
    thick = thick_values(2)
    thick.array[1, 1, 1] = spike * 900
    volume = nearest(thick, 2) + np.float32(0.1)
    volume[1, 1, R] *= 2
    found = np.stack(list(filled(thick, 2, 0, volume).raw(0, range(6))))
    usual = np.ones(found.shape, bool)
    usual[1, 1, R : 2 * R] = False
    assert np.isfinite(found).all()
    assert np.abs(found - volume)[usual].max() < 1e-4 * max(1, abs(spike) / 1e6)
    np.testing.assert_allclose(found[~usual], volume[~usual], rtol=1e-3)


def test_gaps_count_as_nothing():
    thick = thick_values(2)
    thick.array[2, 2] = np.nan, np.inf, -np.inf, 5
    volume = np.full((6, 5, 4 * R), 0.25, np.float32)
    found = np.stack(list(filled(thick, 2, 0, volume).raw(0, range(6))))
    np.testing.assert_allclose(found, volume, atol=3e-4)


def test_it_reads_no_thick_volume_in_place():
    thick = Values(thick_values(2).array, thick_values(2).grid)
    before = thick.array.copy()
    differences = filled(thick, 2, 1, before.repeat(R, 2))
    list(differences.filled(2, range(4 * R)))
    np.testing.assert_array_equal(thick.array, before)
