from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from espcn_core.models.shuffle import start_sub_pixels_equal, sub_pixel_shuffle


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_equal_factors_are_the_pixel_shuffle_of_torch(scale):
    x = torch.rand(2, 3 * scale**2, 4, 5)
    assert torch.equal(sub_pixel_shuffle(x, (scale, scale)), nn.PixelShuffle(scale)(x))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_every_channel_goes_to_its_place(r_row, r_col, channels):
    x = torch.rand(1, channels * r_row * r_col, 3, 2)
    y = sub_pixel_shuffle(x, (r_row, r_col))
    for c in range(channels):
        for i in range(r_row):
            for j in range(r_col):
                source = (c * r_row + i) * r_col + j
                assert torch.equal(y[0, c, i::r_row, j::r_col], x[0, source])


def test_started_sub_pixels_give_blocks_of_equal_pixels():
    conv = nn.Conv2d(5, 2 * 6, 3, padding=1)
    start_sub_pixels_equal(conv, (2, 3))
    y = sub_pixel_shuffle(conv(torch.rand(1, 5, 4, 4)), (2, 3))
    blocks = y.unfold(2, 2, 2).unfold(3, 3, 3)
    assert torch.equal(blocks, blocks[..., :1, :1].expand_as(blocks))
    assert not torch.equal(y[:, 0], y[:, 1])
