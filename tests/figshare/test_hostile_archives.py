"""Archives and HDF5 files that lie about sizes or lead elsewhere are refused."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
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


def test_a_member_whose_own_name_is_no_text_is_refused(tmp_path):
    """The name in the list of members is one, that in front of the bytes is not."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("\u00e91.mat", b"content")
    content = path.read_bytes()
    path.write_bytes(content.replace("\u00e9".encode(), b"\xc3\xc3", 1))
    archive = Archive(path)
    with pytest.raises(DataError, match=r"1\.mat cannot be read \(.*codec"):
        archive.read(archive.members()[0])


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


def changed(forms, path: Path, name: str, **how) -> Path:
    """The packed file with one data set made otherwise."""
    path.write_bytes(forms["packed"].read_bytes())
    with h5py.File(path, "r+") as file:
        how.setdefault("data", file[name][()])
        del file[name]
        file.create_dataset(name, **how)
    return path


@pytest.mark.parametrize(
    "how",
    [
        {"dtype": h5py.string_dtype()},
        {"data": np.zeros(12, np.int64), "dtype": h5py.ref_dtype},
        {"data": np.zeros(12, [("a", "S3")])},
        {"data": np.zeros(12, "V8")},
        {"data": np.zeros(12, "S1001")},
        {"chunks": (4,)},
        {"chunks": (4,), "compression": "gzip"},
    ],
    ids=["variable length", "references", "compound", "opaque", "long", "chunks", "filter"],
)
def test_texts_of_another_kind_are_refused_before_one_is_read(forms, tmp_path, monkeypatch, how):
    if how.get("dtype") == h5py.ref_dtype:
        how = {"data": None, "shape": (12,), "dtype": h5py.ref_dtype}
    path = changed(forms, tmp_path / "x.h5", "patient", **how)
    read, seen = h5py.Dataset.__getitem__, []
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda d, *a: seen.append(d.name) or read(d, *a))
    with pytest.raises(DataError, match=r"x\.h5 cannot be read \(patient .*\): pack it again"):
        open_source(path)
    assert "/patient" not in seen


def test_a_packed_file_of_before_is_refused_before_its_texts_are_read(forms, tmp_path, monkeypatch):
    path = tmp_path / "x.h5"
    path.write_bytes(forms["packed"].read_bytes())
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = "espcn-core figshare 2"  # of variable length
    monkeypatch.setattr(h5py.AttributeManager, "__getitem__", None)
    with pytest.raises(DataError, match=r"old version: give the folder of the \.mat files, or pack it again"):
        open_source(path)


@pytest.mark.parametrize(
    ("name", "how", "says"),
    [
        ("image", {"chunks": (1, 512, 512), "compression": "gzip"}, "packed otherwise"),
        ("mask", {"chunks": (1, 512 * 64), "compression": "lzf"}, "packed otherwise"),
        ("mask", {"chunks": (2, 512 * 64), "compression": "gzip"}, "claims the shape"),
        (
            "mask",
            {"data": np.zeros((10, 9), np.uint8), "chunks": (1, 9), "compression": "gzip"},
            "not as large",
        ),
    ],
)
def test_packed_images_of_another_layout_are_refused(forms, tmp_path, name, how, says):
    with open_source(changed(forms, tmp_path / "x.h5", f"512x512/{name}", **how)) as source:
        with pytest.raises(DataError, match=says):
            source.read(57)


def test_a_mask_that_unpacks_to_more_than_its_size_takes_no_memory(forms, tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(forms["packed"].read_bytes())
    bomb = zlib.compress(bytes(24 << 20), 9)
    with h5py.File(path, "r+") as file:
        file["512x512/mask"].id.write_direct_chunk((0, 0), bomb)
    assert len(bomb) < 512 * 64
    with open_source(path) as source:
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match="the mask has 32769 bytes, not 32768"):
                source.read(57)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()


def test_a_chunk_that_unpacks_to_more_than_it_holds_is_not_unpacked(tmp_path):
    """HDF5 itself would make 200 MB of this file of 0.2 MB."""
    path = image_file(tmp_path / "1.mat", None)
    with h5py.File(path, "r+") as file:
        del file["cjdata/tumorMask"]
        mask = file.create_dataset(
            "cjdata/tumorMask", (512, 512), np.uint8, chunks=(512, 512), compression="gzip"
        )
        mask.id.write_direct_chunk((0, 0), zlib.compress(bytes(200 << 20), 9))
    code = (
        "import resource, sys; from pathlib import Path; from espcn_core.figshare.mat import read_slice\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_slice(Path(sys.argv[1]), '1.mat', 1)\n"
        "except ValueError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "1.mat cannot be read (a chunk unpacks to more than" in said.stdout
    assert said.stdout.endswith("True\n")


def test_chunks_as_matlab_packs_them_are_read(tmp_path):
    path = image_file(tmp_path / "1.mat", None)
    mask = np.arange(16).reshape(4, 4) % 2
    with h5py.File(path, "r+") as file:
        del file["cjdata/tumorMask"]
        file.create_dataset("cjdata/tumorMask", data=mask.astype(np.uint8), chunks=(3, 3), compression=3)
    assert np.array_equal(read_slice(path, "1.mat", 1).mask, mask.T == 1)


def test_a_field_of_another_filter_is_refused(tmp_path):
    path = image_file(tmp_path / "1.mat", None)
    with h5py.File(path, "r+") as file:
        del file["cjdata/tumorMask"]
        file.create_dataset(
            "cjdata/tumorMask", data=np.ones((4, 4), np.uint8), chunks=(4, 4), compression="lzf"
        )
    with pytest.raises(DataError, match="packed otherwise than MATLAB does it"):
        read_slice(path, "1.mat", 1)
