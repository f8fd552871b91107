"""Numbers, texts, codes and voxels as DICOM elements hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.errors import VolumeError
from espcn_core.volumes.volume import Volume


def encoded(volume: Volume, pet: bool) -> tuple[npt.NDArray[Any], float, float]:
    """The voxels in 16 bits, with the slope and intercept that give their physical values again."""
    array, slope, inter = volume.array, volume.slope, volume.inter
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return array.astype(np.int16 if array.dtype.kind == "i" else np.uint16, copy=False), slope, inter
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise VolumeError(
            f"{volume.name} holds NaN or infinite values, which DICOM images cannot; fill them first"
        )
    if pet:  # its intercept must be 0
        low, high = slope * low + inter, slope * high + inter
        step = max(abs(low), abs(high)) / 32767 or 1.0
        return np.rint((array * slope + inter) / _read_again(step)).astype(np.int16), _read_again(step), 0.0
    step, start = _read_again((high - low) / 65535 or 1.0), low
    coded = np.clip(np.rint((array - np.float64(start)) / step), 0, 65535).astype(np.uint16)
    return coded, _read_again(slope * step), _read_again(slope * start + inter)


def _read_again(value: float) -> float:
    """The number as the 16 characters of a decimal string hold it."""
    return float(decimal_string(value))


def decimal_string(value: float) -> str:
    """A number in the 16 characters that DICOM gives it."""
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value) + 0.0))


def deep_copy(data: Any) -> Any:
    """A copy whose elements and sequences can be changed without changing those of the source."""
    from pydicom import Dataset

    copy = Dataset()
    for element in data:
        value = [deep_copy(item) for item in element.value] if element.VR == "SQ" else element.value
        copy.add_new(element.tag, element.VR, value)
    return copy


def texts(value: Any) -> list[str]:
    """The values of an element that may hold none, one or several."""
    return [] if value is None else [value] if isinstance(value, str) else [str(part) for part in value]


def whole(value: Any) -> int | None:
    """A whole number, or None if it is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def real(value: Any) -> float | None:
    """A number, or None if it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def code(value: str, meaning: str) -> Any:
    """An item of a code sequence, from DICOM's own coding scheme."""
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
