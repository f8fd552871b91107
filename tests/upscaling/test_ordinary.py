"""Pixels that depend on more than was seen are found, the same ones in any piece."""

from __future__ import annotations

import pytest
import torch

from espcn_core.upscaling.ordinary import Ordinary
from espcn_core.upscaling.slices import pad

RADIUS = 4


@pytest.fixture
def images():
    torch.manual_seed(0)
    return 0.5 + 0.1 * torch.rand(3, 1, 50, 70)


@pytest.fixture
def ordinary(images):
    return Ordinary(2 * swing_of(images), 0.4, 0.7)


def tiles_of(images):
    return [pad(image[None], RADIUS) for image in images]


def swing_of(images):
    found = images - torch.nn.functional.avg_pool2d(pad(images, 1), 3, 1)
    return float(found.abs().max())


@pytest.fixture
def odd_of(ordinary):
    """Which pixels of a piece are odd, as one mask."""

    def look(images, rows=slice(None), columns=slice(None), ordinary=ordinary):
        found = torch.zeros_like(images[:, 0, rows, columns], dtype=torch.bool)
        for number, down, across, pixels in ordinary.odd(pad(images, RADIUS, rows, columns), RADIUS):
            assert pixels.shape in ((24, 24), images[0, 0, rows, columns].shape)
            assert pixels.any()
            found[number, down, across] |= pixels
        return found

    return look


def test_nothing_is_odd_about_slices_that_swing_alike(images, odd_of):
    found = Ordinary.of(tiles_of(images), RADIUS)
    low, high = float(images.min()), float(images.max())
    assert found.low == pytest.approx(low - 0.1 * (high - low))
    assert found.high == pytest.approx(high + 0.1 * (high - low))
    assert found.swing == pytest.approx(1.1 * swing_of(images), rel=1e-5)
    assert not odd_of(images, ordinary=found).any()


def test_a_bright_spot_decides_nothing():
    torch.manual_seed(1)
    images = 0.5 + 0.1 * torch.rand(4, 1, 100, 120)
    usual = swing_of(images)
    images[2, 0, 30, 40] = 5  # 4 away from the mean about it
    found = Ordinary.of(tiles_of(images), RADIUS)
    assert usual < found.swing < 0.6
    assert found.high > 5


def test_of_many_bright_spots_all_are_ordinary():
    torch.manual_seed(1)
    images = 0.5 + 0.1 * torch.rand(4, 1, 60, 80)
    images[:, 0, ::20, ::20] = 5
    assert Ordinary.of(tiles_of(images), RADIUS).swing == pytest.approx(1.1 * swing_of(images), rel=1e-5)


def test_in_flat_slices_nothing_swings(odd_of):
    images = torch.full((2, 1, 30, 40), 0.3)
    found = Ordinary.of(tiles_of(images), RADIUS)
    assert found == Ordinary(pytest.approx(0, abs=1e-6), images[0, 0, 0, 0], images[0, 0, 0, 0])
    images[1, 0, 3, 3] = 0.4
    assert odd_of(images, ordinary=found)[1, 3, 3]


@pytest.mark.parametrize("value", [0.1, 0.9])
@pytest.mark.parametrize(("row", "column"), [(12, 20), (0, 69), (49, 1)])
def test_what_sees_a_spike_is_odd(images, odd_of, value, row, column):
    images[1, 0, row, column] = value
    odd = odd_of(images)
    assert not odd[[0, 2]].any()
    rows, columns = torch.meshgrid(torch.arange(50), torch.arange(70), indexing="ij")
    away = torch.maximum((rows - row).abs(), (columns - column).abs())
    assert odd[1][away < RADIUS].all()
    assert not odd[1][away > RADIUS].any()


def test_few_pixels_are_of_small_tiles_and_many_of_the_whole_image(images, ordinary):
    images[1, 0, 20, 30] = 0.9
    (tile,) = ordinary.odd(pad(images, RADIUS), RADIUS)
    assert tile.pixels.shape == (24, 24)
    images[1, 0, ::10, ::10] = 0.9
    (whole,) = ordinary.odd(pad(images, RADIUS), RADIUS)
    assert whole.pixels.shape == (50, 70)


def test_a_broad_plateau_is_odd_though_it_does_not_swing(images, odd_of):
    images[0, 0, 5:25, 5:35] = 0.9
    assert odd_of(images)[0, 5:25, 5:35].all()


def test_a_pixel_is_odd_in_any_piece(images, odd_of):
    images[:, 0, 7:9, 30] = 0.05
    images[2, 0, 20, 2] = 0.95
    whole = odd_of(images)
    assert whole.any(2).any(1).all()
    for rows, columns in ((slice(0, 25), slice(0, 33)), (slice(8, 50), slice(20, 70))):
        assert torch.equal(odd_of(images, rows, columns), whole[:, rows, columns])
