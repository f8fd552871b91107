"""What the engines need to know of a network."""

from __future__ import annotations

import pytest
import torch

from espcn_core.models.registry import build, receptive_radius, without_padding
from espcn_core.models.shuffle import crop


@pytest.mark.parametrize("architecture", ["espcn", "espcn-2016", "espcn-r"])
@pytest.mark.parametrize("narrow", [False, True])
def test_without_padding_the_pixels_that_are_left_are_the_same(architecture, narrow):
    torch.manual_seed(0)
    network = build(architecture, (2, 3)).eval()
    torch.nn.init.normal_(network.sub_pixels.weight, std=0.1)
    radius, image = receptive_radius(network), torch.rand(2, 1, 30, 28)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        expected = crop(network(image), radius, (2, 3))
        result = without_padding(network)(image)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-2 if narrow else 2e-6)
