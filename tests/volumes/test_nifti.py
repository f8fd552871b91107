from __future__ import annotations

import gzip
import resource
import tempfile
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from espcn_core.errors import CancelledError, VolumeError
from espcn_core.grid import Grid
from espcn_core.volumes import checks
from espcn_core.volumes.nifti import is_volume, read, write

ENDINGS = st.sampled_from([".nii", ".nii.gz", ".hdr"])


def enlarged(array, factor):
    return np.kron(array, np.ones((*factor, *(1 for _ in array.shape[3:])), array.dtype))


def kind_for(header, ending):
    """The drawn header in the kind that the ending asks for."""
    single = ending != ".hdr"
    if header.is_single == single:
        return header
    kinds = {348: (nib.nifti1.Nifti1PairHeader, nib.Nifti1Header)}
    kinds[540] = (nib.nifti2.Nifti2PairHeader, nib.Nifti2Header)
    kind = kinds[header.sizeof_hdr][single]
    new = kind(header.binaryblock, header.endianness, check=False, extensions=header.extensions)
    new["magic"] = kind.single_magic if single else kind.pair_magic
    return new


def corners(path):
    image = nib.load(path)
    return Grid((*image.shape, 1)[:3], image.affine).corners()


def itk_corners(path):
    """The corners of the field of view as ITK sees them, in its own (LPS) world."""
    image = sitk.ReadImage(str(path))
    ends = [(-0.5, n - 0.5) for n in image.GetSize()]
    grid = np.array(np.meshgrid(*ends)).reshape(len(ends), -1).T
    return np.array([image.TransformContinuousIndexToPhysicalPoint(p) for p in grid.tolist()])


@given(data=st.data(), ending=ENDINGS, target=ENDINGS)
def test_from_file_to_finer_file_only_the_policy_changes(headers, voxels, put, data, ending, target):
    header = kind_for(data.draw(headers()), ending)
    array = voxels(header)
    factor = (
        (2, 3, 1) if array.shape[2] == 1 else data.draw(st.sampled_from([(2, 2, 1), (1, 3, 2), (4, 1, 1)]))
    )
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder, "in" + ending), header, array)
        fine_path = Path(folder, "out" + target)
        volume = read(path)
        assert volume.array.dtype == array.dtype
        assert volume.array.dtype.isnative
        assert volume.ndim == header["dim"][0]
        np.testing.assert_array_equal(volume.array, array)
        fine = volume.on(enlarged(array, factor), volume.grid.finer(factor))
        write(fine, fine_path)
        back = read(fine_path)
        np.testing.assert_array_equal(back.array, fine.array)
        # What was written reads back bit for bit, so `test_header` holds for files as well.
        expected = kind_for(fine.header, target)
        expected["vox_offset"] = back.header["vox_offset"]
        assert back.header.binaryblock == expected.binaryblock
        assert [(e.get_code(), e.content) for e in back.header.extensions] == [
            (e.get_code(), e.content) for e in header.extensions
        ]
        assert (back.slope, back.inter, back.ndim) == (volume.slope, volume.inter, volume.ndim)
        np.testing.assert_allclose(back.grid.corners(), volume.grid.corners(), atol=1e-3)
        # nibabel agrees, its scaling and its shape included.
        np.testing.assert_allclose(corners(fine_path), corners(path), atol=1e-3)
        coarse_image, fine_image = nib.load(path), nib.load(fine_path)
        physical = np.asarray(coarse_image.dataobj).reshape(array.shape)
        np.testing.assert_array_equal(
            np.asarray(fine_image.dataobj).reshape(fine.array.shape), enlarged(physical, factor)
        )
        assert len(fine_image.shape) == len(coarse_image.shape)


@settings(max_examples=60)
@given(data=st.data(), ending=ENDINGS)
def test_itk_sees_the_same_field_of_view(headers, voxels, put, data, ending):
    header = kind_for(data.draw(headers(itk=True)), ending)
    # ITK holds no int64 in NIfTI, and without codes it puts the first voxel, not the middle, at the origin.
    assume(header["sform_code"] or header["qform_code"])
    assume(header["dim"][0] > 2)  # and a 2-D image it cannot hold obliquely
    header["xyzt_units"] = 10
    header["intent_code"] = 0
    if header["dim"][0] > 4:
        header["dim"][0] = 4
    header.set_data_dtype(np.int16)
    header["scl_slope"], header["scl_inter"] = 1, 0
    array = voxels(header)
    factor = (2, 3, 1) if array.shape[2] == 1 else (3, 1, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder, "in" + ending), header, array)
        fine_path = Path(folder, "out" + ending)
        volume = read(path)
        write(volume.on(enlarged(array, factor), volume.grid.finer(factor)), fine_path)
        np.testing.assert_allclose(itk_corners(fine_path), itk_corners(path), atol=1e-3)
        fine = sitk.GetArrayFromImage(sitk.ReadImage(str(fine_path)))
        coarse = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
        reach = np.ones((1,) * max(0, coarse.ndim - 3) + factor[::-1][-min(3, coarse.ndim) :], np.int16)
        np.testing.assert_array_equal(fine, np.kron(coarse, reach))


def test_itk_sees_the_same_slice(tmp_path):
    image = sitk.GetImageFromArray(np.arange(20, dtype=np.int16).reshape(4, 5))
    image.SetSpacing((2, 3))
    image.SetOrigin((5, -6))
    image.SetDirection((0.6, -0.8, 0.8, 0.6))
    sitk.WriteImage(image, str(tmp_path / "in.nii"))
    volume = read(tmp_path / "in.nii")
    write(volume.on(enlarged(volume.array, (3, 2, 1)), volume.grid.finer((3, 2, 1))), tmp_path / "out.nii")
    assert sitk.ReadImage(str(tmp_path / "out.nii")).GetSize() == (15, 8)
    np.testing.assert_allclose(itk_corners(tmp_path / "out.nii"), itk_corners(tmp_path / "in.nii"), atol=1e-3)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".hdr"])
def test_the_same_volume_gives_the_same_bytes(plain_header, voxels, put, tmp_path, ending):
    volume = read(put(tmp_path / "in.nii", plain_header, voxels(plain_header)))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(volume, tmp_path / folder / f"x{ending}")
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) == (2 if ending == ".hdr" else 1)
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    if ending == ".nii.gz":
        assert files[0].read_bytes()[3:8] == bytes(5)  # no name, no time


@given(
    order=st.permutations(range(4)),
    flip=st.tuples(*[st.booleans()] * 4),
    shape=st.tuples(*[st.integers(1, 40)] * 4),
    step=st.integers(1, 2),
)
@settings(max_examples=40)
def test_any_memory_layout_is_written_first_axis_fastest(put, order, flip, shape, step):
    array = np.arange(np.prod(shape), dtype=np.int32).reshape(shape).transpose(order)
    array = array[tuple(slice(None, None, -step if f else step) for f in flip)]
    header = nib.Nifti1Header(endianness=">")
    header.set_data_shape(array.shape)
    header.set_data_dtype(np.int32)
    header.set_sform(np.eye(4), code=1)
    with tempfile.TemporaryDirectory() as folder:
        volume = read(put(Path(folder, "in.nii"), header, array))
        write(volume.on(array, volume.grid), Path(folder, "out.nii"))
        assert Path(folder, "out.nii").read_bytes()[352:] == array.astype(">i4").tobytes("F")


def test_a_file_in_upper_case_and_a_pair_by_either_name(plain_header, voxels, put, tmp_path):
    array = voxels(plain_header)
    put(tmp_path / "x.nii.gz", plain_header, array).rename(tmp_path / "X.NII.GZ")
    np.testing.assert_array_equal(read(tmp_path / "X.NII.GZ").array, array)
    write(read(tmp_path / "X.NII.GZ"), tmp_path / "Y.HDR")
    assert {p.name for p in tmp_path.iterdir()} == {"X.NII.GZ", "Y.HDR", "Y.IMG"}
    for name in ("Y.HDR", "Y.IMG"):
        np.testing.assert_array_equal(read(str(tmp_path / name)).array, array)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ", "a.b.Nii", "a.hdr", "folder/a.HDR"])
def test_names_of_volumes(name):
    assert is_volume(name)


@pytest.mark.parametrize(
    "name", ["a.img", "a.gz", "a.nrrd", "nii", "a.nii.txt", ".a.nii.0123abcd.espcn-part"]
)
def test_names_of_other_files(name):
    assert not is_volume(name)


def test_physical_values_reset_the_scaling(plain_header, voxels, put, tmp_path):
    plain_header["scl_slope"], plain_header["scl_inter"] = 0.5, -100
    volume = read(put(tmp_path / "in.nii", plain_header, voxels(plain_header)))
    assert (volume.slope, volume.inter) == (0.5, -100)
    physical = volume.array.astype(np.float32) * 0.5 - 100
    write(volume.on(physical, volume.grid, physical=True), tmp_path / "out.nii")
    image = nib.load(tmp_path / "out.nii")
    assert image.get_data_dtype() == np.float32
    assert (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    np.testing.assert_array_equal(np.asarray(image.dataobj), physical)
    # Stored values of another type keep the scaling.
    write(volume.on(volume.array.astype(np.float32), volume.grid), tmp_path / "out.nii")
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "out.nii").dataobj), physical)


def test_several_gzip_members_are_one_file(plain_header, voxels, put, tmp_path):
    array = voxels(plain_header)
    content = put(tmp_path / "x.nii", plain_header, array).read_bytes()
    (tmp_path / "y.nii.gz").write_bytes(
        gzip.compress(content[:400]) + gzip.compress(content[400:]) + bytes(8)
    )
    np.testing.assert_array_equal(read(tmp_path / "y.nii.gz").array, array)


def test_memory_is_one_copy_to_read_and_none_to_write(plain_header, put, tmp_path):
    plain_header.set_data_shape((256, 256, 100))
    array = np.asfortranarray(np.random.default_rng(0).integers(0, 50, (256, 256, 100)).astype(np.int16))
    path = put(tmp_path / "in.nii.gz", plain_header, array)
    tracemalloc.start()
    try:
        volume = read(path)
        assert tracemalloc.get_traced_memory()[1] < 1.05 * array.nbytes + 6e6
        tracemalloc.reset_peak()
        held = tracemalloc.get_traced_memory()[0]
        write(volume, tmp_path / "out.nii.gz")
        assert tracemalloc.get_traced_memory()[1] - held < 6e6
    finally:
        tracemalloc.stop()
    assert volume.array.flags.f_contiguous
    nib.save(nib.load(path), tmp_path / "nibabel.nii.gz")
    ours, theirs = ((tmp_path / name).stat().st_size for name in ("out.nii.gz", "nibabel.nii.gz"))
    assert ours < 1.05 * theirs


@pytest.fixture
def volume(plain_header, voxels, put, tmp_path):
    return read(put(tmp_path / "in.nii", plain_header, voxels(plain_header)))


def test_a_name_that_is_no_nifti_is_refused(volume, tmp_path):
    with pytest.raises(VolumeError, match=r"out\.mha has no name of a NIfTI file"):
        write(volume, tmp_path / "out.mha")


def test_where_nothing_can_be_written(volume, tmp_path):
    with pytest.raises(
        VolumeError, match=r"missing/out\.nii cannot be written: there is no folder .*missing"
    ):
        write(volume, tmp_path / "missing" / "out.nii")
    with pytest.raises(
        VolumeError, match=r"in\.nii/out\.nii cannot be written: what should be its folder is a file"
    ):
        write(volume, tmp_path / "in.nii" / "out.nii")
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(VolumeError, match=r"folder\.nii cannot be written: it is a folder"):
        write(volume, tmp_path / "folder.nii")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".hdr"])
def test_progress_and_cancel(volume, tmp_path, monkeypatch, ending):
    monkeypatch.setattr("espcn_core.volumes.raw.CHUNK", 50)
    steps = []
    write(volume, tmp_path / f"a{ending}", lambda done, total: steps.append((done, total)))
    assert steps == [(25, 60), (50, 60), (60, 60)]
    with pytest.raises(CancelledError, match="stopped after 50 of 60 voxels"):
        write(volume, tmp_path / f"b{ending}", lambda done, total: done < 50)
    assert not [p for p in tmp_path.iterdir() if "b" in p.name or p.suffix == ".espcn-part"]


def test_a_read_only_folder(volume, tmp_path, without_rights):
    with (
        without_rights(tmp_path),
        pytest.raises(VolumeError, match=r"out\.nii cannot be written: permission denied"),
    ):
        write(volume, tmp_path / "out.nii")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".hdr"])
def test_a_full_disk_leaves_what_was_there(volume, tmp_path, ending):
    target = tmp_path / f"out{ending}"
    write(volume, target)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # no file may be longer than that
    try:
        with pytest.raises(VolumeError, match="cannot be written: file too large; check the disk"):
            write(volume, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    after = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert {k: v for k, v in after.items() if k != "out.hdr"} == {
        k: v for k, v in before.items() if k != "out.hdr"
    }


def test_more_than_the_memory_is_refused(volume, tmp_path, monkeypatch):
    class Memory:
        available = 300

    monkeypatch.setattr(checks.psutil, "virtual_memory", Memory)
    with pytest.raises(VolumeError, match=r"in\.nii needs 472 bytes of memory, and 300 bytes are free"):
        read(tmp_path / "in.nii")
