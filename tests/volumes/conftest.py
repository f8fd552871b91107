"""NIfTI files of every kind, written byte by byte, so that nothing repairs them on the way."""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension, Nifti1PairHeader
from nibabel.nifti2 import Nifti2PairHeader

DTYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


def random_affine(rng: np.random.Generator, shear: bool, spacing: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    directions = np.linalg.qr(rng.normal(size=(3, 3)))[0]  # left-handed as often as not
    directions *= rng.choice([-1, 1], 3)
    if shear:
        directions = directions @ (np.eye(3) + np.triu(rng.uniform(-0.4, 0.4, (3, 3)), 1))
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    return affine


@st.composite
def _headers(draw: Any, itk: bool = False) -> nib.Nifti1Header:
    """Headers with every field filled: codes, versions, byte orders, kinds, axes, types in all combinations.

    With ``itk`` only what ITK can hold: NIfTI-1, one spacing, no shear.
    """
    version = 1 if itk else draw(st.sampled_from([1, 2]))
    single = draw(st.booleans())
    kinds = {
        (1, True): nib.Nifti1Header,
        (1, False): Nifti1PairHeader,
        (2, True): nib.Nifti2Header,
        (2, False): Nifti2PairHeader,
    }
    header = kinds[version, single](endianness=draw(st.sampled_from("<>")))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    header.set_data_shape(shape)
    header.set_data_dtype(np.dtype(draw(st.sampled_from(DTYPES))))
    header["pixdim"][4:] = rng.uniform(0.5, 4, 4)
    header["pixdim"][1:4] = rng.uniform(0.2, 6, 3)
    # Where the two differ in spacing as well, ITK believes pixdim and with it neither of them.
    spacing = rng.uniform(0.2, 6, (2, 3))
    sform = random_affine(rng, not itk and draw(st.booleans()), spacing[0])
    qform = draw(st.sampled_from([sform, random_affine(rng, False, spacing[int(not itk)])]))
    header.set_qform(qform, code=draw(st.integers(0, 4)))
    header.set_sform(sform, code=draw(st.integers(0, 4)))
    for name, value in (
        ("scl_slope", draw(st.sampled_from([1.0, 0.0, float("nan"), 0.37, -2.5]))),
        ("scl_inter", draw(st.sampled_from([0.0, -1024.0]))),
        ("descrip", "a test; TE=30"),
        ("aux_file", "other.txt"),
        ("intent_code", draw(st.sampled_from([0, 1007, 2001]))),
        ("intent_name", "velocity"),
        ("dim_info", int(rng.integers(64))),
        ("xyzt_units", draw(st.sampled_from([2, 10, 18, 3]))),
    ):
        header[name] = value
    for name in ("intent_p1", "intent_p2", "intent_p3", "toffset", "slice_duration", "cal_min", "cal_max"):
        header[name] = rng.normal()
    header["slice_start"], header["slice_end"], header["slice_code"] = 1, 3, 2
    if version == 1:
        header["glmax"], header["glmin"], header["session_error"] = 77, -77, 3
        header["db_name"], header["data_type"], header["regular"] = "archive", "dsr", "r"
    for _ in range(draw(st.integers(0, 2))):
        # With zeros at the end, which belong to it.
        size = 16 * int(rng.integers(1, 4)) - 8
        code = int(rng.integers(3, 50))  # 2 is DICOM, which nibabel would parse if pydicom is there
        header.extensions.append(Nifti1Extension(code, rng.bytes(size - 5) + bytes(5)))
    return header


@pytest.fixture(scope="session")
def headers() -> Callable[..., st.SearchStrategy[nib.Nifti1Header]]:
    return _headers


def _voxels(header: nib.Nifti1Header, seed: int = 0) -> np.ndarray:
    """Random voxels of the header's shape (a 2-D image has a third axis of one) and type."""
    shape, dtype = header.get_data_shape(), header.get_data_dtype().newbyteorder("=")
    values = np.random.default_rng(seed).uniform(0, 120, (*shape, 1)[:3] + shape[3:])
    return values.astype(dtype)


def _put(path: Path, header: nib.Nifti1Header, array: np.ndarray) -> Path:
    """Write header and voxels; ``path`` ends in .nii, .nii.gz or .hdr."""
    body = array.astype(header.get_data_dtype()).tobytes("F")
    plain = path.with_name(path.name + ".tmp")
    with open(plain, "wb") as file:
        header.write_to(file)
    head = plain.read_bytes()
    plain.unlink()
    if path.suffix == ".hdr":
        path.write_bytes(head)
        path.with_suffix(".img").write_bytes(bytes(int(header["vox_offset"])) + body)
    else:
        content = head.ljust(int(header["vox_offset"]), b"\0") + body
        path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(scope="session")
def voxels() -> Callable[..., np.ndarray]:
    return _voxels


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    return _put


@pytest.fixture
def plain_header() -> nib.Nifti1Header:
    """A valid NIfTI-1 header of a 5 x 4 x 3 image of int16, to be spoilt."""
    header = nib.Nifti1Header(endianness="<")
    header.set_data_shape((5, 4, 3))
    header.set_data_dtype(np.int16)
    header.set_sform(np.diag([-1.0, 1, 2, 1]), code=1)
    header.set_qform(np.diag([-1.0, 1, 2, 1]), code=1)
    return header


@pytest.fixture
def without_rights() -> Callable[[Path], contextlib.AbstractContextManager[None]]:
    """Inside, this process may not read the file or write into the folder; root becomes nobody meanwhile."""

    @contextlib.contextmanager
    def forbidden(path: Path) -> Iterator[None]:
        mode = path.stat().st_mode
        root = os.geteuid() == 0
        path.chmod(0o500 if path.is_dir() else 0)
        if root:
            os.seteuid(65534)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)
            path.chmod(mode)

    return forbidden
