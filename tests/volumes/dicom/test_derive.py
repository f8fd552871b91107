"""Derived series: what is new, what is kept, and what ITK, dcmtk and dicom3tools say of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from espcn_core.errors import CancelledError, VolumeError
from espcn_core.volumes import read, write

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")


def enlarged(array, factor):
    return np.kron(array, np.ones(factor, array.dtype))


def finer(volume, factor):
    return volume.on(enlarged(volume.array, factor), volume.grid.finer(factor))


def images(folder):
    """By their place along the third axis."""
    data = [pydicom.dcmread(f) for f in sorted(Path(folder).iterdir())]
    return sorted(data, key=lambda d: float(np.dot(d.ImagePositionPatient, normal(d))))


def normal(data):
    row, column = np.reshape([float(v) for v in data.ImageOrientationPatient], (2, 3))
    return np.cross(row, column)


@pytest.fixture
def derived(make_series, tmp_path):
    """Writes a series, derives another one and returns the images of both."""

    def make(
        factor=(2, 2, 1), *, anonymise=False, change=lambda volume: volume, spoil=lambda d, k: None, **how
    ):
        make_series(tmp_path / "s", change=spoil, **how)
        volume = change(finer(read(tmp_path / "s"), factor))
        write(volume, tmp_path / "out", anonymise=anonymise)
        return images(tmp_path / "s"), images(tmp_path / "out")

    return make


@pytest.mark.parametrize("seed", [None, 3, 4, 5])
@pytest.mark.parametrize("factor", [(2, 2, 1), (1, 1, 5), (3, 2, 2)])
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_the_field_of_view_and_the_values_stay(
    derived, tmp_path, seed, factor, modality, itk_corners, itk_read
):
    dtype = np.uint16 if modality == "CT" else np.int16
    derived(factor, seed=seed, modality=modality, dtype=dtype)
    old, new = itk_read(tmp_path / "s"), itk_read(tmp_path / "out")
    np.testing.assert_allclose(itk_corners(new), itk_corners(old), atol=1e-4)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(new).T, enlarged(sitk.GetArrayFromImage(old).T, factor)
    )
    again, before = read(tmp_path / "out"), read(tmp_path / "s")
    np.testing.assert_array_equal(again.array, enlarged(before.array, factor))
    assert (again.slope, again.inter, again.array.dtype) == (before.slope, before.inter, dtype)
    np.testing.assert_allclose(again.grid.corners(), before.grid.corners(), atol=1e-4)


def test_what_is_new_and_what_is_kept(derived):
    old, new = derived((2, 2, 1))
    assert len(old) == len(new) == 5
    assert len({d.SOPInstanceUID for d in old + new}) == 10
    (series,) = {d.SeriesInstanceUID for d in new}
    assert series != old[0].SeriesInstanceUID
    for before, after in zip(old, new, strict=True):
        assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
        assert after.ImageType == ["DERIVED", "SECONDARY", "M"]
        assert after.SeriesDescription == "T1 axial x2"
        assert after.SeriesNumber == before.SeriesNumber + 1000
        assert "2 x 2 x 1 pixels per pixel" in after.DerivationDescription
        assert after.DerivationCodeSequence[0].CodeValue == "113085"
        (reference,) = after.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == before.SOPInstanceUID
        assert reference.ReferencedSOPClassUID == before.SOPClassUID
        assert (after.Rows, after.Columns) == (12, 14)
        np.testing.assert_allclose([float(v) for v in after.PixelSpacing], (0.4, 0.35))
        assert float(after.SpacingBetweenSlices) == pytest.approx(2.5)
        assert after.InstanceNumber == before.InstanceNumber
        changed = {
            "SOPInstanceUID", "SeriesInstanceUID", "ImageType", "SeriesDescription", "SeriesNumber", "Rows",
            "Columns", "PixelSpacing", "ImagePositionPatient", "PixelData",
        }  # fmt: skip
        for element in before:
            if element.keyword not in changed | {"ImageOrientationPatient", "SliceLocation"}:
                assert after[element.tag].value == element.value, element.keyword
        added = {e.keyword for e in after} - {e.keyword for e in before}
        assert added == {
            "DerivationDescription", "DerivationCodeSequence", "SourceImageSequence", "SpacingBetweenSlices",
            "ContributingEquipmentSequence",
        }  # fmt: skip
        assert after.PatientName == "Müller^A"


def test_new_slices_refer_to_those_around_them(derived):
    old, new = derived((1, 1, 2))
    uids = [d.SOPInstanceUID for d in old]
    around = [[r.ReferencedSOPInstanceUID for r in d.SourceImageSequence] for d in new]
    # New slice k lies at old slice k / 2 - 1 / 4.
    assert around[0] == [uids[0]]
    assert around[1] == around[2] == uids[0:2]
    assert around[3] == around[4] == uids[1:3]
    assert around[9] == [uids[4]]
    assert [d.AcquisitionTime for d in new[:4]] == [old[0].AcquisitionTime] * 2 + [old[1].AcquisitionTime] * 2
    assert {float(d.SliceThickness) for d in new} == {1.25}
    assert {d.SeriesDescription for d in new} == {"T1 axial x1x1x2"}
    assert [d.InstanceNumber for d in new] == list(range(1, 11))
    locations = [float(d.SliceLocation) for d in new]
    np.testing.assert_allclose(np.diff(locations), -1.25)
    assert np.mean(locations) == pytest.approx(np.mean([float(d.SliceLocation) for d in old]))


def test_numbers_run_as_those_of_the_sources(derived):
    _, new = derived((1, 1, 2), apart=-2.5)
    assert [d.InstanceNumber for d in new] == list(range(10, 0, -1))


def test_private_and_pixel_bound_elements_go(derived):
    def load(data, k):
        data.private_block(0x0029, "VENDOR", create=True).add_new(1, "LO", "secret")
        item = pydicom.Dataset()
        item.private_block(0x0029, "VENDOR", create=True).add_new(1, "LO", "secret")
        item.CodeMeaning = "kept"
        data.ProcedureCodeSequence = [item]
        data.add_new(0x60003000, "OW", bytes(8))
        data.SmallestImagePixelValue, data.InstanceCreationDate = 3, "20200102"
        data.PixelPaddingValue = -50

    _, new = derived(spoil=load)
    for data in new:
        assert not [e for e in data.iterall() if e.tag.is_private or e.tag >> 24 == 0x60]
        assert data.ProcedureCodeSequence[0].CodeMeaning == "kept"
        assert "SmallestImagePixelValue" not in data
        assert "InstanceCreationDate" not in data
        assert data.PixelPaddingValue == -50


def test_the_same_call_gives_the_same_bytes_and_another_other_uids(make_series, tmp_path):
    make_series(tmp_path / "s")
    volume = finer(read(tmp_path / "s"), (2, 2, 1))
    for name in ("a", "b"):
        write(volume, tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == [f"{k:04d}.dcm" for k in range(1, 6)]
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    array = volume.array.copy()
    array[3, 3, 3] += 1
    write(volume.on(array, volume.grid), tmp_path / "c")
    write(volume, tmp_path / "d", anonymise=True)
    make_series(tmp_path / "t", series="b")
    write(finer(read(tmp_path / "t"), (2, 2, 1)), tmp_path / "e")
    uids = [{d.SeriesInstanceUID for d in images(tmp_path / name)} for name in "acde"]
    assert [len(u) for u in uids] == [1] * 4
    assert len(set.union(*uids)) == 4


@pytest.mark.parametrize("kind", ["float32", "uint8", "int32"])
def test_values_of_other_types_are_scaled_into_16_bits(derived, tmp_path, kind):
    def physical(volume):
        values = volume.array / 7 if kind == "float32" else np.abs(volume.array) // 4
        if kind == "int32":
            values = values.astype(kind) * 1000
        return volume.on(values.astype(kind), volume.grid, physical=True)

    old, new = derived(change=physical)
    expected = physical(finer(read(tmp_path / "s"), (2, 2, 1))).array
    again = read(tmp_path / "out")
    assert again.array.dtype in (np.int16, np.uint16)
    step = 0 if kind == "uint8" else np.ptp(expected) / 65535
    np.testing.assert_allclose(again.array * again.slope + again.inter, expected, atol=0.51 * step)
    assert {d.BitsAllocated for d in new} == {16}
    assert [d.WindowCenter for d in new] == [d.WindowCenter for d in old]


def test_pet_has_no_intercept(derived, tmp_path):
    def physical(volume):
        return volume.on(volume.array / 7, volume.grid)

    _, new = derived(change=physical, modality="PT")
    assert {float(d.RescaleIntercept) for d in new} == {0}
    assert [d.ImageIndex for d in new] == [1, 2, 3, 4, 5]
    assert {d.NumberOfSlices for d in new} == {5}
    expected = finer(read(tmp_path / "s"), (2, 2, 1)).array / 7
    again = read(tmp_path / "out")
    np.testing.assert_allclose(again.array * again.slope, expected, atol=0.51 * again.slope)


def test_values_that_are_no_numbers_are_refused(make_series, tmp_path):
    make_series(tmp_path / "s")
    volume = read(tmp_path / "s")
    array = volume.array.astype(np.float32)
    array[0, 0, 0] = np.nan
    with pytest.raises(VolumeError, match="holds NaN or infinite values, which DICOM images cannot"):
        write(volume.on(array, volume.grid), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_progress_cancel_and_a_folder_that_was_there(make_series, tmp_path):
    make_series(tmp_path / "s")
    volume = read(tmp_path / "s")
    steps = []
    write(volume, tmp_path / "out", lambda done, total: steps.append((done, total)))
    assert steps == [(42 * k, 210) for k in range(1, 6)]
    (tmp_path / "out" / "old.txt").write_text("old")
    with pytest.raises(CancelledError, match="stopped after 2 of 5 images"):
        write(volume, tmp_path / "out", lambda done, total: done < 84)
    assert len(list((tmp_path / "out").iterdir())) == 6
    write(volume, tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 5
    with pytest.raises(VolumeError, match="there is no folder"):
        write(volume, tmp_path / "missing" / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "s"]


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="dcmtk is not installed: apt-get install dcmtk")
@pytest.mark.parametrize("anonymise", [False, True])
def test_dcmtk_reads_it(derived, tmp_path, anonymise):
    derived((2, 2, 2), anonymise=anonymise)
    for path in (tmp_path / "out").iterdir():
        done = subprocess.run(["dcmdump", "-q", str(path)], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert r"[DERIVED\SECONDARY\M]" in done.stdout
        assert "=LittleEndianExplicit" in done.stdout


@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="dciodvfy is not installed: apt-get install dicom3tools"
)
@pytest.mark.parametrize("anonymise", [False, True])
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_the_validator_finds_no_error_that_the_source_does_not_have(derived, tmp_path, modality, anonymise):
    def complaints(folder):
        lines = set()
        for path in folder.iterdir():
            done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
            lines |= {line for line in done.stderr.splitlines() if line.startswith("Error")}
        return lines

    derived((2, 2, 2), anonymise=anonymise, modality=modality, dtype=np.int16)
    assert complaints(tmp_path / "out") <= complaints(tmp_path / "s")
