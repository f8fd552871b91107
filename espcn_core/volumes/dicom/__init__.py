"""DICOM: series of images in, derived series out. Needs the extra ``dicom``."""

from espcn_core.volumes.dicom.derive import check, write
from espcn_core.volumes.dicom.find import Series, find_series, is_dicom, series_of
from espcn_core.volumes.dicom.read import DicomHeader, read

__all__ = ["DicomHeader", "Series", "check", "find_series", "is_dicom", "read", "series_of", "write"]
