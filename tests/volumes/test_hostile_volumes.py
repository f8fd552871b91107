"""Volumes made to fill memory or time, or to tell what their headers say: all refused in one sentence."""

from __future__ import annotations

import bz2
import gzip
import json
import struct
import zlib

import nibabel as nib
import numpy as np
import pytest

from espcn_core.errors import VolumeError
from espcn_core.volumes import read, read_slice_thickness
from espcn_core.volumes.dicom import extra

NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nspace: lps\nsizes: 2 2 2\n"
    "space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nencoding: {}\n{}\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = {}\nDimSize = 2 2 2\n"
    "ElementType = MET_SHORT\n{}ElementDataFile = {}\n"
)
BOMB = bytes(40 << 20)


def nifti(extension: bytes, voxels: bytes) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_shape((2, 2, 2))
    header.set_data_dtype(np.int16)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"] = 352 + len(extension)
    return header.binaryblock + b"\1\0\0\0" + extension + voxels


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.nii.gz", gzip.compress(nifti(b"", BOMB), 1)),
        ("a.nrrd", NRRD.format("gzip", "").encode() + gzip.compress(BOMB, 1)),
        ("a.nrrd", NRRD.format("bzip2", "").encode() + bz2.compress(BOMB)),
        ("a.mha", META.format("True", "", "LOCAL").encode() + zlib.compress(BOMB)),
    ],
)
def test_far_more_compressed_than_the_header_claims_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VolumeError, match="claims 16 bytes, and far more"):
        read(tmp_path / name)


def test_extensions_without_end_are_refused(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti(struct.pack("<2i", 8, 6) * 5000, bytes(16)))
    with pytest.raises(VolumeError, match="damaged header extension"):
        read(tmp_path / "a.nii")


def test_a_header_longer_than_any_is_refused(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti(bytes(17 << 20), bytes(16)))
    with pytest.raises(VolumeError, match="longer than 16777216 bytes"):
        read(tmp_path / "a.nii")


def test_lines_without_end_are_refused(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0005\n" + b"#\n" * 70_000)
    with pytest.raises(VolumeError, match="65536 lines"):
        read(tmp_path / "a.nrrd")


def test_skips_beyond_the_file_are_refused(tmp_path):
    (tmp_path / "b.raw").write_bytes(bytes(16))
    (tmp_path / "a.mhd").write_text(META.format("False", "HeaderSize = 1e30\n", "b.raw"))
    with pytest.raises(VolumeError, match="cut short"):
        read(tmp_path / "a.mhd")
    (tmp_path / "a.nrrd").write_bytes(NRRD.format("raw", "byte skip: 1e30\n").encode() + bytes(16))
    with pytest.raises(VolumeError, match="cut short"):
        read(tmp_path / "a.nrrd")
    (tmp_path / "a.nrrd").write_bytes(
        NRRD.format("gzip", "byte skip: 1e9\n").encode() + gzip.compress(bytes(16))
    )
    with pytest.raises(VolumeError, match="byte skip"):
        read(tmp_path / "a.nrrd")


def test_a_thickness_that_is_text_is_not_repeated(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"SliceThickness": "Doe^John"}))
    thickness, note = read_slice_thickness(tmp_path / "a.nii")
    assert thickness is None
    assert "Doe" not in note


def dicom(syntax: bytes, body: bytes) -> bytes:
    uid = syntax.ljust(len(syntax) + len(syntax) % 2, b"\0")
    meta = struct.pack("<2H2sH", 2, 0x10, b"UI", len(uid)) + uid
    return bytes(128) + b"DICM" + struct.pack("<2H2sHL", 2, 0, b"UL", 4, len(meta)) + meta + body


@pytest.mark.parametrize(
    "content",
    [
        dicom(b"1.2.840.10008.1.2.1", bytes(16 << 20)),  # elements without end
        dicom(b"1.2.840.10008.1.2.1.99", zlib.compress(BOMB, 9)[2:-4]),  # one that unfolds
        dicom(b"1.2.840.10008.1.2.1", struct.pack("<2H2s2xL", 9, 1, b"OB", 0xFFFFFFF0)),  # a huge element
    ],
)
def test_dicom_that_would_fill_time_or_memory_is_refused(tmp_path, monkeypatch, content):
    pytest.importorskip("pydicom")
    sizes = []

    def counted(file, size=-1):
        sizes.append(len(got := read_bounded(file, size)))
        return got

    read_bounded = extra._Bounded.read
    monkeypatch.setattr(extra._Bounded, "read", counted)
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(VolumeError):
        read(tmp_path / "a.dcm")
    assert len(sizes) < 2**20 + 100
    assert sum(sizes) < 2**26


def test_an_unknown_transfer_syntax_is_not_given_to_a_decoder(tmp_path, monkeypatch):
    pydicom = pytest.importorskip("pydicom")
    sitk = pytest.importorskip("SimpleITK")
    from espcn_core.volumes.dicom.pixels import stored

    def never(*_):
        raise AssertionError("it was")

    monkeypatch.setattr(sitk, "ImageFileReader", never)
    data = pydicom.Dataset()
    data.Rows = data.Columns = 2
    data.BitsAllocated, data.PixelRepresentation, data.SamplesPerPixel = 16, 0, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = pydicom.encaps.encapsulate([bytes(8)])
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.77"
    with pytest.raises(VolumeError, match="cannot be read"):
        stored(data, tmp_path / "a.dcm")
