"""Headers in text and the files with the voxels that they name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from espcn_core.errors import VolumeError
from espcn_core.files import complete_file
from espcn_core.volumes.checks import LONGEST, check_file, reason, write_reason

_MOST_LINES = 1 << 16
"""Of a header."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """The file, open; what the system says becomes a `VolumeError`."""
    check_file(path)
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise VolumeError(f"{path} cannot be read: {reason(error)}") from None


def lines_of(file: BinaryIO, path: Path, is_last: Callable[[str], bool]) -> list[str]:
    """The header's lines to the last one, which is included; or to the end of the file.

    Bytes that are not UTF-8 survive: they become surrogates, and bytes again when they are written.
    """
    lines: list[str] = []
    size = 0
    while line := file.readline(LONGEST):
        size += len(line)
        if size > LONGEST or len(lines) == _MOST_LINES:
            raise VolumeError(
                f"{path} has no header that ends within {LONGEST} bytes or {_MOST_LINES} lines; "
                "export it again"
            )
        lines.append(line.rstrip(b"\r\n").decode("utf-8", "surrogateescape"))
        if is_last(lines[-1]):
            break
    return lines


def companion(path: Path, named: str) -> Path:
    """The file with the voxels, in the header's folder or below: a header may come from anybody.

    Raises
    ------
    VolumeError
        If it is elsewhere or not there.
    """
    parts = Path(named).parts
    if "\0" in named or not parts or Path(named).is_absolute() or ".." in parts:
        raise VolumeError(f"{path} names a file for its voxels that is not in its folder; put it there")
    body = path.parent / named
    if not body.exists():
        raise VolumeError(
            f"{path} lacks the file with its voxels, which it names; put it into the same folder"
        )
    return body


@contextlib.contextmanager
def writing(head: Path, body: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Files for header and voxels, the same one if the names are; complete, or not there at all.

    Of two the header comes last, so that it never stands beside the voxels of another.
    """
    try:
        if head.is_dir():
            raise IsADirectoryError
        if head == body:
            with complete_file(head) as file:
                yield file, file
            return
        with complete_file(head) as first, complete_file(body) as second:
            yield first, second
            head.unlink(missing_ok=True)
    except OSError as error:
        raise VolumeError(f"{head} cannot be written: {write_reason(error, head)}") from None


def encoded(lines: list[str]) -> bytes:
    """Lines as bytes, each ended."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def numbers(text: str, count: int, what: str, path: Path) -> list[float]:
    """So many finite numbers.

    Raises
    ------
    VolumeError
        If the text holds something else, which the message does not repeat.
    """
    words = text.replace(",", " ").split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count or not all(abs(value) < 1e300 for value in values):
        raise VolumeError(
            f"{path} has a damaged header: {what} is not {count} numbers; export the image again"
        )
    return values


def whole_numbers(text: str, count: int, what: str, path: Path) -> list[int]:
    """So many whole numbers above zero, small enough that their product is a size in bytes."""
    values = numbers(text, count, what, path)
    if any(value != int(value) or not 1 <= value < 2**40 for value in values):
        raise VolumeError(f"{path} has a damaged header: {what} is not {count} sizes; export the image again")
    return [int(value) for value in values]
