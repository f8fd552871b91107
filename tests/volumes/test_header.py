from __future__ import annotations

import io
import logging

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid, finer_affine
from espcn_core.volumes.header import best_affine, check_axes, file_header, header_on, typed_header

COMPUTED = {
    "dim", "pixdim", "srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z",
    "slice_start", "slice_end", "slice_code", "slice_duration", "cal_min", "cal_max",
}  # fmt: skip

factors = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
ratios = st.tuples(*3 * [st.sampled_from([1.0, 1.4, 5.56, 3.0])])


def finer_header(header, factor):
    """The header for whole factors; where its grid lies does not matter, for `header_on` compares two."""
    grid = Grid((*header.get_data_shape(), 1)[:3], np.diag([0.9, 0.8, 5, 1]))
    return header_on(header, grid, grid.finer(factor))


def corners(shape, affine):
    return Grid((*shape, 1)[:3], affine).corners()


@given(data=st.data(), factor=factors)
def test_every_field_follows_the_policy(headers, data, factor):
    old = data.draw(headers())
    ndim = int(old["dim"][0])
    factor = factor if ndim > 2 else (*factor[:2], 1)
    before = old.binaryblock
    new = finer_header(old, factor)
    assert old.binaryblock == before
    assert type(new) is type(old)
    assert new.endianness == old.endianness
    for name in old.keys():
        if name not in COMPUTED:
            assert new[name].tobytes() == old[name].tobytes(), name
    r = np.array(factor)
    assert new["dim"][1:4].tolist() == (old["dim"][1:4] * r).tolist()
    assert new["pixdim"][1:4] == pytest.approx(old["pixdim"][1:4] / r, rel=1e-6)
    for name, kept in (("dim", slice(4, None)), ("pixdim", slice(4, None)), ("dim", 0), ("pixdim", 0)):
        assert new[name][kept].tobytes() == old[name][kept].tobytes()
    for name in ("slice_start", "slice_end", "slice_code", "slice_duration", "cal_min", "cal_max"):
        assert new[name] == 0
    tolerance = {"rtol": 1e-6, "atol": 1e-4} if old.sizeof_hdr == 348 else {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(new.get_sform(), finer_affine(old.get_sform(), factor), **tolerance)
    np.testing.assert_allclose(new.get_qform(), finer_affine(old.get_qform(), factor), **tolerance)
    assert [e.content for e in new.extensions] == [e.content for e in old.extensions]


@given(data=st.data(), factor=factors)
def test_each_transform_keeps_its_own_field_of_view(headers, data, factor):
    old = data.draw(headers())
    shape = old.get_data_shape()
    factor = factor if len(shape) > 2 else (*factor[:2], 1)
    new = finer_header(old, factor)
    fine = new.get_data_shape()
    for affine in ("get_sform", "get_qform", "get_best_affine", "get_base_affine"):
        np.testing.assert_allclose(
            corners(fine, getattr(new, affine)()), corners(shape, getattr(old, affine)()), atol=1e-3
        )


@given(data=st.data(), factor=factors)
def test_whole_factors_give_the_very_bits_of_division(headers, data, factor):
    """However the affines of the two grids are rounded."""
    old = data.draw(headers())
    shape = (*old.get_data_shape(), 1)[:3]
    factor = factor if int(old["dim"][0]) > 2 else (*factor[:2], 1)
    grid = Grid(shape, best_affine(old))
    close = grid.finer(factor)
    rounded = Grid(close.shape, np.diag([1 + 1e-13, 1 - 1e-13, 1, 1]) @ close.affine)
    new = header_on(old, grid, rounded)
    expected = old.copy()
    for axis, r in enumerate(factor, start=1):
        if r > 1:
            expected["dim"][axis] *= r
            expected["pixdim"][axis] /= r
    rows = finer_affine(old.get_sform(), factor)
    for name, row in zip(("srow_x", "srow_y", "srow_z"), rows, strict=False):
        expected[name] = row
    offset = finer_affine(old.get_qform(), factor)[:3, 3]
    for name, value in zip(("qoffset_x", "qoffset_y", "qoffset_z"), offset, strict=True):
        expected[name] = value
    for name in ("slice_start", "slice_end", "slice_code", "slice_duration", "cal_min", "cal_max"):
        expected[name] = 0
    assert new.binaryblock == expected.binaryblock


@given(data=st.data(), ratio=ratios)
def test_a_broken_ratio_moves_each_transform_by_the_same_step(headers, data, ratio):
    old = data.draw(headers())
    shape = (*old.get_data_shape(), 1)[:3]
    ratio = np.where(np.array(shape) > 1, ratio, 1.0)
    grid = Grid(shape, best_affine(old))
    target = grid.respaced(grid.spacing / ratio)
    new = header_on(old, grid, target)
    assert (*new.get_data_shape(), 1)[:3] == target.shape
    for name in old.keys():
        if name not in COMPUTED:
            assert new[name].tobytes() == old[name].tobytes(), name
    assert new["pixdim"][1:4] == pytest.approx(old["pixdim"][1:4] / ratio, rel=1e-6)
    middle, fine_middle = (np.append((np.array(n) - 1) / 2, 1) for n in (shape, target.shape))
    for name in ("get_sform", "get_qform", "get_best_affine"):
        affine, moved = (getattr(header, name)() for header in (old, new))
        np.testing.assert_allclose(moved[:3, :3] * ratio, affine[:3, :3], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(moved @ fine_middle, affine @ middle, rtol=0, atol=1e-3)
    np.testing.assert_allclose(best_affine(new), target.affine, rtol=1e-6, atol=1e-3)


def test_without_codes_the_volume_stays_centred_where_it_was(plain_header):
    plain_header["sform_code"] = plain_header["qform_code"] = 0
    plain_header["pixdim"][1:4] = 0.7, 1.1, 5
    new = finer_header(plain_header, (2, 3, 4))
    assert (new["sform_code"], new["qform_code"]) == (0, 0)
    np.testing.assert_allclose(
        corners((10, 12, 12), best_affine(new)), corners((5, 4, 3), best_affine(plain_header)), atol=1e-5
    )


def test_what_readers_repair_is_computed_with_and_stays_in_the_file(plain_header, capfd):
    """A qfac and a pixdim of 0 are common and mean 1; an unknown code means 0."""
    raw = plain_header
    raw["sform_code"], raw["qform_code"] = 0, 1
    raw["pixdim"][:4] = 0, 1, 0, 2
    new = finer_header(raw, (1, 2, 1))
    assert new["pixdim"][:4].tolist() == [0, 1, 0.5, 2]
    np.testing.assert_allclose(
        corners((5, 8, 3), best_affine(new)), corners((5, 4, 3), best_affine(raw)), atol=1e-5
    )
    raw["sform_code"] = 9
    assert finer_header(raw, (1, 2, 1))["sform_code"] == 9
    assert capfd.readouterr() == ("", "")
    assert not logging.Logger.manager.loggerDict.get("silent")


def test_transforms_that_are_none_are_left_alone(plain_header):
    plain_header["quatern_b"] = 3
    plain_header["srow_x"] = np.nan
    new = finer_header(plain_header, (2, 2, 2))
    for name in ("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"):
        assert new[name].tobytes() == plain_header[name].tobytes()
    plain_header["sform_code"] = 0
    with pytest.raises(ValueError, match="no rotation"):
        best_affine(plain_header)
    plain_header["quatern_b"] = np.nan
    new = finer_header(plain_header, (2, 2, 2))
    assert new["qoffset_x"].tobytes() == plain_header["qoffset_x"].tobytes()


def test_an_empty_sform_stays_empty(plain_header):
    for name in ("srow_x", "srow_y", "srow_z"):
        plain_header[name] = 0
    plain_header["sform_code"] = 0
    new = finer_header(plain_header, (2, 3, 4))
    assert all(new[name].tobytes() == bytes(16) for name in ("srow_x", "srow_y", "srow_z"))


def test_a_factor_of_one_changes_no_bit_but_the_cleared_fields(plain_header):
    assert finer_header(plain_header, (1, 1, 1)).binaryblock == plain_header.binaryblock


def test_nifti_1_has_a_longest_axis(plain_header):
    check_axes(plain_header, (32767, 4, 3))
    with pytest.raises(VolumeError, match=r"head\.nii would get 40000 voxels along axis 2, .* allows 32767"):
        check_axes(plain_header, (5, 40000, 3), "head.nii")
    header = nib.Nifti2Header()
    header.set_data_shape((20000, 2, 2))
    assert finer_header(header, (4, 1, 1))["dim"][1] == 80000


def test_another_type_changes_the_type_alone(plain_header):
    same = typed_header(plain_header, ">i2")
    assert same.binaryblock == plain_header.binaryblock
    new = typed_header(plain_header, np.float32)
    assert (new["datatype"], new["bitpix"]) == (16, 32)
    new["datatype"], new["bitpix"] = plain_header["datatype"], plain_header["bitpix"]
    assert new.binaryblock == plain_header.binaryblock
    with pytest.raises(VolumeError, match="float16"):
        typed_header(plain_header, np.float16)


@given(data=st.data())
def test_single_and_pair_differ_in_magic_and_offset_alone(headers, data):
    old = data.draw(headers())
    for single in (True, False):
        new = file_header(old, single)
        assert new.is_single == single
        assert new.endianness == old.endianness
        assert new["magic"] == (b"n+" if single else b"ni") + (b"1" if old.sizeof_hdr == 348 else b"2")
        file = io.BytesIO()
        new.write_to(file)
        if single:
            assert file.tell() == int(new["vox_offset"])
        for name in old.keys():
            if name not in ("magic", "vox_offset"):
                assert new[name].tobytes() == old[name].tobytes(), name
