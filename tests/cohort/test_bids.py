"""BIDS data sets: what is upscaled, what it is called, and what is said of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from espcn_core import Grid
from espcn_core.cli import main
from espcn_core.cohort.bids import Name, bids_jobs
from espcn_core.cohort.bids_headers import kept_headers
from espcn_core.cohort.bids_metadata import dataset_description, inherited, sidecar_of
from espcn_core.errors import RequestError
from espcn_core.models.cards import Card
from espcn_core.upscaling.plan import Request, make_plan

CARD = Card("small", "espcn-r", (2, 2), "bicubic", sha256="0" * 64)
T2W = Path("sub-01/ses-1/anat/sub-01_ses-1_acq-tse_run-1_T2w.nii.gz")
IMAGES = [str(T2W), "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", "sub-02/anat/sub-02_ce-gd_T1w.nii"]
RESULTS = [
    "sub-01/ses-1/anat/sub-01_ses-1_acq-tse_run-1_desc-sr_T2w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_desc-sr_T1w.nii.gz",
    "sub-02/anat/sub-02_ce-gd_desc-sr_T1w.nii",
]
SIDECARS = [name.split(".")[0] + ".json" for name in RESULTS]
CANARY = "Canary Jane Doe 19501224"
RAW = {"Name": CANARY, "BIDSVersion": "1.10.0", "DatasetType": "raw", "Authors": [CANARY], "License": "CC0"}


def put(path: Path, content) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def save(path: Path, shape=(12, 10, 4), spacing=(1.0, 1.0, 5.0)) -> Path:
    """An image whose units are said, which the validator asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(5).integers(0, 1000, shape).astype(np.int16)
    image = nib.Nifti1Image(values, np.diag([*spacing, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


@pytest.fixture
def root(tmp_path) -> Path:
    """A data set of three images, one of which inherits its slice thickness."""
    root = tmp_path / "study"
    put(root / "dataset_description.json", RAW)
    put(root / "README", "Noise in the shape of heads, which tries out a command.")
    put(root / "T2w.json", {"MagneticFieldStrength": 3, "SliceThickness": 4, "EchoTime": 0.1})
    for name in IMAGES:
        put(save(root / name).with_name(Path(name).name.split(".")[0] + ".json"), {"EchoTime": 0.08})
    return root


@pytest.fixture
def upscale(root, weights, monkeypatch, capsys):
    """Calls ``espcn-core upscale --bids``; exit code, output and errors."""
    small = "--model", weights / "small-1.safetensors"

    def upscale(*arguments, of=(root,), model=small):
        options = "--device", "cpu", "--precision", "fp32", "--engine", "torch"
        line = ["espcn-core", "upscale", *of, "--bids", *model, *options, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, line)))
        with pytest.raises(SystemExit) as ending:
            main()
        return ending.value.code, *capsys.readouterr()

    return upscale


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def plan_of(wish=None, shape=(12, 10, 4), spacing=(1.0, 1.0, 5.0)):
    return make_plan(Grid(shape, np.diag([*spacing, 1.0])), Request(**(wish or {"scale": 2})))


def said(metadata=None, plan=None, cards=(CARD,)) -> dict:
    return sidecar_of(T2W, metadata or {}, plan or plan_of(), cards)


# What is upscaled, and what it is called


def test_images_become_jobs_in_order_with_their_sidecars(root):
    jobs, left_out = bids_jobs(root)
    output = root / "derivatives" / "espcn"
    assert [str(job.source.relative_to(root)) for job in jobs] == IMAGES
    assert [str(job.label) for job in jobs] == IMAGES
    assert [str(job.target.relative_to(output)) for job in jobs] == RESULTS
    assert [str(job.sidecar.relative_to(output)) for job in jobs] == SIDECARS
    assert left_out == {}


@pytest.mark.parametrize(
    ("name", "finer"),
    [
        ("sub-1_T1w.nii", "sub-1_desc-sr_T1w"),
        ("sub-1_space-MNI152Lin_res-1_T1w.nii.gz", "sub-1_space-MNI152Lin_res-1_desc-sr_T1w"),
        ("sub-1_space-MNI152Lin_desc-preproc_T1w.nii.gz", "sub-1_space-MNI152Lin_desc-preprocSr_T1w"),
        ("sub-a+b_echo-1_part-mag_chunk-2_T2starw.nii.gz", "sub-a+b_echo-1_part-mag_chunk-2_desc-sr_T2starw"),
    ],
)
def test_entities_are_kept_and_desc_is_the_last(name, finer):
    assert Name.of(name).finer.stem == finer
    assert name.startswith(Name.of(name).stem + ".")


@pytest.mark.parametrize(
    "name",
    [
        "T1w.nii",
        "sub-1_T1w.mgz",
        "sub-1_T1w (copy).nii",
        "sub-1_sub-1_T1w.nii",
        "sub-1_T1w_a.nii",
        "sub-1__T1w.nii",
    ],
)
def test_other_names_are_none_of_bids(name):
    assert Name.of(name) is None


def test_what_is_no_weighted_image_is_left_out_and_counted(root):
    for name in [
        "T1map.nii.gz",
        "part-phase_T2starw.nii.gz",
        "MEGRE.nii",
        "T1w_copy.nii",
        "defacemask.nii.gz",
    ]:
        put(root / f"sub-02/anat/sub-02_{name}", "")
    put(root / "sub-02/anat/sub-03_T1w.nii.gz", "")
    put(root / "sub-02/anat/sub-02_ses-1_T1w.nii.gz", "")
    put(root / "sub-02/anat/._sub-02_T1w.nii.gz", "")
    put(root / "sub-02/func/sub-02_task-rest_bold.nii.gz", "")
    put(root / "derivatives/other/sub-02/anat/sub-02_T1w.nii.gz", "")
    put(root / "sourcedata/sub-02/anat/sub-02_T1w.nii.gz", "")
    jobs, left_out = bids_jobs(root)
    assert [str(job.label) for job in jobs] == IMAGES
    assert left_out == Counter(
        {
            "T1map": 1, "part-phase": 1, "MEGRE": 1, "defacemask": 1,
            "not named as BIDS says": 1, "not in the folder of its name": 2,
        }
    )  # fmt: skip


def test_an_image_that_is_there_twice_is_refused(root):
    save(root / "sub-02/anat/sub-02_ce-gd_T1w.nii.gz")
    with pytest.raises(
        RequestError, match=r"T1w.nii and .*T1w.nii.gz are the same image to BIDS: remove one"
    ):
        bids_jobs(root)


def test_a_folder_that_is_no_data_set_is_refused(root):
    with pytest.raises(
        RequestError, match=r"sub-01 has no dataset_description.json, so it is no BIDS data set"
    ):
        bids_jobs(root / "sub-01")


def test_a_data_set_without_images_is_refused(tmp_path):
    put(tmp_path / "dataset_description.json", RAW)
    with pytest.raises(RequestError, match="holds no anatomical image"):
        bids_jobs(tmp_path)


def test_another_data_set_is_no_output(root, tmp_path):
    with pytest.raises(RequestError, match=r"study is another data set, .*: choose another --output"):
        bids_jobs(root, root)
    put(tmp_path / "other" / "dataset_description.json", "{")
    with pytest.raises(RequestError, match="other is another data set"):
        bids_jobs(root, tmp_path / "other")
    put(tmp_path / "other" / "dataset_description.json", {"GeneratedBy": [{"Name": "espcn-core"}]})
    assert bids_jobs(root, tmp_path / "other")[0]


# What is said of the results


def test_metadata_are_inherited_and_the_nearest_wins(root):
    put(root / "acq-tse_T2w.json", {"FlipAngle": 1, "EchoTime": 0.2})
    put(root / "sub-01/sub-01_T2w.json", {"FlipAngle": 2, "MTState": True})
    put(root / "acq-other_T2w.json", {"InversionTime": 9})
    put(root / "T1w.json", {"RepetitionTime": 9})
    job = bids_jobs(root)[0][0]
    assert inherited(job) == (
        {"MagneticFieldStrength": 3, "SliceThickness": 4, "EchoTime": 0.08, "FlipAngle": 2, "MTState": True},
        [],
    )


@pytest.mark.parametrize("text", ["{", "[1]", '"x"', "[" * 100_000, " " * 2**20 + "{}", '{"a": \udcff}'])
def test_a_sidecar_that_cannot_be_read_is_left_out_and_said(root, text):
    path = root / "sub-01" / "T2w.json"
    path.write_text(text, errors="surrogateescape")
    metadata, notes = inherited(bids_jobs(root)[0][0])
    assert metadata["EchoTime"] == 0.08
    assert len(notes) == 1
    assert notes[0].startswith(f"{path} is no ")
    assert notes[0].endswith(" and is left out")


def test_a_sidecar_names_source_model_scale_plane_and_spacing():
    from espcn_core import __version__

    content = said()
    assert content["Sources"] == [f"bids:source:{T2W}"]
    assert content["Resolution"] == "0.5 x 0.5 x 5 mm, made from 1 x 1 x 5 mm"
    assert content["SuperResolution"] == {
        "SoftwareName": "espcn-core",
        "SoftwareVersion": __version__,
        "Scale": [2.0, 2.0, 1.0],
        "Planes": ["axial"],
        "Models": [{"Name": "small", "SHA256": "0" * 64}],
        "SourceSpacing": [1.0, 1.0, 5.0],
        "Spacing": [0.5, 0.5, 5.0],
    }


def test_a_result_of_no_network_does_not_claim_one():
    assert said()["Description"].startswith("Made finer by a trained network")
    same, little = plan_of({"scale": (1, 1, 1)}), plan_of({"spacing": (0.95, 0.95, 5.0)})
    assert said(plan=same, cards=())["Description"].startswith("As its source")
    assert said(plan=little, cards=())["Description"].startswith("Interpolated")


def test_skull_stripped_is_that_of_the_source_or_an_assumption_that_is_said():
    assumed = "Whether the skull was removed is not said of the source, and taken as no."
    for value in (True, False):
        content = said({"SkullStripped": value})
        assert content["SkullStripped"] is value
        assert assumed not in content["Description"]
    for other in ({}, {"SkullStripped": "yes"}, {"SkullStripped": 1}):
        content = said(other)
        assert content["SkullStripped"] is False
        assert assumed in content["Description"]


@pytest.mark.parametrize(
    ("before", "spacing", "wish", "after"),
    [
        (4, (1, 1, 5), {"scale": 2}, 4.0),  # along the slices nothing changes
        (4, (1, 1, 5), {"scale": (1, 1, 5)}, 1.0),  # the slices now touch
        (5, (5, 1, 1), {"scale": (5, 1, 1)}, 1.0),
        (4, (1, 1, 5), {"spacing": (1.0, 1.0, 2.5)}, 2.5),
        (1, (1, 1, 1), {"scale": 2}, None),  # which axis is the slices' is not known
        (CANARY, (1, 1, 5), {"scale": 2}, None),
        (True, (1, 1, 5), {"scale": 2}, None),
        (0, (1, 1, 5), {"scale": 2}, None),
        (float("nan"), (1, 1, 5), {"scale": 2}, None),
    ],
)
def test_slice_thickness_is_that_of_the_result_or_left_out(before, spacing, wish, after):
    plan = plan_of(wish, (12, 12, 12), spacing)
    assert said({"SliceThickness": before}, plan).get("SliceThickness") == after


def test_metadata_that_stay_true_are_kept():
    kept = {
        "EchoTime": 0.08, "RepetitionTime": 2, "FlipAngle": [5, 26.5], "MTState": False,
        "MRAcquisitionType": "2D", "ContrastBolusIngredient": "GADOLINIUM",
    }  # fmt: skip
    content = said(kept)
    assert {name: content[name] for name in kept} == kept


def test_no_text_of_the_source_is_copied():
    """Neither of fields that may hold any, nor in place of numbers, truths and words."""
    from espcn_core.cohort import bids_metadata as module

    fields = ["PatientName", "SeriesDescription", "InstitutionName", "Manufacturer", "SpatialReference"]
    fields += [
        *module._NUMBERS,
        *module._TRUTHS,
        *module._WORDS,
        "SliceThickness",
        "SkullStripped",
        "Sources",
    ]
    for value in (CANARY, [CANARY], {"a": CANARY}, [1, CANARY], [[CANARY]]):
        content = said(dict.fromkeys(fields, value))
        assert "Canary" not in json.dumps(content)
        assert set(content) == set(said())
    assert set(said({"EchoTime": 19501224, "FlipAngle": [], "MTState": 1, "AcquisitionTime": 5})) == set(
        said()
    )
    assert set(said({"EchoTime": float("nan"), "FlipAngle": float("inf"), "PatientWeight": 60})) == set(
        said()
    )


@pytest.mark.parametrize(
    ("metadata", "left_out"),
    [
        ({"Manufacturer": "x", "a": {"b": [1, None, CANARY]}, "EchoTime": 19501224}, 0),
        ({"Manufacturer": "x", "a": float("nan")}, 1),
        ({"Manufacturer": "x", "a": [[[[[[[[1]]]]]]]]}, 0),
        ({"Manufacturer": "x", "a": [[[[[[[[[1]]]]]]]]]}, 1),
        ({"b": "y" * 500_000, "a": "z" * 500_000, "Manufacturer": "x"}, 1),
    ],
)
def test_what_may_be_kept_is_bounded_and_json(metadata, left_out):
    kept, count = kept_headers(metadata)
    assert count == left_out
    assert kept == {name: value for name, value in metadata.items() if name != "a" or not left_out}
    assert len(json.dumps(kept, indent=2, allow_nan=False)) < 2**20


def test_what_is_not_true_of_a_result_is_not_kept():
    untrue = (
        "SliceTiming AcquisitionMatrixPE ImageOrientationPatientDICOM ImageType SeriesInstanceUID".split()
    )
    ours = [*said({"SliceThickness": 4, "SpatialReference": "orig"}), "RawSources"]
    assert kept_headers(dict.fromkeys([*untrue, *ours], 1)) == ({}, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("orig", "orig"),
        ("bids::sub-01/anat/sub-01_T1w.nii.gz", "bids:source:sub-01/anat/sub-01_T1w.nii.gz"),
        ("https://templateflow.org/a.nii.gz", "https://templateflow.org/a.nii.gz"),
        ("bids:other:sub-01/anat/sub-01_T1w.nii.gz", None),
        ("/home/jane/t1.nii", None),
        (f"bids::{CANARY}", None),
    ],
)
def test_a_spatial_reference_points_where_it_did(before, after):
    assert said({"SpatialReference": before}).get("SpatialReference") == after


def test_a_description_takes_licence_and_doi_alone(root):
    output = root / "derivatives" / "espcn"
    content = dataset_description(root, output)
    assert content["DatasetType"] == "derivative"
    assert [maker["Name"] for maker in content["GeneratedBy"]] == ["espcn-core"]
    assert content["DatasetLinks"] == {"source": "../.."}
    assert content["SourceDatasets"] == [{"URL": "bids:source:"}]
    assert content["License"] == "CC0"
    assert "Canary" not in json.dumps(content)
    doi = "10.18112/openneuro.ds000114.v1.0.1"
    put(root / "dataset_description.json", RAW | {"License": CANARY, "DatasetDOI": f"doi:{doi}"})
    content = dataset_description(root, output)
    assert content["SourceDatasets"] == [{"URL": f"https://doi.org/{doi}", "DOI": f"doi:{doi}"}]
    assert "License" not in content
    put(root / "dataset_description.json", RAW | {"DatasetDOI": CANARY})
    assert dataset_description(root, output)["SourceDatasets"] == [{"URL": "bids:source:"}]


def test_the_link_to_the_source_is_relative_and_an_address(root, tmp_path):
    link = dataset_description(root, tmp_path / "a b" / "out")["DatasetLinks"]["source"]
    assert link == "../../study"
    root = root.rename(tmp_path / "my study")
    assert dataset_description(root, tmp_path / "out")["DatasetLinks"]["source"] == "../my%20study"


# The command


def test_a_data_set_becomes_a_derivative_one(upscale, root):
    put(root / "sub-02/anat/sub-02_T1map.nii.gz", "")
    for path in root.rglob("sub-*.json"):
        put(path, read(path) | {"PatientName": CANARY, "SeriesDescription": CANARY})
    code, _, err = upscale()
    output = root / "derivatives" / "espcn"
    assert code == 0, err
    assert "left out in " in err
    assert err.split("left out in ")[1].startswith(f"{root}: 1 T1map\n")
    assert files_below(output) == sorted(
        [".espcn-core.sqlite", "README", "dataset_description.json", *RESULTS, *SIDECARS]
    )
    for result, sidecar in zip(RESULTS, SIDECARS, strict=True):
        assert nib.load(output / result).shape == (24, 20, 4)
        assert read(output / sidecar)["SuperResolution"]["Spacing"] == [0.5, 0.5, 5.0]
        assert read(output / sidecar)["EchoTime"] == 0.08
    sha256 = read(output / SIDECARS[0])["SuperResolution"]["Models"][0]["SHA256"]
    assert len(sha256) == 64
    assert read(output / SIDECARS[0])["SliceThickness"] == 4.0
    assert not [path for path in output.rglob("*") if path.is_file() and b"Canary" in path.read_bytes()]


KEPT = {"PatientName": CANARY, "AcquisitionDateTime": CANARY, "Notes": {"by": [CANARY, 3]}}


def test_headers_that_are_kept_are_in_sidecars_and_nowhere_else(upscale, root, tmp_path):
    for path in root.rglob("sub-*.json"):
        put(path, read(path) | KEPT | {"SliceTiming": [CANARY], "Sources": CANARY, "Huge": [CANARY] * 18_000})
    put(root / "sub-02/anat/sub-02_ce-gd_T1w.nii", CANARY)  # no image
    log, page = tmp_path / "log", tmp_path / "page.html"
    code, out, err = upscale("--keep-headers", "--log", log, "--report", page, "--json")
    assert code == 3, err
    output = root / "derivatives" / "espcn"
    for sidecar in SIDECARS[:2]:
        content = read(output / sidecar)
        assert {name: content[name] for name in KEPT} == KEPT
        assert content["EchoTime"] == 0.08
        assert "SliceTiming" not in content
        assert "Huge" not in content
        assert content["Sources"] == [f"bids:source:{IMAGES[SIDECARS.index(sidecar)]}"]
    elsewhere = [
        path for path in output.rglob("*") if path.is_file() and str(path.relative_to(output)) not in SIDECARS
    ]
    assert ".espcn-core.sqlite" in {path.name for path in elsewhere}
    for path in (*elsewhere, log, page):
        assert b"Canary" not in path.read_bytes(), path
    assert "Canary" not in out + err
    assert "1 of its metadata are too large or no JSON, and are left out" in out


def test_headers_are_kept_by_workers_too_and_do_not_part_cohorts(upscale, root):
    put(root / "T1w.json", {"Manufacturer": "x"})
    output = root / "derivatives" / "espcn"
    assert upscale("--jobs", 2, "--keep-headers")[0] == 0
    (output / SIDECARS[1]).unlink()
    code, _, err = upscale("--existing", "resume")
    assert (code, err.count("1 done, 2 skipped")) == (0, 1), err
    assert "Manufacturer" not in read(output / SIDECARS[1])
    assert read(output / SIDECARS[2])["Manufacturer"] == "x"


def test_headers_are_kept_with_bids_alone(root, monkeypatch, capsys, tmp_path):
    line = ["espcn-core", "upscale", str(root / IMAGES[0]), "-o", str(tmp_path / "o.nii"), "--keep-headers"]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as ending:
        main()
    assert ending.value.code == 2
    assert (
        "--keep-headers goes with --bids, which alone writes sidecars: leave it out"
        in capsys.readouterr().err
    )


def test_a_thickness_that_is_inherited_is_used(upscale, root):
    code, _, err = upscale("--scale", "1,1,2", "--dry-run", model=())
    assert code == 0, err
    assert "its slices are 4 mm thick" in err
    put(root / "T2w.json", {"SliceThickness": CANARY})
    code, _, err = upscale("--scale", "1,1,2", "--dry-run", model=())
    assert "SliceThickness in its metadata is no length in mm, and is left out" in err
    assert "Canary" not in err
    assert not (root / "derivatives").exists()


def test_workers_write_the_same(upscale, root, tmp_path):
    assert upscale()[0] == 0
    code, _, err = upscale("--output", root / "derivatives" / "four", "--jobs", 2)
    assert code == 0, err
    for name in [*RESULTS, *SIDECARS, "dataset_description.json", "README"]:
        one, four = (root / "derivatives" / folder / name for folder in ("espcn", "four"))
        assert one.read_bytes() == four.read_bytes()


def test_a_rerun_does_what_is_missing(upscale, root):
    assert upscale()[0] == 0
    output = root / "derivatives" / "espcn"

    def states(*arguments) -> list[str]:
        code, out, err = upscale("--json", *arguments)
        assert code == 0, err
        return sorted(f"{Path(file['input']).name[:12]} {file['state']}" for file in json.loads(out)["files"])

    nothing = ["sub-01_ses-1 skipped", "sub-01_ses-2 skipped", "sub-02_ce-gd skipped"]
    assert states("--existing", "resume") == nothing
    (output / SIDECARS[0]).unlink()
    assert states("--existing", "resume") == ["sub-01_ses-1 done", *nothing[1:]]
    (output / SIDECARS[1]).unlink()
    assert states("--existing", "skip") == [nothing[0], "sub-01_ses-2 done", nothing[2]]
    put(root / "T2w.json", {"MagneticFieldStrength": 7})  # that of one image, though not beside it
    assert states("--existing", "resume") == ["sub-01_ses-1 done", *nothing[1:]]
    assert read(output / SIDECARS[0])["MagneticFieldStrength"] == 7
    put(output / "README", "mine")
    (output / "dataset_description.json").unlink()
    assert states("--existing", "overwrite")[0] == "sub-01_ses-1 done"
    assert read(output / "dataset_description.json")["DatasetType"] == "derivative"
    assert (output / "README").read_text() == "mine"


def test_a_sidecar_that_cannot_be_written_fails_its_image_and_leaves_nothing(upscale, root, monkeypatch):
    from espcn_core.cohort import bids_metadata

    complete_file = bids_metadata.complete_file

    def full(path):
        if path.name == Path(SIDECARS[0]).name:
            raise OSError(28, "No space left on device", str(path))
        return complete_file(path)

    monkeypatch.setattr(bids_metadata, "complete_file", full)
    code, _, err = upscale()
    assert code == 3
    assert "no space left on device" in err
    monkeypatch.undo()
    monkeypatch.chdir(root)
    code, _, err = upscale("--existing", "resume")
    assert (code, err.count("1 done, 2 skipped")) == (0, 1), err
    assert files_below(root / "derivatives" / "espcn")[-1] == SIDECARS[2].replace(".json", ".nii")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--suffix", "_sr"), "--suffix does not go with --bids, which names results itself: leave it out"),
        (("--trust", "t/"), "--trust does not go with --bids"),
        (("--no-compress",), "--compress does not go with --bids"),
        (("--output-format", "mha"), "--output-format does not go with --bids"),
        (("--anonymise",), "--anonymise does not go with --bids"),
    ],
)
def test_options_that_name_results_otherwise_are_refused(upscale, root, arguments, sentence):
    code, _, err = upscale(*arguments)
    assert code == 2
    assert sentence in err
    assert not (root / "derivatives").exists()


def test_one_data_set_at_a_time(upscale, root):
    code, _, err = upscale(of=(root, root))
    assert code == 2
    assert "--bids goes with one data set, and 2 inputs were given: name its root" in err


# The validator of BIDS itself


@pytest.fixture
def validate():
    """The errors that the validator finds in a folder, as code and what of."""
    beside = Path(sys.executable).with_name("bids-validator-deno")
    program = str(beside) if beside.is_file() else shutil.which("bids-validator-deno")
    if program is None:
        pytest.skip("the BIDS validator is not installed: pip install bids-validator-deno")

    def validate(folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
        line = [program, str(folder), "--format", "json"]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
        issues = json.loads(done.stdout)["issues"]["issues"]
        errors = [
            (issue["code"], issue.get("subCode", "")) for issue in issues if issue["severity"] == "error"
        ]
        assert bool(errors) == (done.returncode != 0)
        return errors, [issue["code"] for issue in issues if issue["severity"] == "warning"]

    return validate


def test_the_validator_finds_nothing_wrong_in_headers_that_are_kept(upscale, root, validate):
    put(
        root / "T1w.json",
        {"Manufacturer": "x", "PatientName": CANARY, "InstitutionName": "y", "a": {"b": [1]}},
    )
    assert upscale("--keep-headers")[0] == 0
    assert validate(root / "derivatives" / "espcn")[0] == []


def test_the_validator_finds_nothing_wrong(upscale, root, validate):
    assert upscale()[0] == 0
    output = root / "derivatives" / "espcn"
    errors, warnings = validate(output)
    assert errors == []
    assert "README_FILE_MISSING" not in warnings
    sidecar = output / SIDECARS[0]
    content = read(sidecar)
    del content["SkullStripped"]
    put(sidecar, content)
    sidecar.with_name("sub-01_desc-sr_ses-1_T2w.json").write_text("{}")
    errors, _ = validate(output)
    assert ("SIDECAR_KEY_REQUIRED", "SkullStripped") in errors
    assert len(errors) > 1  # entities in another order


def test_the_validator_accepts_results_of_a_derivative(upscale, root, validate):
    """Names with space and desc, and a reference that points into the source."""
    shutil.rmtree(root / "sub-02")
    put(
        root / "dataset_description.json", RAW | {"DatasetType": "derivative", "GeneratedBy": [{"Name": "x"}]}
    )
    name = "sub-01/ses-1/anat/sub-01_ses-1_space-custom_desc-preproc_T1w"
    save(root / f"{name}.nii.gz")
    reference = "bids::sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz"
    put(root / f"{name}.json", {"SkullStripped": True, "SpatialReference": reference})
    assert upscale("--output", root.parent / "finer")[0] == 0
    assert (root.parent / "finer" / f"{name}".replace("preproc", "preprocSr")).with_suffix(".json").is_file()
    assert validate(root.parent / "finer")[0] == []
