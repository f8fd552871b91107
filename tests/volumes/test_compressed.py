"""Compressed files: any standard reader takes them, and neither threads nor pieces change their bytes."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import threading
import time
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from espcn_core.errors import CancelledError, VolumeError
from espcn_core.volumes import compressed
from espcn_core.volumes.compressed import BLOCK, compressor, decompressor
from espcn_core.volumes.nifti import read, write

SAMPLE = Path(__file__).parents[2] / "resources" / "sample_t1ce.nii.gz"


def packed(data, threads=2, piece=1 << 20):
    file = io.BytesIO()
    with compressor(file, threads) as stream:
        for start in range(0, len(data), piece):
            assert stream.write(data[start : start + piece]) == len(data[start : start + piece])
    return file.getvalue()


def like_voxels(size, seed=0):
    """Bytes that compress to about a half, as voxels do."""
    return np.random.default_rng(seed).normal(100, 8, size).astype(np.uint8).tobytes()


def unpacked_by_zlib(content):
    """As zlib's gzread goes through a file: in small pieces, one member after the other."""
    result, stream = b"", zlib.decompressobj(31)
    for start in range(0, len(content), 4096):
        result += stream.decompress(content[start : start + 4096])
        assert not stream.unused_data
    assert stream.eof
    return result


SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 5 * BLOCK + 12345]


@pytest.mark.parametrize("size", SIZES)
def test_every_reader_gives_the_bytes_back(size):
    data = like_voxels(size)
    content = packed(data)
    assert gzip.decompress(content) == data
    assert unpacked_by_zlib(content) == data
    with decompressor(io.BytesIO(content)) as stream:
        assert stream.read() == data


@pytest.mark.parametrize("kind", ["zeros", "noise", "ramp"])
def test_the_extremes_come_back(kind):
    size = 3 * BLOCK + 7
    data = {
        "zeros": bytes(size),
        "noise": np.random.default_rng(0).bytes(size),
        "ramp": np.arange(size // 4 + 1, dtype="<u4").tobytes()[:size],
    }[kind]
    content = packed(data)
    assert gzip.decompress(content) == data
    assert len(content) < 1.01 * size


@given(pieces=st.lists(st.integers(0, 3 * BLOCK), max_size=6), threads=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_neither_threads_nor_pieces_change_the_bytes(pieces, threads):
    data = like_voxels(sum(pieces))
    file = io.BytesIO()
    with compressor(file, threads) as stream:
        for end, piece in zip(np.cumsum(pieces), pieces, strict=True):
            stream.write(data[end - piece : end])
    assert file.getvalue() == packed(data, threads=1)


def test_the_number_of_cores_changes_no_byte(monkeypatch):
    data = like_voxels(6 * BLOCK)
    contents = set()
    for cores in (1, 2, 64):
        monkeypatch.setattr(compressed, "usable_cores", lambda n=cores: n)
        contents.add(packed(data, threads=None))
    assert len(contents) == 1
    assert contents.pop()[:10] == b"\x1f\x8b\x08" + bytes(6) + b"\xff"  # no name, no time


def test_a_block_looks_back_into_the_one_before():
    noise = np.random.default_rng(0).bytes(1 << 12)
    one, two = (len(packed(noise * (n * BLOCK >> 12))) for n in (1, 2))
    assert one > 1 << 12
    assert two - one < 1 << 12  # the noise is there once


def test_the_blocks_that_are_held_are_few(monkeypatch):
    """Whoever writes waits for the compression, and goes on while it lasts."""
    started, finished = [], []

    def slow(*_):
        started.append(threading.current_thread())
        time.sleep(0.02)
        finished.append(1)
        return b""

    monkeypatch.setattr(compressed, "_deflate", slow)
    ahead = []
    with compressor(io.BytesIO(), 2) as stream:
        for done in range(1, 11):
            stream.write(bytes(BLOCK))
            ahead.append(done - len(finished))
        assert 1 <= max(ahead) <= 3
    assert len(finished) == 11
    assert started.count(threading.main_thread()) == 1  # what is left over at the end


class Broken(io.BytesIO):
    """A disk that is full after some bytes."""

    def write(self, data):
        if self.tell() > 100_000:
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_what_fails_is_raised_where_it_is_written():
    threads = threading.active_count()
    with pytest.raises(OSError, match="No space left"), compressor(Broken(), 2) as stream:
        stream.write(like_voxels(20 * BLOCK))
    assert threading.active_count() == threads


def test_an_error_in_a_thread_is_raised(monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(compressed, "_deflate", fail)
    threads = threading.active_count()
    with pytest.raises(MemoryError):
        packed(bytes(10 * BLOCK))
    assert threading.active_count() == threads


@pytest.fixture
def large(plain_header, put, tmp_path):
    """A volume of many blocks, read back from what was written."""
    shape = (100, 90, 80)
    plain_header.set_data_shape(shape)
    array = np.random.default_rng(0).normal(500, 60, shape).astype(np.int16)
    return read(put(tmp_path / "in.nii.gz", plain_header, array))


def test_nibabel_itk_and_gzip_read_what_is_written(large, tmp_path):
    path = tmp_path / "out.nii.gz"
    write(large, path)
    np.testing.assert_array_equal(read(path).array, large.array)
    np.testing.assert_array_equal(np.asarray(nib.load(path).dataobj), large.array)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T, large.array)
    if shutil.which("gzip"):
        assert subprocess.run(["gzip", "--test", path], check=False).returncode == 0
    write(large, tmp_path / "out.nii")
    plain = (tmp_path / "out.nii").read_bytes()
    assert gzip.decompress(path.read_bytes()) == unpacked_by_zlib(path.read_bytes()) == plain


def test_one_slice_of_many_is_read_by_nibabel(large, tmp_path):
    """It seeks in the compressed stream."""
    write(large, tmp_path / "out.nii.gz")
    slicer = nib.load(tmp_path / "out.nii.gz").dataobj
    for k in (70, 3):
        np.testing.assert_array_equal(slicer[..., k], large.array[..., k])


@pytest.mark.parametrize("factor", [1, 2])
def test_a_real_file_is_at_most_five_percent_larger_than_nibabels(tmp_path, factor):
    volume = read(SAMPLE)
    if factor > 1:  # smooth between the voxels, as a finer volume is
        image = sitk.GetImageFromArray(volume.array.T)
        image = sitk.Expand(image, (factor, factor, 1), sitk.sitkBSpline)
        fine = sitk.GetArrayFromImage(image).T.astype(volume.array.dtype)
        volume = volume.on(fine, volume.grid.finer((factor, factor, 1)))
    write(volume, tmp_path / "ours.nii.gz")
    write(volume, tmp_path / "plain.nii")
    nib.save(nib.load(tmp_path / "plain.nii"), tmp_path / "theirs.nii.gz")
    ours, theirs = ((tmp_path / name).stat().st_size for name in ("ours.nii.gz", "theirs.nii.gz"))
    assert ours < 1.05 * theirs


def test_cancel_in_the_middle_leaves_no_file_and_no_thread(large, tmp_path):
    threads = threading.active_count()
    with pytest.raises(CancelledError):
        write(large, tmp_path / "out.nii.gz", lambda done, total: done < total / 2)
    assert {p.name for p in tmp_path.iterdir()} == {"in.nii.gz"}
    assert threading.active_count() == threads


def test_an_error_in_the_middle_leaves_no_file(large, tmp_path, monkeypatch):
    def fail(block, before, end, calls=[], whole=compressed._deflate):  # noqa: B006
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return whole(block, before, end)

    monkeypatch.setattr(compressed, "_deflate", fail)
    with pytest.raises(VolumeError, match="cannot be written: no space left on device; check the disk"):
        write(large, tmp_path / "out.nii.gz")
    assert {p.name for p in tmp_path.iterdir()} == {"in.nii.gz"}


def test_truncated_and_damaged_files_are_refused(large, tmp_path):
    path = tmp_path / "out.nii.gz"
    write(large, path)
    content = path.read_bytes()
    for length in (len(content) // 3, len(content) - 9, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(VolumeError, match="is cut short: its compressed data end too early; copy it"):
            read(path)
    rng = np.random.default_rng(0)
    for place in rng.integers(10, len(content), 40):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with pytest.raises(VolumeError, match=r"copy (it|or export it) again"):
            read(path)


def test_refused_or_not_is_as_with_zlib():
    """Whatever byte is changed or missing, in any member: what gzip refuses is refused, and nothing else."""
    data = like_voxels(20_000)
    content = gzip.compress(data[:9000]) + gzip.compress(data[9000:]) + bytes(8)
    rng = np.random.default_rng(0)

    def outcome(opener, content):
        try:
            with opener(io.BytesIO(content)) as stream:
                return stream.read()
        except (*compressed.DAMAGE, EOFError):
            return None

    for number in range(3000):
        damaged = bytearray(content)
        damaged[rng.integers(30 if number % 3 else len(content))] = rng.integers(256)
        damaged = damaged[: rng.integers(len(content))] if number % 5 == 0 else damaged
        assert outcome(decompressor, damaged) == outcome(lambda file: gzip.GzipFile(fileobj=file), damaged)
