"""nibabel images in memory, the other half of `espcn_core.volumes.nifti`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.spatialimages import SpatialImage

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid
from espcn_core.volumes.nifti import from_nibabel, read, to_nibabel


def enlarged(array, factor):
    return np.kron(array, np.ones((*factor, *(1 for _ in array.shape[3:])), array.dtype))


def corners(image):
    return Grid((*image.shape, 1)[:3], image.affine).corners()


@given(data=st.data())
@settings(max_examples=60)
def test_nibabel_images_come_back_as_they_went(headers, voxels, put, data):
    header = data.draw(headers())
    ending = ".nii" if header.is_single else ".hdr"
    array = voxels(header)
    factor = (2, 3, 1) if array.shape[2] == 1 else (2, 1, 2)
    with tempfile.TemporaryDirectory() as folder:
        image = nib.load(put(Path(folder, "in" + ending), header, array))
        volume = from_nibabel(image)
        fine = to_nibabel(volume.on(enlarged(volume.array, factor), volume.grid.finer(factor)))
        assert type(fine) is type(image)
        assert len(fine.shape) == len(image.shape)
        assert fine.get_data_dtype() == image.get_data_dtype()
        for name in (
            "sform_code",
            "qform_code",
            "xyzt_units",
            "descrip",
            "intent_code",
            "dim_info",
            "toffset",
        ):
            assert fine.header[name] == image.header[name]
        assert fine.header.extensions == image.header.extensions
        np.testing.assert_allclose(corners(fine), volume.grid.corners(), atol=1e-3)
        np.testing.assert_allclose(
            fine.get_fdata(),
            enlarged(image.get_fdata().reshape(array.shape), factor).reshape(fine.shape),
            rtol=1e-6,
        )
        # and once more when nibabel saves it
        nib.save(fine, Path(folder, "out" + ending))
        saved = nib.load(Path(folder, "out" + ending))
        assert (saved.header["sform_code"], saved.header["qform_code"]) == (
            image.header["sform_code"],
            image.header["qform_code"],
        )
        np.testing.assert_allclose(corners(saved), volume.grid.corners(), atol=1e-3)


def test_images_made_in_memory():
    affine = np.diag([2.0, 2, 3, 1])
    image = nib.Nifti1Image(np.ones((3, 4, 5), ">i2"), affine)
    volume = from_nibabel(image)
    assert volume.array.dtype == np.dtype("=i2")
    assert volume.grid.spacing == (2, 2, 3)
    image.affine[:3, 3] = 7, 8, 9  # behind the header's back
    moved = from_nibabel(image)
    assert moved.grid.affine[:3, 3].tolist() == [7, 8, 9]
    assert to_nibabel(moved).affine[:3, 3].tolist() == [7, 8, 9]
    assert image.header.get_best_affine()[:3, 3].tolist() == [0, 0, 0]
    mgh = nib.MGHImage(np.ones((3, 4, 5), np.float32), affine)
    back = to_nibabel(from_nibabel(mgh))
    assert isinstance(back, nib.Nifti1Image)
    np.testing.assert_allclose(back.affine, affine, atol=1e-5)
    no_affine = from_nibabel(nib.Nifti1Image(np.ones((3, 4, 5), np.float32), None))
    assert no_affine.grid.spacing == (1, 1, 1)


def test_to_nibabel_applies_the_scaling_of_a_file(plain_header, voxels, put, tmp_path):
    plain_header["scl_slope"], plain_header["scl_inter"] = 0.5, -100
    path = put(tmp_path / "in.nii", plain_header, voxels(plain_header))
    np.testing.assert_array_equal(to_nibabel(read(path)).get_fdata(), nib.load(path).get_fdata())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (nib.Nifti1Image(np.ones((3, 3, 3), np.complex64), np.eye(4)), "holds complex64 values"),
        (
            nib.Nifti1Image(np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")]), np.eye(4)),
            "values, and only",
        ),
        (nib.Nifti1Image(np.ones(3, np.float32), np.eye(4)), "two to seven axes"),
        (nib.Nifti1Image(np.ones((3, 0, 3), np.float32), np.eye(4)), "none of them empty"),
        (
            nib.Nifti1Image(
                np.ones((3, 3, 3), np.float32),
                np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
            ),
            "not placed in space .*singular",
        ),
        (
            SpatialImage(np.ones((3, 3, 3), np.float16), np.eye(4)),
            "a type or an affine that NIfTI cannot hold",
        ),
        (nib.GiftiImage(), "has no voxels on a grid"),
        (nib.Spm99AnalyzeImage, "has no voxels on a grid"),
    ],
    ids=["complex", "rgb", "one axis", "empty", "singular", "type", "surface", "class"],
)
def test_images_that_are_none(image, message):
    with pytest.raises(VolumeError, match=message):
        from_nibabel(image)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_file_that_nibabel_cannot_read(plain_header, voxels, put, tmp_path, ending):
    path = put(tmp_path / f"in{ending}", plain_header, voxels(plain_header))
    image = nib.load(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(VolumeError, match=r"in\.nii.* is cut short or damaged"):
        from_nibabel(image)
