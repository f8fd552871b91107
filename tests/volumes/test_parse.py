"""Headers that say what cannot be or what cannot be upscaled."""

from __future__ import annotations

import re
import tempfile
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension

from espcn_core.errors import VolumeError
from espcn_core.volumes.nifti import read, write


@pytest.fixture
def spoilt(plain_header, tmp_path, capfd):
    """Writes the header with these changes and 10 kB of voxels; returns the message of the error."""

    def message(changes, header=plain_header, name="x.nii"):
        for field, value in changes.items():
            field, _, index = field.partition(".")
            if index:
                header[field][int(index)] = value
            else:
                header[field] = value
        path = tmp_path / name
        path.write_bytes(header.binaryblock + bytes(10000))
        with pytest.raises(VolumeError) as caught:
            read(path)
        assert capfd.readouterr() == ("", "")
        text = str(caught.value)
        assert text.startswith(str(path))
        assert "\n" not in text
        assert "; " in text
        return text

    return message


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"dim.0": 0}, "says 0 axes"),
        ({"dim.0": 8}, "says 8 axes"),
        ({"dim.0": -1}, "says -1 axes"),
        ({"dim.0": 1}, "is a row of 5 values"),
        ({"dim.2": 0}, r"says \(5, 0, 3\) voxels"),
        ({"dim.1": -5}, r"says \(-5, 4, 3\) voxels"),
        ({"dim.0": 4, "dim.4": 0}, r"says \(5, 4, 3, 0\) voxels"),
        ({"datatype": 128}, "holds colours \\(RGB\\)"),
        ({"datatype": 2304}, "holds colours \\(RGBA\\)"),
        ({"datatype": 32}, "holds complex numbers \\(complex64\\)"),
        ({"datatype": 1792}, "holds complex numbers \\(complex128\\)"),
        ({"datatype": 0}, "data type none, which cannot be read"),
        ({"datatype": 1}, "data type binary, which cannot be read"),
        ({"datatype": 17}, "unknown data type code 17"),
        ({"vox_offset": 0}, "cannot begin at byte 0"),
        ({"vox_offset": 348}, "cannot begin at byte 348"),
        ({"vox_offset": -1}, "cannot begin at byte -1"),
        ({"vox_offset": 352.5}, "cannot begin at byte 352.5"),
        ({"vox_offset": np.nan}, "cannot begin at byte nan"),
        ({"vox_offset": np.inf}, "cannot begin at byte inf"),
        ({"vox_offset": 1e9}, "claims 1 GB"),
        ({"sizeof_hdr": 0}, "is not a NIfTI image"),
        ({"magic": b""}, "is an ANALYZE image"),
        ({"magic": b"abc"}, "is an ANALYZE image \\(its magic is 'abc'\\)"),
        ({"magic": b"ni1"}, "magic ni1 of another kind of file; rename it to .hdr"),
        ({"srow_x": np.nan}, "affine is a finite"),
        ({"srow_z": 0}, "affine is singular"),
        ({"sform_code": 0, "qoffset_y": np.inf}, "affine is a finite"),
        ({"sform_code": 0, "quatern_b": 2}, "no rotation"),
        ({"sform_code": 0, "pixdim.2": np.nan}, "affine is a finite"),
        ({"scl_slope": 2, "scl_inter": np.inf}, "invalid intercept inf"),
    ],
)
def test_a_header_that_cannot_be(spoilt, changes, wanted):
    assert re.search(wanted, spoilt({"vox_offset": 352} | changes))


def test_a_header_that_belongs_to_a_single_file(spoilt, plain_header):
    assert "magic n+1 of another kind of file; rename it to .nii" in spoilt({}, plain_header, "x.hdr")


def test_nifti_2(spoilt):
    header = nib.Nifti2Header()
    header.set_data_shape((5, 4, 3))
    header["vox_offset"] = 544
    assert "changed by a transfer as text" in spoilt({"eol_check.1": 13}, header)
    assert "is not a NIfTI-2 image (its magic is 'n+1')" in spoilt({"magic": b"n+1"}, header)
    header["magic"], header["eol_check"] = b"n+2", 0
    assert "claims 6.085e+19 TB" in spoilt({"dim.1": 2**62, "dim.2": 2**40}, header)


@given(data=st.data(), changes=st.lists(st.tuples(st.integers(0, 560), st.binary(min_size=1, max_size=4))))
def test_any_damage_is_read_or_refused(headers, voxels, put, data, changes):
    """Bytes changed anywhere in the header: a volume that can go on, or one sentence."""
    header = data.draw(headers())
    ending = ".nii" if header.is_single else ".hdr"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")  # a user would see them
        path = put(Path(folder, "x" + ending), header, voxels(header))
        content = bytearray(path.read_bytes())
        for at, value in changes:
            content[at : at + len(value)] = value
        path.write_bytes(content)
        try:
            volume = read(path)
        except VolumeError as error:
            message = str(error)
        else:
            write(volume.on(volume.array.repeat(2, 0), volume.grid.finer((2, 1, 1))), path)
            np.testing.assert_array_equal(read(path).array, volume.array.repeat(2, 0))
            return
    assert message.startswith(str(path.with_suffix("")))
    assert "\n" not in message


@pytest.mark.parametrize(
    "content", [b"hello, this is a text\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(600), bytes(600)]
)
def test_other_files(tmp_path, content):
    path = tmp_path / "x.nii"
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"x\.nii is not a NIfTI image; convert it"):
        read(path)


def test_half_a_pair(plain_header, voxels, put, tmp_path):
    header = nib.nifti1.Nifti1PairHeader(plain_header.binaryblock, check=False)
    header["magic"], header["vox_offset"] = b"ni1", 0
    path = put(tmp_path / "x.hdr", header, voxels(header))
    body = path.with_suffix(".img")
    content = body.read_bytes()
    body.write_bytes(content[:-1])
    with pytest.raises(
        VolumeError, match=r"x\.img is cut short .* claims 120 bytes, and the file holds 119 bytes"
    ):
        read(path)
    body.write_bytes(b"")
    with pytest.raises(VolumeError, match=r"x\.img is empty"):
        read(path)
    body.unlink()
    with pytest.raises(VolumeError, match=r"x\.hdr lacks its other half x\.img; put it"):
        read(path)
    path.unlink()
    body.write_bytes(content)
    with pytest.raises(VolumeError, match=r"x\.hdr cannot be read: it does not exist"):
        read(body)


def test_no_scaling_is_one_and_zero(plain_header, voxels, put, tmp_path):
    for slope, inter in ((0, 5), (np.nan, np.nan), (np.inf, 1), (1, 0)):
        plain_header["scl_slope"], plain_header["scl_inter"] = slope, inter
        volume = read(put(tmp_path / "x.nii", plain_header, voxels(plain_header)))
        assert (volume.slope, volume.inter) == (1, 0)
        assert volume.header.binaryblock == plain_header.binaryblock


def extended(header, flag, block, tmp_path):
    header["vox_offset"] = 352 + len(block)
    path = tmp_path / "x.nii"
    path.write_bytes(header.binaryblock + flag + block + bytes(120))
    return path


def test_padding_is_no_extension(plain_header, tmp_path):
    assert read(extended(plain_header, bytes(4), b"?" * 48, tmp_path)).header.extensions == []
    comment = b"\x10\0\0\0\6\0\0\0comment\0"
    header = read(extended(plain_header, b"\1\0\0\0", comment + bytes(32), tmp_path)).header
    assert header.extensions == [Nifti1Extension("comment", b"comment\0")]


@pytest.mark.parametrize("size", [-16, 4, 64, 2**31 - 1])
def test_damaged_extension(plain_header, tmp_path, size):
    block = size.to_bytes(4, "little", signed=True) + bytes(28)
    with pytest.raises(VolumeError, match=r"x\.nii has a damaged header extension"):
        read(extended(plain_header, b"\1\0\0\0", block, tmp_path))
