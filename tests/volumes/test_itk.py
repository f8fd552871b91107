from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.errors import VolumeError
from espcn_core.volumes.itk import from_sitk, slice_thickness_of, to_sitk


def made(ndim, seed):
    rng = np.random.default_rng(seed)
    image = sitk.GetImageFromArray(rng.integers(-99, 99, rng.integers(2, 6, ndim)).astype(np.int16))
    image.SetOrigin(rng.uniform(-100, 100, ndim).tolist())
    image.SetSpacing(rng.uniform(0.3, 5, ndim).tolist())
    image.SetDirection(np.linalg.qr(rng.normal(size=(ndim, ndim)))[0].ravel().tolist())
    image.SetMetaData("0008|103e", "T1 after contrast")
    return image


def corners(image):
    ends = [(-0.5, n - 0.5) for n in image.GetSize()]
    grid = np.array(np.meshgrid(*ends)).reshape(len(ends), -1).T
    return np.array([image.TransformContinuousIndexToPhysicalPoint(p) for p in grid.tolist()])


@given(ndim=st.sampled_from([2, 3]), seed=st.integers(0, 2**32 - 1))
def test_there_and_back(ndim, seed):
    image = made(ndim, seed)
    array, grid = from_sitk(image)
    assert array.shape == grid.shape == (*image.GetSize(), 1)[:3]
    assert array[1, 0, 0] == image[(1, 0, 0)[:ndim]]
    lps = np.array([-1, -1, 1])[:ndim]
    index = (1, 1, 1 if ndim == 3 else 0)
    world = image.TransformIndexToPhysicalPoint(index[:ndim])
    np.testing.assert_allclose(grid.world(index)[:ndim] * lps, world, atol=1e-9)
    factor = (2, 3, 4 if ndim == 3 else 1)
    fine = to_sitk(np.kron(array, np.ones(factor, array.dtype)), grid.finer(factor), image)
    assert fine.GetDimension() == ndim
    assert fine.GetPixelID() == image.GetPixelID()
    assert fine.GetMetaData("0008|103e") == "T1 after contrast"
    np.testing.assert_allclose(corners(fine), corners(image), atol=1e-9)
    same = to_sitk(array, grid, image)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(same), sitk.GetArrayFromImage(image))
    np.testing.assert_allclose(same.GetDirection(), image.GetDirection(), atol=1e-12)


def test_axes_that_do_not_span_space():
    image = sitk.Image(3, 3, 3, sitk.sitkFloat32)
    image.SetDirection((1, 1, 0, 0, 1e-8, 0, 0, 0, 1))
    with pytest.raises(VolumeError, match=r"not placed in space .*singular"):
        from_sitk(image)


def test_the_array_outlives_the_image():
    image = made(3, 0)
    expected = sitk.GetArrayFromImage(image).T
    array, _ = from_sitk(image)
    del image
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (sitk.Image(3, 3, 3, sitk.sitkVectorFloat32), "pixel type vector of 32-bit float"),
        (sitk.Image(3, 3, 3, sitk.sitkComplexFloat32), "holds complex64 values"),
        (sitk.Image([3, 3, 3, 3], sitk.sitkFloat32), "has 4 axes"),
        (sitk.Image(3, 0, 3, sitk.sitkFloat32), "has no voxels"),
    ],
    ids=["vector", "complex", "four axes", "empty"],
)
def test_images_that_cannot_be_upscaled(image, message):
    with pytest.raises(VolumeError, match=message):
        from_sitk(image)


@pytest.mark.parametrize(
    ("value", "thickness"),
    [("3.5 ", 3.5), ("4", 4), (None, None), ("", None), ("thick", None), ("0", None), ("nan", None)],
)
def test_the_slice_thickness_of_dicom_files(value, thickness):
    image = sitk.Image(3, 3, 3, sitk.sitkInt16)
    if value is not None:
        image.SetMetaData("0018|0050", value)
    assert slice_thickness_of(image) == thickness
