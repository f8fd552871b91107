"""The slices that an export looks at."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from espcn_core.errors import DataError, RequestError, VolumeError
from espcn_core.export.slices import calibration_pairs, slices_of
from espcn_core.figshare import open_source, split
from espcn_core.grid import Grid
from espcn_core.models.cards import Card

TRAINED = {"held_out_fold": 5, "config": {"shrink": 4}}


def save(path, shape):
    values = np.random.default_rng(shape[2]).uniform(0, 900, shape).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, 5.0, 1.0])), path)
    return path


def card(**training):
    return Card("m", "espcn-r", (2, 2), "area", training=training)


def test_patients_that_are_measured_are_not_those_of_the_calibration(figshare_dir):
    known, others = calibration_pairs(figshare_dir, card())
    assert known
    assert others
    source = open_source(figshare_dir)
    patients = source.patients()
    whose = {spread(source.read(index).image): patients[index] for index in source.indices}
    assert len(whose) == len(known) + len(others) == 12
    known_people, other_people = ({whose[spread(pair.fine)] for pair in half} for half in (known, others))
    assert len(known_people) == len(other_people) == 3
    assert not known_people & other_people


def spread(image):
    """Tells slices apart, whatever their range was mapped to."""
    return round(float(image.std() / np.ptp(image)), 4)


def test_pairs_are_in_the_range_of_the_networks_and_made_by_the_cards_degradation(figshare_dir):
    known, others = calibration_pairs(figshare_dir, card(**TRAINED))
    assert len(known) + len(others) == len(split(open_source(figshare_dir), 5).validation)
    for pair in (*known, *others):
        assert pair.fine.shape == (128, 128)
        assert pair.coarse.dtype == pair.fine.dtype == np.float32
        assert (pair.coarse.min(), pair.coarse.max()) == (0, 1)
        mean = pair.fine.reshape(64, 2, 64, 2).mean((1, 3))
        np.testing.assert_allclose(pair.coarse, mean, atol=1e-5)


def test_one_volume_is_parted_in_the_middle(tmp_path):
    path = save(tmp_path / "head.nii.gz", (32, 34, 5))
    known, others = calibration_pairs(path, card())
    values = nib.load(path).get_fdata()
    assert (len(known), len(others)) == (2, 3)
    for number, pair in enumerate((*known, *others)):
        fine = values[:, :, number]
        assert np.corrcoef(pair.fine.ravel(), fine.ravel())[0, 1] == pytest.approx(1)


def test_every_other_volume_is_measured(tmp_path):
    for name, slices in (("a", 2), ("b", 3), ("c", 4)):
        save(tmp_path / f"{name}.nii", (32, 32, slices))
    known, others = calibration_pairs(tmp_path, card())
    assert (len(known), len(others)) == (6, 3)


def test_what_cannot_be_calibrated_is_refused(tmp_path):
    one = save(tmp_path / "one.nii", (32, 32, 1))
    with pytest.raises(DataError, match="has one slice, and calibration needs others"):
        calibration_pairs(one, card())
    with pytest.raises(RequestError, match="m has scale 1x4: leave out --int8"):
        calibration_pairs(one, Card("m", "espcn-r", (1, 4), "gaussian"))
    with pytest.raises(DataError):
        calibration_pairs(tmp_path / "none", card())


def test_slices_of_a_plane_are_spread_over_the_volume_in_the_networks_range():
    array = np.arange(40)[None, None] * np.ones((8, 9, 1))
    slices = list(slices_of(array, Grid(array.shape, np.diag([1, 1, 5, 1.0])), "espcn-r-x2", (2, 2)))
    assert [image.shape for image in slices] == [(8, 9)] * 16
    levels = [float(image.mean()) * 39 for image in slices]
    np.testing.assert_allclose(np.diff(levels), 2.5, atol=0.51)


def test_slices_of_both_planes_have_the_thick_axis_along_their_rows():
    array = np.random.default_rng(0).normal(size=(30, 20, 7))
    for axis in range(3):
        turned = np.moveaxis(array, 2, axis)
        spacing = np.ones(4)
        spacing[axis] = 4
        grid = Grid(turned.shape, np.diag(spacing))
        slices = list(slices_of(turned, grid, "espcn-r-through-x4", (1, 4)))
        assert len(slices) == 32
        assert all(image.shape[1] == 7 for image in slices)


def test_values_that_are_no_numbers_are_refused():
    array = np.ones((8, 8, 3), complex)
    with pytest.raises(VolumeError, match="values of type complex128 are no slices"):
        list(slices_of(array, Grid(array.shape, np.eye(4)), "espcn-r-x2", (2, 2)))
