"""What `espcn_core.upscale` tells its caller."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch

import espcn_core
from espcn_core.api import slice_profile
from espcn_core.degradation import SliceProfile, thicken
from espcn_core.grid import Grid
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model
from espcn_core.upscaling.plan import Request, make_plan

ARRAY = np.random.default_rng(2).gamma(2, 200, (12, 10, 4)).astype(np.float32)
AFFINE = np.diag([-4.2, -4.2, 5, 1])


@pytest.fixture
def make_model(tmp_path):
    def make(**training):
        card = Card("m", "espcn-r", (2, 2), "bicubic", {"width": 8, "depth": 1}, training)
        return save_model(build("espcn-r", (2, 2), width=8, depth=1), card, tmp_path)

    return make


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Small networks as the shipped ones: x2 and x4 in plane, x2 to x8 along an axis."""
    for factor in ((2, 2), (4, 4), *((1, r) for r in range(2, 9))):
        name = f"espcn-r-{'through-' if factor[0] == 1 else ''}x{factor[1]}"
        card = Card(name, "espcn-r", factor, "bicubic", {"width": 8, "depth": 1})
        save_model(build("espcn-r", factor, width=8, depth=1), card, tmp_path)
    monkeypatch.setattr("espcn_core.models.cards.SHIPPED", tmp_path)


def as_sitk(array, spacing=(4.2, 4.2, 5)):
    image = SimpleITK.GetImageFromArray(array.T)
    image.SetSpacing(spacing)
    return image


def thick_again(array, thickness=1.0):
    """Fine values as slices three times as thick would show them."""
    return thicken(torch.from_numpy(np.asarray(array)), 2, 3, SliceProfile(thickness=thickness)).numpy()


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


@pytest.mark.parametrize(
    ("asked", "shape", "spacing"),
    [
        ({}, (24, 20, 4), (2.1, 2.1, 5)),
        ({"scale": 2}, (24, 20, 4), (2.1, 2.1, 5)),
        ({"scale": np.int64(2)}, (24, 20, 4), (2.1, 2.1, 5)),
        ({"model": "espcn-r-x4"}, (48, 40, 4), (1.05, 1.05, 5)),
        ({"model": "espcn-r-through-x5"}, (12, 10, 20), (4.2, 4.2, 1)),
        ({"scale": (1, 1, 5)}, (12, 10, 20), (4.2, 4.2, 1)),
        ({"scale": [1, 1, 5]}, (12, 10, 20), (4.2, 4.2, 1)),
        ({"scale": np.array([2, 2, 1])}, (24, 20, 4), (2.1, 2.1, 5)),
        ({"spacing": 3}, (17, 14, 7), (3, 3, 3)),
        ({"spacing": np.float32(2.5)}, (20, 17, 8), (2.5, 2.5, 2.5)),
        ({"spacing": (4.2, 2.1, 1.0)}, (12, 20, 20), (4.2, 2.1, 1)),
        ({"spacing": np.array([4.2, 4.2, 2.5])}, (12, 10, 8), (4.2, 4.2, 2.5)),
        ({"spacing": "isotropic"}, (12, 10, 5), (4.2, 4.2, 4.2)),
    ],
)
@pytest.mark.usefixtures("shipped")
def test_every_kind_of_image_takes_every_request(asked, shape, spacing):
    image = nib.Nifti1Image(ARRAY, AFFINE)
    fine = espcn_core.upscale(image, **asked, device="cpu")
    assert fine.shape == shape
    np.testing.assert_allclose(fine.header.get_zooms(), spacing, rtol=1e-6)
    array, affine = espcn_core.upscale((ARRAY, AFFINE), **asked, device="cpu")
    np.testing.assert_array_equal(array, np.asarray(fine.dataobj))
    np.testing.assert_allclose(affine, fine.affine, rtol=0, atol=1e-5)
    itk = espcn_core.upscale(as_sitk(ARRAY), **asked, device="cpu")
    np.testing.assert_allclose(itk.GetSpacing(), spacing, rtol=1e-6)
    np.testing.assert_allclose(SimpleITK.GetArrayFromImage(itk).T, array, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"scale": 2, "spacing": 1}, "a scale and a spacing were given"),
        ({"scale": (1, 2)}, "a scale is one whole number, or three"),
        ({"scale": (1, 1, 1.5)}, "a scale is one whole number, or three"),
        ({"scale": (1, 1, 17)}, "a scale is one whole number, or three from 1 to 16"),
        ({"scale": "2"}, "a scale is one whole number, or three"),
        ({"scale": 3}, "no model has scale 3"),
        ({"spacing": 0}, "a spacing is one or three positive numbers"),
        ({"spacing": (1, 1, -1)}, "a spacing is one or three positive numbers"),
        ({"spacing": float("nan")}, "a spacing is one or three positive numbers"),
        ({"spacing": (1, 1, 1, 1)}, "a spacing is one or three positive numbers"),
        ({"spacing": "cubic"}, "a spacing is one or three positive numbers in mm, or isotropic, not cubic"),
        ({"spacing": 4.5}, "4.5 mm is coarser than the 4.2 mm of axis i"),
        ({"spacing": 0.2}, "16 is the largest"),
        ({"scale": (1, 1, 2), "plane": "axial"}, "leave out --plane"),
        ({"scale": (1, 1, 2), "slice_thickness": 0.9}, "slice thickness of 0.9 mm does not go with slices"),
        ({"scale": (1, 1, 2), "slice_thickness": 21}, "slice thickness of 21 mm .*: give 1 to 20 mm"),
        ({"scale": (1, 1, 2), "slice_thickness": float("nan")}, "slice thickness of nan"),
        ({"scale": (1, 1, 2), "slice_thickness": -5}, "slice thickness of -5"),
    ],
)
@pytest.mark.usefixtures("shipped")
def test_a_wrong_request_is_refused_in_a_sentence(asked, says):
    with pytest.raises(espcn_core.EspcnError, match=says):
        espcn_core.upscale((ARRAY, AFFINE), **asked, device="cpu")


@pytest.mark.usefixtures("shipped")
def test_the_result_agrees_with_the_slices_of_the_thickness_that_is_said():
    image = as_sitk(ARRAY)
    for options, thicknesses in (({}, (0.8, 0.9, 1.0)), ({"slice_thickness": 3.5}, (0.7,))):
        fine, _ = espcn_core.upscale((ARRAY, AFFINE), (1, 1, 3), **options, device="cpu")
        assert min(np.abs(thick_again(fine, one) - ARRAY).max() for one in thicknesses) < 0.05
        itk = espcn_core.upscale(image, (1, 1, 3), **options, device="cpu")
        np.testing.assert_allclose(SimpleITK.GetArrayFromImage(itk).T, fine, rtol=0, atol=1e-3)
    image.SetMetaData("0018|0050", "3.5")
    itk = espcn_core.upscale(image, (1, 1, 3), device="cpu")
    np.testing.assert_allclose(SimpleITK.GetArrayFromImage(itk).T, fine, rtol=0, atol=1e-3)
    free, _ = espcn_core.upscale((ARRAY, AFFINE), (1, 1, 3), consistent=False, device="cpu")
    assert np.abs(thick_again(free) - ARRAY).max() > 5


@pytest.mark.usefixtures("shipped")
def test_a_slice_thickness_that_cannot_be_true_is_told_and_left_out():
    image = as_sitk(ARRAY)
    expected = espcn_core.upscale(image, (1, 1, 3), device="cpu")
    image.SetMetaData("0018|0050", "80")
    with pytest.warns(UserWarning, match="80 mm does not go with slices that are 5 mm apart, and is left"):
        fine = espcn_core.upscale(image, (1, 1, 3), device="cpu")
    np.testing.assert_array_equal(*map(SimpleITK.GetArrayFromImage, (fine, expected)))


@pytest.mark.parametrize(
    "asked", [{"scale": (1, 1, 1)}, {"spacing": (4.2, 4.2, 5)}, {"spacing": (4.2, 4.18, 5)}]
)
@pytest.mark.usefixtures("shipped")
def test_what_is_as_it_was_asked_for_comes_back_unchanged(asked):
    for image in (nib.Nifti1Image(ARRAY, AFFINE), as_sitk(ARRAY), (ARRAY, AFFINE)):
        assert espcn_core.upscale(image, **asked, device="cpu") is image


@pytest.mark.usefixtures("shipped")
def test_a_slice_is_upscaled_along_its_own_axes():
    fine, affine = espcn_core.upscale((ARRAY[:, :, 0], AFFINE), (1, 3, 1), device="cpu")
    assert fine.shape == (12, 30)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), (4.2, 1.4, 5))
    with pytest.raises(espcn_core.EspcnError, match="axis k has one voxel and cannot be made finer"):
        espcn_core.upscale((ARRAY[:, :, 0], AFFINE), (1, 1, 2), device="cpu")


def test_the_slice_thickness_is_a_part_of_the_distance_between_the_slices():
    grid = Grid((8, 8, 6), np.diag([1, 2, 5, 1]))
    plan = make_plan(grid, Request(scale=(1, 2, 3)), models="{0}".format)
    assert slice_profile(plan, None) == (None, None)
    assert slice_profile(plan, 4) == (SliceProfile(thickness=0.8), None)  # of the thickest axis
    assert slice_profile(plan, None, 4) == (SliceProfile(thickness=0.8), None)
    assert slice_profile(plan, 6, 4) == (SliceProfile(thickness=1.2), None)
    in_plane = make_plan(grid, Request(scale=2), models="{0}".format)
    assert slice_profile(in_plane, None, 99) == (None, None)
