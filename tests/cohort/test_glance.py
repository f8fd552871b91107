"""The pictures of the report: the same part of both, upright, small."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from espcn_core.cohort.glance import MOST, glance_at, shown_axis
from espcn_core.grid import Grid
from espcn_core.volumes import Volume

GRID = Grid((40, 30, 8), np.diag([1.0, 1.0, 5.0, 1.0]))


def volume(array, grid=GRID) -> Volume:
    return Volume(np.asfortranarray(array), grid, None, array.ndim)


def pair(array, factor=(2, 2, 1), grid=GRID):
    """A volume, and the same with its voxels repeated."""
    fine = array
    for axis, r in enumerate(factor):
        fine = np.repeat(fine, r, axis)
    return volume(array, grid), volume(fine, grid.finer(factor))


def pixels(content: bytes):
    image = Image.open(io.BytesIO(content))
    assert image.format == "WEBP"
    return np.asarray(image.convert("L"), float)


@pytest.mark.parametrize(
    ("factor", "axis"),
    [
        ((2, 2, 1), 2),
        ((1, 1, 5), 1),
        ((2, 1, 2), 1),
        ((1, 2, 2), 0),
        ((2, 2, 2), 2),
        ((1, 1, 1), 2),
        ((2, 1, 5), 1),
    ],
)
def test_the_axis_that_became_finer_is_shown(factor, axis):
    assert shown_axis(GRID, GRID.finer(factor)) == axis


def test_through_plane_is_coronal_where_there_is_a_choice():
    turned = GRID.reorder((1, 0, 2))  # its first axis goes to anterior
    assert shown_axis(turned, turned.finer((1, 1, 5))) == 0
    single = Grid((40, 30, 1), GRID.affine)
    assert shown_axis(single, single.finer((2, 2, 1))) == 2


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("flipped", [(), (0,), (1, 2)])
@pytest.mark.parametrize(("factor", "up"), [((2, 2, 1), 1), ((1, 1, 4), 2)])
def test_pictures_are_upright(order, flipped, factor, up):
    """The first quarter towards the patient's right, and anterior or superior, is bright: the upper left."""
    array = np.zeros(GRID.shape)
    where = [slice(None)] * 3
    where[0] = slice(20, None)  # GRID goes to right, anterior and superior
    where[up] = slice(GRID.shape[up] // 2, None)
    array[tuple(where)] = 100
    grid, array, factor = GRID.reorder(order), array.transpose(order), [factor[axis] for axis in order]
    for axis in flipped:
        grid, array = grid.flip(axis), np.flip(array, axis)
    seen = glance_at(*pair(array, factor, grid))
    for content in (seen.coarse, seen.fine):
        shown = pixels(content)
        h, w = (n // 2 for n in shown.shape)
        quarters = shown[:h, :w], shown[:h, w:], shown[h:, :w], shown[h:, w:]
        assert [quarter.mean() > 128 for quarter in quarters] == [True, False, False, False]
    assert pixels(seen.coarse).shape == (GRID.shape[up], 40)
    length = (30, 40)[up - 1]  # mm
    assert (seen.width, seen.height) == (MOST * 40 // max(40, length), MOST * length // max(40, length))
    assert seen.view == ("axial, slice 5 of 8" if up == 1 else seen.view)
    assert seen.difference == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("mm", [(0.5, 0.5, 5.0), (0.37, 0.37, 5.0), (1.0, 1.0, 0.9)])
def test_both_show_the_same_part_in_the_same_grey(mm):
    """Smooth values at the positions in the world, more of them than are shown."""
    coarse = Grid((400, 300, 21), np.diag([1.0, 1.0, 5.0, 1.0]))
    fine = coarse.respaced(mm)
    values = []
    for grid in (coarse, fine):
        x, y, z = (grid.affine[a, a] * np.arange(grid.shape[a]) + grid.affine[a, 3] for a in range(3))
        total = np.sin(x / 25)[:, None, None] + np.cos(y / 20)[None, :, None] + np.sin(z / 30)
        values.append(volume(total.astype(np.float32), grid))
    seen = glance_at(*values)
    before, after = (Image.open(io.BytesIO(content)).convert("L") for content in (seen.coarse, seen.fine))
    assert max(after.size) <= MOST
    assert max(after.size) >= 0.9 * MOST
    resized = np.asarray(before.resize(after.size, Image.Resampling.BILINEAR), float)
    assert np.abs(resized - np.asarray(after, float)).mean() < 6
    assert "middle" in seen.view


def test_noise_stays_small_and_odd_values_are_shown():
    rng = np.random.default_rng(2)
    array = rng.normal(size=(256, 256, 3))
    array[100:140, :, :] = np.nan
    array[0, 0, 0] = np.inf
    grid = Grid((256, 256, 3), np.diag([1.0, 1.0, 5.0, 1.0]))
    seen = glance_at(*pair(array, grid=grid))
    assert len(seen.coarse) <= 1500
    assert len(seen.fine) <= 3600
    fine = volume(rng.choice([0.0, 1.0], size=(512, 512, 3)), grid.finer((2, 2, 1)))
    seen = glance_at(volume(rng.choice([0.0, 1.0], size=(256, 256, 3)), grid), fine)
    assert len(seen.coarse) <= 1500
    assert len(seen.fine) <= 3600
    assert glance_at(*pair(np.zeros(GRID.shape, np.uint8))).difference == 0
    assert glance_at(*pair(rng.normal(size=(*GRID.shape, 2)))).difference == pytest.approx(0, abs=1e-12)


def test_a_flat_part_can_still_be_seen():
    grid = Grid((200, 200, 2), np.diag([1.0, 1.0, 3.0, 1.0]))
    seen = glance_at(*pair(np.ones((200, 200, 2)), (1, 1, 3), grid))
    assert (seen.width, seen.height) == (192, 24)


def test_of_a_series_the_first_volume_is_shown():
    array = np.zeros((*GRID.shape, 2))
    array[:20, ..., 0] = array[20:, ..., 1] = 100
    seen = glance_at(*pair(array))
    assert pixels(seen.fine)[:, :30].mean() < 50 < 200 < pixels(seen.fine)[:, 50:].mean()
