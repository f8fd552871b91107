"""What `espcn_core.upscale` tells its caller."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

import espcn_core
from espcn_core.models import build
from espcn_core.models.cards import Card, save_model

ARRAY = np.random.default_rng(2).gamma(2, 200, (12, 10, 4)).astype(np.float32)
AFFINE = np.diag([-4.2, -4.2, 5, 1])


@pytest.fixture
def make_model(tmp_path):
    def make(**training):
        card = Card("m", "espcn-r", (2, 2), "bicubic", {"width": 8, "depth": 1}, training)
        return save_model(build("espcn-r", (2, 2), width=8, depth=1), card, tmp_path)

    return make


def as_sitk(array):
    image = SimpleITK.GetImageFromArray(array.T)
    image.SetSpacing((4.2, 4.2, 5))
    return image


@pytest.mark.parametrize(
    "image",
    [nib.Nifti1Image(ARRAY, AFFINE), as_sitk(ARRAY), (ARRAY, AFFINE), (ARRAY[:, :, 0], AFFINE)],
    ids=["nibabel", "SimpleITK", "array", "slice"],
)
def test_an_image_unlike_the_training_gets_one_warning_where_upscale_was_called(image, make_model):
    with pytest.warns(UserWarning, match="m was trained on pixels of 0.98 to 1.96 mm, not 4.2 mm") as told:
        espcn_core.upscale(image, model=make_model(spacing_range_mm=[0.98, 1.96]), device="cpu")
    assert len(told) == 1
    assert told[0].filename == __file__


def test_there_is_no_warning_without_a_reason(make_model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        espcn_core.upscale((ARRAY, AFFINE), model=make_model(spacing_range_mm=[4, 5]), device="cpu")
        espcn_core.upscale((ARRAY, AFFINE), model=make_model(), device="cpu")


def test_voxels_that_are_not_finite_are_told(make_model):
    array = ARRAY.copy()
    array[3, 3, 3] = np.nan
    with pytest.warns(UserWarning, match="1 voxels are NaN or infinite and stay so"):
        espcn_core.upscale((array, AFFINE), model=make_model(), device="cpu")
