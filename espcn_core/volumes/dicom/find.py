"""Which series are in a set of files, told apart by their UIDs."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espcn_core.volumes.dicom.extra import quiet, read_dataset

_ENDINGS = ("", ".dcm", ".dicom", ".ima")
_TAGS = ("SeriesInstanceUID", "SeriesNumber", "SOPInstanceUID", "Rows", "Columns", "NumberOfFrames")


@dataclass(frozen=True)
class Series:
    """The images of one series.

    Attributes
    ----------
    folder : Path
        The deepest folder that holds them all.
    files : tuple of Path
        One for each image, sorted by name.
    label : str
        What tells it from the others in its folder, without anything of the patient: its number, and a hash
        of its UID where that is not enough.
    """

    folder: Path
    files: tuple[Path, ...]
    label: str

    def __str__(self) -> str:
        return f"{self.folder} (series {self.label})"

    @property
    def stem(self) -> str:
        """A name for its results."""
        return f"series-{self.label}"


def is_dicom(path: Path) -> bool:
    """Whether a file is in DICOM's file format; a name with an ending of other files is not looked into."""
    ending = path.suffix.lower()
    if ending not in _ENDINGS and not ending[1:].isdigit():
        return False
    try:
        if not path.is_file():  # a pipe would wait
            return False
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def find_series(files: Iterable[Path]) -> list[Series]:
    """The series that DICOM files belong to, sorted by number and UID; files without an image are left out.

    A file that cannot be read is a series of its own, so that it fails by name. An instance that is there
    twice counts once.
    """
    found: dict[str, dict[str, Path]] = {}
    sort_keys: dict[str, tuple[float, str]] = {}
    for path in sorted(set(files)):
        head = _head(path)
        if head is None:
            uid, number, instance = f"unread {path}", None, ""
        elif head.get("Rows") is None or head.get("Columns") is None:
            continue
        else:
            uid, instance = str(head.get("SeriesInstanceUID", "")), str(head.get("SOPInstanceUID", path))
            number = _number(head)
        found.setdefault(uid, {}).setdefault(instance, path)
        sort_keys.setdefault(uid, (float("inf") if number is None else number, uid))
    folders = {uid: Path(os.path.commonpath([p.parent for p in of.values()])) for uid, of in found.items()}
    same = Counter((folders[uid], sort_keys[uid][0]) for uid in found)
    series = []
    for uid in sorted(found, key=sort_keys.__getitem__):
        place = sort_keys[uid][0]
        label = "" if place == float("inf") else f"{place:03.0f}"
        if not label or same[folders[uid], place] > 1:
            label = "-".join([*([label] if label else []), hashlib.sha256(uid.encode()).hexdigest()[:8]])
        series.append(Series(folders[uid], tuple(sorted(found[uid].values())), label))
    return series


def series_of(path: Path) -> Series:
    """The whole series of one file: what of its folder belongs to it. It may turn out to be no image."""
    found = find_series(other for other in path.parent.iterdir() if other == path or is_dicom(other))
    mine = next((series for series in found if path in series.files), None)
    if mine is None:  # left out, as a second copy or as no image
        mine = next(iter(find_series([path])), None)
    return mine or Series(path.parent, (path,), hashlib.sha256(str(path).encode()).hexdigest()[:8])


def _head(path: Path) -> Any | None:
    with quiet() as pydicom:
        try:
            head = read_dataset(pydicom, path, stop_before_pixels=True, specific_tags=list(_TAGS))
            for name in _TAGS:
                head.get(name)
            return head
        except Exception:  # whatever is wrong with it, `read` says so with the file's name
            return None


def _number(head: Any) -> int | None:
    try:
        number = int(head.get("SeriesNumber"))
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < 2**31 else None
