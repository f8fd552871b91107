"""DICOM series made by pydicom, of everything that a test wants to spoil."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

try:
    import pydicom
except ModuleNotFoundError:  # then the tests here are skipped
    pydicom = None

SOP = {
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
EXPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"


def turned(seed: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Row and column directions; oblique if there is a seed."""
    if seed is None:
        return np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return q[:, 0], q[:, 1]


def uid(*parts: object) -> str:
    return str(pydicom.uid.generate_uid(entropy_srcs=[str(p) for p in parts]))


def image(
    k: int,
    pixels: np.ndarray,
    *,
    seed: int | None = None,
    apart: float = 2.5,
    modality: str = "MR",
    series: str = "a",
    number: int = 3,
    syntax: str = EXPLICIT,
    spacing: tuple[float, float] = (0.8, 0.7),
) -> Any:
    """The k-th slice of a series: rows x columns."""
    data = pydicom.Dataset()
    row, column = turned(seed)
    place = np.array([-31.0, 12, 55]) + k * apart * np.cross(row, column)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if modality == "CT" else "M"]
    data.SOPClassUID, data.SOPInstanceUID = SOP[modality], uid(series, k)
    data.StudyDate, data.StudyTime, data.AccessionNumber = "20200102", "101112", "A17"
    data.SeriesDate, data.ContentDate, data.ContentTime = "20200102", "20200102", "101113"
    data.AcquisitionDate, data.AcquisitionTime = "20200102", f"1011{10 + k}"
    data.Modality, data.Manufacturer, data.InstitutionName = modality, "Scanners Inc", "A hospital"
    data.ReferringPhysicianName = "Doctor^A"
    data.StudyDescription, data.SeriesDescription = "a study", "T1 axial"
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = (
        "Müller^A",
        "P17",
        "19700102",
        "F",
    )
    data.SliceThickness = "2.5"
    data.StudyInstanceUID, data.SeriesInstanceUID = uid("study"), uid("series", series)
    data.StudyID, data.SeriesNumber, data.InstanceNumber = "S1", number, k + 1
    data.AcquisitionNumber, data.PatientPosition, data.Laterality = 1, "HFS", None
    data.PositionReferenceIndicator, data.FrameOfReferenceUID = "", uid("frame")
    data.ImagePositionPatient = [f"{v:.10g}" for v in place]
    data.ImageOrientationPatient = [f"{v:.12g}" for v in (*row, *column)]
    data.SliceLocation = f"{100 - apart * k:.6g}"
    data.PixelSpacing = list(spacing)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape
    bits = pixels.dtype.itemsize * 8
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.WindowCenter, data.WindowWidth = "100", "400"
    if modality == "MR":
        data.ScanningSequence, data.SequenceVariant, data.ScanOptions = "SE", "NONE", ""
        data.MRAcquisitionType, data.EchoTime, data.EchoTrainLength, data.RepetitionTime = "2D", "9", 1, "500"
    if modality == "CT":
        data.RescaleIntercept, data.RescaleSlope, data.RescaleType, data.KVP = "-1024", "1", "HU", "120"
    order = ">" if syntax == BIG else "<"
    data.add_new(
        0x7FE00010, "OB" if bits == 8 else "OW", pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    )
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


@pytest.fixture(scope="session")
def make_series() -> Callable[..., np.ndarray]:
    """Writes a series into a folder, its names in another order than its slices; returns (I, J, K) voxels."""

    def make(
        folder: Path, shape: tuple[int, int, int] = (7, 6, 5), dtype: Any = np.int16,
        change: Callable[[Any, int], Any] = lambda data, k: None, **how: Any,
    ) -> np.ndarray:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        high = min(np.iinfo(dtype).max, 900)
        voxels = np.random.default_rng(9).integers(max(np.iinfo(dtype).min, -50), high, shape).astype(dtype)
        for k in range(shape[2]):
            data = image(k, voxels[:, :, k].T, **how)
            if change(data, k) is not False:
                data.save_as(folder / f"IM{(k * 7 + 3) % 101:03d}.dcm", enforce_file_format=True)
        return voxels

    return make


@pytest.fixture
def itk_read():
    """What ITK makes of the one series in a folder."""

    def read(folder):
        reader = sitk.ImageSeriesReader()
        (uid,) = reader.GetGDCMSeriesIDs(str(folder))
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), uid))
        return reader.Execute()

    return read


@pytest.fixture
def itk_corners():
    """The corners of an image of ITK, in mm."""

    def corners(image):
        ends = [(-0.5, n - 0.5) for n in image.GetSize()]
        grid = np.array(np.meshgrid(*ends)).reshape(3, -1).T
        return np.array([image.TransformContinuousIndexToPhysicalPoint(p) for p in grid.tolist()])

    return corners
