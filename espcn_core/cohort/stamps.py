"""What tells whether files are still what they were: sizes and times, and a hash where these differ."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from espcn_core.cohort.bids_metadata import sidecars_of
from espcn_core.cohort.jobs import Job
from espcn_core.errors import VolumeError
from espcn_core.volumes.formats import ending_of, parts_of

_INTEGER = 1 << 63  # of SQLite


@dataclass(frozen=True)
class Stamp:
    """The state of one file, or of the few that belong together.

    Attributes
    ----------
    size : int
        Bytes of all of them.
    mtime_ns : int
        When it was last changed, in ns since 1970; of several files the sum, modulo 2^63.
    sha256 : str
        Of one file's bytes; of several files, of their names and hashes. Empty where it was not asked for.
    """

    size: int
    mtime_ns: int
    sha256: str = ""

    def unlike(self, now: Stamp) -> bool:
        """Whether size or time differ."""
        return (self.size, self.mtime_ns) != (now.size, now.mtime_ns)


def files_of_source(job: Job) -> list[Path]:
    """What a job reads: the images of a series, or both files of a pair, and the sidecars that are there."""
    if job.series:
        return list(job.series.files)
    if job.sidecar is not None:
        return [*_parts(job.source), *sidecars_of(job)]
    ending = ending_of(job.source.name) or job.source.suffix
    sidecar = job.source.with_name(job.source.name[: len(job.source.name) - len(ending)] + ".json")
    return [*_parts(job.source), *([sidecar] if sidecar.is_file() else [])]


def files_of_target(path: Path) -> list[Path]:
    """What is there under the name of a result: a file, a pair, or the images in a folder."""
    return sorted(path.iterdir()) if path.is_dir() else _parts(path)


def stamp(files: Sequence[Path]) -> Stamp:
    """Sizes and times of files. Raises `OSError` if one is not there."""
    found = [os.stat(path) for path in files]
    size = sum(status.st_size for status in found)
    return Stamp(size, sum(status.st_mtime_ns for status in found) % _INTEGER)


def hashed(files: Sequence[Path]) -> Stamp:
    """The same with the hash.

    Raises
    ------
    OSError
        If one cannot be read.
    VolumeError
        If one changed meanwhile.
    """
    before = stamp(files)
    digests = [_digest(path) for path in files]
    if stamp(files).unlike(before):
        raise VolumeError(f"{files[0]} changes while it is read: upscale it again when it is complete")
    return replace(before, sha256=digests[0] if len(digests) == 1 else _together(files, digests))


def still(known: Stamp, files: Sequence[Path]) -> Stamp | None:
    """The stamp of files that are what they were, with their times as they are now; None if they are not.

    Size and time are compared first, and the hash only if the time alone differs.
    """
    try:
        now = stamp(files)
        if known.unlike(now):
            now = hashed(files) if known.size == now.size else now
            return now if now.sha256 == known.sha256 else None
    except (OSError, VolumeError):
        return None
    return known


def _parts(path: Path) -> list[Path]:
    """The files of a volume; itself, if none is there."""
    parts = [part for part in parts_of(path) if part != path and part.exists()]
    return [path, *parts]


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _together(files: Iterable[Path], digests: Iterable[str]) -> str:
    together = hashlib.sha256()
    for path, digest in zip(files, digests, strict=True):
        together.update(os.fsencode(path.name) + b"\0" + digest.encode() + b"\n")
    return together.hexdigest()
