"""NRRD and MetaImage: what ITK writes is read, and what is written ITK reads, at the same place."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st

from espcn_core.errors import CancelledError, VolumeError
from espcn_core.volumes import is_volume, read, write

ENDINGS = (".nrrd", ".nhdr", ".mha", ".mhd")
TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def itk_image(seed, shape=(5, 4, 3), dtype="int16"):
    """An oblique image, as often as not left-handed, of random voxels."""
    rng = np.random.default_rng(seed)
    ndim = len(shape)
    image = sitk.GetImageFromArray(rng.uniform(0, 120, shape[::-1]).astype(dtype), isVector=False)
    n = min(ndim, 3)
    direction = np.eye(ndim)
    direction[:n, :n] = np.linalg.qr(rng.normal(size=(n, n)))[0] * rng.choice([-1, 1], n)
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(rng.uniform(-200, 200, ndim).tolist())
    image.SetSpacing(rng.uniform(0.2, 6, ndim).tolist())
    return image


def itk_corners(path):
    image = sitk.ReadImage(str(path))
    ends = [(-0.5, n - 0.5) for n in image.GetSize()]
    grid = np.array(np.meshgrid(*ends)).reshape(len(ends), -1).T
    return np.array([image.TransformContinuousIndexToPhysicalPoint(p) for p in grid.tolist()])


def enlarged(array, factor):
    return np.kron(array, np.ones((*factor, *(1 for _ in array.shape[3:])), array.dtype))


def finer(volume, factor):
    return volume.on(enlarged(volume.array, factor), volume.grid.finer(factor))


@given(
    seed=st.integers(0, 2**32 - 1),
    ending=st.sampled_from(ENDINGS),
    target=st.sampled_from([*ENDINGS, ".nii.gz"]),
    dtype=st.sampled_from(TYPES),
    shape=st.sampled_from([(5, 4, 3), (1, 7, 2), (3, 4, 2, 3)]),
    compress=st.booleans(),
)
@settings(max_examples=150)
def test_itk_sees_the_same_field_of_view_and_values(seed, ending, target, dtype, shape, compress):
    if target == ".nii.gz" and (dtype in ("int64", "uint64") or len(shape) == 4):
        target = ending  # ITK reads these NIfTI files in its own way; nibabel's test has them
    if len(shape) == 4:  # ITK's own NRRD files of four axes name no space
        ending, target = (e if e in (".mha", ".mhd") else ".mha" for e in (ending, target))
    image = itk_image(seed, shape, dtype)
    factor = (2, 3, 1) if seed % 2 else (1, 2, 4)
    with tempfile.TemporaryDirectory() as folder:
        path, fine = Path(folder, "in" + ending), Path(folder, "out" + target)
        sitk.WriteImage(image, str(path), compress)
        volume = read(path)
        assert volume.array.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image).T)
        write(finer(volume, factor), fine)
        atol = 1e-4 if target == ".nii.gz" else 1e-9
        np.testing.assert_allclose(itk_corners(fine), itk_corners(path), atol=atol)
        back = sitk.ReadImage(str(fine))
        assert back.GetPixelIDValue() == image.GetPixelIDValue()
        np.testing.assert_array_equal(sitk.GetArrayFromImage(back).T, enlarged(volume.array, factor))
        assert not [p for p in Path(folder).iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("ending", [".mha", ".mhd"])
def test_a_single_slice(tmp_path, ending):
    image = itk_image(3, (5, 4))
    sitk.WriteImage(image, str(tmp_path / f"in{ending}"))
    volume = read(tmp_path / f"in{ending}")
    assert (volume.array.shape, volume.ndim) == ((5, 4, 1), 2)
    write(finer(volume, (2, 3, 1)), tmp_path / f"out{ending}")
    back = sitk.ReadImage(str(tmp_path / f"out{ending}"))
    assert back.GetSize() == (10, 12)
    np.testing.assert_allclose(itk_corners(tmp_path / f"out{ending}"), itk_corners(tmp_path / f"in{ending}"))


NRRD = """NRRD0005
# from a scanner
type: {type}
dimension: {dimension}
space: {space}
sizes: {sizes}
space directions: {directions}
kinds: {kinds}
endian: {endian}
encoding: {encoding}
space origin: (1.5,-2,3)
space units: "mm" "mm" "mm"
measurement frame: (1,0,0) (0,1,0) (0,0,1)
thicknesses: 1 1 1
content: a head
modality:=DWMRI
DWMRI_b-value:=1000
"""


def nrrd(path, array, head="", **fields):
    fields = {
        "type": "short", "dimension": 3, "space": "left-posterior-superior", "sizes": "5 4 3",
        "directions": "(2,0,0) (0,0,3) (0,-1,0)", "kinds": "domain domain domain", "endian": "little",
        "encoding": "raw", **fields,
    }  # fmt: skip
    order = ">" if fields["endian"] == "big" else "<"
    body = array.astype(array.dtype.newbyteorder(order)).tobytes("F")
    if fields["encoding"] in ("gzip", "gz"):
        body = gzip.compress(body)
    path.write_bytes((NRRD.format(**fields) + head + "\n").encode() + body)
    return path


def test_what_a_nrrd_says_besides_is_kept_line_by_line(tmp_path):
    array = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    path = nrrd(tmp_path / "in.nrrd", array, endian="big", space="RAS", head="old key:=x: y\n")
    volume = read(path)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_array_equal(
        volume.grid.affine, [[2, 0, 0, 1.5], [0, 0, -1, -2], [0, 3, 0, 3], [0, 0, 0, 1]]
    )
    write(finer(volume, (2, 1, 1)), tmp_path / "out.nrrd")
    old = path.read_bytes().partition(b"\n\n")[0].decode().splitlines()
    new = (tmp_path / "out.nrrd").read_bytes().partition(b"\n\n")[0].decode().splitlines()
    changed = {
        "sizes: 5 4 3": "sizes: 10 4 3",
        "space directions: (2,0,0) (0,0,3) (0,-1,0)": "space directions: (1.0,0.0,0.0) (0.0,0.0,3.0) "
        "(0.0,-1.0,0.0)",
        "space origin: (1.5,-2,3)": "space origin: (1.0,-2.0,3.0)",
    }
    assert new == [changed.get(line, line) for line in old if line != "thicknesses: 1 1 1"]
    body = (tmp_path / "out.nrrd").read_bytes().partition(b"\n\n")[2]
    assert body == enlarged(array, (2, 1, 1)).astype(">i2").tobytes("F")


@pytest.mark.parametrize(("space", "signs"), [("LPS", (-1, -1, 1)), ("left-anterior-superior", (-1, 1, 1))])
def test_the_spaces_of_a_nrrd(tmp_path, space, signs):
    volume = read(nrrd(tmp_path / "in.nrrd", np.zeros((5, 4, 3), np.int16), space=space))
    np.testing.assert_array_equal(volume.grid.affine[:3, 3], np.multiply(signs, (1.5, -2, 3)))
    np.testing.assert_allclose(itk_corners(tmp_path / "in.nrrd") * (-1, -1, 1), sorted_like(volume))


def sorted_like(volume):
    ends = [(-0.5, n - 0.5) for n in volume.grid.shape]
    return volume.grid.world(np.array(np.meshgrid(*ends)).reshape(3, -1).T)


@pytest.mark.parametrize("place", [0, 3])
def test_an_axis_that_is_not_in_space_stays_where_it_is(tmp_path, place):
    array = np.arange(120, dtype=np.int16).reshape(5, 4, 3, 2)
    kinds, directions, sizes = ["domain"] * 3, ["(2,0,0)", "(0,0,3)", "(0,-1,0)"], [5, 4, 3]
    for row, value in ((kinds, "list"), (directions, "none"), (sizes, 2)):
        row.insert(place, value)
    fields = {
        "dimension": 4, "kinds": " ".join(kinds), "directions": " ".join(directions),
        "sizes": " ".join(map(str, sizes)),
    }  # fmt: skip
    path = nrrd(tmp_path / "in.nrrd", np.moveaxis(array, 3, place), encoding="gzip", **fields)
    volume = read(path)
    assert volume.ndim == 4
    np.testing.assert_array_equal(volume.array, array)
    write(finer(volume, (1, 2, 1)), tmp_path / "out.nrrd")
    head = (tmp_path / "out.nrrd").read_bytes().partition(b"\n\n")[0].decode()
    sizes[1 + (place == 0)] *= 2
    assert f"sizes: {' '.join(map(str, sizes))}\n" in head
    assert head.split("space directions: ")[1].split()[place] == "none"
    np.testing.assert_array_equal(read(tmp_path / "out.nrrd").array, enlarged(array, (1, 2, 1)))


@pytest.mark.parametrize("skip", ["byte skip: -1\n", "line skip: 1\nbyte skip: 3\n"])
def test_bytes_before_the_voxels_are_skipped(tmp_path, skip):
    array = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    path = nrrd(tmp_path / "in.nhdr", array, head=f"{skip}data file: v.raw\n")
    head, _, body = path.read_bytes().partition(b"\n\n")
    path.write_bytes(head + b"\n")
    (tmp_path / "v.raw").write_bytes(b"a line\nabc" + body)
    np.testing.assert_array_equal(read(path).array, array)


def test_a_bzip2_nrrd_is_read_and_written_as_gzip(tmp_path):
    import bz2

    array = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    path = nrrd(tmp_path / "in.nrrd", array, encoding="bzip2")
    head, _, body = path.read_bytes().partition(b"\n\n")
    path.write_bytes(head + b"\n\n" + bz2.compress(body))
    volume = read(path)
    np.testing.assert_array_equal(volume.array, array)
    write(volume, tmp_path / "out.nrrd")
    assert b"encoding: gzip" in (tmp_path / "out.nrrd").read_bytes()
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nrrd"))).T, array)


META = """ObjectType = Image
NDims = 3
Comment = a head
BinaryData = True
BinaryDataByteOrderMSB = {big}
CompressedData = {packed}
TransformMatrix = 0 1 0 1 0 0 0 0 -1
{offset} = 1.5 -2 3
CenterOfRotation = 0 0 0
AnatomicalOrientation = RAI
ElementSpacing = 2 3 1
DimSize = 5 4 3
ElementMin = 3
ElementType = {type}
Modality = MET_MOD_MR
ElementDataFile = {place}
"""


def meta(path, array, **fields):
    fields = {
        "big": "False", "packed": "False", "type": "MET_SHORT", "place": "LOCAL", "offset": "Offset",
        **fields,
    }  # fmt: skip
    body = array.astype(array.dtype.newbyteorder(">" if fields["big"] == "True" else "<")).tobytes("F")
    body = zlib.compress(body) if fields["packed"] == "True" else body
    path.write_bytes(META.format(**fields).encode() + body)
    return path


@pytest.mark.parametrize("offset", ["Offset", "Position", "Origin"])
@pytest.mark.parametrize("big", ["True", "False"])
def test_what_a_metaimage_says_besides_is_kept_line_by_line(tmp_path, big, offset):
    array = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    path = meta(tmp_path / "in.mha", array, big=big, offset=offset)
    volume = read(path)
    np.testing.assert_array_equal(volume.array, array)
    write(finer(volume, (2, 1, 1)), tmp_path / "out.mha")
    old, new = (f.read_bytes().partition(b"LOCAL\n")[0].decode() for f in (path, tmp_path / "out.mha"))
    expected = old.replace("ElementMin = 3\n", "").replace("5 4 3", "10 4 3")
    expected = expected.replace("2 3 1", "1.0 3.0 1.0").replace("1.5 -2 3", "1.5 -2.5 3.0")
    assert new == expected
    body = (tmp_path / "out.mha").read_bytes().partition(b"LOCAL\n")[2]
    assert body == enlarged(array, (2, 1, 1)).astype(">i2" if big == "True" else "<i2").tobytes("F")
    np.testing.assert_allclose(itk_corners(tmp_path / "out.mha"), itk_corners(path), atol=1e-9)


def test_a_metaimage_without_geometry_has_that_of_its_format(tmp_path):
    lines = [line for line in META.splitlines() if line.split()[0] not in ("TransformMatrix", "{offset}")]
    text = "\n".join(lines).format(big="False", packed="False", type="MET_SHORT", place="LOCAL")
    (tmp_path / "in.mha").write_bytes(f"{text}\n".encode() + bytes(120))
    write(finer(read(tmp_path / "in.mha"), (2, 2, 2)), tmp_path / "out.mha")
    np.testing.assert_allclose(itk_corners(tmp_path / "out.mha"), itk_corners(tmp_path / "in.mha"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_type_is_said(tmp_path, ending):
    sitk.WriteImage(itk_image(1), str(tmp_path / f"in{ending}"))
    volume = read(tmp_path / f"in{ending}")
    write(volume.on(volume.array.astype(np.float32) / 3, volume.grid), tmp_path / f"out{ending}")
    back = sitk.ReadImage(str(tmp_path / f"out{ending}"))
    assert back.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back).T, volume.array.astype(np.float32) / 3)
    with pytest.raises(VolumeError, match=r"y\S* cannot hold float16; choose float32 or int16"):
        write(volume.on(volume.array.astype(np.float16), volume.grid), tmp_path / f"y{ending}")
    assert not (tmp_path / f"y{ending}").exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_volume_gives_the_same_bytes(tmp_path, ending):
    sitk.WriteImage(itk_image(1), str(tmp_path / "in.mha"))
    volume = read(tmp_path / "in.mha")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(volume, tmp_path / folder / f"x{ending}")
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) == (2 if ending in (".nhdr", ".mhd") else 1)
    assert all(f.read_bytes() == (tmp_path / "b" / f.name).read_bytes() for f in files)
    assert [is_volume(f) for f in files].count(True) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_progress_cancel_and_places_that_cannot_be_written(tmp_path, monkeypatch, ending):
    sitk.WriteImage(itk_image(1), str(tmp_path / "in.mha"))
    volume = read(tmp_path / "in.mha")
    monkeypatch.setattr("espcn_core.volumes.raw.CHUNK", 50)
    steps = []
    write(volume, tmp_path / f"a{ending}", lambda done, total: steps.append((done, total)))
    assert steps == [(25, 60), (50, 60), (60, 60)]
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(CancelledError, match="stopped after 50 of 60 voxels"):
        write(volume, tmp_path / f"a{ending}", lambda done, total: done < 50)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    with pytest.raises(VolumeError, match=r"there is no folder .*missing; create it"):
        write(volume, tmp_path / "missing" / f"a{ending}")


def spoilt(old, new):
    return lambda content: content.replace(old, new, 1)


NRRD_FAULTS = {
    "no magic": (spoilt(b"NRRD0005", b"PNG"), "is not a NRRD image"),
    "cut": (lambda content: content[:-7], "has 113 of 120 bytes of voxels"),
    "no axes": (spoilt(b"dimension: 3", b"dimension: x"), "dimension is not 1 numbers"),
    "too many axes": (spoilt(b"dimension: 3", b"dimension: 99"), "has 99 axes"),
    "sizes": (spoilt(b"sizes: 5 4 3", b"sizes: 5 -4 3"), "sizes is not 3 sizes"),
    "huge": (spoilt(b"sizes: 5 4 3", b"sizes: 999999 999999 999999"), "of memory, and"),
    "type": (spoilt(b"type: short", b"type: CANARY"), "has a type that cannot be read"),
    "colours": (spoilt(b"kinds: domain", b"kinds: RGB-color"), "holds colours or complex numbers"),
    "text": (spoilt(b"encoding: raw", b"encoding: CANARY"), "has an encoding that cannot be read"),
    "order": (spoilt(b"endian: little", b"endian: CANARY"), "its byte order is unknown"),
    "no space": (spoilt(b"space: left", b"space: CANARY"), "does not say how it lies in the patient"),
    "directions": (spoilt(b"(2,0,0) (0", b"(CANARY,0,0) (0"), "space directions is not 3 numbers"),
    "few directions": (spoilt(b"(2,0,0) (0", b"(0"), "has not 3 space directions"),
    "one direction": (spoilt(b"(2,0,0) (0,0,3)", b"none none"), "has 1 axes in space"),
    "singular": (spoilt(b"(2,0,0) (0,0,3)", b"(2,0,0) (2,0,0)"), "its axes do not span space"),
    "origin": (spoilt(b"(1.5,-2,3)", b"(nan,-2,3)"), "space origin is not 3 numbers"),
    "many files": (spoilt(b"content: a", b"data file: CANARY%d.raw 1 9 1\nx: "), "over several files"),
    "elsewhere": (spoilt(b"content: a head", b"data file: ../CANARY.raw"), "that is not in its folder"),
    "absolute": (spoilt(b"content: a head", b"data file: /etc/CANARY"), "that is not in its folder"),
    "gone": (spoilt(b"content: a head", b"data file: CANARY.raw"), "lacks the file with its voxels"),
    "not gzip": (spoilt(b"encoding: raw", b"encoding: gzip"), "compressed data are not valid"),
    "not bzip2": (spoilt(b"encoding: raw", b"encoding: bzip2"), "compressed data are not valid"),
    "long": (lambda content: b"NRRD0005\n" + b"x" * (1 << 24) + content, "no header that ends"),
    "empty": (lambda content: b"", "is empty"),
}  # fmt: skip
META_FAULTS = {
    "no header": (lambda content: b"\x89PNG\n\n" + content, "is not a MetaImage"),
    "no end": (spoilt(b"ElementDataFile", b"CANARYDataFile"), "is not a MetaImage"),
    "cut": (lambda content: content[:-7], "has 113 of 120 bytes of voxels"),
    "no axes": (spoilt(b"NDims = 3", b"NDims = CANARY"), "NDims is not 1 numbers"),
    "too many axes": (spoilt(b"NDims = 3", b"NDims = 99"), "has 99 axes"),
    "sizes": (spoilt(b"5 4 3", b"5 CANARY 3"), "DimSize is not 3 numbers"),
    "huge": (spoilt(b"5 4 3", b"999999 999999 999999"), "of memory, and"),
    "type": (spoilt(b"MET_SHORT", b"CANARY"), "has an element type that cannot be read"),
    "colours": (spoilt(b"DimSize", b"ElementNumberOfChannels = 3\nDimSize"), "one number per voxel"),
    "text": (spoilt(b"BinaryData = True", b"BinaryData = False"), "holds its voxels as text"),
    "matrix": (spoilt(b"0 1 0 1", b"0 1 0 CANARY"), "TransformMatrix is not 9 numbers"),
    "singular": (spoilt(b"0 1 0 1 0 0", b"0 1 0 0 1 0"), "its axes do not span space"),
    "many files": (spoilt(b"= LOCAL", b"= CANARY%03d.raw 1 9 1"), "over several files"),
    "list": (spoilt(b"= LOCAL", b"= LIST"), "over several files"),
    "elsewhere": (spoilt(b"= LOCAL", b"= ../CANARY.raw"), "that is not in its folder"),
    "gone": (spoilt(b"= LOCAL", b"= CANARY.raw"), "lacks the file with its voxels"),
    "unnamed": (spoilt(b"= LOCAL", b"= "), "that is not in its folder"),
    "not zlib": (spoilt(b"CompressedData = False", b"CompressedData = True"), "data are not valid"),
    "empty": (lambda content: b"", "is empty"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "fault"), [(".nrrd", f) for f in NRRD_FAULTS] + [(".mha", f) for f in META_FAULTS]
)
def test_a_damaged_file_is_one_sentence_that_quotes_nothing(tmp_path, capfd, ending, fault):
    array = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    path = (nrrd if ending == ".nrrd" else meta)(tmp_path / f"in{ending}", array)
    spoil, says = (NRRD_FAULTS if ending == ".nrrd" else META_FAULTS)[fault]
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(VolumeError, match=r"^[^\n]*$") as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_compressed_data_that_end_early_or_are_damaged(tmp_path, ending):
    array = np.random.default_rng(0).integers(0, 99, (5, 4, 3)).astype(np.int16)
    path = tmp_path / f"in{ending}"
    nrrd(path, array, encoding="gzip") if ending == ".nrrd" else meta(path, array, packed="True")
    whole = path.read_bytes()
    np.testing.assert_array_equal(read(path).array, array)
    path.write_bytes(whole[:-3])
    with pytest.raises(VolumeError, match="is cut short"):
        read(path)
    path.write_bytes(whole[:-20] + bytes(byte ^ 255 for byte in whole[-20:-10]) + whole[-10:])
    with pytest.raises(VolumeError, match=r"is damaged|is cut short"):
        read(path)


@given(data=st.data(), ending=st.sampled_from([".nrrd", ".mha"]))
@settings(max_examples=300)
def test_whatever_bytes_a_header_has_there_is_an_image_or_a_sentence(data, ending):
    with tempfile.TemporaryDirectory() as folder:
        array = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
        path = (nrrd if ending == ".nrrd" else meta)(Path(folder, f"in{ending}"), array)
        content = bytearray(path.read_bytes())
        for at, byte in data.draw(
            st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), min_size=1, max_size=4)
        ):
            content[at] = byte
        path.write_bytes(content)
        with contextlib.suppress(VolumeError):
            volume = read(path)
            write(finer(volume, (2, 1, 1)), Path(folder, f"out{ending}"))
            read(Path(folder, f"out{ending}"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_bytes_that_are_no_text_are_kept(tmp_path, ending):
    sitk.WriteImage(itk_image(1), str(tmp_path / f"in{ending}"))
    path = tmp_path / f"in{ending}"
    line = b"note:=J\xfcrgen\n" if "r" in ending else b"Comment = J\xfcrgen\n"
    head, middle, rest = path.read_bytes().partition(b"type:" if "r" in ending else b"NDims")
    path.write_bytes(head + line + middle + rest)
    write(read(path), tmp_path / f"out{ending}")
    assert line in (tmp_path / f"out{ending}").read_bytes()
