"""Bicubic upscaling by a convolution is torch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from espcn_core.models.bicubic import REACH, bicubic_sub_pixels
from espcn_core.models.shuffle import crop, sub_pixel_shuffle


@pytest.mark.parametrize("factor", [(2, 2), (3, 3), (4, 4), (1, 2), (1, 5), (8, 1), (3, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_what_torch_interpolates(factor, channels):
    image = 3 * torch.rand(2, channels, 13, 17) - 1
    expected = functional.interpolate(image, scale_factor=factor, mode="bicubic", align_corners=False)
    result = sub_pixel_shuffle(bicubic_sub_pixels(image, factor), factor)
    torch.testing.assert_close(result, crop(expected, REACH, factor), rtol=0, atol=5e-6)


def test_autocast_does_not_round_it():
    image = torch.rand(1, 1, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        result = bicubic_sub_pixels(image, (2, 2))
    assert result.dtype == torch.float32
    assert torch.equal(result, bicubic_sub_pixels(image, (2, 2)))


def test_what_is_flat_stays_so():
    result = bicubic_sub_pixels(torch.full((1, 1, 9, 9), 0.7), (3, 4))
    torch.testing.assert_close(result, torch.full_like(result, 0.7), rtol=0, atol=2e-7)
