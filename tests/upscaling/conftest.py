from __future__ import annotations

import pytest
import torch

from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model


@pytest.fixture
def make_model(tmp_path):
    """Saves a network with random weights, or one that is exactly bicubic, and returns its path."""

    def make(factor=(2, 2), architecture="espcn-r", bicubic=False, name="m", adaptive=False, **training):
        torch.manual_seed(4)
        arguments = {"width": 8, "depth": 2, "adaptive": adaptive} if architecture == "espcn-r" else {}
        network = build(architecture, factor, **arguments)
        if not bicubic:
            torch.nn.init.normal_(network.sub_pixels.weight, std=0.05)
        if adaptive:
            torch.nn.init.normal_(network.adaptation.changes.weight, std=0.5)
        card = Card(name, architecture, factor, "bicubic", arguments, training)
        return str(save_model(network, card, tmp_path))

    return make
