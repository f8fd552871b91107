"""``espcn-core upscale`` across the slices and to a spacing, on real files. The networks are untrained."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from espcn_core.degradation import FWHM_TO_SIGMA

pytestmark = pytest.mark.usefixtures("shipped_through")


def thickened(fine, factor, thickness):
    """By a Gaussian of that width, along the last axis; written out here for the test alone."""
    n = fine.shape[2] // factor
    centre = np.arange(n)[:, None] * factor + (factor - 1) / 2
    far = np.arange(-10 * factor, fine.shape[2] + 10 * factor)
    weights = np.exp(-0.5 * ((far - centre) / (thickness * factor * FWHM_TO_SIGMA)) ** 2)
    weights /= weights.sum(1, keepdims=True)
    matrix = np.zeros((n, fine.shape[2]))
    for column, index in enumerate(far.clip(0, fine.shape[2] - 1)):
        matrix[:, index] += weights[:, column]
    return fine @ matrix.T


def deviation(source, target, factor, thickness=1.0):
    said, fine = nib.load(source).get_fdata(), nib.load(target).get_fdata()
    return np.abs(thickened(fine, factor, thickness) - said).max() / np.ptp(said)


@pytest.mark.parametrize(
    ("options", "shape", "spacing", "plan"),
    [
        (
            ["--scale", "1,1,5"],
            (12, 10, 20),
            (1, 1, 1),
            "slice axis x5 by espcn-r-through-x5 in sagittal and",
        ),
        (["--spacing", "1"], (12, 10, 20), (1, 1, 1), "-> 12 x 10 x 20 at 1 mm isotropic"),
        (["--spacing", "1,1,2.5"], (12, 10, 8), (1, 1, 2.5), "slice axis x2 by espcn-r-through-x2"),
        (["--isotropic"], (12, 10, 20), (1, 1, 1), "slice axis x5"),
        (["--spacing", "0.5,0.5,5"], (24, 20, 4), (0.5, 0.5, 5), "axial slices x2 by espcn-r-x2"),
        (["--scale", "2,2,5"], (24, 20, 20), (0.5, 0.5, 1), "slice axis x5"),
        (["--spacing", "1,1,0.9"], (12, 10, 22), (1, 1, 0.9), "x6 by espcn-r-through-x6"),
        (["--model", "espcn-r-through-x3"], (12, 10, 12), (1, 1, 5 / 3), "slice axis x3"),
    ],
)
def test_every_kind_of_request(cli, save, tmp_path, options, shape, spacing, plan):
    source, target = save(tmp_path / "a.nii"), tmp_path / "b.nii"
    answer = cli("upscale", source, "-o", target, *options)
    assert answer.code == 0
    assert plan in answer.err
    fine = nib.load(target)
    assert fine.shape == shape
    assert fine.header.get_zooms() == pytest.approx(spacing)
    old, new = nib.load(source), fine
    middles = [i.affine @ [*((np.array(i.shape) - 1) / 2), 1] for i in (old, new)]
    assert middles[1] == pytest.approx(middles[0], abs=1e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_result_made_thick_again_is_the_input(cli, save, tmp_path, dtype):
    source = save(tmp_path / "a.nii", (14, 12, 6), dtype)
    call = ("upscale", source, "--scale", "1,1,5", "--slice-thickness", "5", "--json", "-o")
    files = [
        json.loads(cli(*call, tmp_path / name, *options).out)["files"][0]
        for name, options in [("on.nii", []), ("off.nii", ["--no-consistent"])]
    ]
    measured = [deviation(source, tmp_path / name, 5) for name in ("on.nii", "off.nii")]
    assert measured[0] <= 1e-3 < 1e-2 < measured[1]
    for file, much in zip(files, measured, strict=True):
        assert file["deviation"] == pytest.approx(much, rel=1e-3, abs=1e-5)
        (note,) = (note for note in file["notes"] if "thick again" in note)
        assert note.startswith("made thick again it differs from the input by ")
        assert note.endswith("% of its range")
    assert f"at most {100 * measured[1]:.2g} %" in files[1]["notes"][-1]


def test_where_a_type_has_too_few_numbers_a_line_says_which_has_more(cli, tmp_path):
    bright = np.zeros((14, 12, 6), np.uint8)  # next to air of 0, which a profile reaches over
    bright[4:10, 3:9, 2:4] = 255
    nib.save(nib.Nifti1Image(bright, np.diag([1, 1, 5, 1])), tmp_path / "a.nii")
    call = ("upscale", tmp_path / "a.nii", "--scale", "1,1,5", "--slice-thickness", "5", "--json", "-o")

    def last_note(dtype, *options):
        said = json.loads(cli(*call, tmp_path / f"{dtype}.nii", "--dtype", dtype, *options).out)
        return said["files"][0]["notes"][-1]

    advice = ", which uint8 has too few numbers to avoid: --dtype float32 comes nearer"
    assert last_note("uint8").endswith(f"% of its range{advice}")
    assert last_note("float32").endswith("less than 0.01 % of its range")
    assert last_note("int16", "--no-consistent").endswith("% of its range")


@pytest.mark.parametrize(
    ("option", "sidecar", "thickness", "notes"),
    [
        ([], None, 1.0, []),
        (["--slice-thickness", "4"], None, 0.8, []),
        (
            [],
            '{"SliceThickness": 4, "SpacingBetweenSlices": 5}',
            0.8,
            ["its slices are 4 mm thick, as the JSON file"],
        ),
        ([], '{"SliceThickness": 5}', 1.0, []),
        (["--slice-thickness", "6"], '{"SliceThickness": 4}', 1.2, []),
        ([], '{"SliceThickness": 0.5}', 1.0, ["thickness of 0.5 mm does not go with slices that"]),
        ([], '{"SliceThickness": "4 mm"}', 1.0, ["in a.json is no length in mm"]),
        ([], "{", 1.0, ["a.json is no JSON that can be read, and is left out"]),
        (["--slice-thickness", "5"], "{", 1.0, []),
    ],
)
def test_the_slices_are_as_thick_as_it_is_said(cli, save, tmp_path, option, sidecar, thickness, notes):
    source, target = save(tmp_path / "a.nii.gz", (14, 12, 6), np.float32), tmp_path / "b.nii.gz"
    if sidecar is not None:
        (tmp_path / "a.json").write_text(sidecar)
    answer = cli("upscale", source, "-o", target, "--isotropic", *option)
    assert answer.code == 0
    assert deviation(source, target, 5, thickness) < 1e-4
    others = {0.8, 1.0, 1.2} - {thickness}
    assert min(deviation(source, target, 5, other) for other in others) > 1e-3
    said = [line for line in answer.err.splitlines() if "thick again" not in line][1:]
    assert len(said) == len(notes)
    assert all(note in line for note, line in zip(notes, said, strict=True))


def test_a_sidecar_is_no_matter_within_the_slices(cli, save, tmp_path):
    (tmp_path / "a.json").write_text("{")
    call = ("upscale", save(tmp_path / "a.nii"), "--existing", "overwrite", "-o", tmp_path / "b.nii")
    answer = cli(*call)
    assert (answer.code, answer.err.count("\n")) == (0, 1)
    answer = cli(*call, "--slice-thickness", "900")
    assert answer.code == 0
    assert answer.err.splitlines()[1].endswith("of no use here: no axis is made finer on its own")


@pytest.mark.parametrize("flag", [[], ["--force"]])
@pytest.mark.parametrize("options", [["--spacing", "1,1,5"], ["--scale", "1,1,1"], ["--spacing", "1,1,5.01"]])
def test_what_is_as_asked_for_is_left_alone_unless_forced(cli, save, tmp_path, options, flag):
    source, target = save(tmp_path / "a.nii"), tmp_path / "b.nii"
    answer = cli("upscale", source, "-o", target, *options, *flag, "--json")
    assert answer.code == 0
    (file,) = json.loads(answer.out)["files"]
    assert file["plan"].endswith(": nothing to do")
    if flag:
        assert (file["state"], file["notes"]) == ("done", [])
        assert nib.load(target).get_fdata().tolist() == nib.load(source).get_fdata().tolist()
        assert nib.load(target).header == nib.load(source).header
    else:
        assert file["state"] == "skipped"
        assert "already is as asked for" in file["notes"][0]
        assert f"{source}: {file['notes'][0]}" in answer.err
        assert not target.exists()


def test_forced_numbers_of_any_size_are_written_to_the_last_bit(cli, tmp_path):
    values = np.random.default_rng(1).integers(-(2**31), 2**31, (5, 4, 3)).astype(np.int32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    call = ("upscale", tmp_path / "a.nii", "--isotropic", "--force", "-o")
    assert cli(*call, tmp_path / "b.nii", "--trust", tmp_path / "t.nii").code == 0
    assert np.asarray(nib.load(tmp_path / "b.nii").dataobj).tolist() == values.tolist()
    assert not nib.load(tmp_path / "t.nii").get_fdata().any()
    assert cli(*call, tmp_path / "c.nii", "--dtype", "float64").code == 0
    np.testing.assert_allclose(nib.load(tmp_path / "c.nii").get_fdata(), values, atol=2**32 * 1e-6)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(cli, save, tmp_path):
    for name in ("a.nii", "b.nii.gz"):
        save(tmp_path / "in" / name)
    cube = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    nib.save(cube, tmp_path / "in" / "cube.nii")
    (tmp_path / "in" / "text.nii").write_text("not an image")
    before = sorted(tmp_path.rglob("*"))
    call = ("upscale", tmp_path / "in", "-o", tmp_path / "out", "--trust", tmp_path / "t", "--isotropic")
    answer = cli(*call, "--dry-run")
    assert answer.code == 3
    does = "slice axis x5 by espcn-r-through-x5 in sagittal and coronal"
    sizes = "12 x 10 x 4 at 1 x 1 x 5 mm -> 12 x 10 x 20 at 1 mm isotropic"
    assert answer.out.splitlines() == [
        f"{tmp_path / 'in' / 'a.nii'}: {sizes}: {does}",
        f"{tmp_path / 'in' / 'b.nii.gz'}: {sizes}: {does}",
        f"{tmp_path / 'in' / 'cube.nii'}: "
        "4 x 4 x 4 at 1 x 1 x 1 mm -> 4 x 4 x 4 at 1 x 1 x 1 mm: nothing to do",
    ]
    assert "text.nii" in answer.err
    document = json.loads(cli(*call, "--dry-run", "--json").out)
    assert document["summary"] == {"done": 0, "planned": 2, "skipped": 1, "failed": 1}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("slope", [1.0, -0.5])
@pytest.mark.parametrize("options", [["--scale", "1,1,5"], ["--scale", "2"], ["--spacing", "1,1,2.2"]])
def test_a_trust_map_lies_on_the_grid_of_the_output(cli, tmp_path, options, slope):
    values = np.random.default_rng(6).integers(0, 1000, (12, 10, 4)).astype(np.int16)
    image = nib.Nifti1Image(values, np.diag([1, 1, 5, 1]))
    image.header.set_slope_inter(slope, 3 * (slope != 1))
    nib.save(image, tmp_path / "a.nii")
    call = ("upscale", tmp_path / "a.nii", *options, "-o")
    assert cli(*call, tmp_path / "b.nii", "--trust", tmp_path / "maps" / "t.nii.gz").code == 0
    assert cli(*call, tmp_path / "without.nii").code == 0
    assert cli(*call, tmp_path / "f.nii", "--trust", tmp_path / "tf.nii", "--dtype", "float32").code == 0
    trust, fine = nib.load(tmp_path / "maps" / "t.nii.gz"), nib.load(tmp_path / "b.nii")
    assert (tmp_path / "b.nii").read_bytes() == (tmp_path / "without.nii").read_bytes()
    assert (trust.get_data_dtype(), trust.shape) == (np.float32, fine.shape)
    assert (trust.dataobj.slope, trust.dataobj.inter) == (1, 0)
    assert trust.affine.tolist() == fine.affine.tolist()
    spread = trust.get_fdata()
    assert spread.min() >= 0
    assert spread.max() > 0.01
    # In the units of the input, whatever the output is stored in.
    np.testing.assert_allclose(nib.load(tmp_path / "tf.nii").get_fdata(), spread, rtol=1e-3, atol=1e-3)


def test_trust_maps_and_outputs_are_done_together(cli, save, tmp_path):
    for name in ("a.nii", "b.nii"):
        save(tmp_path / "in" / name)
    out, maps = tmp_path / "out", tmp_path / "maps"
    call = ("upscale", tmp_path / "in", "-o", out, "--trust", maps, "--suffix", "_sr", "--json")
    document = json.loads(cli(*call).out)
    assert [file["trust"] for file in document["files"]] == [str(maps / f"{n}_sr.nii") for n in "ab"]
    assert {path.name for path in maps.iterdir()} == {"a_sr.nii", "b_sr.nii"}
    (maps / "a_sr.nii").unlink()
    refused = cli(*call)
    assert (refused.code, "and 2 other outputs exist" in refused.err) == (2, True)
    again = json.loads(cli(*call, "--existing", "skip").out)
    assert [(file["input"][-5:], file["state"]) for file in again["files"]] == [
        ("b.nii", "skipped"), ("a.nii", "done")
    ]  # fmt: skip
    assert (maps / "a_sr.nii").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--spacing", "2"], "2 mm is coarser than the 1 mm of axis i: give --spacing 1,1,2, or --isotropic"),
        (["--spacing", "0.05"], "and 16 is the largest"),
        (
            ["--isotropic", "--slice-thickness", "30"],
            "mm does not go with slices that are 5 mm apart: give 1 to 20",
        ),
    ],
)
def test_what_a_file_cannot_fulfil_fails_that_file(cli, save, tmp_path, options, says):
    source = save(tmp_path / "a.nii")
    answer = cli("upscale", source, "-o", tmp_path / "b.nii", *options)
    assert answer.code == 1
    assert answer.err.startswith(f"espcn-core: {source}: ")
    assert says in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--scale", "1,2"],
        ["--scale", "1,1,17"],
        ["--spacing", "0"],
        ["--spacing", "nan"],
        ["--spacing", "1,1,1,1"],
        ["--scale", "2", "--isotropic"],
        ["--slice-thickness", "0"],
    ],
)
def test_a_wrong_call_is_refused_before_a_file_is_read(cli, save, tmp_path, monkeypatch, options):
    monkeypatch.setattr("espcn_core.volumes.read", lambda path: pytest.fail("a file was read"))
    answer = cli("upscale", save(tmp_path / "a.nii"), "-o", tmp_path / "b.nii", *options)
    assert answer.code == 2
    assert answer.err.startswith("espcn-core: ")
    assert answer.err.count("\n") == 1
