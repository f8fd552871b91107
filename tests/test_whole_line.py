"""File to file: for every kind of NIfTI volume the world, the header and the values are right.

The networks are `espcn-r` without residual, so that the values are known: bicubic, slice by slice.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from torch.nn import functional

import espcn_core
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.work import Wanted, Worker
from espcn_core.degradation import SliceProfile, thicken
from espcn_core.grid import Grid
from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request

MOVED = {"dim", "pixdim", "srow_x", "srow_y", "srow_z", "qoffset_x", "qoffset_y", "qoffset_z"}
CLEARED = {"slice_start", "slice_end", "slice_code", "slice_duration", "cal_min", "cal_max"}
TILT = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)) + 4 * np.eye(3))[0]


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """Makes networks without residual the shipped ones: x2 in plane, and every factor along an axis."""
    folder = tmp_path_factory.mktemp("weights")
    arguments = {"width": 8, "depth": 1}
    for factor in ((2, 2), *((1, r) for r in range(2, 9))):
        name = "espcn-r-x2" if factor[0] > 1 else f"espcn-r-through-x{factor[1]}"
        save_model(
            build("espcn-r", factor, **arguments), Card(name, "espcn-r", factor, "bicubic", arguments), folder
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("espcn_core.models.cards.SHIPPED", folder)
        yield folder


@pytest.fixture
def model(weights):
    return str(weights / "espcn-r-x2.safetensors")


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
    for axis in {0, 1, 2} - {slice_axis}:
        stored = bicubic_along(stored, axis, 2)
    return stored


def bicubic_along(stored, axis, r):
    """``r`` times as many voxels along one axis."""
    array = stored.astype(np.float64).reshape((*stored.shape, 1)[: max(3, stored.ndim)])
    rows = np.moveaxis(array, axis, -1)
    flat = torch.from_numpy(np.ascontiguousarray(rows).reshape(1, 1, -1, rows.shape[-1]))
    fine = functional.interpolate(flat, scale_factor=(1, r), mode="bicubic", align_corners=False)
    return np.moveaxis(fine.numpy().reshape(*rows.shape[:-1], -1), -1, axis)


def grid_of(path):
    image = nib.load(path)
    return Grid((*image.shape, 1)[:3], image.affine)


def thick_axis(grid):
    """The thickest of the axes that have more than one voxel."""
    return max((axis for axis in range(3) if grid.shape[axis] > 1), key=lambda axis: grid.spacing[axis])


def by(grid, thick, other=1, another=1):
    """Three numbers for the axes of an image: that of the thickest, and those of the two others."""
    numbers = [other, another]
    numbers.insert(thick_axis(grid), thick)
    return tuple(1 if n == 1 else q for q, n in zip(numbers, grid.shape, strict=True))


REQUESTS = {
    "in plane": lambda grid: {"scale": 2},
    "one axis": lambda grid: {"scale": by(grid, 3)},
    "isotropic": lambda grid: {"spacing": "isotropic"},
    "broken ratios": lambda grid: {
        "spacing": tuple(mm / q for mm, q in zip(grid.spacing, by(grid, 2.6, 1.04, 1.4), strict=True))
    },
}
"""From the grid of a file to what is asked for."""

WHOLE = {"in plane", "one axis"}


def upscaled(name, kind, folder, **options):
    """The file of a kind, what a request has made of it, and the stored values."""
    if (name, kind) == ("isotropic", "2-D"):
        pytest.skip("the pixels of this slice are square already")
    path, stored = save(folder, **KINDS[kind])
    target = folder / "out" / path.name
    wanted = Wanted(Request(**REQUESTS[name](grid_of(path))), **options)
    outcome = Worker(wanted, Engines("cpu"), Silent())(Job(path, target))
    assert outcome.error is None
    assert outcome.state == "done"
    return path, target, stored


@pytest.fixture(scope="module", params=REQUESTS)
def name(request):
    return request.param


@pytest.fixture(scope="module", params=KINDS)
def run(request, name, tmp_path_factory):
    return upscaled(name, request.param, tmp_path_factory.mktemp("run"))


class Silent:
    def begin(self, *_): ...
    def upscaled(self, *_): ...
    def written(self, *_): ...
    def finish(self, *_): ...


def corners(path, form=None):
    image = nib.load(path)
    matrix = image.affine if form is None else getattr(image.header, f"get_{form}")()
    return Grid((*image.shape, 1)[:3], matrix).corners()


def assert_same_field_of_view(new, old, name, spacing, rows=slice(None)):
    """Of the corners: the same, or where ratios are broken the same centre, and each to half a new voxel."""
    np.testing.assert_allclose(new.mean(axis=0), old.mean(axis=0), rtol=0, atol=1e-3)
    # Along an axis both ends move by the same length, so a corner moves by no more than half the diagonal.
    tolerance = 1e-3 if name in WHOLE else np.linalg.norm(spacing) / 2
    assert np.linalg.norm(new - old, axis=1).max() <= tolerance


def test_the_field_of_view_stays_in_the_world(run, name):
    path, target, _ = run
    spacing = grid_of(target).spacing
    assert_same_field_of_view(corners(target), corners(path), name, spacing)
    header = nib.load(path).header
    for form, code in (("sform", "sform_code"), ("qform", "qform_code")):
        if header[code]:
            assert_same_field_of_view(corners(target, form), corners(path, form), name, spacing)


def test_the_spacing_is_what_was_asked_for(run, name):
    path, target, _ = run
    old, new = grid_of(path), grid_of(target)
    if name == "isotropic":
        np.testing.assert_allclose(new.spacing, min(old.spacing), rtol=0.011)
    elif name == "in plane":
        assert sorted(m / n for m, n in zip(new.shape, old.shape, strict=True)) == [1, 2, 2]
    else:
        q = by(old, 3) if name == "one axis" else by(old, 2.6, 1.04, 1.4)
        np.testing.assert_allclose(new.spacing, np.array(old.spacing) / q, rtol=1e-5)
    # As many voxels as fill the field of view best, and the header says the same spacing everywhere.
    filled = np.array(old.shape) * old.spacing / new.spacing
    assert np.abs(new.shape - filled).max() <= 0.5 + 1e-4
    np.testing.assert_allclose(
        nib.load(target).header["pixdim"][1:4] * nib.load(path).header["pixdim"][1:4] ** -1.0,
        np.array(new.spacing) / old.spacing,
        rtol=1e-5,
    )


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


def unscaled(path):
    """The stored values of a file, with three axes at least, and its largest rounding error."""
    values = np.asarray(nib.load(path).dataobj.get_unscaled())
    rounding = 0.5 + 1e-3 if values.dtype.kind in "iu" else 2e-3
    return values.reshape((*values.shape, 1)[: max(3, values.ndim)]), rounding


KEPT = 1e-4
"""Of the range: how far off what two planes make of noise may be, for it is kept in float16."""


def assert_stored(path, expected, like, kept=0.0):
    """A file's stored values are the expected ones in its own type, which is that of another file."""
    old, new = (nib.load(p) for p in (like, path))
    assert new.get_data_dtype() == old.get_data_dtype()
    assert new.ndim == old.ndim
    assert (new.dataobj.slope, new.dataobj.inter) == (old.dataobj.slope, old.dataobj.inter)
    values, rounding = unscaled(path)
    if values.dtype.kind in "iu":
        info = np.iinfo(values.dtype)
        expected = expected.clip(info.min, info.max)
    assert values.shape == expected.shape
    assert np.abs(values - expected).max() <= rounding + kept * np.ptp(expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_values_in_plane_are_bicubic_in_the_stored_units(kind, tmp_path):
    path, target, stored = upscaled("in plane", kind, tmp_path)
    grid = grid_of(path)
    assert_stored(target, bicubic(stored, 2 if stored.ndim == 2 else thick_axis(grid)), like=path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_values_along_an_axis_are_bicubic_if_they_need_not_be_consistent(kind, tmp_path):
    path, target, stored = upscaled("one axis", kind, tmp_path, consistent=False)
    assert_stored(target, bicubic_along(stored, thick_axis(grid_of(path)), 3), like=path, kept=KEPT)


@pytest.mark.parametrize("thickness", [None, 0.8])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "8-bit"])  # noise that gets clipped
def test_made_thick_again_the_values_are_the_stored_ones(kind, tmp_path, thickness):
    grid = grid_of(save(tmp_path, **KINDS[kind])[0])
    axis = thick_axis(grid)
    mm = None if thickness is None else thickness * grid.spacing[axis]
    _, target, stored = upscaled("one axis", kind, tmp_path, slice_thickness=mm)
    values, rounding = unscaled(target)
    thick = thicken(
        torch.from_numpy(values.astype(np.float64)), axis, 3, SliceProfile(thickness=thickness or 1.0)
    )
    assert np.abs(thick.numpy() - stored.reshape(thick.shape)).max() <= rounding


def test_itk_reads_the_same_world(run, name):
    path, target, _ = run
    old = nib.load(path)
    codes = old.header["sform_code"], old.header["qform_code"]
    if Grid((*old.shape, 1)[:3], old.affine).has_shear or 0 in codes or old.ndim > 3:
        pytest.skip("ITK holds no shear, and has rules of its own for volumes without both forms")
    if isinstance(old.header, nib.Nifti2Header):
        pytest.skip("ITK reads no NIfTI-2")
    if not np.allclose(old.header.get_sform(), old.header.get_qform(), atol=1e-3):
        pytest.skip("ITK chooses between forms that differ by rules of its own")
    at = [itk_corners(SimpleITK.ReadImage(str(p))) for p in (path, target)]
    assert_same_field_of_view(at[1], at[0], name, grid_of(target).spacing)


def itk_corners(image):
    """Of the field of view, in ITK's world."""
    return np.array(
        [
            image.TransformContinuousIndexToPhysicalPoint(
                [float(n) - 0.5 if end else -0.5 for n, end in zip(image.GetSize(), ends, strict=True)]
            )
            for ends in np.ndindex((2,) * image.GetDimension())
        ]
    )


def test_python_gives_what_the_command_gives(run, name):
    path, target, stored = run
    image = nib.load(path)
    asked = REQUESTS[name](grid_of(path))
    result = espcn_core.upscale(image, **asked, device="cpu")
    written = nib.load(target)
    assert type(result) is type(image)
    assert result.shape == written.shape
    np.testing.assert_allclose(result.affine, written.affine, atol=1e-4)
    kept = 0 if name == "in plane" else KEPT
    rounding = abs(image.dataobj.slope) * 0.51 + kept * np.ptp(written.get_fdata())
    np.testing.assert_allclose(result.get_fdata(), written.get_fdata(), rtol=0, atol=rounding)
    assert result.header["descrip"] == b"a head"
    assert (result.header["sform_code"], result.header["qform_code"]) == (
        written.header["sform_code"],
        written.header["qform_code"],
    )

    array, moved = espcn_core.upscale((stored, image.affine), **asked, device="cpu")
    np.testing.assert_array_equal(array, np.asarray(written.dataobj.get_unscaled()))
    np.testing.assert_allclose(moved, written.affine, atol=1e-4)
    assert array.dtype == stored.dtype


def itk_image(dimension):
    array = np.random.default_rng(4).integers(0, 900, (5, 12, 14)[-dimension:]).astype(np.int16)
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing((0.9, 0.9, 5)[:dimension])
    image.SetOrigin((-80, 30, 12)[:dimension])
    if dimension == 3:
        image.SetDirection(TILT.ravel().tolist())
    image.SetMetaData("0008|0060", "MR")
    return array, image


@pytest.mark.parametrize("dimension", [2, 3])
def test_itk_images_come_back_as_itk_images(model, dimension):
    array, image = itk_image(dimension)
    result = espcn_core.upscale(image, model=model, device="cpu")
    assert result.GetPixelID() == image.GetPixelID()
    assert result.GetMetaData("0008|0060") == "MR"
    assert result.GetSize()[:2] == (28, 24)
    np.testing.assert_allclose(itk_corners(result), itk_corners(image), rtol=0, atol=1e-6)
    expected = bicubic(array.T, 2)
    np.testing.assert_allclose(
        SimpleITK.GetArrayFromImage(result).T, expected.reshape(result.GetSize()), atol=0.501
    )


def test_itk_images_for_every_request(name):
    array, image = itk_image(3)
    asked = REQUESTS[name](Grid((14, 12, 5), np.diag([0.9, 0.9, 5, 1])))
    result = espcn_core.upscale(image, **asked, device="cpu")
    assert_same_field_of_view(itk_corners(result), itk_corners(image), name, result.GetSpacing())
    assert result.GetPixelID() == image.GetPixelID()
    assert result.GetMetaData("0008|0060") == "MR"
    pair, _ = espcn_core.upscale((array.T, affine(turn=TILT)), **asked, device="cpu")
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(result).T, pair)


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
