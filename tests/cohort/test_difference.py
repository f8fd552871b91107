"""The measure of the report: averaging back is exact on any pair of grids, and nothing else is counted."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from espcn_core.cohort.difference import difference, overlaps, range_of
from espcn_core.grid import Grid
from espcn_core.volumes import Volume

GRID = Grid((6, 5, 4), np.diag([1.0, 1.5, 4.0, 1.0]))


def volume(array, grid=GRID, **more) -> Volume:
    return Volume(np.asfortranarray(array), grid, None, array.ndim, **more)


def noise(shape=GRID.shape):
    return np.random.default_rng(1).uniform(0, 100, shape)


def repeated(array, factor):
    for axis, r in enumerate(factor):
        array = np.repeat(array, r, axis)
    return array


@pytest.mark.parametrize("mm", [0.5, 0.7, 1.0, 1.3, 4.0, 4.1, 30.0])
def test_the_weights_are_the_parts_that_overlap(mm):
    fine = GRID.respaced((1.0, 1.5, mm))
    index, weights = overlaps(GRID, fine, 2)
    assert weights.sum(1) == pytest.approx(1)
    full = np.zeros((4, fine.shape[2]))
    np.add.at(full, (np.arange(4)[:, None], index), weights)
    # Which fine voxel lies at many points of each coarse one; the last ones reach to the edge.
    points = (np.arange(40000) + 0.5) / 10000
    centre = fine.shape[2] * mm / 2
    j = np.floor((points * 4.0 - 8.0 + centre) / mm).astype(int).clip(0, fine.shape[2] - 1)
    counted = np.stack([np.bincount(part, minlength=fine.shape[2]) / 10000 for part in j.reshape(4, -1)])
    assert full == pytest.approx(counted, abs=2e-4)


@pytest.mark.parametrize("factor", [(2, 2, 1), (1, 1, 5), (3, 1, 2)])
def test_repeated_voxels_differ_by_nothing_and_an_offset_by_itself(factor):
    array = noise()
    fine = volume(repeated(array, factor), GRID.finer(factor))
    assert difference(volume(array), fine, 100.0) == pytest.approx(0, abs=1e-15)
    higher = volume(fine.array + 7, fine.grid)
    assert difference(volume(array), higher, 100.0) == pytest.approx(0.07)


def test_detail_below_the_voxels_counts_for_nothing():
    detail = np.tile([[[5.0]], [[-5.0]]], (6, 5, 4))
    fine = volume(repeated(noise(), (2, 1, 1)) + detail, GRID.finer((2, 1, 1)))
    assert difference(volume(noise()), fine, 100.0) == pytest.approx(0, abs=1e-15)


def test_a_ramp_stays_one_on_a_grid_that_is_no_multiple():
    fine_grid = GRID.respaced((0.7, 0.9, 1.1))
    ramps = [
        np.einsum("ijka,a->ijk", grid.world(np.stack(np.indices(grid.shape), -1)), [1, 2, 3])
        for grid in (GRID, fine_grid)
    ]
    # A voxel of constant value is no ramp, and at the edge the last one is repeated.
    assert difference(volume(ramps[0]), volume(ramps[1], fine_grid), float(np.ptp(ramps[0]))) < 0.01


def test_units_are_physical():
    array = noise().astype(np.int16)
    coarse = volume(array, slope=2.0, inter=-10.0)
    fine = volume(repeated(array, (2, 2, 1)), GRID.finer((2, 2, 1)), slope=2.0, inter=-10.0)
    assert difference(coarse, fine, 1.0) == pytest.approx(0, abs=1e-12)
    physical = volume(fine.array.astype(np.float32) * 2 - 10, fine.grid)
    assert difference(coarse, physical, 1.0) == pytest.approx(0, abs=1e-5)
    assert difference(volume(array), fine, 1.0) > 1


def test_voxels_that_are_not_finite_are_left_out():
    array = noise()
    fine = repeated(array, (2, 2, 1))
    fine[5, 3, 2] = np.nan  # coarse voxel (2, 1, 2)
    array[2, 1, 2], array[0, 0, 0] = 1e6, np.inf
    grid = GRID.finer((2, 2, 1))
    assert difference(volume(array), volume(fine, grid), 100.0) == pytest.approx(0, abs=1e-15)
    assert difference(volume(array * np.nan), volume(fine, grid), 100.0) is None


def test_all_volumes_of_a_series_count():
    array = noise((*GRID.shape, 3))
    fine = repeated(array, (2, 2, 1))
    fine[..., 2] += 3
    found = difference(volume(array), volume(fine, GRID.finer((2, 2, 1))), 100.0)
    assert found == pytest.approx(0.03 / np.sqrt(3))


def test_a_constant_volume():
    array = np.full(GRID.shape, 7.0)
    assert range_of(volume(array)) == (7, 7)
    assert difference(volume(array), volume(array), 0.0) == 0
    assert difference(volume(array), volume(array + 1), 0.0) is None


def test_the_range():
    array = np.arange(1000.0).reshape(10, 10, 10)
    grid = Grid((10, 10, 10), np.eye(4))
    assert range_of(volume(array, grid, slope=2.0, inter=1.0)) == pytest.approx(
        (1 + 2 * 9.99, 1 + 2 * 994.005)
    )
    array[:] = 0
    array[0, 0, 0] = 5  # hardly any voxel is not air
    assert range_of(volume(array, grid)) == (0, 5)
    assert range_of(volume(array * np.nan, grid)) == (0, 0)


def test_only_some_slices_are_in_memory():
    grid = Grid((100, 100, 60), np.eye(4))
    array = np.zeros(grid.shape, np.int16)
    fine = volume(repeated(array, (2, 2, 2)), grid.finer((2, 2, 2)))
    tracemalloc.start()
    try:
        difference(volume(array, grid), fine, 1.0)
        range_of(fine)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.8 * fine.array.nbytes


def test_the_range_of_a_series_takes_little():
    array = np.zeros((97, 97, 97, 60), np.int16)
    array[0, 0, 0, 0] = 3  # is always among those taken
    series = volume(array, Grid((97, 97, 97), np.eye(4)))
    tracemalloc.start()
    try:
        assert range_of(series) == (0, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.2 * array.nbytes
