from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.models.shuffle import crop
from espcn_core.upscaling.slices import Slices, evenly, fill_gaps, pad, restore_gaps


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_views_of_all_voxels(axis, order):
    array = np.zeros((3, 4, 5, 2), order=order)
    slices = Slices(array, axis)
    assert len(slices) == (3, 4, 5)[axis] * 2
    for number in range(len(slices)):
        assert slices[number].shape == tuple(np.delete((3, 4, 5), axis))
        slices[number][...] += number + 1
    for t in range(2):
        for n in range((3, 4, 5)[axis]):
            assert (array.take(n, axis)[..., t] == 1 + n + t * (3, 4, 5)[axis]).all()


def test_padding_repeats_the_edge_and_is_cropped():
    image = torch.rand(2, 1, 3, 4)
    padded = pad(image, 5)
    assert padded.shape == (2, 1, 13, 14)
    assert torch.equal(padded[..., 0, :], padded[..., 5, :])
    assert torch.equal(crop(padded, 5, (1, 1)), image)
    fine = padded.repeat_interleave(2, 2).repeat_interleave(3, 3)
    assert torch.equal(crop(fine, 5, (2, 3)), image.repeat_interleave(2, 2).repeat_interleave(3, 3))


@pytest.mark.parametrize("rows", [slice(0, 9), slice(0, 3), slice(4, 5), slice(6, 9), slice(None)])
@pytest.mark.parametrize("columns", [slice(0, 12), slice(2, 7), slice(8, 12), slice(8, 99)])
def test_a_part_is_padded_by_what_lies_around_it(rows, columns):
    image = torch.rand(2, 1, 9, 12)
    whole = pad(image, 5)
    (top, bottom, _), (left, right, _) = rows.indices(9), columns.indices(12)
    assert torch.equal(pad(image, 5, rows, columns), whole[..., top : bottom + 10, left : right + 10])


def test_gaps_are_filled_from_around_them():
    image = np.full((40, 40), 7, dtype=np.float32)
    image[:, 20:] = 9
    holed = image.copy()
    holed[3:6, 4:9] = np.nan
    holed[30, 30] = np.inf
    holed[0, 0] = -np.inf
    filled = fill_gaps(holed)
    np.testing.assert_allclose(filled, image, rtol=1e-6)
    assert np.isnan(holed[4, 5])  # the caller's array is left alone
    assert fill_gaps(image) is image
    assert (fill_gaps(np.full((40, 40), np.nan, dtype=np.float32)) == 0).all()


def nearest(factor):
    return [np.arange(n * r) // r for n, r in zip((3, 4, 2), factor, strict=True)]


def test_gaps_come_back_in_all_their_fine_voxels():
    coarse = np.zeros((3, 4, 2, 2), dtype=np.float32)
    coarse[1, 2, 0, 0] = np.nan
    coarse[0, 3, 1, 1] = -np.inf
    fine = np.ones((6, 12, 2, 2), dtype=np.float32)
    restore_gaps(fine, coarse, nearest((2, 3, 1)))
    assert np.isnan(fine[2:4, 6:9, 0, 0]).all()
    assert np.isneginf(fine[0:2, 9:12, 1, 1]).all()
    assert (~np.isfinite(fine)).sum() == 12
    deep = np.ones((3, 4, 6, 2), dtype=np.float32)
    restore_gaps(deep, coarse, nearest((1, 1, 3)))
    assert np.isnan(deep[1, 2, :3, 0]).all()
    assert (~np.isfinite(deep)).sum() == 6
    odd = np.ones((2, 4, 2, 2), dtype=np.float32)
    restore_gaps(odd, coarse, ([0, 1], [2, 2, 2, 3], [0, 1]))
    assert np.isnan(odd[1, :3, 0, 0]).all()
    assert (~np.isfinite(odd)).sum() == 4


@given(st.lists(st.integers(), unique=True, max_size=200), st.integers(1, 250) | st.none())
def test_evenly_spread(indices, count):
    chosen = evenly(indices, count)
    assert len(chosen) == (len(indices) if count is None else min(count, len(indices)))
    places = [indices.index(i) for i in chosen]
    assert places == sorted(set(places))
    if 1 < len(places) < len(indices):
        steps = np.diff(places)
        assert steps.max() - steps.min() <= 1
        assert abs(places[0] - (len(indices) - 1 - places[-1])) <= 1


def test_evenly_takes_the_middle_of_each_part():
    assert evenly(range(10), 1) == [5]
    assert evenly(range(12), 3) == [2, 6, 10]
