"""The data set as one HDF5 file, for fast random reading of whole slices.

Layout: at the root the tables ``index``, ``label``, ``fold`` (0 for none), ``patient``, ``size`` and ``row``,
one entry a slice, and ``border`` with ``border_end``: slice i has the points from the end of the one before.
For each size of slice there is a group, such as ``512x512``, with ``image`` (n, H, W) and ``mask``
(n, H * W / 8: eight voxels a byte, as by `numpy.packbits`); ``row`` is a slice's place in it.

A chunk is one slice. Images are not compressed: one of 512 x 512 is then read in 0.03 ms from the page cache,
against 0.9 ms with LZF or gzip, which would save 0.35 of its 0.52 MB. Masks are: 1 kB and 0.05 ms each.

Texts are of fixed length: those of variable length lie in a heap, and in a damaged one HDF5 loops or takes
all memory. Types, layouts, filters and sizes are looked at before a value is read; masks are unpacked here,
because HDF5's own filter unpacks a chunk to its end, however far that is.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from espcn_core.errors import DataError, RequestError
from espcn_core.figshare.mat import DAMAGED, MAX_SIDE, check_size, member
from espcn_core.figshare.slices import FigshareSlice, FigshareSource
from espcn_core.files import part_path, publish

_FORMAT = b"espcn-core figshare 2"
_TEXT = "utf-8", "surrogatepass"  # MATLAB's texts are 16-bit numbers, whole characters or not
_NO_FOLD = 0
_MOST = 10_000_000
"""Entries of a table; the data set has 3,064 slices, and borders of some hundred points each."""

_LONGEST = 1000
"""Bytes of a text."""

_MORE = 1000
"""Bytes that zlib may add to what it cannot pack."""


def pack(source: FigshareSource, path: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write every slice of a source, with folds, patients, borders and masks, into one HDF5 file.

    Parameters
    ----------
    source : FigshareSource
        From `open_source`.
    path : Path
        The file to write. It appears under this name only when it is complete.
    progress : callable, optional
        Called with the number of slices written and of all slices.

    Raises
    ------
    RequestError
        If the file is there already.
    DataError
        If a slice is broken, or the file cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise RequestError(f"{path} is there already: delete it or give another name")
    part = part_path(path)
    try:
        with h5py.File(part, "w", libver="v110") as file:
            _write(file, source, progress)
        publish(path)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{path} cannot be written ({error}): look at the folder and its free space"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _write(file: Any, source: FigshareSource, progress: Callable[[int, int], None] | None) -> None:
    count = len(source.indices)
    folds = source.folds()
    rows: dict[str, int] = {}
    table: list[tuple[int, str, str, int]] = []
    borders = [np.empty((0, 2))]
    for done, index in enumerate(source.indices, start=1):
        piece = source.read(index)
        height, width = piece.image.shape
        size = f"{height}x{width}"
        if size not in rows:
            rows[size] = 0
            _create(file.create_group(size), count, height, width)
        row = rows[size]
        file[size]["image"][row] = piece.image
        file[size]["mask"][row] = np.packbits(piece.mask)
        rows[size] += 1
        table.append((piece.label, piece.patient, size, row))
        borders.append(piece.border)
        if progress is not None:
            progress(done, count)
    for size, used in rows.items():
        file[size]["image"].resize(used, axis=0)
        file[size]["mask"].resize(used, axis=0)

    file.attrs["format"] = np.bytes_(_FORMAT)
    file.attrs["folds"] = np.uint8(folds is not None)
    file["index"] = np.array(source.indices, dtype=np.int32)
    file["fold"] = np.array([(folds or {}).get(i, _NO_FOLD) for i in source.indices], dtype=np.uint8)
    file["label"] = np.array([label for label, _, _, _ in table], dtype=np.uint8)
    file["row"] = np.array([row for _, _, _, row in table], dtype=np.int32)
    file["patient"] = np.array([patient.encode(*_TEXT) for _, patient, _, _ in table], dtype=np.bytes_)
    file["size"] = np.array([size.encode() for _, _, size, _ in table], dtype=np.bytes_)
    file["border"] = np.concatenate(borders)
    file["border_end"] = np.cumsum([len(points) for points in borders[1:]])


def _create(group: Any, count: int, height: int, width: int) -> None:
    """Room for ``count`` slices; chunks that are never written take no space."""
    bits = (height * width + 7) // 8
    for name, shape, dtype, more in (
        ("image", (height, width), np.int16, {}),
        ("mask", (bits,), np.uint8, {"compression": "gzip", "compression_opts": 1}),
    ):
        group.create_dataset(
            name, (count, *shape), dtype, chunks=(1, *shape), maxshape=(count, *shape), **more
        )


class PackedSource:
    """The data set in a file that `pack` wrote.

    The file is opened when first read and anew in each process.

    Raises
    ------
    DataError
        If the file is not whole or not such a file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, Any, dict[str, dict[str, Any]]] | None = None  # with its process
        try:
            with h5py.File(path, "r", locking=False) as file:
                if _attribute(file, "format") != _FORMAT:
                    raise DataError(
                        f"{path} is an HDF5 file, but not one that `espcn-core data pack` wrote, or of an "
                        "old version: give the folder of the .mat files, or pack it again"
                    )
                self._has_folds = bool(_attribute(file, "folds"))
                index, self._label, self._fold, self._row, self._border_end = (
                    _table(file, name) for name in ("index", "label", "fold", "row", "border_end")
                )
                self._border = _table(file, "border", axes=2)
                self._patient, self._size = (_texts(file, name) for name in ("patient", "size"))
            columns = (index, self._label, self._fold, self._row, self._border_end, self._patient, self._size)
            if len({len(column) for column in columns}) != 1 or self._border.shape[1] != 2:
                raise ValueError("its tables do not belong together")
        except DataError:
            raise
        except DAMAGED as error:
            raise DataError(f"{path} cannot be read ({error}): pack it again") from error
        self.indices = tuple(int(i) for i in index)
        self._place = {i: place for place, i in enumerate(self.indices)}

    def read(self, index: int) -> FigshareSlice:
        place = self._place.get(index)
        if place is None:
            raise DataError(f"slice {index} is not in {self._path}: pack a folder that holds it")
        size, row = self._size[place], int(self._row[place])
        try:
            group = self._sets()[size]
            image: npt.NDArray[np.int16] = np.asarray(group["image"][row])
            bits = _unpacked(group["mask"], row)
            start = int(self._border_end[place - 1]) if place else 0
            return FigshareSlice(
                index=index,
                image=image,
                label=int(self._label[place]),
                patient=self._patient[place],
                border=self._border[start : int(self._border_end[place])].copy(),
                mask=np.unpackbits(bits, count=image.size).view(np.bool_).reshape(image.shape),
            )
        except DAMAGED as error:
            raise DataError(f"{self._path}: slice {index} cannot be read ({error}): pack it again") from error

    def patients(self) -> dict[int, str]:
        return dict(zip(self.indices, self._patient, strict=True))

    def folds(self) -> dict[int, int] | None:
        if not self._has_folds:
            return None
        return {i: int(f) for i, f in zip(self.indices, self._fold, strict=True) if f != _NO_FOLD}

    def close(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
        self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[PackedSource], tuple[Path]]:
        return PackedSource, (self._path,)

    def _sets(self) -> dict[str, dict[str, Any]]:
        """The open data sets, by size and name."""
        if self._opened is None or self._opened[0] != os.getpid():
            self.close()  # what a fork inherited: HDF5 would share the file's handle with the parent
            # A chunk is read once and whole, so the chunk cache would only add a copy.
            file = h5py.File(self._path, "r", locking=False, rdcc_nbytes=0)
            sets = {size: _images(member(file, size)) for size in set(self._size)}
            self._opened = os.getpid(), file, sets
        return self._opened[2]


def _attribute(file: Any, name: str) -> Any:
    """One short text or number of the file itself; None if it has none of that name and kind."""
    if name not in file.attrs:
        return None
    kept = file.attrs.get_id(name)
    if kept.dtype.kind not in "Siu" or kept.dtype.itemsize > _LONGEST or kept.shape != ():
        return None
    return file.attrs[name]


def _table(file: Any, name: str, axes: int = 1, kinds: str = "iuf") -> npt.NDArray[Any]:
    """What one table holds, by default numbers."""
    dataset = member(file, name)
    check_size(dataset, _MOST)
    if dataset.dtype.kind not in kinds or dataset.dtype.itemsize > _LONGEST or dataset.ndim != axes:
        raise ValueError(f"{name} is no table of numbers or of texts of fixed length")
    if dataset.chunks is not None or dataset.id.get_storage_size() != dataset.nbytes:
        raise ValueError(f"{name} does not lie in one piece")
    return np.asarray(dataset[()])


def _texts(file: Any, name: str) -> list[str]:
    return [text.decode(*_TEXT) for text in _table(file, name, kinds="S").tolist()]


def _unpacked(mask: Any, row: int) -> npt.NDArray[np.uint8]:
    """The bits of a mask."""
    size = mask.shape[1]
    if not 0 <= row < len(mask) or mask.id.get_chunk_info_by_coord((row, 0)).size > size + _MORE:
        raise ValueError(f"there is no mask {row} of {size} bytes")
    left_out, packed = mask.id.read_direct_chunk((row, 0))
    bits = zlib.decompressobj().decompress(packed, size + 1) if not left_out else packed
    if len(bits) != size:
        raise ValueError(f"the mask has {len(bits)} bytes, not {size}")
    return np.frombuffer(bits, np.uint8)


def _images(group: Any) -> dict[str, Any]:
    """The data sets of one size of slice."""
    image, mask = member(group, "image"), member(group, "mask")
    if image.ndim != 3 or image.dtype != np.int16 or mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError("its images are not of the form that was packed")
    for dataset, filters in ((image, []), (mask, [h5py.h5z.FILTER_DEFLATE])):
        if math.prod(dataset.shape[1:]) > MAX_SIDE**2 or dataset.chunks != (1, *dataset.shape[1:]):
            raise ValueError(f"a slice claims the shape {dataset.shape[1:]}")
        kept = dataset.id.get_create_plist()
        if [kept.get_filter(n)[0] for n in range(kept.get_nfilters())] != filters:
            raise ValueError("its images are packed otherwise")
    if mask.shape[1] != (math.prod(image.shape[1:]) + 7) // 8:
        raise ValueError("a mask is not as large as its image")
    return {"image": image, "mask": mask}
