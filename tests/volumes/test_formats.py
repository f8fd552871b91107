"""Any format to any other, and names."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid
from espcn_core.volumes import Volume, check_writable, is_volume, read, write
from espcn_core.volumes.formats import ending_of, format_of, parts_of

ENDINGS = (".nii.gz", ".nii", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".mgh.gz")
AFFINE = np.array([[0, -1.5, 0.2, 30], [1.2, 0, 0, -20], [0, 0.2, 1.5, 11], [0, 0, 0, 1]])  # left-handed


@pytest.fixture
def source(tmp_path):
    def make(shape=(5, 4, 3), dtype=np.int16, slope=1.0, inter=0.0):
        values = np.random.default_rng(4).integers(0, 100, shape).astype(dtype)
        image = nib.Nifti1Image(values, AFFINE)
        image.header.set_slope_inter(slope, inter)
        path = tmp_path / "source.nii"
        nib.save(image, path)
        return read(path)

    return make


@pytest.mark.parametrize("target", ENDINGS)
@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 3, 2)])
def test_from_any_format_to_any_the_voxels_stay_where_they_are(tmp_path, source, first, target, shape):
    volume = source(shape)
    write(volume, tmp_path / f"first{first}")
    between = read(tmp_path / f"first{first}")
    fine = between.on(np.repeat(between.array, 2, axis=0), between.grid.finer((2, 1, 1)))
    write(fine, tmp_path / f"second{target}")
    back = read(tmp_path / f"second{target}")
    assert (back.ndim, back.array.dtype) == (len(shape), np.int16)
    np.testing.assert_array_equal(back.array, np.repeat(volume.array, 2, axis=0))
    np.testing.assert_allclose(back.grid.corners(), Grid((5, 4, 3), AFFINE).corners(), atol=1e-4)


@pytest.mark.parametrize("target", [".nrrd", ".mha", ".mgz"])
def test_scaled_values_become_physical_where_there_is_no_scaling(tmp_path, source, target):
    volume = source(slope=0.25, inter=-3)
    write(volume, tmp_path / f"x{target}")
    back = read(tmp_path / f"x{target}")
    assert back.array.dtype == np.float32
    np.testing.assert_array_equal(back.array, volume.array * 0.25 - 3)
    volume = source(dtype=np.uint16, inter=-1024)
    write(volume, tmp_path / f"x{target}")
    back = read(tmp_path / f"x{target}")
    assert back.array.dtype == np.int16
    np.testing.assert_array_equal(back.array, volume.array.astype(int) - 1024)
    big = volume.on(volume.array + np.uint16(60000), volume.grid)
    write(big, tmp_path / f"x{target}")
    back = read(tmp_path / f"x{target}")
    assert back.array.dtype == np.int32
    np.testing.assert_array_equal(back.array, big.array.astype(int) - 1024)


def test_scaled_values_stay_as_they_are_in_nifti(tmp_path, source):
    volume = Volume(**{**vars(source()), "header": None, "slope": 0.25, "inter": -3.0})
    write(volume, tmp_path / "x.nii.gz")
    back = read(tmp_path / "x.nii.gz")
    assert (back.slope, back.inter) == (0.25, -3)
    np.testing.assert_array_equal(back.array, volume.array)
    image = nib.load(tmp_path / "x.nii.gz")
    assert (image.header["sform_code"], image.header["qform_code"]) == (1, 1)
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_a_slice_stays_a_slice(tmp_path):
    image = sitk.GetImageFromArray(np.arange(20, dtype=np.int16).reshape(4, 5))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    for name in ("b.nii", "c.nrrd", "d.mhd"):
        write(read(tmp_path / "a.mha"), tmp_path / name)
        back = read(tmp_path / name)
        assert back.ndim == 2
        np.testing.assert_array_equal(back.array[:, :, 0].T, sitk.GetArrayFromImage(image))
        with pytest.raises(VolumeError, match=f"{name} is a single slice"):
            back.check_on(back.grid.finer((1, 1, 2)))


def test_shear_reaches_nifti_alone(tmp_path):
    affine = np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    volume = Volume(np.zeros((3, 3, 3), np.int16), Grid((3, 3, 3), affine), None, 3)
    write(volume, tmp_path / "x.nii")
    image = nib.load(tmp_path / "x.nii")
    np.testing.assert_allclose(image.affine, affine, atol=1e-6)
    assert image.header["qform_code"] == 0
    write(volume, tmp_path / "x.nrrd")
    np.testing.assert_allclose(read(tmp_path / "x.nrrd").grid.affine, affine)
    for name in ("x.mha", "x.mgz"):
        with pytest.raises(VolumeError, match=rf"{name} cannot hold axes that are not at right angles"):
            write(volume, tmp_path / name)
        with pytest.raises(VolumeError, match="right angles"):
            check_writable(volume, (3, 3, 3), np.int16, tmp_path / name)


def test_what_a_format_cannot_hold_is_known_beforehand(source, tmp_path):
    volume = source()
    check_writable(volume, (5, 4, 3), np.int16, "x.mgz")
    with pytest.raises(VolumeError, match=r"x\.mgz cannot hold float64"):
        check_writable(volume, (5, 4, 3), np.float64, "x.mgz")
    with pytest.raises(VolumeError, match=r"x\.mha cannot hold float16"):
        check_writable(volume, (5, 4, 3), np.float16, "x.mha")
    with pytest.raises(VolumeError, match=r"would be a DICOM series, .* and \S*source\.nii is none"):
        check_writable(volume, (5, 4, 3), np.int16, tmp_path / "series")
    with pytest.raises(VolumeError, match="would be a DICOM series"):
        write(volume, tmp_path / "series")


@pytest.mark.parametrize(
    "name", ["a.nii", "A.NII.GZ", "a.b.hdr", "a.nrrd", "a.NHDR", "a.mha", "a.mhd", "a.mgh.gz"]
)
def test_names_of_volumes(name):
    assert is_volume(name)
    assert format_of(name) is not None


@pytest.mark.parametrize(
    "name", ["a.img", "a.raw", "a.gz", "nrrd", "a.zraw", "a.dcm", ".a.mha.0123abcd.espcn-part"]
)
def test_names_of_other_files(name):
    assert not is_volume(name)


def test_endings_and_parts(tmp_path):
    assert [ending_of(n) for n in ("a.Nii.gz", "a.mgh.gz", "a.gz")] == [".Nii.gz", ".mgh.gz", ""]
    assert {p.name for p in parts_of(tmp_path / "a.IMG")} == {"a.HDR", "a.IMG"}
    assert {p.name for p in parts_of(tmp_path / "a.nrrd")} == {"a.nrrd"}
    for name in ("a.nhdr", "a.mhd"):
        write(Volume(np.zeros((2, 2, 2), "u1"), Grid((2, 2, 2), np.eye(4)), None, 3), tmp_path / name)
        assert {p.name for p in tmp_path.iterdir()} <= {p.name for p in parts_of(tmp_path / name)}
        for path in tmp_path.iterdir():
            path.unlink()
