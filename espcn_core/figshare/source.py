"""One interface to the data set in every form that it has on disk."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self

import h5py

from espcn_core.errors import DataError
from espcn_core.figshare import mat
from espcn_core.figshare.archive import Archive
from espcn_core.figshare.pack import PackedSource
from espcn_core.figshare.slices import FigshareSlice, FigshareSource

_SLICE_NAME = re.compile(r"0*([1-9]\d{0,5})\.mat", re.IGNORECASE)
_FOLDS_NAME = "cvind.mat"


def open_source(path: Path) -> FigshareSource:
    """Open the data set, in whichever of its forms it is.

    Parameters
    ----------
    path : Path
        A folder of ``N.mat`` files (in sub-folders too), a folder that holds the zip files of the public
        record, one of these zip files, the zip file that figshare makes of all of them, or a file
        written by `pack`. Where a slice is there both as a file and in a zip file, the file counts.

    Raises
    ------
    DataError
        If there is nothing of the data set at ``path``, or a zip file is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} is not there: give a folder, a zip file or a packed .h5 file")
    if path.is_dir():
        files, cvind = _in_folder(path)
    elif zipfile.is_zipfile(path):
        files, cvind = _in_archive(Archive(path))
    elif h5py.is_hdf5(path):
        return PackedSource(path)
    else:
        raise DataError(
            f"{path} is neither a folder nor a whole zip file nor a packed .h5 file: fetch it again"
        )
    if not files:
        raise DataError(f"{path} holds no slice of the data set (1.mat to 3064.mat): fetch it first")
    return _MatSource(files, cvind)


class _Member(Protocol):
    """One MATLAB file, on disk or in an archive."""

    @property
    def name(self) -> str: ...

    def content(self) -> Path | BinaryIO: ...


@dataclass(frozen=True)
class _LooseFile:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def content(self) -> Path:
        return self.path


@dataclass(frozen=True)
class _ZippedFile:
    archive: Archive
    member: str

    @property
    def name(self) -> str:
        return f"{self.archive.name}/{self.member}"

    def content(self) -> BinaryIO:
        return io.BytesIO(self.archive.read(self.member))


class _MatSource:
    """The public form: a MATLAB file for each slice, on disk or zipped."""

    def __init__(self, files: Mapping[int, _Member], cvind: _Member | None) -> None:
        self.indices = tuple(sorted(files))
        self._files = files
        self._cvind = cvind
        self._patients: dict[int, str] | None = None

    def read(self, index: int) -> FigshareSlice:
        if index not in self._files:
            raise DataError(
                f"slice {index} is not there: there are {len(self.indices)} others, fetch the rest"
            )
        file = self._files[index]
        return mat.read_slice(file.content(), file.name, index)

    def patients(self) -> dict[int, str]:
        if self._patients is None:
            files = ((index, self._files[index]) for index in self.indices)
            self._patients = {i: mat.read_patient(file.content(), file.name) for i, file in files}
        return dict(self._patients)

    def folds(self) -> dict[int, int] | None:
        if self._cvind is None:
            return None
        folds = mat.read_folds(self._cvind.content(), self._cvind.name)
        return {index: folds[index] for index in self.indices if index in folds}

    def close(self) -> None:
        for file in self._files.values():
            if isinstance(file, _ZippedFile):
                file.archive.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_Found = tuple[dict[int, _Member], _Member | None]


def _in_folder(folder: Path) -> _Found:
    """Files and zip files below a folder. Hidden ones are left out: macOS puts its own beside each file."""
    paths = sorted(p for p in folder.rglob("*") if not p.name.startswith(".") and p.is_file())
    loose: dict[int, _Member] = {}
    folds: list[_Member] = [_LooseFile(path) for path in paths if path.name.lower() == _FOLDS_NAME]
    for path in paths:
        if match := _SLICE_NAME.fullmatch(path.name):
            first = loose.setdefault(int(match[1]), _LooseFile(path))
            if first.name != str(path):
                raise DataError(f"slice {match[1]} is there twice, {first.name} and {path}: keep one of them")
    zipped = [_in_archive(Archive(path)) for path in paths if path.suffix.lower() == ".zip"]
    return _merged([(loose, folds[0] if folds else None), *zipped])


def _in_archive(archive: Archive) -> _Found:
    """Files of an archive, and of those within it."""
    files: dict[int, _Member] = {}
    cvind: _Member | None = None
    inner: list[_Found] = []
    for member in archive.members():
        name = member.rpartition("/")[2]
        if match := _SLICE_NAME.fullmatch(name):
            files.setdefault(int(match[1]), _ZippedFile(archive, member))
        elif name.lower() == _FOLDS_NAME:
            cvind = _ZippedFile(archive, member)
        elif name.lower().endswith(".zip") and not name.startswith(".") and archive.inner is None:
            inner.append(_in_archive(Archive(archive.path, member)))
    return _merged([(files, cvind), *inner])


def _merged(parts: Iterable[_Found]) -> _Found:
    """All files of all parts; the first of two with the same number counts."""
    files: dict[int, _Member] = {}
    cvind: _Member | None = None
    for more, folds in parts:
        files = {**more, **files}
        cvind = cvind or folds
    return files, cvind
