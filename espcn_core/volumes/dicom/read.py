"""A DICOM series as a volume: classic images, one slice a file, and enhanced ones, many slices a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espcn_core.errors import VolumeError
from espcn_core.grid import Grid
from espcn_core.volumes.checks import check_file, check_memory
from espcn_core.volumes.dicom.extra import quiet, read_dataset
from espcn_core.volumes.dicom.find import Series
from espcn_core.volumes.dicom.pixels import check_pixels, stored
from espcn_core.volumes.dicom.stack import Slice, stacked
from espcn_core.volumes.volume import Volume


@dataclass(frozen=True, eq=False)
class DicomHeader:
    """The data sets of a series, for one that is derived from it.

    Attributes
    ----------
    sources : tuple of pydicom.Dataset
        One for each slice of ``grid`` along its third axis, without pixels, private and damaged elements.
    grid : Grid
        Of the acquired slices.
    slope, inter : float
        That the data sets say.
    enhanced : bool
        Whether one file holds all slices; then ``sources`` is empty.
    """

    sources: tuple[Any, ...]
    grid: Grid
    slope: float
    inter: float
    enhanced: bool = False


def read(series: Series) -> Volume:
    """Read a series; its slices are sorted by where they are, not by name or number.

    Stored values are kept where all slices have the same rescale slope and intercept; otherwise the values
    are physical, as float32.

    Raises
    ------
    VolumeError
        If the slices are no regular stack (`stacked`), hold colours, are damaged or incomplete, or are larger
        than the free memory. No message says anything of the headers but sizes and places.
    """
    name = str(series)
    for path in series.files:
        check_file(path)
    with quiet() as pydicom:
        try:
            return _read(pydicom, series, name)
        except (VolumeError, MemoryError):
            raise
        except Exception:  # pydicom meets a damaged header wherever a field is first looked at
            raise VolumeError(f"{name} has a damaged DICOM header; copy or export it again") from None


def _read(pydicom: Any, series: Series, name: str) -> Volume:
    heads = [_head(pydicom, path) for path in series.files]
    slices: list[Slice] = []
    for number, (head, path) in enumerate(zip(heads, series.files, strict=True)):
        slices += _slices_of(head, number, path)
    apart = _positive(heads[0].get("SpacingBetweenSlices")) or _thickness(heads[0])
    ordered, grid = stacked(slices, apart, name)
    kinds = [np.dtype(check_pixels(head, path)) for head, path in zip(heads, series.files, strict=True)]
    kind = np.result_type(*kinds)
    scales = {(s.slope, s.inter) for s in slices}
    slope, inter = scales.pop() if len(scales) == 1 else (1.0, 0.0)
    same = not scales
    dtype = kind if same else np.dtype(np.float32)
    check_memory(int(np.prod(grid.shape)) * dtype.itemsize, name)
    array = np.empty(grid.shape, dtype, order="F")
    where: dict[int, list[tuple[int, Slice]]] = {}
    for k, one in enumerate(ordered):
        where.setdefault(one.file, []).append((k, one))
    for number, wanted in where.items():
        path = series.files[number]
        data = read_dataset(pydicom, path)
        frames = stored(data, path)
        for k, one in wanted:
            values = frames[one.frame] if same else frames[one.frame] * one.slope + one.inter
            array[:, :, k] = values.T
    enhanced = any("PerFrameFunctionalGroupsSequence" in head for head in heads)
    sources = () if enhanced else tuple(_cleaned(heads[one.file]) for one in ordered)
    header = DicomHeader(sources, grid, slope, inter, enhanced)
    return Volume(array, grid, header, 3, slope, inter, name, slice_thickness=_thickness(heads[0]))


def _head(pydicom: Any, path: Path) -> Any:
    try:
        return read_dataset(pydicom, path, stop_before_pixels=True)
    except Exception:
        raise VolumeError(f"{path} is a damaged DICOM file; copy or export it again") from None


def _slices_of(head: Any, number: int, path: Path) -> list[Slice]:
    if "Rows" not in head or "Columns" not in head:
        raise VolumeError(f"{path} is a DICOM file without an image; name a file or the folder of a series")
    size = int(head.Columns), int(head.Rows)
    if min(size) < 1:
        raise VolumeError(f"{path} has a damaged DICOM header: it says {size} pixels; export it again")
    frames = int(head.get("NumberOfFrames", 1) or 1)
    groups = head.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        if frames > 1:
            raise VolumeError(
                f"{path} holds {frames} frames that do not say where they are; "
                "convert it to an enhanced or a single-frame series first"
            )
        return [_slice([head] * 4, number, 0, size, path)]
    if len(groups) != frames:
        raise VolumeError(f"{path} describes {len(groups)} of its {frames} frames; export it again")
    shared = (head.get("SharedFunctionalGroupsSequence") or [{}])[0]
    found = []
    for frame, own in enumerate(groups):
        parts = []
        for name in (
            "PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence",
            "PixelValueTransformationSequence",
        ):  # fmt: skip
            group = own.get(name) or shared.get(name)
            parts.append(group[0] if group else {})
        found.append(_slice(parts, number, frame, size, path))
    return found


def _slice(parts: Sequence[Any], file: int, frame: int, size: tuple[int, int], path: Path) -> Slice:
    """The slice that data sets of its place, orientation, pixel measures and values describe."""
    place, turn, measures, values = parts
    position = _numbers(place.get("ImagePositionPatient"), 3)
    turned = _numbers(turn.get("ImageOrientationPatient"), 6)
    spacing = _numbers(measures.get("PixelSpacing"), 2)
    if position is None or turned is None or spacing is None or min(spacing) <= 0:
        raise VolumeError(
            f"{path} does not say where it lies in the patient (position, orientation and pixel spacing); "
            "only slices that say it can be upscaled"
        )
    row, column = np.array(turned[:3]), np.array(turned[3:])
    if abs(row @ row - 1) > 1e-2 or abs(column @ column - 1) > 1e-2 or abs(row @ column) > 1e-2:
        raise VolumeError(
            f"{path} has a damaged DICOM header: its axes are not at right angles; export it again"
        )
    slope, inter = (float(values.get(n) or d) for n, d in (("RescaleSlope", 1), ("RescaleIntercept", 0)))
    if not (np.isfinite(slope) and np.isfinite(inter) and slope):
        raise VolumeError(
            f"{path} has a damaged DICOM header: its rescale slope is no number; export it again"
        )
    across, along = spacing[1], spacing[0]
    return Slice(file, frame, size, np.array(position), row, column, (across, along), slope, inter)


def _numbers(value: Any, count: int) -> list[float] | None:
    if value is None or isinstance(value, str) or not isinstance(value, Sequence) or len(value) != count:
        return None
    numbers = [float(v) for v in value]
    return numbers if np.isfinite(numbers).all() else None


def _thickness(head: Any) -> float | None:
    measures = head
    if "SharedFunctionalGroupsSequence" in head:
        shared = head.SharedFunctionalGroupsSequence[0]
        if "PixelMeasuresSequence" in shared:
            measures = shared.PixelMeasuresSequence[0]
    return _positive(measures.get("SliceThickness"))


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < 1e6 else None


def _cleaned(data: Any) -> Any:
    """The data set without private elements and those that cannot be read, in sequences too."""
    for tag in list(data.keys()):
        try:
            if tag.is_private:
                raise ValueError
            element = data[tag]
            if element.VR == "SQ":
                for item in element.value:
                    _cleaned(item)
            else:  # pydicom lets texts pass where numbers belong, until they are set
                type(element)(tag, element.VR, element.value)
        except Exception:  # damaged in one of many ways
            del data[tag]
    return data
