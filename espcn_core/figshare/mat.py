"""Read the MATLAB v7.3 files of the data set: ``N.mat`` with one slice, ``cvind.mat`` with the folds.

A v7.3 file is an HDF5 file after a header of 512 bytes. MATLAB writes arrays column by column, so that
HDF5 shows them transposed; everything here is turned back.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from espcn_core.errors import DataError
from espcn_core.figshare.slices import LABELS, FigshareSlice

# Sizes that no file of this data set comes near: a header that claims more is broken, and nothing is
# allocated on its word.
MAX_SIDE = 4096
_MAX_VALUES = 100_000
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_MORE = 1000  # bytes that filters may add to a chunk
_LONGEST = 300  # characters of a patient's id

DAMAGED = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    ArithmeticError,
    MemoryError,
    zlib.error,
)
"""What h5py and zlib raise on files with damage in different places."""


def read_slice(content: Path | BinaryIO, name: str, index: int) -> FigshareSlice:
    """The slice in one ``N.mat``.

    Parameters
    ----------
    content : Path or binary file
        Where the file is, or its bytes.
    name : str
        What messages call it.
    index : int
        Its number in the data set.

    Raises
    ------
    DataError
        If the file is not complete, or not a slice.
    """
    with _opened(content, name) as file:
        image = _matrix(file, "image")
        mask = _matrix(file, "tumorMask")
        if image.dtype != np.int16 and not _fits_int16(image):
            raise DataError(f"{name}: the image is {image.dtype}, not 16-bit whole numbers: fetch it again")
        if mask.shape != image.shape:
            raise DataError(f"{name}: the mask is {mask.shape}, the image {image.shape}: fetch it again")
        label = float(_vector(file, "label")[0])
        if label not in LABELS:
            raise DataError(f"{name}: the label is {label:g}, not 1, 2 or 3: fetch it again")
        points = _vector(file, "tumorBorder").astype(np.float64)
        if points.size % 2:
            raise DataError(f"{name}: the border has {points.size} numbers, not pairs: fetch it again")
        return FigshareSlice(
            index=index,
            image=np.ascontiguousarray(image, dtype=np.int16),
            label=int(label),
            patient=_patient(file),
            border=points.reshape(-1, 2),
            mask=np.ascontiguousarray(mask != 0),
        )


def read_patient(content: Path | BinaryIO, name: str) -> str:
    """The patient id in one ``N.mat``, without reading its image."""
    with _opened(content, name) as file:
        return _patient(file)


def read_folds(content: Path | BinaryIO, name: str) -> dict[int, int]:
    """Fold (1 to 5) by number of slice from ``cvind.mat``; a slice with 0 there has no fold and is left out.

    The n-th number belongs to ``n.mat``: so read, no patient of the public data set is in two folds.
    """
    with _opened(content, name) as file:
        folds = _values(member(file, "cvind"), _MAX_VALUES).ravel()
        if not np.isin(folds, range(6)).all():
            raise DataError(f"{name}: folds are whole numbers from 1 to 5, these are not: fetch it again")
    return {index: int(fold) for index, fold in enumerate(folds, start=1) if fold}


@contextmanager
def _opened(content: Path | BinaryIO, name: str) -> Iterator[Any]:
    """The open HDF5 file; whatever HDF5 raises on a damaged file becomes one sentence with its name."""
    try:
        with h5py.File(content, "r") as file:
            yield file
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{name} is not there any more: look whether it was moved") from error
    except DAMAGED as error:
        reason = " ".join(str(error.args[0] if error.args else error).split())
        raise DataError(f"{name} cannot be read ({reason}): fetch it again") from error


def member(group: Any, name: str) -> Any:
    """What a group holds under a name, in the same file: a link may lead to any file of the machine."""
    if not isinstance(group, h5py.Group):
        raise ValueError(f"what should hold {name} is no group")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link to another place")
    found = group[name]
    if isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
        raise ValueError(f"{name} lies in another file")
    return found


def check_size(dataset: Any, limit: int) -> None:
    """Raise `ValueError` if a data set, or a chunk of it, claims more than ``limit`` values, or none."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError("a field is not an array")
    for shape in (dataset.shape, dataset.chunks or ()):
        if math.prod(shape) > limit:
            raise ValueError(f"a field claims the shape {shape}")


def _values(dataset: Any, limit: int) -> npt.NDArray[Any]:
    """The whole of an HDF5 data set of at most ``limit`` numbers."""
    check_size(dataset, limit)
    if dataset.dtype.kind not in "iuf":
        raise ValueError("a field is not an array of numbers")
    if not dataset.size:
        raise ValueError(f"a field claims the shape {dataset.shape}")
    if dataset.chunks is not None:
        _check_chunks(dataset)
    return np.asarray(dataset[()])


def _check_chunks(dataset: Any) -> None:
    """Raise `ValueError` if a chunk unpacks to more than it holds: HDF5 unpacks it to its end."""
    made = dataset.id.get_create_plist()
    filters = [made.get_filter(n)[0] for n in range(made.get_nfilters())]
    if not set(filters) <= _FILTERS or len(set(filters)) < len(filters):
        raise ValueError("a field is packed otherwise than MATLAB does it")
    if h5py.h5z.FILTER_DEFLATE not in filters:
        return
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize + _MORE
    chunks: list[Any] = []
    dataset.id.chunk_iter(chunks.append)
    for chunk in chunks:
        if chunk.size > size:
            raise ValueError(f"a chunk has {chunk.size} bytes")
        left_out, packed = dataset.id.read_direct_chunk(chunk.chunk_offset)
        if left_out:
            raise ValueError("a chunk is packed otherwise than the others")
        unpacking = zlib.decompressobj()
        unpacking.decompress(packed, size)
        if not unpacking.eof:
            raise ValueError(f"a chunk unpacks to more than {size} bytes, or is cut")


def _vector(file: Any, field: str) -> npt.NDArray[Any]:
    return _values(member(member(file, "cjdata"), field), _MAX_VALUES).ravel()


def _matrix(file: Any, field: str) -> npt.NDArray[Any]:
    matrix = _values(member(member(file, "cjdata"), field), MAX_SIDE**2).T
    if matrix.ndim != 2:
        raise ValueError(f"{field} has {matrix.ndim} axes, not 2")
    return matrix


def _fits_int16(image: npt.NDArray[Any]) -> bool:
    limits = np.iinfo(np.int16)
    return image.dtype.kind in "iu" and bool(image.min() >= limits.min and image.max() <= limits.max)


def _patient(file: Any) -> str:
    """MATLAB keeps text as one 16-bit number for each character."""
    patient = "".join(chr(int(code)) for code in _vector(file, "PID")).strip("\0 ")
    if not 0 < len(patient) <= _LONGEST:
        raise ValueError("the patient id is empty or too long")
    return patient
