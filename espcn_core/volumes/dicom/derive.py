"""A volume as a DICOM series that is derived from the one it came from.

Kept from the nearest acquired slice are all elements of patient, study, equipment, acquisition and display,
but for private ones, overlays, curves, icons, signatures and what was measured of the old pixels. New are:

- SOPInstanceUID and SeriesInstanceUID, which are hashes of the sources' UIDs and of all that was made of
  them: the same call on the same files gives the same bytes, and whatever differs gets UIDs of its own;
- ImageType DERIVED\\SECONDARY, SeriesNumber + 1000, SeriesDescription and the factor, DerivationDescription
  and its code, SourceImageSequence (the slices above and below), ContributingEquipmentSequence;
- rows, columns, pixel spacing, position, spacing between slices, slice thickness (where it has become less),
  slice location, instance number, and the numbers of slices that PET images carry;
- 16 bits per pixel; the rescale slope and intercept too, where values of another type do not fit.

Dates and times of the sources stay; none is added, for it would make two runs differ.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from espcn_core import __version__
from espcn_core.errors import CancelledError, EspcnError, VolumeError
from espcn_core.files import complete_folder
from espcn_core.grid import ratios_between
from espcn_core.volumes.checks import write_reason
from espcn_core.volumes.dicom.anonymise import anonymise as without_identity
from espcn_core.volumes.dicom.anonymise import new_uid
from espcn_core.volumes.dicom.extra import quiet
from espcn_core.volumes.dicom.read import DicomHeader
from espcn_core.volumes.dicom.values import code, decimal_string, deep_copy, encoded, real, texts, whole
from espcn_core.volumes.raw import Progress
from espcn_core.volumes.volume import Volume

_IMPLEMENTATION = "2.25.209733154390361117270342853386263906577"
_LONGEST = (1 << 16) - 1

_LEFT_OUT = (
    "IconImageSequence", "DigitalSignaturesSequence", "MACParametersSequence", "DataSetTrailingPadding",
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries", "SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane",
    "PixelAspectRatio", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
    "PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription",
    "NumberOfFrames", "InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID",
    "SliceLocation", "ImagesInAcquisition",
    "SpatialLocationsPreserved", "ReferencedImageEvidenceSequence", "SourceImageEvidenceSequence",
)  # fmt: skip


def write(
    volume: Volume, path: str | os.PathLike[str], progress: Progress | None = None, *, anonymise: bool = False
) -> None:
    """Write a volume that was read from DICOM as a folder of single-frame images.

    The folder appears under its name only when it is complete.

    Parameters
    ----------
    volume : Volume
    path : path
        The folder; one that is there is replaced.
    progress : callable, optional
        Called with (voxels written, voxels in all) after each image; the writing stops if it returns False.
    anonymise : bool
        Take the identity out (`dicom.anonymise`).

    Raises
    ------
    CancelledError
        If ``progress`` returned False.
    VolumeError
        If the volume does not come from a DICOM series of single frames, is too large or holds NaN, or the
        folder cannot be written.
    """
    path = Path(path)
    check(volume, volume.array.shape, path)
    with quiet() as pydicom:
        try:
            with complete_folder(path) as folder:
                _Series(volume, pydicom, anonymise).write_into(folder, progress)
        except OSError as error:
            raise VolumeError(f"{path} cannot be written: {write_reason(error, path)}") from None
        except (EspcnError, MemoryError):
            raise
        except Exception:  # pydicom meets what cannot be written when it is written, and quotes it
            raise VolumeError(
                f"{path} cannot be written: the DICOM headers of {volume.name} hold invalid values; "
                "choose another --output-format"
            ) from None


def check(volume: Volume, shape: tuple[int, ...], path: str | os.PathLike[str]) -> None:
    """Raise `VolumeError` if no DICOM series of this shape can be derived from the volume."""
    if not isinstance(volume.header, DicomHeader):
        raise VolumeError(
            f"{os.fspath(path)} would be a DICOM series, which takes patient and study from another one, "
            f"and {volume.name} is none; choose .nii.gz, .nrrd, .mha or .mgz"
        )
    if volume.header.enhanced:
        raise VolumeError(
            f"{volume.name} holds its slices as frames of one file, from which no DICOM series is derived; "
            "choose --output-format nifti, or convert it to single frames first"
        )
    if max(shape) > _LONGEST:
        raise VolumeError(f"{os.fspath(path)} would get {max(shape)} pixels, and DICOM allows {_LONGEST}")


class _Series:
    """The derived series of a volume."""

    def __init__(self, volume: Volume, pydicom: Any, anonymise: bool) -> None:
        self._pydicom, self._anonymise = pydicom, anonymise
        header: DicomHeader = volume.header
        self._name, self._header, self._grid = volume.name, header, volume.grid
        self._modality = str(header.sources[0].get("Modality", ""))
        self._array, self._slope, self._inter = encoded(volume, pet=self._modality == "PT")
        self._ratios = ratios_between(header.grid, volume.grid)
        self._rescaled = (self._slope, self._inter) != (header.slope, header.inter) or any(
            (float(s.get("RescaleSlope") or 1), float(s.get("RescaleIntercept") or 0))
            != (self._slope, self._inter) for s in header.sources
        )  # fmt: skip
        self._uid = self._series_uid()
        numbers = [whole(s.get("InstanceNumber")) for s in header.sources]
        self._downwards = None not in (numbers[0], numbers[-1]) and (numbers[0] or 0) > (numbers[-1] or 0)

    def write_into(self, folder: Path, progress: Progress | None) -> None:
        n = self._grid.shape[2]
        digits = max(4, len(str(n)))
        for k in range(n):
            data = self._image(k)
            data.save_as(folder / f"{data.InstanceNumber:0{digits}d}.dcm", enforce_file_format=True)
            done = self._array[:, :, 0].size * (k + 1)
            if progress is not None and progress(done, self._array.size) is False:
                raise CancelledError(f"stopped after {k + 1} of {n} images were written")

    def _series_uid(self) -> str:
        """A hash of all that makes the series what it is."""
        sources = [str(source.get("SOPInstanceUID", "")) for source in self._header.sources]
        voxels = hashlib.sha256(str((self._array.dtype.str, self._array.shape)).encode())
        for k in range(self._array.shape[2]):
            voxels.update(self._array[:, :, k].tobytes())
        scale = repr((self._slope, self._inter, self._anonymise))
        return new_uid(__version__, scale, self._grid.affine.tobytes(), voxels.digest(), *sources)

    def _image(self, k: int) -> Any:
        """The data set of one image."""
        old, n = self._header.grid, self._grid.shape[2]
        apart = old.spacing[2]
        position = self._grid.world((0, 0, k)) * (-1, -1, 1)
        at = float((self._grid.world((0, 0, k)) - old.world((0, 0, 0))) @ old.directions[:, 2]) / apart
        last = len(self._header.sources) - 1
        nearest = self._header.sources[min(max(round(at), 0), last)]
        around = sorted({min(max(int(f(round(at, 6))), 0), last) for f in (np.floor, np.ceil)})
        data = self._copy(nearest)
        i, j, _ = self._grid.spacing
        data.SOPInstanceUID = new_uid(self._uid, str(k))
        data.SeriesInstanceUID = self._uid
        data.ImageType = ["DERIVED", "SECONDARY", *texts(data.get("ImageType"))[2:]]
        data.SeriesNumber = (whole(data.get("SeriesNumber")) or 0) % (1 << 30) + 1000
        data.InstanceNumber = n - k if self._downwards else k + 1
        self._describe(data, around)
        data.Rows, data.Columns = self._grid.shape[1], self._grid.shape[0]
        data.PixelSpacing = [decimal_string(j), decimal_string(i)]
        data.ImagePositionPatient = [decimal_string(value) for value in position]
        data.ImageOrientationPatient = [
            decimal_string(v) for v in (old.directions[:, :2].T * (-1, -1, 1)).ravel()
        ]
        if n > 1:
            data.SpacingBetweenSlices = decimal_string(self._grid.spacing[2])
        if self._ratios[2] != 1:
            data.SliceThickness = decimal_string(self._grid.spacing[2])
        ends = [real(self._header.sources[e].get("SliceLocation")) for e in (0, -1)]
        if last and ends[0] is not None and ends[1] is not None:
            data.SliceLocation = decimal_string(ends[0] + (ends[1] - ends[0]) * at / last)
        if self._modality == "PT":
            data.NumberOfSlices, data.ImageIndex = n, int(data.InstanceNumber)
        self._put_pixels(data, k)
        if self._anonymise:
            derivation, kind = data.DerivationDescription, data.DerivationCodeSequence
            without_identity(data, self._name)
            data.DerivationDescription, data.DerivationCodeSequence = derivation, kind
        data.file_meta = self._meta(data)
        return data

    def _copy(self, source: Any) -> Any:
        """What is kept of an acquired slice."""
        data = deep_copy(source)
        for tag in list(data.keys()):
            if tag.group == 0x0002 or tag.group >> 8 in (0x50, 0x60):
                del data[tag]
        for name in _LEFT_OUT:
            if name in data:
                delattr(data, name)
        return data

    def _describe(self, data: Any, around: list[int]) -> None:
        ratios = [f"{ratio:.4g}" for ratio in self._ratios]
        finer = {ratio for ratio in ratios if ratio != "1"}
        factor = f"x{finer.pop()}" if len(finer) == 1 and ratios[:2] != ["1", "1"] else "x" + "x".join(ratios)
        base = str(data.get("SeriesDescription") or "")
        data.SeriesDescription = f"{base[: 63 - len(factor)]} {factor}".strip()
        data.DerivationDescription = (
            f"Super-resolution by espcn-core {__version__}: {' x '.join(ratios)} pixels per pixel"
        )
        data.DerivationCodeSequence = [code("113085", "Spatial resampling")]
        references = []
        for number in around:
            source = self._header.sources[number]
            item = self._pydicom.Dataset()
            item.ReferencedSOPClassUID = source.get("SOPClassUID")
            item.ReferencedSOPInstanceUID = source.get("SOPInstanceUID")
            item.PurposeOfReferenceCodeSequence = [
                code("121322", "Source image for image processing operation")
            ]
            references.append(item)
        data.SourceImageSequence = references
        equipment = self._pydicom.Dataset()
        equipment.Manufacturer, equipment.ManufacturerModelName = "espcn-core", "espcn-core"
        equipment.SoftwareVersions = __version__
        equipment.ContributionDescription = "Super-resolution"
        equipment.PurposeOfReferenceCodeSequence = [code("109103", "Modifying Equipment")]
        data.ContributingEquipmentSequence = [*(data.get("ContributingEquipmentSequence") or []), equipment]

    def _put_pixels(self, data: Any, k: int) -> None:
        data.SamplesPerPixel = 1
        data.PhotometricInterpretation = data.get("PhotometricInterpretation") or "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        signed = int(self._array.dtype.kind == "i")
        if data.get("PixelRepresentation") != signed:
            for name in ("PixelPaddingValue", "PixelPaddingRangeLimit"):  # of the old type
                if name in data:
                    delattr(data, name)
        data.PixelRepresentation = signed
        if self._rescaled:
            data.RescaleSlope = decimal_string(self._slope)
            data.RescaleIntercept = decimal_string(self._inter)
            if "RescaleType" not in data:
                data.RescaleType = "HU" if self._modality == "CT" else "US"
            for name in ("RealWorldValueMappingSequence", "PixelPaddingValue", "PixelPaddingRangeLimit"):
                if name in data:
                    delattr(data, name)
        data.add_new(0x7FE00010, "OW", self._array[:, :, k].T.astype("<i2" if signed else "<u2").tobytes())

    def _meta(self, data: Any) -> Any:
        meta = self._pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = data.SOPClassUID
        meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        meta.TransferSyntaxUID = self._pydicom.uid.ExplicitVRLittleEndian
        meta.ImplementationClassUID = _IMPLEMENTATION
        meta.ImplementationVersionName = "ESPCN_CORE"
        return meta
