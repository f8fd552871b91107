from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from espcn_core.degradation import degrade
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


@pytest.fixture
def whole():
    """Puts the pieces that an engine makes of a batch together."""

    def put_together(engine, batch):
        fine = [n * r for n, r in zip(batch.shape[2:], engine.factor, strict=True)]
        image = torch.full((len(batch), 1, *fine), torch.nan)
        for piece in engine(batch):
            image[piece.numbers, :, piece.rows, piece.columns] = piece.image
        return image

    return put_together


@pytest.fixture
def heads():
    """Makes two slices of the sample coarser along the axes that a network makes finer."""
    sample = nib.load(Path(__file__).parents[2] / "resources" / "sample_t1ce.nii.gz")
    values = np.asarray(sample.dataobj[:, :, 3:5]).astype(np.float32) / 255
    fine = torch.from_numpy(values.transpose(2, 0, 1).copy())[:, None]

    def make(factor):
        rows, columns = (n - n % r for n, r in zip(fine.shape[2:], factor, strict=True))
        return degrade(fine[..., :rows, :columns], factor, "area")

    return make
