from __future__ import annotations

import csv
import json
import sys

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from espcn_core.models.cards import Card
from espcn_core.models.registry import build
from espcn_core.models.trained import save_model

RESULTS = "results.json", "records.csv"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Weights whose residual is zero, trained on all folds but the fourth."""
    training = {"held_out_fold": 4, "folds_from": "cvind"}
    card = Card("untrained", "espcn-r", (4, 4), "bicubic", {"width": 8, "depth": 1}, training)
    return save_model(build("espcn-r", (4, 4), width=8, depth=1), card, tmp_path_factory.mktemp("model"))


def test_the_same_call_writes_the_same_numbers_however_many_jobs(cli, figshare_dir, tmp_path, untrained):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder, jobs in zip(folders, (1, 2), strict=True):
        answer = cli(
            "evaluate",
            *("--data", figshare_dir, "--models", f"{untrained},nearest,bicubic,lanczos"),
            *(
                "--degradation",
                "bicubic,area+rician2",
                "--limit",
                3,
                "--shrink",
                2,
                "--out",
                folder,
                "--jobs",
                jobs,
            ),
        )
        assert answer.code == 0, answer.err
    for name in RESULTS:
        first, second = (folder.joinpath(name).read_bytes() for folder in folders)
        assert first == second
    assert (folders[1] / "report.html").stat().st_size > 10_000

    assert "mean over 2 patients" in answer.out
    assert str(folders[1] / "report.html") in answer.out.replace("\n", "")
    rows = [line.replace("│", " ").split() for line in answer.out.splitlines()]
    gains = {row[0]: float(row[2]) for row in rows if row and row[0] in ("untrained", "nearest", "lanczos")}
    assert gains["nearest"] < gains["untrained"] == 0 < gains["lanczos"]

    results = json.loads((folders[0] / "results.json").read_text())
    about = results["about"]
    assert (about["fold"], about["slices"], about["data"]) == (4, 3, "figshare brain tumor slices")
    assert about["command"] == (
        "espcn-core evaluate --data PATH --models untrained.safetensors,nearest,bicubic,lanczos "
        "--degradation bicubic,area+rician2 --shrink 2 --limit 3 --out DIR"
    )
    assert str(tmp_path) not in (folders[0] / "results.json").read_text()
    with (folders[0] / "records.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    assert len(records) == 3 * 2 * 4 * 4
    assert {record["degradation"] for record in records} == {"bicubic", "area+rician2"}


def test_a_folder_of_volumes(cli, tmp_path, save):
    for name in ("a", "b"):
        save(tmp_path / "volumes" / f"{name}.nii.gz", (24, 20, 3), np.float32)
    out = tmp_path / "out"
    answer = cli(
        *("evaluate", "--data", tmp_path / "volumes", "--models", "linear,bspline", "--scale", 2),
        *("--plane", "axial", "--degradation", "gaussian", "--out", out, "--jobs", 1),
    )
    assert answer.code == 0, answer.err
    about = json.loads((out / "results.json").read_text())["about"]
    assert (about["kind"], about["fold"], about["slices"], about["patients"]) == ("volumes", None, 6, 2)
    assert about["methods"] == ["linear", "bspline", "bicubic"]
    assert "--plane axial" in about["command"]
    assert "mean over 2 volumes" in answer.out
    assert "By volume: a " in answer.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--models", "bicubic"], "give --scale"),
        (["--models", "nothing", "--scale", 4], "no method is called 'nothing'"),
        (["--models", "bicubic", "--scale", 4, "--degradation", "blur"], "no degradation is called 'blur'"),
        (["--models", "bicubic", "--scale", 4, "--fold", 6], "there is no fold 6"),
    ],
)
def test_a_wrong_call_gets_one_sentence_and_no_folder(cli, figshare_dir, tmp_path, options, sentence):
    answer = cli("evaluate", "--data", figshare_dir, "--out", tmp_path / "out", *options)
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_model_is_not_measured_on_what_it_was_trained_on(cli, figshare_dir, tmp_path, untrained):
    answer = cli(
        *("evaluate", "--data", figshare_dir, "--models", untrained, "--fold", 3),
        *("--out", tmp_path / "out"),
    )
    assert answer.code == 2
    assert "untrained was trained on the slices of fold 3, all but fold 4" in answer.err


def test_what_is_not_installed_is_named(cli, figshare_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("espcn_core.evaluation.report")]:
        monkeypatch.delitem(sys.modules, name)
    answer = cli("evaluate", "--data", figshare_dir, "--scale", 4, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "evaluation needs matplotlib: pip install 'espcn-core[report]'" in answer.err


@pytest.fixture(scope="module")
def through(tmp_path_factory):
    """Weights through plane whose residual is zero."""
    card = Card("through", "espcn-r", (1, 2), "bicubic", {"width": 8, "depth": 1})
    network = build("espcn-r", (1, 2), width=8, depth=1)
    return save_model(network, card, tmp_path_factory.mktemp("through"))


@pytest.fixture
def isotropic(tmp_path):
    """A folder with an isotropic volume, and one that is not."""
    folder = tmp_path / "volumes"
    folder.mkdir()
    values = np.random.default_rng(2).uniform(0, 20, (25, 26, 24)).astype(np.float32)
    values[8:17, 8:17, 8:17] += 300  # faces at even and at odd places
    for name, depth in (("cube", 1.0), ("slab", 5.0)):
        nib.save(nib.Nifti1Image(values, np.diag([1.0, 1.0, depth, 1.0])), folder / f"{name}.nii.gz")
    return folder


def test_through_plane_writes_the_same_however_many_jobs(cli, isotropic, tmp_path, through):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder, jobs in zip(folders, (1, 2), strict=True):
        answer = cli(
            *("evaluate", "--data", isotropic, "--through-plane", "--models", through, "--factors", "2"),
            *("--profile", "gaussian:1,box:1", "--trust", "--out", folder, "--jobs", jobs),
        )
        assert answer.code == 0, answer.err
    for name in (*RESULTS, "report.html"):
        first, second = (folder.joinpath(name).read_bytes() for folder in folders)
        assert first == second
    assert "Left out: slab.nii.gz has voxels of 1 x 1 x 5 mm" in answer.out

    results = json.loads((folders[0] / "results.json").read_text())
    about, summary = results["about"], results["summary"]
    assert list(about["volumes"]) == ["cube"]
    assert list(about["left_out"]) == ["slab"]
    assert about["command"] == (
        "espcn-core evaluate --data PATH --through-plane --models through.safetensors --factors 2 "
        "--profile gaussian:1,box:1 --trust --out DIR"
    )
    assert str(tmp_path) not in (folders[0] / "results.json").read_text()
    axes = summary["axes"]["cube"]["2"]
    assert sorted(axes) == ["axial", "coronal", "sagittal"]
    for cells in axes.values():
        assert cells["espcn-r-through-free"]["deviation"] > 1e-3
        assert cells["nearest"]["slice_edges"] > 1.5
        assert -1 <= cells["espcn-r-through"]["trust"] <= 1
    cell = summary["means"]["cube"]["2"]["espcn-r-through"]
    gains = [cells["espcn-r-through"]["psnr"] - cells["bspline"]["psnr"] for cells in axes.values()]
    assert cell["gain"] == pytest.approx(np.mean(gains), abs=1e-3)
    assert cell["least_gain"] == pytest.approx(min(gains), abs=1e-3)
    guess = summary["profiles"]
    for by_factor in guess.values():
        cell = by_factor["2"]
        assert cell["cost"] == pytest.approx(cell["right"] - cell["stated"], abs=1e-3)
        assert cell["deviation"] < 1e-3  # with the right profile stated
    with (folders[0] / "records.csv").open(newline="") as file:
        records = list(csv.DictReader(file))
    assert len(records) == 3 * (8 + 8)  # axes times the methods, one of them told the profile as well
    page = (folders[0] / "report.html").read_text()
    assert "error of espcn-r-through" in page
    assert "True profile box:1" in page


def test_networks_are_told_the_profile_that_is_stated(cli, isotropic, tmp_path, through):
    answer = cli(
        *("evaluate", "--data", isotropic, "--through-plane", "--models", through, "--factors", "2"),
        *("--profile", "box:1", "--stated", "box", "--out", tmp_path, "--jobs", 1),
    )
    assert answer.code == 0, answer.err
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["about"]["stated"] == "box:1"
    assert "--profile box:1 --stated box:1 --out DIR" in results["about"]["command"]
    for cells in results["summary"]["axes"]["cube"]["2"].values():
        assert cells["espcn-r-through"]["deviation"] < 1e-3


def test_adapted_networks_stand_in_every_table_however_many_jobs(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    blobs = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(26, 28, 30)), 2.5)
    isotropic = tmp_path / "cube.nii.gz"
    nib.save(nib.Nifti1Image((blobs > 0).astype(np.float32), np.eye(4)), isotropic)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder, jobs in zip(folders, (1, 2), strict=True):
        answer = cli(
            *("evaluate", "--data", isotropic, "--through-plane", "--factors", "2"),
            *("--profile", "box:1", "--stated", "box", "--adapt", 20, "--out", folder, "--jobs", jobs),
        )
        assert answer.code == 0, answer.err
    name = "espcn-r-through-adapted"
    for file in (*RESULTS, "report.html"):
        first, second = (folder.joinpath(file).read_bytes() for folder in folders)
        assert first == second
    results = json.loads((folders[0] / "results.json").read_text())
    about, summary = results["about"], results["summary"]
    assert about["methods"][-3:] == ["espcn-r-through", name, "espcn-r-through-free"]
    assert about["adapted"] == 20
    assert "--profile box:1 --stated box:1 --adapt 20 --out DIR" in about["command"]
    for cells in summary["axes"]["cube"]["2"].values():
        assert cells[name]["deviation"] < 1e-3
        assert cells[name]["psnr"] > cells["espcn-r-through"]["psnr"]
    with (folders[0] / "records.csv").open(newline="") as file:
        records = [record for record in csv.DictReader(file) if record["method"] == name]
    assert [record["profile"] for record in records] == 3 * ["box:1"]
    assert {record["stated"] for record in records} == {"box:1"}
    page = (folders[0] / "report.html").read_text()
    assert page.count(f">{name}<") == 2 + 3  # columns of the means and of the head, a row for each axis
    assert f"{name}: 20 more steps" in page
    assert f"┃ {name} ┃" in answer.out


def test_a_volume_that_cannot_be_adapted_to_is_named(cli, isotropic, tmp_path, through):
    answer = cli(
        *("evaluate", "--data", isotropic, "--through-plane", "--models", through, "--factors", "2"),
        *("--adapt", 20, "--out", tmp_path / "out", "--jobs", 1),
    )
    assert answer.code == 2
    assert "cube x2, sagittal slices thick: 5 slices of 26 x 24 pixels are more than air" in answer.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--through-plane", "--factors", "2,12", "--adapt", 5], "--adapt cannot do x12"),
        (["--adapt", 5], "are for --through-plane"),
        (["--through-plane", "--factors", "1"], "factors are whole numbers from 2 to 16, not 1"),
        (["--through-plane", "--factors", "2,x"], "factors are whole numbers from 2 to 16, not x"),
        (["--through-plane", "--scale", 2], "--scale is not for --through-plane"),
        (["--through-plane", "--profile", "bell:1"], "no slice profile is called 'bell'"),
        (["--factors", "2"], "are for --through-plane"),
        (["--trust"], "are for --through-plane"),
        (["--stated", "box"], "are for --through-plane"),
    ],
)
def test_a_wrong_call_through_plane_gets_one_sentence(cli, isotropic, tmp_path, options, sentence):
    answer = cli("evaluate", "--data", isotropic, "--out", tmp_path / "out", *options)
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
