"""Every format that is read and written, by the ending of a file's name; a folder is a DICOM series."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from espcn_core.errors import VolumeError
from espcn_core.grid import Triple
from espcn_core.volumes import dicom, metaimage, mgh, nifti, nrrd
from espcn_core.volumes.dicom import Series
from espcn_core.volumes.raw import Progress
from espcn_core.volumes.volume import Volume


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes
    ----------
    name : str
        What ``--output-format`` calls it.
    endings : tuple of str
        Of its names, in lower case; that of new files comes first.
    read : callable
        From a path to a `Volume`.
    write : callable
        Takes a volume, of this format or another, a path, and a `Progress` or None.
    check : callable
        Takes type, shape and name of what would be written; raises `VolumeError` if it cannot be.
    shear : bool
        Whether axes may be at other than right angles.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path], Volume]
    write: Callable[[Volume, Path, Progress | None], None]
    check: Callable[[npt.DTypeLike, tuple[int, ...], Path], None]
    shear: bool = True


def _any_type(dtype: npt.DTypeLike, shape: tuple[int, ...], name: Path) -> None:
    """NIfTI holds all types of voxels that are read."""


FORMATS = (
    Format("nifti", (".nii.gz", ".nii", ".hdr", ".img"), nifti.read, nifti.write, _any_type),
    Format("nrrd", nrrd.ENDINGS, nrrd.read, nrrd.write, nrrd.check),
    Format("mha", metaimage.ENDINGS, metaimage.read, metaimage.write, metaimage.check, shear=False),
    Format("mgz", mgh.ENDINGS, mgh.read, mgh.write, mgh.check, shear=False),
)
DICOM = "dicom"
ENDINGS = tuple(sorted((e for form in FORMATS for e in form.endings), key=len, reverse=True))


def ending_of(name: str) -> str:
    """The ending of a volume's file, as it is written; empty if it is none."""
    lower = name.lower()
    ending = next((e for e in ENDINGS if lower.endswith(e)), "")
    return name[len(name) - len(ending) :]


def format_of(path: str | os.PathLike[str]) -> Format | None:
    """The format that a file's name says, or None."""
    ending = ending_of(Path(path).name).lower()
    return next((form for form in FORMATS if ending in form.endings), None)


def is_volume(path: str | os.PathLike[str]) -> bool:
    """Whether a file's name is that of a volume. A NIfTI pair counts once, by its .hdr."""
    return ending_of(Path(path).name).lower() not in ("", ".img")


def read(source: str | os.PathLike[str] | Series) -> Volume:
    """Read a volume: a file whose name says its format, a DICOM file with its series, or a series.

    Raises
    ------
    VolumeError
        If it cannot be read, in one sentence that names it and nothing of what its header says of a patient.
    """
    if isinstance(source, Series):
        return dicom.read(source)
    path = Path(source)
    form = format_of(path)
    if form is not None:
        return form.read(path)
    if path.is_dir():
        (series,) = only_series(path)
        return dicom.read(series)
    if dicom.is_dicom(path):
        return dicom.read(dicom.series_of(path))
    return nifti.read(path)  # which says what names there are


def only_series(folder: Path) -> list[Series]:
    """The one series of a folder, or a `VolumeError` that lists them."""
    found = dicom.find_series(f for f in sorted(folder.rglob("*")) if f.name[0] != "." and dicom.is_dicom(f))
    if len(found) != 1:
        listed = f"{len(found)} DICOM series ({listed_series(found)})" if found else "no DICOM series"
        raise VolumeError(f"{folder} holds {listed}, not one; name the folder or a file of one series")
    return found


def listed_series(found: list[Series]) -> str:
    """The series with their numbers of files."""
    shown = [f"{s.label}: {len(s.files)} file{'s' * (len(s.files) > 1)}" for s in found[:8]]
    return ", ".join([*shown, *(["..."] if len(found) > 8 else [])])


def write(
    volume: Volume,
    path: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    anonymise: bool = False,
) -> None:
    """Write a volume in the format that the name says; a name without a known ending is a folder of DICOM.

    Another format than that of the volume keeps grid, values and type; scaled values are written as they are
    where the format has no scaling. Files appear under their names only when they are complete.

    Parameters
    ----------
    volume : Volume
    path : path
    progress : callable, optional
        Called with (voxels written, voxels in all); the writing stops if it returns False.
    anonymise : bool
        Take the identity out of a DICOM series.

    Raises
    ------
    CancelledError
        If ``progress`` returned False.
    VolumeError
        If the format cannot hold the volume, or the file cannot be written.
    """
    path = Path(path)
    form = format_of(path)
    if form is None:
        dicom.write(volume, path, progress, anonymise=anonymise)
    else:
        _check_shear(form, volume, path)
        form.write(volume, path, progress)


def check_writable(volume: Volume, shape: Triple, dtype: npt.DTypeLike, path: str | os.PathLike[str]) -> None:
    """Raise `VolumeError` if the format of a name cannot hold the volume in this shape and type.

    Ask before the work is done. A type that scaled values get only then is not known yet.
    """
    path = Path(path)
    form = format_of(path)
    if form is None:
        dicom.check(volume, shape, path)
        return
    _check_shear(form, volume, path)
    if (volume.slope, volume.inter) == (1.0, 0.0) or np.dtype(dtype) != volume.array.dtype:
        form.check(dtype, shape + volume.array.shape[3:], path)


def _check_shear(form: Format, volume: Volume, path: Path) -> None:
    if volume.grid.has_shear and not form.shear:
        raise VolumeError(
            f"{path} cannot hold axes that are not at right angles, as {volume.name} has them; "
            "choose .nii.gz or .nrrd"
        )


def parts_of(path: Path) -> tuple[Path, ...]:
    """All names under which `write` may write for this one."""
    ending = ending_of(path.name)
    if ending.lower() in (".hdr", ".img"):
        upper = ending.isupper()
        return tuple(path.with_suffix(e.upper() if upper else e) for e in (".hdr", ".img"))
    bodies: dict[str, Any] = {".nhdr": nrrd.body_of, ".mhd": metaimage.body_of}
    body = bodies.get(ending.lower())
    return (path,) if body is None else (path, body(path, True), body(path, False))
