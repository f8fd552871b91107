"""From the same file, the command line and the module make the same volume at the same place."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest

RIGHT_HANDED = {
    "RAS": np.diag([0.9, 0.9, 2.7, 1.0]),
    "LPS": np.diag([-0.9, -0.9, 2.7, 1.0]),
    "oblique": [[-0.7, 0.05, 0.1, 8], [0.05, -0.7, 0.3, -9], [0.03, 0.2, 2.1, 4], [0, 0, 0, 1]],
    "sagittal": [[0, 0, 2.7, -5], [0.9, 0, 0, 3], [0, 0.9, 0, 7], [0, 0, 0, 1]],
}

LEFT_HANDED = {
    "LAS": np.diag([-0.9, 0.9, 2.7, 1.0]),
    "oblique": [[-0.7, 0.05, 0.1, 8], [0.05, 0.7, 0.3, -9], [0.03, -0.2, 2.1, 4], [0, 0, 0, 1]],
    "sagittal": [[0, 0, 2.7, -5], [0.9, 0, 0, 3], [0, -0.9, 0, 7], [0, 0, 0, 1]],
}

TARGETS = {"x2": ("--scale 2", {"scale": 2}), "isotropic": ("--isotropic", {"spacing": "isotropic"})}


def orthogonal(affine):
    """The affine without the shear of its rounded numbers."""
    affine = np.array(affine, float)
    u, _, v = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    affine[:3, :3] = u @ v * np.round(np.linalg.norm(affine[:3, :3], axis=0), 1)
    return affine


@pytest.fixture
def pair(logic, tmp_path, monkeypatch):
    """The same file made finer by the command line and by the module, both read by nibabel."""
    import nibabel
    import slicer

    from espcn_core.cli import main

    def make(array, affine, options, asked):
        given, theirs, ours = (tmp_path / f"{name}.nii.gz" for name in ("given", "cli", "slicer"))
        nibabel.save(nibabel.Nifti1Image(array, affine), given)
        arguments = ["espcn-core", "upscale", given, "-o", theirs, *options.split(), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", list(map(str, arguments)))
        with contextlib.suppress(SystemExit):
            main()
        made = logic.upscale(slicer.util.loadVolume(str(given)), device="cpu", **asked)
        assert slicer.util.saveNode(made, str(ours))
        return nibabel.load(theirs), nibabel.load(ours)

    return make


def pattern(dtype):
    i, j, k = np.meshgrid(np.arange(9), np.arange(8), np.arange(5), indexing="ij")
    values = 500 + 200 * np.sin(0.9 * i + 0.4 * k) + 150 * np.cos(0.7 * j - 0.5 * k) + 20 * i
    return values.astype(dtype)


def both(function):
    """For whole and for real numbers, at two targets."""
    function = pytest.mark.parametrize(("options", "asked"), TARGETS.values(), ids=TARGETS)(function)
    return pytest.mark.parametrize("dtype", [np.int16, np.float32])(function)


def places(image):
    """The indices of the voxels of an image, shape (N, 3), and their places in the world."""
    index = np.indices(image.shape).reshape(3, -1).T
    return index, index @ image.affine[:3, :3].T + image.affine[:3, 3]


def at(image, world):
    """The indices of an image's voxels at places in the world; no place may lie between two voxels."""
    back = np.linalg.inv(image.affine)
    index = world @ back[:3, :3].T + back[:3, 3]
    assert np.abs(index - np.rint(index)).max() < 1e-4
    return np.rint(index).astype(int)


@both
@pytest.mark.parametrize("affine", RIGHT_HANDED.values(), ids=RIGHT_HANDED)
def test_both_doors_lead_to_the_same_volume(affine, options, asked, dtype, pair):
    theirs, ours = pair(pattern(dtype), orthogonal(affine), options, asked)
    assert ours.get_data_dtype() == theirs.get_data_dtype() == dtype
    np.testing.assert_allclose(ours.affine, theirs.affine, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))


@both
@pytest.mark.parametrize("affine", LEFT_HANDED.values(), ids=LEFT_HANDED)
def test_a_left_handed_file_too_is_the_same_in_the_world(
    affine, options, asked, dtype, pair, ship, plain_weights
):
    """Slicer counts its slices from the other end."""
    ship(plain_weights)
    theirs, ours = pair(pattern(dtype), orthogonal(affine), options, asked)
    assert ours.get_data_dtype() == theirs.get_data_dtype() == dtype
    assert ours.shape == theirs.shape
    assert np.linalg.det(ours.affine) > 0 > np.linalg.det(theirs.affine)
    index, world = places(theirs)
    found, expected = (
        np.asarray(image.dataobj)[tuple(where.T)].astype(float)
        for image, where in ((ours, at(ours, world)), (theirs, index))
    )
    tolerance = 1 if dtype == np.int16 else 0.01  # sums are taken in another order
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    assert np.ptp(expected) > 500
