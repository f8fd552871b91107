"""Archives and HDF5 files that lie about sizes or lead elsewhere are refused."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from espcn_core.errors import DataError
from espcn_core.figshare import open_source
from espcn_core.figshare.archive import Archive
from espcn_core.figshare.mat import read_slice


def test_a_member_that_unpacks_to_more_than_it_claims_takes_no_memory(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.mat", bytes(60 << 20))
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", 60 << 20), struct.pack("<L", 100)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="CRC"):
            Archive(path).read("1.mat")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_without_a_bound_is_refused(tmp_path, method):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("1.mat", bytes(1000))
    with pytest.raises(DataError, match="compression"):
        Archive(path).read("1.mat")


def test_a_link_in_an_archive_and_a_way_out_of_it_lead_nowhere(tmp_path):
    (tmp_path / "secret.mat").write_bytes(b"secret")
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    link = zipfile.ZipInfo("1.mat")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, str(tmp_path / "secret.mat"))
        archive.writestr("../2.mat", b"not HDF5")
    with open_source(path) as source:
        for index in (1, 2):
            with pytest.raises(DataError, match="cannot be read") as caught:
                source.read(index)
            assert "secret" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "in", "secret.mat"]


def test_a_member_without_a_name_is_left_out(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", b"content")
    path.write_bytes(path.read_bytes().replace(b"x", b"\0"))
    assert Archive(path).members() == []


def test_a_member_of_a_name_with_a_line_break_is_named_in_one_line(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x\nforged line/1.mat", b"not HDF5")
    with open_source(path) as source, pytest.raises(DataError) as caught:
        source.read(1)
    assert str(caught.value).isprintable()


def image_file(path: Path, place: object) -> Path:
    with h5py.File(path, "w") as file:
        group = file.create_group("cjdata")
        group["tumorMask"], group["label"] = np.ones((4, 4), np.uint8), [[1.0]]
        group["PID"], group["tumorBorder"] = [[49]], [[0.0, 1.0]]
        if isinstance(place, h5py.ExternalLink):
            group["image"] = place
        elif isinstance(place, h5py.VirtualLayout):
            group.create_virtual_dataset("image", place)
        else:
            group.create_dataset("image", (4, 4), np.int16, external=place)
    return path


@pytest.mark.parametrize("kind", ["link", "bytes", "virtual"])
def test_a_file_that_shows_another_file_is_refused(tmp_path, kind):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["image"] = np.zeros((4, 4), np.int16)
    layout = h5py.VirtualLayout((4, 4), np.int16)
    layout[:] = h5py.VirtualSource(other, "image", (4, 4))
    places = {
        "link": h5py.ExternalLink(str(other), "image"),
        "bytes": [(str(other), 0, 32)],
        "virtual": layout,
    }
    path = image_file(tmp_path / "1.mat", places[kind])
    with pytest.raises(DataError, match=r"link to another place|lies in another file"):
        read_slice(path, "1.mat", 1)


def test_packed_tables_that_claim_too_much_are_refused(forms, tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(forms["packed"].read_bytes())
    with h5py.File(path, "r+") as file:
        del file["label"]
        file.create_dataset("label", (10**10,), np.uint8, chunks=(1000,))
    with pytest.raises(DataError, match="claims the shape"):
        open_source(path)


def test_packed_tables_of_different_lengths_are_refused(forms, tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(forms["packed"].read_bytes())
    with h5py.File(path, "r+") as file:
        del file["row"]
        file["row"] = np.zeros(2, np.int32)
    with pytest.raises(DataError, match="do not belong together"):
        open_source(path)
