"""Fetch the files of the public record, over connections that break, and accept them by their MD5."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from espcn_core.errors import DataError
from espcn_core.files import part_path, publish

LANDING_PAGE = "https://doi.org/10.6084/m9.figshare.1512427"
BASE_URL = "https://ndownloader.figshare.com/files"


@dataclass(frozen=True)
class RecordFile:
    """One file of the record.

    Attributes
    ----------
    name : str
        Its name in the record and on disk.
    number : int
        figshare's number of the file; its address is ``BASE_URL/number``.
    size : int
        Bytes.
    md5 : str
        As published by figshare, in hexadecimal.
    """

    name: str
    number: int
    size: int
    md5: str


RECORD = (
    RecordFile("README 2024.txt", 51340418, 3_303, "4188f7c30957e9673c3611613071bd6e"),
    RecordFile("cvind.mat", 7005344, 5_736, "5ea82eb3212c9fcb84290ccf0beb486d"),
    RecordFile("brainTumorDataPublic_1-766.zip", 3381290, 214_401_279, "74b949ad33f042e6e103523091cd1428"),
    RecordFile("brainTumorDataPublic_767-1532.zip", 3381296, 217_848_429, "7e8a875500d2c8a346f270538e29890e"),
    RecordFile(
        "brainTumorDataPublic_1533-2298.zip", 3381293, 215_563_856, "8227bf6080cb71f15a88be8d25c79ae7"
    ),
    RecordFile(
        "brainTumorDataPublic_2299-3064.zip", 3381302, 231_679_762, "b378a80d6174e5317d59eb28430c6652"
    ),
)
"""Version 8 of the record (2024-12-21)."""

Progress = Callable[[str, int, int], None]
"""Called with a file's name, its bytes so far and its size."""

_BLOCK = 1 << 18
_TIMEOUT = 60.0  # seconds without a byte
_TRIES = 5  # connections in a row that bring nothing new
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
_PASSING = {408, 425, 429, 500, 502, 503, 504}


def fetch(
    folder: Path,
    *,
    files: Sequence[RecordFile] = RECORD,
    base_url: str = BASE_URL,
    progress: Progress | None = None,
    pause: float = 1.0,
) -> None:
    """Fetch the record into a folder. What is there and right is left alone; what was begun is gone on with.

    Parameters
    ----------
    folder : Path
        Made if it is not there. `open_source` reads the zip files as they are.
    files : sequence of RecordFile
        What to fetch.
    base_url : str
        Where the files are, each under its number.
    progress : callable, optional
        Called with a file's name, its bytes so far and its size.
    pause : float
        Seconds before a broken connection is taken up again, doubled each time that it brought nothing.

    Raises
    ------
    DataError
        If a file cannot be fetched, is not the published one, or cannot be written.
    """
    tell = progress or (lambda name, done, size: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            path = folder / file.name
            if not _is_right(path, file):
                _download(f"{base_url.rstrip('/')}/{file.number}", path, file, tell, pause)
                if not _is_right(part_path(path), file):
                    part_path(path).unlink()
                    raise DataError(
                        f"{file.name} came with another MD5 than the published {file.md5}: "
                        "it was thrown away, run the command again"
                    )
                publish(path)
            tell(file.name, file.size, file.size)
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error}): look at its rights and free space") from error


def _is_right(path: Path, file: RecordFile) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest() == file.md5


def _download(url: str, path: Path, file: RecordFile, tell: Progress, pause: float) -> None:
    """Fill the part file up to the file's size, over as many connections as it takes."""
    part = part_path(path)
    idle = 0
    while (before := _size(part)) != file.size:
        reason = "the connection broke off"
        try:
            _go_on(url, part, file, tell)
        except urllib.error.HTTPError as error:
            if error.code not in _PASSING:
                raise _refused(file, path.parent, f"status {error.code}") from error
            reason = f"the server answered {error.code}"
        except _BROKEN as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if _size(part) > before:
            idle = 0
        elif (idle := idle + 1) == _TRIES:
            raise DataError(
                f"{file.name} cannot be fetched ({reason}): run the command again to go on with it"
            )
        if _size(part) != file.size:
            time.sleep(pause * 2**idle)


def _go_on(url: str, part: Path, file: RecordFile, tell: Progress) -> None:
    """One connection: ask for what is not there yet, and start over where the server sends all of it."""
    done = _size(part)
    if done > file.size:
        done = 0
    headers = {"User-Agent": "espcn-core", **({"Range": f"bytes={done}-"} if done else {})}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        if answer.status not in (200, 206):
            raise _refused(file, part.parent, f"status {answer.status}")
        if answer.status == 200:
            done = 0
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            part.unlink(missing_ok=True)
            raise http.client.HTTPException("the server sent another part than it was asked for")
        if answer.length not in (None, file.size - done):
            raise _refused(file, part.parent, f"{answer.length:,} bytes of {file.size - done:,}")
        with part.open("r+b" if done else "wb") as out:
            out.seek(done)
            while done < file.size and (block := answer.read(min(_BLOCK, file.size - done))):
                out.write(block)
                done += len(block)
                tell(file.name, done, file.size)


def _refused(file: RecordFile, folder: Path, answer: str) -> DataError:
    """figshare turns some networks and programs away, for instance with 202 and a riddle for a browser."""
    return DataError(
        f"{file.name} was not sent by the server ({answer}): "
        f"download it from {LANDING_PAGE} with a browser into {folder} and run the command again"
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
