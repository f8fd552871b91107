"""What is found at the inputs of a call, and what its results are called."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from espcn_core.errors import RequestError
from espcn_core.volumes import is_volume
from espcn_core.volumes.dicom import Series, find_series, is_dicom, series_of
from espcn_core.volumes.formats import DICOM, FORMATS, ending_of, listed_series

_KINDS = ".nii.gz, .nii, .nrrd, .mha or .mgz"


@dataclass(frozen=True)
class Item:
    """Something to upscale.

    Attributes
    ----------
    source : Path
    name : Path
        Its name in an output folder, before suffix and ending are chosen.
    searched : bool
        Whether it was found in a folder, not named.
    series : Series, optional
    """

    source: Path
    name: Path
    searched: bool
    series: Series | None = None


@dataclass(frozen=True)
class Naming:
    """How names in an output folder come from those of the inputs: see `find_jobs`."""

    suffix: str
    compress: bool | None
    output_format: str | None

    def of(self, item: Item, *, trust: bool) -> Path:
        name = item.name.name
        ending = "" if item.series else ending_of(name) or Path(name).suffix
        stem = name[: len(name) - len(ending)]
        wanted = self.output_format or (DICOM if item.series else None)
        if wanted == DICOM and trust:
            wanted = "nifti"
        if wanted == DICOM:
            if not item.series:
                raise RequestError(
                    f"{item.source} is no DICOM series, and only from one another can be derived: "
                    "choose another --output-format"
                )
            return item.name.with_name(stem + self.suffix)
        if wanted is not None:
            form = next(form for form in FORMATS if form.name == wanted)
            ending = ending if ending.lower() in form.endings else form.endings[0]
        if self.compress is False and ending.lower() == ".nii.gz":
            ending = ending[: -len(".gz")]
        if self.compress and ending.lower() in (".nii", ".hdr", ".img"):
            ending = ".nii.gz"
        return item.name.with_name(stem + self.suffix + ending)


class Destination:
    """Where an option puts what is written: into one file, or under names of their own into a folder."""

    def __init__(self, option: str, path: str, inputs: Sequence[Path], items: Sequence[Item]) -> None:
        named_as_file = bool(ending_of(path))
        self.path = Path(path)
        series = [item.series for item in items if item.series]
        folder = path.endswith(("/", os.sep)) or self.path.is_dir()
        if len(inputs) == 1 and len(series) == len(items) > 1 and named_as_file and not folder:
            raise RequestError(
                f"{inputs[0]} holds {len(series)} DICOM series ({listed_series(series)}), "
                f"and {option} {path} is one file: name a folder, or a file of one series"
            )
        self.is_file = (
            len(inputs) == len(items) == 1 and not folder and (named_as_file or not items[0].series)
            and (bool(series) or not inputs[0].is_dir())
        )  # fmt: skip
        if self.is_file and not named_as_file:
            raise RequestError(
                f"{option} {path} is no name of a volume: end it in {_KINDS}, or in / for a folder"
            )
        if not self.is_file and self.path.exists() and not self.path.is_dir():
            raise RequestError(
                f"{option} {path} is a file, and these inputs need a folder: choose another name"
            )
        if not self.is_file and named_as_file and not self.path.exists():
            raise RequestError(
                f"{option} {path} is named as a file, and these inputs need a folder: "
                "end it in / if it is one"
            )

    def of(self, item: Item, naming: Naming, *, trust: bool) -> Path:
        """The file for an input."""
        return self.path if self.is_file else self.path / naming.of(item, trust=trust)


def items_of(path: Path, written: Collection[Path]) -> Iterator[Item]:
    """What is to be upscaled at a path: the file, or what is found in the folder."""
    if not path.is_dir():
        if not ending_of(path.name) and is_dicom(path):
            series = series_of(path)
            yield Item(series.folder, Path(series.stem), False, series)
        else:
            yield Item(path, Path(path.name), False)
        return
    images, found = [], False
    for source in _search(path, written):
        if is_volume(source):
            found = True
            yield Item(source, source.relative_to(path), True)
        elif is_dicom(source):
            images.append(source)
    for series in find_series(images):
        found = True
        yield Item(series.folder, series.folder.relative_to(path) / series.stem, True, series)
    if not found:
        raise RequestError(f"{path} holds no volume ({_KINDS}) and no DICOM series: name another folder")


def _search(folder: Path, written: Collection[Path]) -> Iterator[Path]:
    """Files in a folder and below, without hidden ones and those in the folders that are written to."""
    for root, folders, files in os.walk(folder, onerror=_refuse):
        below = Path(root)
        folders[:] = sorted(f for f in folders if f[0] != "." and (below / f).resolve() not in written)
        yield from (below / f for f in sorted(files) if f[0] != ".")


def _refuse(error: OSError) -> None:
    raise RequestError(f"{error.filename} cannot be searched: {error.strerror}")
