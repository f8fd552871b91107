"""Pixels that depend on more than was seen are found, the same ones in any piece."""

from __future__ import annotations

import pytest
import torch

from espcn_core.upscaling.slices import pad
from espcn_core.upscaling.unseen import Seen, boxes

RADIUS = 4


@pytest.fixture
def images():
    torch.manual_seed(0)
    return 0.5 + 0.1 * torch.rand(3, 1, 30, 40)


@pytest.fixture
def seen(images):
    found = Seen.of(pad(images[:1], RADIUS))
    return Seen(2 * found.swing, 0.4, 0.7)


def test_nothing_is_odd_about_what_was_seen(images):
    parts = [Seen.of(image[None]) for image in images]
    together = Seen.of_all(parts)
    assert together.low == float(images.min())
    assert together.high == float(images.max())
    assert together.swing == max(part.swing for part in parts)
    assert Seen(1.2 * together.swing, together.low, together.high).unseen(pad(images, RADIUS), RADIUS) is None


@pytest.mark.parametrize("value", [0.1, 0.9])
def test_what_sees_a_spike_is_odd(images, seen, value):
    images[1, 0, 12, 20] = value
    odd = seen.unseen(pad(images, RADIUS), RADIUS)
    assert odd.shape == images.shape
    assert not odd[0].any()
    assert not odd[2].any()
    assert odd[1, 0, 12 - RADIUS + 1 : 12 + RADIUS, 20 - RADIUS + 1 : 20 + RADIUS].all()
    near = torch.zeros(30, 40, dtype=torch.bool)
    near[12 - RADIUS : 13 + RADIUS, 20 - RADIUS : 21 + RADIUS] = True
    assert not odd[1, 0][~near].any()


def test_a_broad_plateau_is_odd_though_it_does_not_swing(images, seen):
    images[0, 0, 5:25, 5:35] = 0.9
    assert seen.unseen(pad(images, RADIUS), RADIUS)[0, 0, 15, 20]


def test_a_pixel_is_odd_in_any_piece(images, seen):
    images[:, 0, 7:9, 30] = 0.05
    whole = seen.unseen(pad(images, RADIUS), RADIUS)
    for rows, columns in ((slice(0, 10), slice(0, 33)), (slice(10, 30), slice(20, 40))):
        piece = seen.unseen(pad(images, RADIUS, rows, columns), RADIUS)
        assert torch.equal(piece, whole[:, :, rows, columns])


def test_boxes_are_the_smallest_ones():
    odd = torch.zeros(4, 1, 9, 9, dtype=torch.bool)
    odd[1, 0, 2, 3] = odd[1, 0, 5, 7] = odd[3, 0, 8, 8] = True
    found = list(boxes(odd))
    assert found == [(1, slice(2, 6), slice(3, 8)), (3, slice(8, 9), slice(8, 9))]
