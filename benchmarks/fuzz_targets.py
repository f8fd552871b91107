"""What is fuzzed: readers, and good inputs of each to damage. A part of `benchmarks.fuzz`."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension, Nifti1PairHeader

from benchmarks.fuzz_manifests import manifests, read_manifest
from benchmarks.fuzz_mutations import Part
from espcn_core.errors import VolumeError
from espcn_core.figshare import open_source, pack
from espcn_core.figshare.archive import Archive
from espcn_core.models.cards import SHIPPED, Card, read_card
from espcn_core.models.registry import build
from espcn_core.models.trained import load_model, save_model
from espcn_core.training.config import read_config
from espcn_core.volumes import read, read_slice_thickness

CANARY = "Qcanary"
"""Stands in every text of the volumes' headers, and must stand in no message."""

Input = list[Part]


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes
    ----------
    read : callable
        Takes the folder with the files; returns the bytes that it made, as far as the file declared them.
    inputs : callable
        The good ones.
    share : float
        Of all inputs.
    """

    read: Callable[[Path], int]
    inputs: Callable[[], list[Input]]
    share: float


def _squeezed(plain: bytes) -> bytes:
    return gzip.compress(plain, 1, mtime=0)


def _volume(path: Path) -> int:
    return int(read(path).array.nbytes)


def _read_volume(folder: Path) -> int:
    (path,) = (p for p in folder.iterdir() if p.suffix not in (".img", ".raw", ".zraw"))
    return _volume(path)


def _read_dicom(folder: Path) -> int:
    return _volume(folder)


def _voxels(dtype: str = "<i2") -> bytes:
    return np.random.default_rng(1).integers(0, 200, 5 * 4 * 3).astype(dtype).tobytes()


def _nifti() -> list[Input]:
    found = []
    kinds = (nib.Nifti1Header, nib.Nifti1Header, nib.Nifti2Header, Nifti1PairHeader)
    for kind, name in zip(kinds, ("v.nii", "v.nii.gz", "v.nii.gz", "v.hdr"), strict=True):
        header = kind(endianness="<" if name != "v.nii" else ">")
        header.set_data_shape((5, 4, 3))
        header.set_data_dtype(np.int16)
        header.set_sform(np.diag([1.0, 2, 3, 1]), 1)
        header.set_qform(np.diag([1.0, 2, 3, 1]), 1)
        header["descrip"], header["aux_file"], header["intent_name"] = CANARY, CANARY, CANARY
        if kind is not nib.Nifti2Header:
            header["db_name"] = CANARY
        header.extensions.append(Nifti1Extension(6, CANARY.encode()))
        if name != "v.hdr":
            header["vox_offset"] = header.single_vox_offset + header.extensions.get_sizeondisk()
        stream = io.BytesIO()
        header.write_to(stream)
        head, body = stream.getvalue(), _voxels(header.endianness + "i2")
        if name == "v.hdr":
            found.append([Part(name, head), Part("v.img", body)])
        else:
            squeeze = _squeezed if name.endswith("gz") else None
            found.append([Part(name, head.ljust(int(header["vox_offset"]), b"\0") + body, squeeze)])
    return found


def _nrrd() -> list[Input]:
    def head(encoding: str, more: str = "") -> bytes:
        return (
            f"NRRD0005\n# {CANARY}\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
            "sizes: 5 4 3\n"
            "space directions: (1,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nendian: little\n"
            f"encoding: {encoding}\nspace origin: (0,-1.5,2e1)\ncontent: {CANARY}\n"
            f"{CANARY}:={CANARY}\n{more}\n"
        ).encode()

    local = {"raw": _voxels(), "gzip": _squeezed(_voxels()), "bzip2": bz2.compress(_voxels())}
    found = [[Part("v.nrrd", head(name) + body, text=True)] for name, body in local.items()]
    skipping = head("raw", "line skip: 1\nbyte skip: 2\n") + b"one\n12" + _voxels()
    detached = [
        Part("v.nhdr", head("gzip", "data file: v.raw\n"), text=True),
        Part("v.raw", _voxels(), _squeezed),
    ]
    return [*found, [Part("v.nrrd", skipping, text=True)], detached]


def _metaimage() -> list[Input]:
    def head(place: str, packed: bool, skip: str = "") -> bytes:
        return (
            f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
            f"Comment = {CANARY}\n"
            f"CompressedData = {packed}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 1.5 -2e1\n"
            f"{CANARY} = {CANARY}\n"
            f"ElementSpacing = 1 2 3\nDimSize = 5 4 3\n{skip}ElementType = MET_SHORT\n"
            f"ElementDataFile = {place}\n"
        ).encode()

    return [
        [Part("v.mha", head("LOCAL", False) + _voxels(), text=True)],
        [Part("v.mha", head("LOCAL", True) + zlib.compress(_voxels()), text=True)],
        [
            Part("v.mhd", head("v.raw", False, "HeaderSize = -1\n"), text=True),
            Part("v.raw", b"x" + _voxels()),
        ],
        [Part("v.mhd", head("v.zraw", True), text=True), Part("v.zraw", _voxels(), zlib.compress)],
    ]


def _mgh() -> list[Input]:
    head = np.zeros((), nib.freesurfer.mghformat.header_dtype)
    head["version"], head["dims"], head["type"], head["goodRASFlag"] = 1, (5, 4, 3, 1), 4, 1
    head["delta"], head["Mdc"] = (1, 2, 3), np.eye(3)
    content = head.tobytes().ljust(284, b"\0") + _voxels(">i2") + bytes(20) + CANARY.encode()
    return [[Part("v.mgh", content)], [Part("v.mgz", content, _squeezed)]]


def _dicom() -> list[Input]:
    """Classic slices, an enhanced image, and compressed ones, two by SimpleITK: pydicom writes no JPEG."""
    import pydicom
    import SimpleITK as sitk  # noqa: N813

    def one(k: int, syntax: str) -> Any:
        data = pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", f"1.2.3.{k + 1}"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.4", "1.2.5", "1.2.6"
        data.Modality, data.SeriesNumber, data.InstanceNumber = "MR", 3, k + 1
        data.PatientName = data.PatientID = data.StudyDescription = data.SeriesDescription = CANARY
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 2.5 * k], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [0.8, 0.7], 2.5
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.Rows, data.Columns = 4, 5
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.RescaleSlope, data.RescaleIntercept = 2, -10
        item = pydicom.Dataset()
        item.CodeMeaning = CANARY
        data.ProcedureCodeSequence = [item]
        data.add_new(0x7FE00010, "OW", _voxels()[40 * k : 40 * k + 40])
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        return data

    def content(data: Any) -> bytes:
        stream = io.BytesIO()
        data.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    explicit, implicit, deflated = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
    found = [[Part(f"{k}.dcm", content(one(k, explicit))) for k in range(3)]]
    found += [[Part("0.dcm", content(one(0, syntax)))] for syntax in (implicit, deflated)]
    enhanced = one(0, explicit)
    enhanced.NumberOfFrames = 3
    enhanced.PixelData = _voxels()
    shared, groups = pydicom.Dataset(), []
    measures, plane = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.8, 0.7], 2.5
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    for k in range(3):
        place, group = pydicom.Dataset(), pydicom.Dataset()
        place.ImagePositionPatient = [0, 0, 2.5 * k]
        group.PlanePositionSequence = [place]
        groups.append(group)
    enhanced.SharedFunctionalGroupsSequence, enhanced.PerFrameFunctionalGroupsSequence = [shared], groups
    found.append([Part("0.dcm", content(enhanced))])
    run = one(0, explicit)
    run.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
    found.append([Part("0.dcm", content(run))])
    image = sitk.GetImageFromArray(np.arange(64 * 64, dtype=np.uint16).reshape(1, 64, 64) % 900)
    for kind in ("JPEG", "JPEG2000"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.dcm"
            writer = sitk.ImageFileWriter()
            writer.UseCompressionOn()
            writer.SetCompressor(kind)
            writer.SetFileName(str(path))
            writer.SetImageIO("GDCMImageIO")
            writer.Execute(image)
            data = pydicom.dcmread(path)
        for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            setattr(data, name, "1.2.3")  # they are others in each run
        data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        for name in ("StudyDate", "StudyTime", "SeriesDate", "SeriesTime", "ContentDate", "ContentTime"):
            if name in data:
                setattr(data, name, "")
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [0.8, 0.7], 2.5
        found.append([Part("0.dcm", content(data))])
    return found


def _model() -> tuple[bytes, bytes]:
    card = Card("tiny", "espcn-r", (2, 2), "bicubic", {"width": 4, "depth": 1}, {"spacing_range_mm": [1, 2]})
    with tempfile.TemporaryDirectory() as folder:
        path = save_model(build("espcn-r", (2, 2), width=4, depth=1), card, Path(folder))
        return path.read_bytes(), path.with_suffix(".json").read_bytes()


def _cards() -> list[Input]:
    shipped = [path.read_bytes() for path in sorted(SHIPPED.glob("*.json"))[:2]]
    return [[Part("w.json", text, text=True)] for text in (_model()[1], *shipped)]


def _weights() -> list[Input]:
    weights, card = _model()
    return [[Part("w.safetensors", weights, text=True), Part("w.json", card, text=True)]]


def _read_weights(folder: Path) -> int:
    """With the right hash in the card: whoever makes hostile weights makes that too."""
    path = folder / "w.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest().encode()
    card = path.with_suffix(".json")
    card.write_bytes(re.sub(rb'"sha256": "[0-9a-f]*', b'"sha256": "' + digest, card.read_bytes()))
    load_model(path)
    return path.stat().st_size


def _read_card(folder: Path) -> int:
    read_card(folder / "w.json")
    return 0


def _configs() -> list[Input]:
    text = (
        'name = "tiny"\nmodel = "espcn-r"\nscale = 2\ndegradation = "area"\nbatch = 4\npatch = 8\n'
        "noise = 0.1\nshrinks = [2, 3]\nlearning_rate = 1e-3\nseed = 7\n[arguments]\nwidth = 8\ndepth = 1\n"
        "[mixture]\narea = 1\n"
    )
    return [[Part("c.toml", text.encode(), text=True)]]


def _read_config(folder: Path) -> int:
    read_config(folder / "c.toml")
    return 0


def _sidecars() -> list[Input]:
    text = json.dumps({"SliceThickness": 2.5, "PatientName": CANARY, "a": [1, {"b": None}]}, indent=1)
    worse = text.replace("2.5", f'"{CANARY}"')
    return [[Part("v.json", content.encode(), text=True)] for content in (text, worse)]


def _read_sidecar(folder: Path) -> int:
    _, note = read_slice_thickness(folder / "v.nii.gz")
    if note is not None:
        raise VolumeError(note)
    return 0


def _mat(size: int = 16) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=512) as file:
        group = file.create_group("cjdata")
        group["image"] = np.arange(size * size, dtype=np.int16).reshape(size, size)
        group.create_dataset(
            "tumorMask", data=np.ones((size, size), np.uint8), chunks=(8, 8), compression="gzip"
        )
        group["label"], group["PID"] = [[2.0]], np.array([[ord(letter)] for letter in "100360"], np.uint16)
        group["tumorBorder"] = np.arange(8.0).reshape(1, 8)
    return stream.getvalue()


def _mats() -> list[Input]:
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=512) as file:
        file["cvind"] = np.array([[1.0], [5.0]])
    return [[Part("1.mat", _mat()), Part("cvind.mat", stream.getvalue())]]


def _packed() -> list[Input]:
    with tempfile.TemporaryDirectory() as folder:
        for part in _mats()[0]:
            (Path(folder) / part.name).write_bytes(part.plain)
        (Path(folder) / "2.mat").write_bytes(_mat(8))
        path = Path(folder) / "x.h5"
        with open_source(Path(folder)) as source:
            pack(source, path)
        return [[Part("x.h5", path.read_bytes())]]


def _archives() -> list[Input]:
    def zipped(name: str, method: int, content: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            archive.writestr(zipfile.ZipInfo(name), content, method)  # without the time of day
        return stream.getvalue()

    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    inner = zipped("1.mat", deflated, _mat())
    outers = [inner, *(zipped("inner.zip", method, inner) for method in (stored, deflated))]
    return [[Part("x.zip", content)] for content in outers]


def _read_source(folder: Path) -> int:
    (first, *more) = sorted(folder.iterdir())
    made = 0
    with open_source(folder if more else first) as source:
        source.folds()
        source.patients()
        for index in source.indices[:3]:
            one = source.read(index)
            made += one.image.nbytes + one.mask.nbytes
    return made


def _read_archive(folder: Path) -> int:
    archive = Archive(folder / "x.zip")
    try:
        sum(len(archive.read(name)) for name in archive.members()[:5])
    finally:
        archive.close()
    return _read_source(folder)


TARGETS = {
    "nifti": Target(_read_volume, _nifti, 0.2),
    "nrrd": Target(_read_volume, _nrrd, 0.16),
    "metaimage": Target(_read_volume, _metaimage, 0.16),
    "mgh": Target(_read_volume, _mgh, 0.1),
    "dicom": Target(_read_dicom, _dicom, 0.1),
    "sidecar": Target(_read_sidecar, _sidecars, 0.03),
    "card": Target(_read_card, _cards, 0.05),
    "weights": Target(_read_weights, _weights, 0.05),
    "config": Target(_read_config, _configs, 0.05),
    "mat": Target(_read_source, _mats, 0.04),
    "packed": Target(_read_source, _packed, 0.03),
    "archive": Target(_read_archive, _archives, 0.03),
    "manifest": Target(read_manifest, manifests, 0.05),
}
