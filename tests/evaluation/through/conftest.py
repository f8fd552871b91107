from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch

from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model


@pytest.fixture(scope="session")
def ball():
    """A bright ball with smooth texture in dark air, (36, 32, 30)."""
    from scipy import ndimage

    noise = np.random.default_rng(3).normal(size=(36, 32, 30))
    i, j, k = np.ogrid[:36, :32, :30]
    inside = (i - 17.5) ** 2 + (j - 15.5) ** 2 + (k - 14.5) ** 2 < 11**2
    texture = 800 + 100 * ndimage.gaussian_filter(noise, 1.0) / 0.1
    return ndimage.gaussian_filter(np.where(inside, texture, 20.0), 0.5).astype(np.float32)


@pytest.fixture(scope="session")
def through(tmp_path_factory):
    """Weights of factors (1, 2) whose residual is zero."""
    torch.manual_seed(1)
    card = Card("through", "espcn-r", (1, 2), "bicubic", {"width": 8, "depth": 1})
    network = build("espcn-r", (1, 2), width=8, depth=1)
    return str(save_model(network, card, tmp_path_factory.mktemp("through")))


@pytest.fixture
def keep(tmp_path):
    """Writes a volume and returns its path."""

    def keep(name, array, spacing=(1.5, 1.5, 1.5)):
        path = tmp_path / "volumes" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.diag([*spacing, 1.0])), path)
        return path

    return keep
