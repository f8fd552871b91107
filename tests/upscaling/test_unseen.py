"""Pixels that depend on more than was seen are found, the same ones in any piece."""

from __future__ import annotations

import pytest
import torch

from espcn_core.upscaling.slices import pad
from espcn_core.upscaling.unseen import Seen

RADIUS = 4


@pytest.fixture
def images():
    torch.manual_seed(0)
    return 0.5 + 0.1 * torch.rand(3, 1, 30, 40)


@pytest.fixture
def seen(images):
    found = Seen.of(pad(images[:1], RADIUS))
    return Seen(2 * found.swing, 0.4, 0.7)


@pytest.fixture
def odd_of(seen):
    """Which pixels of a piece are odd, as one mask."""

    def look(images, rows=slice(None), columns=slice(None), seen=seen):
        found = torch.zeros_like(images[:, 0, rows, columns], dtype=torch.bool)
        for number, down, across, pixels in seen.unseen(pad(images, RADIUS, rows, columns), RADIUS):
            assert pixels.any(0)[[0, -1]].all()  # the box is no larger than it must be
            assert pixels.any(1)[[0, -1]].all()
            found[number, down, across] = pixels
        return found

    return look


def test_nothing_is_odd_about_what_was_seen(images):
    parts = [Seen.of(image[None]) for image in images]
    together = Seen.of_all(parts)
    assert together.low == float(images.min())
    assert together.high == float(images.max())
    assert together.swing == max(part.swing for part in parts)
    wider = Seen(1.2 * together.swing, together.low, together.high)
    assert list(wider.unseen(pad(images, RADIUS), RADIUS)) == []


@pytest.mark.parametrize("value", [0.1, 0.9])
@pytest.mark.parametrize(("row", "column"), [(12, 20), (0, 39), (2, 1)])
def test_what_sees_a_spike_is_odd(images, odd_of, value, row, column):
    images[1, 0, row, column] = value
    odd = odd_of(images)
    assert not odd[[0, 2]].any()
    rows, columns = torch.meshgrid(torch.arange(30), torch.arange(40), indexing="ij")
    away = torch.maximum((rows - row).abs(), (columns - column).abs())
    assert odd[1][away < RADIUS].all()
    assert not odd[1][away > RADIUS].any()


def test_a_broad_plateau_is_odd_though_it_does_not_swing(images, odd_of):
    images[0, 0, 5:25, 5:35] = 0.9
    assert odd_of(images)[0, 5:25, 5:35].all()


def test_a_pixel_is_odd_in_any_piece(images, odd_of):
    images[:, 0, 7:9, 30] = 0.05
    images[2, 0, 20, 2] = 0.95
    whole = odd_of(images)
    assert whole.any(2).any(1).all()
    for rows, columns in ((slice(0, 10), slice(0, 33)), (slice(10, 30), slice(20, 40))):
        assert torch.equal(odd_of(images, rows, columns), whole[:, rows, columns])


def test_swing_is_the_distance_from_the_mean_of_3_x_3():
    image = torch.rand(1, 1, 5, 5)
    image[0, 0, 2, 3] = 5
    expected = image[0, 0, 2, 3] - image[0, 0, 1:4, 2:5].mean()
    assert Seen.of(image).swing == pytest.approx(float(expected), abs=1e-6)
