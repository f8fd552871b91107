"""Bad files: one sentence each, with the file's name, found out before anything large is allocated."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib

import nibabel as nib
import numpy as np
import pytest

from espcn_core.errors import VolumeError
from espcn_core.volumes import checks
from espcn_core.volumes.nifti import read


def refused(path, capfd):
    """The message of the error that reading this file raises, with little allocated and nothing printed."""
    tracemalloc.start()
    try:
        with pytest.raises(VolumeError) as caught:
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "; " in message  # what to do
    assert capfd.readouterr() == ("", "")
    return message.removeprefix(str(path))


@pytest.fixture
def good(plain_header, voxels, put, tmp_path):
    return put(tmp_path / "good.nii", plain_header, voxels(plain_header))


@pytest.fixture
def big(plain_header, put, tmp_path):
    """Compressible to a thousandth, 20 MB."""
    plain_header.set_data_shape((200, 200, 250))
    return put(tmp_path / "big.nii.gz", plain_header, np.zeros((200, 200, 250), np.int16))


def test_missing(tmp_path, capfd):
    for name in ("none.nii", "none.nii.gz", "none.hdr", "no/where.nii"):
        assert "it does not exist" in refused(tmp_path / name, capfd)


def test_dangling_link(tmp_path, capfd):
    (tmp_path / "link.nii").symlink_to("annexed")
    assert "is a link to annexed, which does not exist" in refused(tmp_path / "link.nii", capfd)


def test_folder_and_pipe(tmp_path, capfd):
    (tmp_path / "folder.nii").mkdir()
    assert "it is a folder" in refused(tmp_path / "folder.nii", capfd)
    os.mkfifo(tmp_path / "pipe.nii")
    assert "a device or a pipe" in refused(tmp_path / "pipe.nii", capfd)


def test_folder_that_is_a_file(good, capfd):
    assert "what should be its folder is a file" in refused(good / "x.nii", capfd)


def test_permission_denied(good, capfd, without_rights):
    with without_rights(good):
        assert "permission denied" in refused(good, capfd)


def test_disk_error(good, capfd, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(checks, "_check_signature", fail)
    assert "cannot be read: input/output error; check the disk" in refused(good, capfd)


@pytest.mark.parametrize("name", ["empty.nii", "empty.nii.gz", "empty.hdr"])
def test_empty(tmp_path, name, capfd):
    (tmp_path / name).touch()
    assert "is empty (0 bytes)" in refused(tmp_path / name, capfd)


def test_compressed_but_not_named_so(good, capfd, tmp_path):
    path = tmp_path / "x.nii"
    path.write_bytes(gzip.compress(good.read_bytes()))
    assert "rename it to x.nii.gz" in refused(path, capfd)


def test_named_compressed_but_not(good, capfd):
    path = good.rename(good.with_name("x.nii.gz"))
    assert "rename it to x.nii" in refused(path, capfd)


def test_uncompressed_file_cut_short(good, capfd):
    content = good.read_bytes()
    for length, wanted in (
        (1, "not a NIfTI image"),
        (2, "ends within its header"),
        (200, "ends within its header"),
        (348, "claims 472 bytes, and the file holds 348 bytes"),
        (471, "claims 472 bytes, and the file holds 471 bytes"),
    ):
        good.write_bytes(content[:length])
        assert wanted in refused(good, capfd)
    good.write_bytes(content + b"more")
    assert read(good).array.shape == (5, 4, 3)


def test_compressed_file_cut_short(put, plain_header, tmp_path, capfd):
    plain_header.set_data_shape((40, 40, 40))
    array = np.random.default_rng(0).integers(0, 99, (40, 40, 40))
    content = put(tmp_path / "x.nii.gz", plain_header, array).read_bytes()
    path = tmp_path / "cut.nii.gz"
    for length in (20, 200, len(content) // 2, len(content) // 2 + 1, len(content) - 9):
        path.write_bytes(content[:length])
        assert "cut short" in refused(path, capfd)
    # Cut before it was compressed.
    path.write_bytes(gzip.compress(gzip.decompress(content)[:-1]))
    assert "claims 128352 bytes, and the file holds 128351 bytes" in refused(path, capfd)
    path.write_bytes(gzip.compress(b""))
    assert "not a NIfTI image" in refused(path, capfd)


def test_a_trailer_that_promises_too_much(good, tmp_path, capfd):
    """Its last four bytes, which are looked at first, may be anything; what is read decides."""
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(good.read_bytes()[:-2])[:-4] + b"\xff\xff\xff\x7f")
    assert "damaged" in refused(path, capfd)
    stream = gzip.compress(good.read_bytes()[:-2]) + gzip.compress(b"")[:-4] + b"\xff\xff\xff\x7f"
    path.write_bytes(stream)
    assert "damaged" in refused(path, capfd)


def test_damaged_compressed_data(put, plain_header, tmp_path, capfd):
    plain_header.set_data_shape((40, 40, 40))
    array = np.random.default_rng(0).integers(0, 99, (40, 40, 40))
    path = put(tmp_path / "x.nii.gz", plain_header, array)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1  # the checksum
    path.write_bytes(content)
    assert "not valid (CRC check failed" in refused(path, capfd)
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert "damaged" in refused(path, capfd)
    path.write_bytes(b"\x1f\x8b\x07" + bytes(50))
    assert "damaged" in refused(path, capfd)


def test_any_damage_to_compressed_data_is_found(put, plain_header, tmp_path):
    plain_header.set_data_shape((20, 20, 20))
    rng = np.random.default_rng(0)
    array = rng.integers(0, 99, (20, 20, 20)).astype(np.int16)
    good = put(tmp_path / "x.nii.gz", plain_header, array).read_bytes()
    path = tmp_path / "y.nii.gz"
    refusals = 0
    for _ in range(300):
        content = bytearray(good)
        content[rng.integers(len(good))] = rng.integers(256)
        path.write_bytes(content)
        try:
            np.testing.assert_array_equal(read(path).array, array)
        except VolumeError:
            refusals += 1
    assert refusals > 290


def test_a_claim_beyond_what_the_file_can_hold(good, capfd, tmp_path):
    header = nib.Nifti1Header(good.read_bytes()[:348])
    header["dim"][1:4] = 30000
    rest = good.read_bytes()[348:]
    good.write_bytes(header.binaryblock + rest)
    assert "claims 54 TB, and the file holds 472 bytes" in refused(good, capfd)
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + rest))
    assert "claims 54 TB, and the file holds at most" in refused(path, capfd)
    header["dim"][1:4] = 40
    path.write_bytes(gzip.compress(header.binaryblock + rest))
    assert "claims 128352 bytes, and the file holds 472 bytes" in refused(path, capfd)


def test_a_claim_is_not_believed_for_a_bomb(big, capfd):
    """Zeros compress by a thousand, so the ratio proves nothing and the bytes are counted."""
    content = bytearray(gzip.decompress(big.read_bytes()))
    content[42:48] = np.array([200, 200, 251], "<i2").tobytes()
    big.write_bytes(gzip.compress(content))
    assert "claims 20.08 MB, and the file holds 20 MB" in refused(big, capfd)


def test_more_than_the_memory(big, capfd, monkeypatch):
    class Memory:
        available = 19_000_000

    monkeypatch.setattr(checks.psutil, "virtual_memory", Memory)
    assert "needs 20 MB of memory, and 19 MB are free" in refused(big, capfd)
    with pytest.raises(VolumeError, match=r"^out needs 2 TB of memory"):
        checks.check_memory(2 * 10**12, "out")
    checks.check_memory(19_000_000, "out")


def test_more_than_the_process_may_have(good, capfd, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(np, "empty", fail)
    assert "more memory than this process may have" in refused(good, capfd)


def test_a_file_that_shrinks_while_it_is_read(good, capfd, monkeypatch):
    monkeypatch.setattr(
        "espcn_core.volumes.nifti.check_claim", lambda *_: good.write_bytes(good.read_bytes()[:460])
    )
    assert "it has 108 of 120 bytes of voxels" in refused(good, capfd)


def test_files_over_four_gibibytes_are_judged_modulo(monkeypatch, tmp_path):
    """The trailer holds the size modulo 2^32."""
    path = tmp_path / "x.nii.gz"
    body = zlib.compress(bytes(2**20), 9)
    path.write_bytes(b"\x1f\x8b" + body * 5000 + (5).to_bytes(4, "little"))
    counted = []
    monkeypatch.setattr(checks, "_count", lambda *_: counted.append(1) or 0)
    checks.check_claim(path, 2**32 + 5)
    assert not counted
    with pytest.raises(VolumeError, match=r"claims 4\.295 GB"):
        checks.check_claim(path, 2**32 + 6)
    assert counted
