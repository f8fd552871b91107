"""The stored values of a DICOM image, before its rescale slope and intercept."""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from espcn_core.errors import VolumeError

_NATIVE: dict[str, Literal["<", ">"]] = {
    "1.2.840.10008.1.2": "<",  # implicit, little-endian
    "1.2.840.10008.1.2.1": "<",  # explicit
    "1.2.840.10008.1.2.1.99": "<",  # deflated
    "1.2.840.10008.1.2.2": ">",  # explicit, big-endian
}
_SIZES = {0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""JPEG's markers before the size of an image; 0xF7 is that of JPEG-LS."""

_RLE, _JPEG = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4."


def check_pixels(head: Any, path: Path) -> npt.DTypeLike:
    """The type of the stored values.

    Raises
    ------
    VolumeError
        If they are not one whole or real number per pixel.
    """
    light = str(head.get("PhotometricInterpretation", "MONOCHROME2"))
    if int(head.get("SamplesPerPixel", 1)) != 1 or not light.startswith("MONOCHROME"):
        raise VolumeError(f"{path} holds colours; convert it to one number per pixel")
    if "ModalityLUTSequence" in head:
        raise VolumeError(f"{path} gives its values by a table; convert it to values with a rescale slope")
    bits = int(head.BitsAllocated)
    if "PixelRepresentation" not in head and bits in (32, 64):  # Float Pixel Data, or Double Float
        return np.float32 if bits == 32 else np.float64
    if bits not in (8, 16, 32):
        raise VolumeError(f"{path} has pixels of {bits} bits, and 8, 16 and 32 can be read; convert it first")
    return np.dtype(f"{'i' if int(head.get('PixelRepresentation', 0)) else 'u'}{bits // 8}")


def stored(data: Any, path: Path) -> npt.NDArray[Any]:
    """The stored values of all frames, shape (frames, rows, columns), in the machine's byte order.

    Parameters
    ----------
    data : pydicom.Dataset
        With its pixels.
    path : Path
        Its file.

    Raises
    ------
    VolumeError
        If the pixels are fewer than the header claims, damaged, or compressed in a way that cannot be read.
    """
    dtype = np.dtype(check_pixels(data, path))
    frames = int(data.get("NumberOfFrames", 1) or 1)
    shape = frames, int(data.Rows), int(data.Columns)
    syntax = str(data.file_meta.TransferSyntaxUID)
    if syntax not in _NATIVE:
        return _decompressed(data, path, shape, dtype, syntax)
    name = next((n for n in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if n in data), None)
    if name is None:
        raise VolumeError(f"{path} is a DICOM file without an image; leave it out")
    raw: bytes = data[name].value or b""
    if len(raw) < np.prod(shape) * dtype.itemsize:
        raise VolumeError(
            f"{path} is cut short: it has {len(raw)} of {np.prod(shape) * dtype.itemsize} bytes of pixels; "
            "copy it again"
        )
    order = _NATIVE[syntax]
    if order == ">" and dtype.itemsize == 1 and data[name].VR == "OW":
        raw = np.frombuffer(raw[: len(raw) // 2 * 2], ">u2").astype("<u2").tobytes()
    values = np.frombuffer(raw, dtype.newbyteorder(order), int(np.prod(shape))).reshape(shape).astype(dtype)
    return _within_bits(values, data)


def _size_of(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream says of itself; None if it is another."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        right, low, left, top = struct.unpack(">4L", frame[8:24])
        return low - top, right - left
    at = 2
    while frame[:2] == b"\xff\xd8" and at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker in _SIZES:
            return struct.unpack(">HH", frame[at + 5 : at + 9])
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None


@contextlib.contextmanager
def _no_error_stream() -> Iterator[None]:
    """Without what the decoders in C print about damaged pixels; in the whole process, while one is read."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no error stream
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _within_bits(values: npt.NDArray[Any], data: Any) -> npt.NDArray[Any]:
    """Without what else is in the bits that the image does not use, such as overlays; with the sign."""
    if values.dtype.kind not in "iu":
        return values
    allocated = values.dtype.itemsize * 8
    used = int(data.get("BitsStored", allocated))
    high = int(data.get("HighBit", used - 1))
    if used == allocated or not 0 < used <= high + 1 <= allocated:
        return values
    return (values << (allocated - high - 1)) >> (allocated - used)


def _decompressed(
    data: Any,
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    syntax: str,
) -> npt.NDArray[Any]:
    if syntax == _RLE:
        try:
            from pydicom.pixels import pixel_array

            return _within_bits(np.reshape(pixel_array(data, raw=True), shape).astype(dtype), data)
        except Exception:  # what pydicom says may quote the header
            raise VolumeError(
                f"{path} is damaged: its pixels cannot be decompressed; copy it again"
            ) from None
    if not syntax.startswith(_JPEG):  # GDCM would take other words for other syntaxes, and any size
        raise VolumeError(f"{path} is damaged, or compressed in a way that cannot be read; copy it again")
    if shape[0] > 1 or str(data.get("PhotometricInterpretation")) != "MONOCHROME2":
        raise VolumeError(
            f"{path} is compressed in a way that is read for single MONOCHROME2 images only; "
            "decompress it first, for instance with dcmdjpeg or gdcmconv --raw"
        )
    import SimpleITK as sitk  # noqa: N813
    from pydicom.encaps import generate_frames

    frame = next(generate_frames(data.PixelData, number_of_frames=1))
    if _size_of(frame) not in (None, shape[1:]):  # or a decoder would make room for what it is told
        raise VolumeError(
            f"{path} is damaged: its compressed image has another size than it says; copy it again"
        )
    loud = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        with tempfile.TemporaryDirectory() as folder, _no_error_stream():
            reader.SetFileName(_alone(data, frame, syntax, Path(folder) / "image.dcm"))
            image = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError:  # its text quotes what it likes
        raise VolumeError(
            f"{path} is damaged, or compressed in a way that cannot be read; copy it again"
        ) from None
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(loud)
    if image.size != np.prod(shape):
        raise VolumeError(f"{path} is damaged: its pixels are not as many as its header says; copy it again")
    return np.asarray(image.reshape(shape).astype(dtype))


def _alone(data: Any, frame: bytes, syntax: str, path: Path) -> str:
    """Write an image with nothing but its frame: GDCM believes all lengths that a file states."""
    import pydicom
    from pydicom.encaps import encapsulate

    alone = pydicom.Dataset()
    alone.SOPClassUID, alone.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    for name in (
        "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated", "BitsStored",
        "HighBit", "PixelRepresentation",
    ):  # fmt: skip
        if name in data:
            setattr(alone, name, data[name].value)
    alone.PixelData = encapsulate([frame])
    alone["PixelData"].VR = "OB"
    alone.file_meta = pydicom.dataset.FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = syntax
    alone.file_meta.MediaStorageSOPClassUID = alone.SOPClassUID
    alone.file_meta.MediaStorageSOPInstanceUID = alone.SOPInstanceUID
    alone.save_as(path, enforce_file_format=True)
    return str(path)
