"""File to file: for every kind of NIfTI volume the world, the header and the values are right.

The network is an `espcn-r` without residual, so that the values are known: bicubic, slice by slice.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from torch.nn import functional

import espcn_core
from espcn_core.cli.batch import Request, run_batch
from espcn_core.cli.jobs import Job
from espcn_core.grid import Grid
from espcn_core.models import build
from espcn_core.models.cards import Card, save_model
from espcn_core.upscaling.torch_engine import Engines

MOVED = {"dim", "pixdim", "srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z"}
CLEARED = {"slice_start", "slice_end", "slice_code", "slice_duration", "cal_min", "cal_max"}
TILT = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)) + 4 * np.eye(3))[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    arguments = {"width": 8, "depth": 1}
    card = Card("bicubic", "espcn-r", (2, 2), "bicubic", arguments)
    return str(save_model(build("espcn-r", (2, 2), **arguments), card, tmp_path_factory.mktemp("model")))


def affine(spacing=(0.9, 0.9, 5), turn=None, origin=(-80, 30, 12)):
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) if turn is None else turn) * spacing
    matrix[:3, 3] = origin
    return matrix


SHEAR = TILT @ (np.eye(3) + np.array([[0, 0.2, 0], [0, 0, 0.1], [0, 0, 0]]))
LEFT_HANDED = TILT @ np.diag([-1, 1, 1])

KINDS = {
    "plain": {},
    "oblique": {"sform": affine(turn=TILT)},
    "left-handed": {"sform": affine(turn=LEFT_HANDED)},
    "sheared": {"sform": affine(turn=SHEAR), "codes": (1, 0)},
    "qform only": {"sform": affine(turn=TILT), "codes": (0, 1)},
    "neither form": {"codes": (0, 0)},
    "codes that differ": {"sform": affine(turn=TILT), "codes": (4, 2)},
    "forms that differ": {"sform": affine(turn=TILT), "qform": affine(turn=LEFT_HANDED), "codes": (2, 1)},
    "big-endian": {"endianness": ">"},
    "NIfTI-2": {"version": 2},
    "thick first axis": {"shape": (5, 16, 18), "sform": affine((6, 0.8, 0.7), TILT)},
    "thick second axis": {"shape": (16, 5, 18), "sform": affine((0.8, 6, 0.7), LEFT_HANDED)},
    "4-D": {"shape": (14, 12, 4, 3)},
    "vector": {"shape": (14, 12, 4, 1, 3), "dtype": "f4"},
    "2-D": {"shape": (14, 12)},
    "scaled": {"slope": 0.25, "inter": -1024.0},
    "scaled float": {"slope": -2.0, "inter": 3.0, "dtype": "f4"},
    "8-bit": {"dtype": "u1"},
    "double": {"dtype": "f8"},
    "pair": {"ending": ".hdr"},
    "uncompressed": {"ending": ".nii"},
}


def save(folder, shape=(14, 12, 5), sform=None, qform=None, codes=(1, 1), dtype="i2", **options):
    """A file of one kind, with a value in every field that is kept."""
    version, endianness = options.get("version", 1), options.get("endianness", "<")
    ending = options.get("ending", ".nii.gz")
    single = ending != ".hdr"
    classes = {
        (1, True): nib.Nifti1Header,
        (2, True): nib.Nifti2Header,
        (1, False): nib.nifti1.Nifti1PairHeader,
    }
    header = classes[version, single](endianness=endianness)
    header.set_data_shape(shape)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(endianness))
    header["pixdim"][1:4] = (0.9, 0.9, 5)
    sform = affine() if sform is None else sform
    if codes != (0, 0):
        header.set_qform(sform if qform is None else qform, codes[1], strip_shears=True)
        header.set_sform(sform, codes[0])
    header["pixdim"][4] = 2.5
    header.set_xyzt_units("mm", "sec")
    for name, value in [
        ("descrip", b"a head"),
        ("aux_file", b"none"),
        ("toffset", 1.5),
        ("intent_name", b"T1"),
    ]:
        header[name] = value
    header["dim_info"] = 0b111001
    header["slice_end"], header["slice_code"], header["slice_duration"] = shape[-1] - 1, 1, 0.1
    header["cal_max"], header["cal_min"] = 900, 5
    header["scl_slope"], header["scl_inter"] = options.get("slope", 1.0), options.get("inter", 0.0)
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"kept"))
    header["vox_offset"] = header.single_vox_offset + header.extensions.get_sizeondisk() if single else 0
    low, high = (0, 255) if dtype == "u1" else (-900, 3000)
    stored = np.random.default_rng(3).integers(low, high, shape).astype(header.get_data_dtype())
    path = folder / f"a{ending}"
    opener = nib.openers.Opener(path, "wb")
    with opener as file:
        header.write_to(file)
        if single:
            file.write(bytes(int(header["vox_offset"]) - file.tell()))
            file.write(stored.tobytes(order="F"))
    if not single:
        path.with_suffix(".img").write_bytes(stored.tobytes(order="F"))
    return path, stored


def bicubic(stored, slice_axis):
    """Twice as many voxels along the axes of a slice."""
    array = stored.astype(np.float64).reshape((*stored.shape, 1)[: max(3, stored.ndim)])
    moved = np.moveaxis(array, slice_axis, -1)
    images = torch.from_numpy(np.ascontiguousarray(moved).reshape(*moved.shape[:2], -1)).movedim(-1, 0)[
        :, None
    ]
    fine = functional.interpolate(images, scale_factor=2, mode="bicubic", align_corners=False)
    fine = fine[:, 0].movedim(0, -1).numpy().reshape(*fine.shape[2:], *moved.shape[2:])
    return np.moveaxis(fine, -1, slice_axis)


@pytest.fixture(params=KINDS)
def run(request, tmp_path, model):
    path, stored = save(tmp_path, **KINDS[request.param])
    target = tmp_path / "out" / path.name
    wanted = Request(2, model, "auto", "same")
    (outcome,) = run_batch([Job(path, target)], wanted, Engines("cpu"), Silent())
    assert outcome.error is None
    return path, target, stored


class Silent:
    def begin(self, *_): ...
    def upscaled(self, *_): ...
    def written(self, *_): ...
    def finish(self, *_): ...


def corners(path, form=None):
    image = nib.load(path)
    matrix = image.affine if form is None else getattr(image.header, f"get_{form}")()
    return Grid((*image.shape, 1)[:3], matrix).corners()


def test_the_field_of_view_stays_in_the_world(run):
    path, target, _ = run
    np.testing.assert_allclose(corners(target), corners(path), rtol=0, atol=1e-3)
    header = nib.load(path).header
    for form, code in (("sform", "sform_code"), ("qform", "qform_code")):
        if header[code]:
            np.testing.assert_allclose(corners(target, form), corners(path, form), rtol=0, atol=1e-3)


def test_every_other_field_of_the_header_is_kept(run):
    path, target, _ = run
    old, new = (nib.load(p).header for p in (path, target))
    assert type(new) is type(old)
    assert new.endianness == old.endianness
    with nib.openers.Opener(path) as a, nib.openers.Opener(target) as b:
        raw = [type(old)(f.read(old.sizeof_hdr), check=False, endianness=old.endianness) for f in (a, b)]
    for name in old.template_dtype.names:
        if name not in MOVED | CLEARED:
            assert raw[0][name].tobytes() == raw[1][name].tobytes(), name
        if name in CLEARED:
            assert raw[1][name] == 0
    assert raw[0]["pixdim"][[0, 4, 5, 6, 7]].tobytes() == raw[1]["pixdim"][[0, 4, 5, 6, 7]].tobytes()
    assert [e.get_content() for e in new.extensions] == [e.get_content() for e in old.extensions]


def test_the_values_are_bicubic_in_the_stored_units(run):
    path, target, stored = run
    old, new = (nib.load(p) for p in (path, target))
    assert new.get_data_dtype() == old.get_data_dtype()
    assert (new.dataobj.slope, new.dataobj.inter) == (old.dataobj.slope, old.dataobj.inter)
    grid = Grid((*old.shape, 1)[:3], old.affine)
    slice_axis = 2 if old.ndim == 2 else int(np.argmax(grid.spacing))
    expected = bicubic(stored, slice_axis)
    values = np.asarray(new.dataobj.get_unscaled())
    assert values.shape == expected.shape[: old.ndim] or values.shape == expected.shape
    expected = expected.reshape(values.shape)
    if values.dtype.kind in "iu":
        info = np.iinfo(values.dtype)
        expected = expected.clip(info.min, info.max)
        assert np.abs(values - expected).max() <= 0.5 + 1e-3
    else:
        np.testing.assert_allclose(values, expected, rtol=0, atol=2e-3)


def test_itk_reads_the_same_world(run):
    path, target, _ = run
    old = nib.load(path)
    codes = old.header["sform_code"], old.header["qform_code"]
    if Grid((*old.shape, 1)[:3], old.affine).has_shear or 0 in codes or old.ndim > 3:
        pytest.skip("ITK holds no shear, and has rules of its own for volumes without both forms")
    if isinstance(old.header, nib.Nifti2Header):
        pytest.skip("ITK reads no NIfTI-2")
    if not np.allclose(old.header.get_sform(), old.header.get_qform(), atol=1e-3):
        pytest.skip("ITK chooses between forms that differ by rules of its own")
    a, b = (SimpleITK.ReadImage(str(p)) for p in (path, target))
    for ends in np.ndindex((2,) * a.GetDimension()):
        at = [
            image.TransformContinuousIndexToPhysicalPoint(
                [float(n) - 0.5 if end else -0.5 for n, end in zip(image.GetSize(), ends, strict=True)]
            )
            for image in (a, b)
        ]
        np.testing.assert_allclose(at[1], at[0], rtol=0, atol=1e-3)


def test_python_gives_what_the_command_gives(run, model):
    path, target, stored = run
    image = nib.load(path)
    result = espcn_core.upscale(image, model=model, device="cpu")
    written = nib.load(target)
    assert type(result) is type(image)
    assert result.shape == written.shape
    np.testing.assert_allclose(result.affine, written.affine, atol=1e-4)
    scale = abs(image.dataobj.slope)
    np.testing.assert_allclose(result.get_fdata(), written.get_fdata(), rtol=0, atol=scale * 0.51)
    assert result.header["descrip"] == b"a head"
    assert (result.header["sform_code"], result.header["qform_code"]) == (
        written.header["sform_code"],
        written.header["qform_code"],
    )

    array, moved = espcn_core.upscale((stored, image.affine), model=model, device="cpu")
    np.testing.assert_array_equal(array, np.asarray(written.dataobj.get_unscaled()))
    np.testing.assert_allclose(moved, written.affine, atol=1e-4)
    assert array.dtype == stored.dtype


@pytest.mark.parametrize("dimension", [2, 3])
def test_itk_images_come_back_as_itk_images(model, dimension):
    array = np.random.default_rng(4).integers(0, 900, (5, 12, 14)[-dimension:]).astype(np.int16)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.9, 0.9, 5)[:dimension])
    image.SetOrigin((-80, 30, 12)[:dimension])
    if dimension == 3:
        image.SetDirection(TILT.ravel().tolist())
    image.SetMetaData("0008|0060", "MR")
    result = espcn_core.upscale(image, model=model, device="cpu")
    assert result.GetPixelID() == image.GetPixelID()
    assert result.GetMetaData("0008|0060") == "MR"
    assert result.GetSize()[:2] == (28, 24)
    for end in (0, 1):
        at = [
            i.TransformContinuousIndexToPhysicalPoint([end * n - 0.5 for n in i.GetSize()])
            for i in (image, result)
        ]
        np.testing.assert_allclose(at[1], at[0], rtol=0, atol=1e-6)
    expected = bicubic(array.T, 2)
    np.testing.assert_allclose(
        SimpleITK.GetArrayFromImage(result).T, expected.reshape(result.GetSize()), atol=0.501
    )


def test_what_is_no_image_is_refused(model):
    with pytest.raises(espcn_core.EspcnError, match="not str"):
        espcn_core.upscale("head.nii.gz", model=model)
    with pytest.raises(espcn_core.EspcnError, match="fewer than two axes"):
        espcn_core.upscale((np.zeros(4), np.eye(4)), model=model)
    with pytest.raises(espcn_core.EspcnError, match="cannot be placed in space"):
        espcn_core.upscale((np.zeros((4, 4, 4)), np.zeros((4, 4))), model=model)
    with pytest.raises(espcn_core.EspcnError, match="complex128"):
        espcn_core.upscale((np.zeros((4, 4), complex), np.eye(4)), model=model)
    with pytest.raises(AttributeError, match="no attribute 'downscale'"):
        espcn_core.downscale  # noqa: B018
