from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import pytest

from espcn_core.figshare import check, open_source


@pytest.fixture
def folder(figshare_dir: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    for path in figshare_dir.glob("*.mat"):
        shutil.copy(path, tmp_path)
    return tmp_path


def _set(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = value


@pytest.mark.parametrize("form", ["folder", "zips", "packed"])
def test_what_is_there_is_counted(forms: dict[str, Path], form: str) -> None:
    steps: list[tuple[int, int]] = []
    with open_source(forms[form]) as source:
        report = check(source, lambda done, total: steps.append((done, total)))
    assert report.ok
    assert report.slices == 12
    assert report.labels == {1: 3, 2: 5, 3: 4}
    assert report.sizes == {(256, 256): 2, (512, 512): 10}
    assert report.patients == 6
    assert report.folds == {1: 2, 2: 2, 3: 1, 4: 4, 5: 3}
    assert len(report.missing) == 3064 - 12
    assert report.broken == {}
    assert any("a subset: 3052 of the 3064" in note for note in report.notes)
    assert any(note.endswith("955-956") for note in report.notes)
    assert steps == [(i, 12) for i in range(1, 13)]


def test_broken_files_are_named_and_the_rest_is_counted(folder: Path) -> None:
    (folder / "57.mat").write_bytes((folder / "57.mat").read_bytes()[:50_000])
    (folder / "2001.mat").write_text("not a MATLAB file")
    with open_source(folder) as source:
        report = check(source)
    assert not report.ok
    assert sorted(report.broken) == [57, 2001]
    assert all(str(folder / f"{index}.mat") in reason for index, reason in report.broken.items())
    assert report.slices == 10


def test_a_slice_of_another_size_or_without_a_tumor_is_a_problem(folder: Path) -> None:
    shutil.copy(folder / "955.mat", folder / "57.mat")
    shutil.copy(folder / "58.mat", folder / "4000.mat")
    _set(folder / "956.mat", "cjdata/tumorMask", [[0] * 256] * 256)
    with open_source(folder) as source:
        report = check(source)
    assert not report.ok
    text = " ".join(report.problems)
    assert "slice 57 is 256x256, not 512x512" in text
    assert "slice 956 has an empty tumor mask" in text
    assert "slice 4000 is none of the data set's" in text


def test_broken_folds_are_a_problem_and_no_folds_are_a_note(folder: Path) -> None:
    _set(folder / "cvind.mat", "cvind", [[7.0] * 3064])
    with open_source(folder) as source:
        assert any("cvind.mat: folds are" in problem for problem in check(source).problems)
    (folder / "cvind.mat").unlink()
    with open_source(folder) as source:
        report = check(source)
    assert report.ok
    assert report.folds is None
    assert any("no folds from cvind.mat" in note for note in report.notes)


def test_slices_without_a_fold_and_patients_in_two_are_said(folder: Path) -> None:
    folds = [0.0] * 3064
    folds[57 - 1], folds[58 - 1] = 1, 2
    _set(folder / "cvind.mat", "cvind", [folds])
    with open_source(folder) as source:
        report = check(source)
    assert any("no fold for 143, 954-956" in problem for problem in report.problems)
    assert any(note.endswith("patients P00005") for note in report.notes)
