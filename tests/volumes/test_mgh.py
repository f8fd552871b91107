from __future__ import annotations

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espcn_core.errors import CancelledError, VolumeError
from espcn_core.grid import Grid
from espcn_core.volumes import read, write
from espcn_core.volumes.mgh import MghHeader

ENDINGS = (".mgz", ".mgh", ".mgh.gz")
TYPES = ("uint8", "int16", "uint16", "int32", "float32")


def enlarged(array, factor):
    return np.kron(array, np.ones((*factor, *(1 for _ in array.shape[3:])), array.dtype))


def finer(volume, factor):
    return volume.on(enlarged(volume.array, factor), volume.grid.finer(factor))


def made(path, seed=0, shape=(5, 4, 3), dtype="int16", affine=None):
    """A file as nibabel writes it; oblique, as often as not left-handed."""
    rng = np.random.default_rng(seed)
    if affine is None:
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.choice([-1, 1], 3)
        affine[:3, :3] *= rng.uniform(0.3, 5, 3)
        affine[:3, 3] = rng.uniform(-100, 100, 3)
    image = nib.MGHImage(rng.uniform(0, 120, shape).astype(dtype), affine)
    image.header["tr"], image.header["te"], image.header["dof"] = 2300, 2.98, 7
    plain = path.with_name("plain.mgh")
    nib.save(image, plain)
    content = plain.read_bytes() + b"\x00\x00\x00\x03tags\n"
    plain.unlink()
    if path.name != "plain.mgh" and path.suffix != ".mgh":
        import gzip

        content = gzip.compress(content)
    path.write_bytes(content)
    return image


def nibabel_of(path):
    """nibabel knows .mgz and .mgh."""
    path = path.rename(path.with_suffix("").with_suffix(".mgz")) if path.name.endswith(".mgh.gz") else path
    return nib.load(path)


@given(
    seed=st.integers(0, 2**32 - 1),
    ending=st.sampled_from(ENDINGS),
    target=st.sampled_from([*ENDINGS, ".nii.gz", ".hdr"]),
    dtype=st.sampled_from(TYPES),
    shape=st.sampled_from([(5, 4, 3), (1, 7, 2), (3, 4, 2, 3)]),
)
@settings(max_examples=100)
def test_nibabel_sees_the_same_field_of_view_and_values(seed, ending, target, dtype, shape):
    factor = (2, 3, 1) if seed % 2 else (1, 2, 4)
    with tempfile.TemporaryDirectory() as folder:
        path, fine = Path(folder, "in" + ending), Path(folder, "out" + target)
        image = made(path, seed, shape, dtype)
        volume = read(path)
        assert volume.array.dtype == np.dtype(dtype)
        assert volume.array.dtype.isnative
        np.testing.assert_array_equal(volume.array, np.asarray(image.dataobj))
        write(finer(volume, factor), fine)
        back = nibabel_of(fine)
        old = Grid(image.shape[:3], image.affine).corners()
        np.testing.assert_allclose(Grid(back.shape[:3], back.affine).corners(), old, atol=1e-4)
        np.testing.assert_array_equal(np.asarray(back.dataobj), enlarged(volume.array, factor))
        assert back.get_data_dtype().newbyteorder("=") == np.dtype(dtype)


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_follows_the_voxels_is_kept_bit_for_bit(tmp_path, ending):
    made(tmp_path / f"in{ending}")
    volume = read(tmp_path / f"in{ending}")
    assert volume.header.dof == 7
    assert volume.header.footer.endswith(b"tags\n")
    write(finer(volume, (2, 2, 1)), tmp_path / f"out{ending}")
    assert read(tmp_path / f"out{ending}").header == volume.header
    if ending != ".mgh.gz":
        assert nib.load(tmp_path / f"out{ending}").header["tr"] == 2300


def test_a_file_that_says_no_place_has_that_of_the_format(tmp_path):
    made(tmp_path / "in.mgh", affine=np.diag([3.0, 3, 3, 1]))
    content = bytearray((tmp_path / "in.mgh").read_bytes())
    content[28:30] = bytes(2)
    (tmp_path / "in.mgh").write_bytes(content)
    # Coronal as in FreeSurfer: left, inferior, anterior. (nibabel 5.4 takes the transpose.)
    coronal = [[-1, 0, 0, 2.5], [0, 0, 1, -1.5], [0, -1, 0, 2], [0, 0, 0, 1]]
    np.testing.assert_array_equal(read(tmp_path / "in.mgh").grid.affine, coronal)


def test_scaled_values_and_types_that_the_format_does_not_have(tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.eye(4), header)
    image.header.set_slope_inter(0.5, 3)
    nib.save(image, tmp_path / "in.nii")
    volume = read(tmp_path / "in.nii")
    volume = volume.on(volume.array.astype(np.int32), volume.grid)
    write(volume, tmp_path / "out.mgz")
    back = nib.load(tmp_path / "out.mgz")
    assert back.get_data_dtype().newbyteorder("=") == np.float32
    np.testing.assert_array_equal(np.asarray(back.dataobj), volume.array * volume.slope + volume.inter)
    with pytest.raises(
        VolumeError, match=r"x\.mgz cannot hold float64, only uint8, int16, uint16, int32 and"
    ):
        write(volume.on(np.zeros((5, 4, 3)), volume.grid, physical=True), tmp_path / "x.mgz")
    nib.save(nib.Nifti1Image(np.zeros((3, 3, 2, 2, 2), np.int16), np.eye(4)), tmp_path / "five.nii")
    with pytest.raises(VolumeError, match=r"x\.mgz cannot hold 5 axes"):
        write(read(tmp_path / "five.nii"), tmp_path / "x.mgz")
    assert not (tmp_path / "x.mgz").exists()


def test_progress_and_cancel(tmp_path, monkeypatch):
    made(tmp_path / "in.mgz")
    volume = read(tmp_path / "in.mgz")
    assert isinstance(volume.header, MghHeader)
    monkeypatch.setattr("espcn_core.volumes.raw.CHUNK", 50)
    with pytest.raises(CancelledError, match="stopped after 50 of 60 voxels"):
        write(volume, tmp_path / "out.mgz", lambda done, total: done < 50)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mgz"]


FAULTS = {
    "version": (0, b"\0\0\0\x02", "is not an MGH image"),
    "no size": (4, bytes(4), "damaged header: it says"),
    "huge": (4, b"\x7f\xff\xff\xff" * 2, "the header claims"),
    "type": (20, b"\0\0\0\x02", "has the data type code 2"),
    "singular": (30, bytes(4), "its axes do not span space"),
    "not finite": (30, b"\x7f\xc0\0\0", "an affine is a finite 4 x 4 matrix"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_header_is_one_sentence(tmp_path, fault):
    made(tmp_path / "in.mgh")
    at, value, says = FAULTS[fault]
    content = bytearray((tmp_path / "in.mgh").read_bytes())
    content[at : at + len(value)] = value
    (tmp_path / "in.mgh").write_bytes(content)
    with pytest.raises(VolumeError, match=r"^[^\n]*in\.mgh[^\n]*$") as caught:
        read(tmp_path / "in.mgh")
    assert says in str(caught.value)


@pytest.mark.parametrize("size", [3, 280, 300])
def test_a_file_that_is_cut_short(tmp_path, size):
    made(tmp_path / "in.mgz")
    made(tmp_path / "in.mgh")
    for name in ("in.mgh", "in.mgz"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: size if name == "in.mgh" else size // 3])
        with pytest.raises(VolumeError, match=r"cut short|not gzip-compressed"):
            read(path)


def test_a_name_that_says_the_wrong_compression(tmp_path):
    made(tmp_path / "a.mgh")
    (tmp_path / "a.mgh").rename(tmp_path / "b.mgz")
    with pytest.raises(VolumeError, match=r"b\.mgz is not gzip-compressed, .* rename it to b\.mgh"):
        read(tmp_path / "b.mgz")
