"""DICOM series in: where they are, what they hold, and what is refused."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from espcn_core.errors import VolumeError
from espcn_core.volumes import read, write
from espcn_core.volumes.dicom import find_series, is_dicom, series_of

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
from pydicom.data import get_testdata_file  # noqa: E402

RLE = "1.2.840.10008.1.2.5"


def our_corners(volume):
    ends = [(-0.5, n - 0.5) for n in volume.grid.shape]
    return volume.grid.world(np.array(np.meshgrid(*ends)).reshape(3, -1).T) * (-1, -1, 1)


@pytest.mark.parametrize("seed", [None, *range(12)])
@pytest.mark.parametrize("apart", [2.5, -4])
def test_a_series_lies_where_itk_has_it(make_series, tmp_path, seed, apart, itk_corners, itk_read):
    make_series(tmp_path / "s", seed=seed, apart=apart)
    volume, image = read(tmp_path / "s"), itk_read(tmp_path / "s")
    assert volume.grid.shape == image.GetSize()
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image).T)
    np.testing.assert_allclose(our_corners(volume), itk_corners(image), atol=1e-4)
    np.testing.assert_allclose(volume.grid.spacing, (0.7, 0.8, abs(apart)), rtol=1e-6)
    assert volume.slice_thickness == 2.5


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_every_type_and_byte_order(make_series, tmp_path, dtype, syntax):
    voxels = make_series(tmp_path / "s", dtype=dtype, syntax=syntax)
    volume = read(tmp_path / "s")
    assert volume.array.dtype == dtype
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array, voxels)


def test_bits_that_the_image_does_not_use_are_no_values(make_series, tmp_path):
    def twelve(data, k):
        values = np.frombuffer(data.PixelData, "<i2")
        data.BitsStored, data.HighBit = 12, 11
        data.PixelData = ((values & 0x0FFF) | (0x5000 * (k % 2))).astype("<u2").tobytes()

    voxels = make_series(tmp_path / "s", change=twelve)
    np.testing.assert_array_equal(read(tmp_path / "s").array, voxels)


def test_stored_values_and_their_scaling(make_series, tmp_path, itk_corners, itk_read):
    voxels = make_series(tmp_path / "s", modality="CT", dtype=np.uint16)
    volume = read(tmp_path / "s")
    assert (volume.slope, volume.inter, volume.array.dtype) == (1, -1024, np.uint16)
    np.testing.assert_array_equal(volume.array, voxels)
    write(volume, tmp_path / "x.nii.gz")
    image = sitk.ReadImage(str(tmp_path / "x.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, voxels.astype(int) - 1024)
    np.testing.assert_allclose(itk_corners(image), itk_corners(itk_read(tmp_path / "s")), atol=1e-4)


def test_slices_of_several_scalings_become_physical(make_series, tmp_path):
    def scaled(data, k):
        data.RescaleSlope, data.RescaleIntercept = str(0.5 + k), str(-k)

    voxels = make_series(tmp_path / "s", change=scaled)
    volume = read(tmp_path / "s")
    assert (volume.slope, volume.inter, volume.array.dtype) == (1, 0, np.float32)
    k = np.arange(5)
    np.testing.assert_allclose(volume.array, voxels * (0.5 + k) - k)


@pytest.mark.parametrize("syntax", ["rle", "gdcm"])
def test_compressed_pixels(tmp_path, syntax):
    name = {"rle": "MR_small_RLE.dcm", "gdcm": "MR_small_jpeg_ls_lossless.dcm"}[syntax]
    for kind, file in (("packed", name), ("plain", "MR_small.dcm")):
        (tmp_path / kind).mkdir()
        shutil.copy(get_testdata_file(file), tmp_path / kind / "a.dcm")
    np.testing.assert_array_equal(read(tmp_path / "packed").array, read(tmp_path / "plain").array)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("MR_small_jp2klossless.dcm", b"\0\0\0\x40\0\0\0\x40", b"\0\0\x40\0\0\0\x40\0"),
        ("MR_small_jpeg_ls_lossless.dcm", b"\x10\0\x40\0\x40", b"\x10\x40\0\x40\0"),
        ("JPEG-lossy.dcm", b"\x0c\x04\0\x01\0", b"\x0c\x40\0\x40\0"),
    ],
)
def test_a_compressed_image_that_claims_another_size_is_not_decompressed(tmp_path, file, old, new):
    content = Path(get_testdata_file(file)).read_bytes()
    head, mark, rest = content.partition(b"\xe0\x7f\x10\0")
    assert old in rest
    data = pydicom.dcmread(get_testdata_file(file))
    (tmp_path / "a.dcm").write_bytes(head + mark + rest.replace(old, new, 1))
    says = "another size than it says" if "ImagePositionPatient" in data else "does not say where it lies"
    with pytest.raises(VolumeError, match=says):
        read(tmp_path / "a.dcm")


def test_compressed_pixels_with_a_scaling_are_stored_values(tmp_path):
    for kind, file in (("packed", "MR_small_jp2klossless.dcm"), ("plain", "MR_small.dcm")):
        data = pydicom.dcmread(get_testdata_file(file))
        data.RescaleSlope, data.RescaleIntercept = "0.37", "-11.5"
        (tmp_path / kind).mkdir()
        data.save_as(tmp_path / kind / "a.dcm")
    volume = read(tmp_path / "packed")
    assert (volume.slope, volume.inter) == (0.37, -11.5)
    np.testing.assert_array_equal(volume.array, read(tmp_path / "plain").array)


def test_one_file_stands_for_its_series_and_others_are_left_out(make_series, tmp_path):
    one = make_series(tmp_path, series="a", number=3)
    two = make_series(tmp_path / "b", series="b", number=4)
    for path in (tmp_path / "b").iterdir():
        shutil.move(path, tmp_path / f"b{path.name}")
    (tmp_path / "b").rmdir()
    (tmp_path / "DICOMDIR").write_bytes(Path(get_testdata_file("DICOMDIR")).read_bytes())
    (tmp_path / "report.dcm").write_bytes(Path(get_testdata_file("reportsi.dcm")).read_bytes())
    (tmp_path / "notes.txt").write_text("x" * 200)
    np.testing.assert_array_equal(read(tmp_path / "IM003.dcm").array, one)
    np.testing.assert_array_equal(read(tmp_path / "bIM003.dcm").array, two)
    found = find_series(f for f in tmp_path.iterdir() if is_dicom(f))
    assert [(s.label, len(s.files), s.folder) for s in found] == [("003", 5, tmp_path), ("004", 5, tmp_path)]
    with pytest.raises(VolumeError, match=r"holds 2 DICOM series \(003: 5 files, 004: 5 files\), not one"):
        read(tmp_path)


def test_labels_say_nothing_of_the_patient_and_differ(make_series, tmp_path):
    def unnumbered(data, k):
        data.SeriesNumber = None

    make_series(tmp_path, series="a", number=3)
    for name, change in (("b", None), ("c", unnumbered)):
        make_series(tmp_path / name, series=name, number=3, **({"change": change} if change else {}))
        for path in (tmp_path / name).iterdir():
            shutil.move(path, tmp_path / f"{name}{path.name}")
    found = find_series(f for f in tmp_path.iterdir() if is_dicom(f))
    labels = [s.label for s in found]
    assert len(set(labels)) == 3
    assert [label.partition("-")[0] for label in labels[:2]] == ["003", "003"]
    assert [len(label) for label in labels] == [12, 12, 8]


def test_an_instance_that_is_there_twice_counts_once(make_series, tmp_path):
    voxels = make_series(tmp_path / "s")
    shutil.copy(tmp_path / "s" / "IM003.dcm", tmp_path / "s" / "copy.dcm")
    np.testing.assert_array_equal(read(tmp_path / "s").array, voxels)
    np.testing.assert_array_equal(
        read(series_of(tmp_path / "s" / "copy.dcm")).array[:, :, 0], voxels[:, :, 0]
    )


def test_a_single_slice_has_its_distance_from_the_header(make_series, tmp_path):
    make_series(tmp_path / "s", shape=(7, 6, 1))
    assert read(tmp_path / "s").grid.spacing == pytest.approx((0.7, 0.8, 2.5))


def test_positions_that_are_rounded_are_even(make_series, tmp_path):
    def rounded(data, k):
        data.ImagePositionPatient = [f"{v:.1f}" for v in data.ImagePositionPatient]

    make_series(tmp_path / "s", shape=(7, 6, 9), apart=1.33, change=rounded)
    assert read(tmp_path / "s").grid.spacing[2] == pytest.approx(1.33, abs=0.01)


def position(data, axis, by):
    place = [float(v) for v in data.ImagePositionPatient]
    place[axis] += by
    data.ImagePositionPatient = [f"{v:.8g}" for v in place]


def turn(data, k):
    if k == 2:
        data.ImageOrientationPatient = ["0", "1", "0", "0", "0", "-1"]


def resize(data, k):
    if k == 2:
        data.Rows, data.Columns = 4, 4
        data.PixelData = data.PixelData[:32]


def drop(name):
    def change(data, k):
        delattr(data, name)

    return change


def put(name, value, only=None):
    def change(data, k):
        if only in (None, k):
            setattr(data, name, value)

    return change


def compress(syntax):
    """Says that the pixels are compressed, which they are not."""

    def change(data, k):
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = pydicom.encaps.encapsulate([b"\1\2" * 100])
        data["PixelData"].VR = "OB"

    return change


def huge(data, k):
    data.Rows = data.Columns = 65535


def cut(data, k):
    data.PixelData = data.PixelData[:40]


FAULTS = {
    "gap": (lambda d, k: k != 2, "lacks 1 slice: its slices are 2.5 mm apart, but 5 mm somewhere"),
    "gaps": (lambda d, k: k not in (2, 3, 6), "lacks 3 slices: its slices are 2.5 mm apart, but 7.5 mm"),
    "uneven": (lambda d, k: position(d, 2, 0.4 * k * k), "unevenly far apart, 2.9 to 8.5 mm"),
    "twice": (lambda d, k: position(d, 2, -2.5 * (k % 2)), "has 9 slices at 5 places: several times, echoes"),
    "tilt": (lambda d, k: position(d, 1, 0.5 * k), "is sheared: .* by 11.3 degrees, as under a tilted"),
    "orientations": (turn, r"several orientations \(1 of 9 differ from the first\), as a localizer"),
    "sizes": (resize, r"images of several sizes \(8 of 7 x 6, 1 of 4 x 4\)"),
    "spacings": (put("PixelSpacing", ["0.8", "0.71"], 3), "several pixel spacings"),
    "colours": (put("SamplesPerPixel", 3), "holds colours"),
    "palette": (put("PhotometricInterpretation", "PALETTE COLOR"), "holds colours"),
    "no position": (drop("ImagePositionPatient"), "does not say where it lies in the patient"),
    "no orientation": (drop("ImageOrientationPatient"), "does not say where it lies in the patient"),
    "no spacing": (drop("PixelSpacing"), "does not say where it lies in the patient"),
    "no pixels": (drop("PixelData"), "is a DICOM file without an image"),
    "cut": (cut, "is cut short: it has 40 of 84 bytes of pixels"),
    "slope": (put("RescaleSlope", "0"), None),
    "slope nan": (put("RescaleSlope", "nan"), "rescale slope is no number"),
    "axes": (put("ImageOrientationPatient", ["1", "0", "0", "1", "0", "0"]), "axes are not at right angles"),
    "frames": (put("NumberOfFrames", 3), "holds 3 frames that do not say where they are"),
    "bits": (put("BitsAllocated", 12), "pixels of 12 bits"),
    "no bits": (drop("BitsAllocated"), "has a damaged DICOM header"),
    "text": (put("ImagePositionPatient", ["0", "0"]), "does not say where it lies in the patient"),
    "huge": (huge, "cut short|of memory"),
    "zero": (put("Rows", 0), "damaged DICOM header"),
    "jpeg": (compress("1.2.840.10008.1.2.4.70"), "is damaged, or compressed in a way that cannot be read"),
    "video": (compress("1.2.840.10008.1.2.4.100"), "is damaged, or compressed in a way that cannot be"),
    "rle": (compress(RLE), "cannot be decompressed"),
    "table": (put("ModalityLUTSequence", []), "gives its values by a table"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_regular_stack_is_refused_with_the_reason(make_series, tmp_path, capfd, fault):
    change, says = FAULTS[fault]
    make_series(tmp_path / "s", shape=(7, 6, 9), change=change)
    if says is None:
        read(tmp_path / "s")
        return
    capfd.readouterr()
    with pytest.raises(VolumeError, match=rf"^[^\n]*{tmp_path}[^\n]*({says})[^\n]*$") as caught:
        read(tmp_path / "s")
    assert "Müller" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("at", [10, 132, 140, 160, 300, 500, 800])
def test_a_file_that_is_cut_anywhere_fails_by_name(make_series, tmp_path, capfd, at):
    make_series(tmp_path / "s")
    path = tmp_path / "s" / "IM010.dcm"
    path.write_bytes(path.read_bytes()[:at])
    if at == 10:  # no DICOM file any more, so a slice is missing
        with pytest.raises(VolumeError, match="lacks 1 slice"):
            read(tmp_path / "s")
        return
    with pytest.raises(VolumeError, match=r"^[^\n]*$"):
        read(tmp_path / "s")
    with pytest.raises(VolumeError, match=r"^[^\n]*$"):
        read(path)
    assert capfd.readouterr() == ("", "")


def enhanced(folder: Path, make_series, spoil=lambda data: None, **how) -> np.ndarray:
    """The same series as frames of one file, in a mixed order."""
    voxels = make_series(folder / "single", **how)
    data = [pydicom.dcmread(f) for f in sorted((folder / "single").iterdir())]
    shutil.rmtree(folder / "single")
    new = copy.deepcopy(data[0])
    new.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    new.NumberOfFrames = len(data)
    shared, orientation, measures = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    orientation.ImageOrientationPatient = new.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = new.PixelSpacing, "3.5"
    measures.SpacingBetweenSlices = "2.5"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    new.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for one in data:
        frame, place, values = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = one.ImagePositionPatient
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = "2", "5", "US"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [values]
        frames.append(frame)
    new.PerFrameFunctionalGroupsSequence = frames
    new.PixelData = b"".join(one.PixelData for one in data)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(new, name)
    new.file_meta.MediaStorageSOPClassUID = new.SOPClassUID
    spoil(new)
    new.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return voxels


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_an_enhanced_image_lies_where_its_frames_do(make_series, tmp_path, seed, itk_corners, itk_read):
    voxels = enhanced(tmp_path, make_series, seed=seed)
    volume = read(tmp_path / "enhanced.dcm")
    np.testing.assert_array_equal(volume.array, voxels)
    assert (volume.slope, volume.inter, volume.slice_thickness) == (2, 5, 3.5)
    make_series(tmp_path / "single", seed=seed)
    np.testing.assert_allclose(our_corners(volume), itk_corners(itk_read(tmp_path / "single")), atol=1e-4)
    with pytest.raises(VolumeError, match="frames of one file, from which no DICOM series is derived"):
        write(volume, tmp_path / "out")


def test_an_enhanced_image_with_fewer_descriptions_than_frames(make_series, tmp_path):
    def fewer(data):
        del data.PerFrameFunctionalGroupsSequence[0]

    enhanced(tmp_path, make_series, fewer)
    with pytest.raises(VolumeError, match="describes 4 of its 5 frames"):
        read(tmp_path / "enhanced.dcm")


def test_without_pydicom_there_is_a_sentence(make_series, tmp_path, monkeypatch):
    import sys

    make_series(tmp_path / "s")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(VolumeError, match=r"^DICOM needs pydicom: pip install 'espcn-core\[dicom\]'$"):
        read(tmp_path / "s")


def test_the_settings_of_pydicom_are_as_before(make_series, tmp_path):
    import warnings

    settings = pydicom.config.settings
    before = settings.reading_validation_mode, settings.writing_validation_mode, list(warnings.filters)
    make_series(tmp_path / "s")
    write(read(tmp_path / "s"), tmp_path / "out")
    assert (
        settings.reading_validation_mode,
        settings.writing_validation_mode,
        list(warnings.filters),
    ) == before


def test_gdcm_is_given_a_frame_and_nothing_else_of_a_file(tmp_path, monkeypatch):
    """It believes all lengths that a file states: of a damaged one of 2 kB it made 3 GB."""
    from pydicom.data import get_testdata_file

    from espcn_core.volumes.dicom import pixels

    path = get_testdata_file("MR_small_jpeg_ls_lossless.dcm")
    data = pydicom.dcmread(path)
    data.PatientName = "Qcanary"
    given, write = [], pixels._alone

    def alone(*arguments):
        given.append(Path(write(*arguments)).read_bytes())
        return str(arguments[-1])

    monkeypatch.setattr(pixels, "_alone", alone)
    values = pixels.stored(data, tmp_path / "not there.dcm")
    assert np.array_equal(values[0], pydicom.dcmread(get_testdata_file("MR_small.dcm")).pixel_array)
    assert len(given) == 1
    assert b"Qcanary" not in given[0]
    assert (
        len(given[0]) < len(next(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=1))) + 1000
    )
