from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from espcn_core.errors import DataError
from espcn_core.figshare.mat import read_folds, read_patient, read_slice


def _changed(path: Path, **fields: Any) -> io.BytesIO:
    """The file with some fields of its struct replaced, or taken out where None."""
    content = io.BytesIO(path.read_bytes())
    with h5py.File(content, "r+") as file:
        for name, value in fields.items():
            del file["cjdata"][name]
            if value is not None:
                file["cjdata"][name] = value
    content.seek(0)
    return content


def test_arrays_are_turned_to_row_and_column(figshare_dir: Path) -> None:
    piece = read_slice(figshare_dir / "57.mat", "57.mat", 57)
    with h5py.File(figshare_dir / "57.mat") as file:
        stored = file["cjdata"]["image"][()]
    assert piece.image.dtype == np.int16
    assert piece.mask.dtype == bool
    assert (piece.image == stored.T).all()
    assert not (piece.image == stored).all()
    assert (piece.index, piece.label, piece.patient) == (57, 1, "P00005")


def test_border_is_x_then_y_around_the_mask(figshare_dir: Path) -> None:
    for path in sorted(figshare_dir.glob("[0-9]*.mat")):
        piece = read_slice(path, path.name, int(path.stem))
        rows, columns = np.nonzero(piece.mask)
        low, high = piece.border.min(axis=0), piece.border.max(axis=0)
        assert np.abs(low - [columns.min(), rows.min()]).max() <= 1
        assert np.abs(high - [columns.max(), rows.max()]).max() <= 1


def test_patient_alone(figshare_dir: Path) -> None:
    assert read_patient(figshare_dir / "2228.mat", "2228.mat") == "P00156"


def test_other_whole_number_types_are_fine_while_they_fit(figshare_dir: Path) -> None:
    path = figshare_dir / "955.mat"
    image = read_slice(path, "955.mat", 955).image
    piece = read_slice(_changed(path, image=image.T.astype(">i4")), "955.mat", 955)
    assert piece.image.dtype == np.int16
    assert (piece.image == image).all()


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"label": [[4.0]]}, "label is 4"),
        ({"label": [[np.nan]]}, "label is nan"),
        ({"image": np.zeros((256, 256))}, "float64"),
        ({"image": np.full((256, 256), 40_000)}, "int64"),
        ({"image": np.zeros((1, 256, 256), np.int16)}, "3 axes"),
        ({"image": None}, "image"),
        ({"image": "text"}, "not an array"),
        ({"tumorMask": np.zeros((256, 128), np.uint8)}, "mask is"),
        ({"tumorBorder": np.zeros((1, 7))}, "7 numbers"),
        ({"tumorBorder": np.zeros((1, 0))}, "shape"),
        ({"PID": np.zeros((3, 1), np.uint16)}, "patient id is empty"),
    ],
)
def test_a_field_that_is_wrong_is_named(figshare_dir: Path, fields: dict[str, Any], what: str) -> None:
    with pytest.raises(DataError, match=r"^955\.mat") as caught:
        read_slice(_changed(figshare_dir / "955.mat", **fields), "955.mat", 955)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_claim_of_more_than_any_slice_holds_is_refused_before_it_is_allocated(figshare_dir: Path) -> None:
    content = _changed(figshare_dir / "955.mat")
    with h5py.File(content, "r+") as file:
        del file["cjdata"]["image"]
        file["cjdata"].create_dataset("image", (10**7, 10**7), np.int16, chunks=(64, 64))
    with pytest.raises(DataError, match="claims the shape"):
        read_slice(content, "955.mat", 955)


@pytest.mark.parametrize("share", [0.0, 0.005, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_named(figshare_dir: Path, share: float) -> None:
    content = (figshare_dir / "955.mat").read_bytes()
    cut = content[: int(len(content) * share)]
    with pytest.raises(DataError, match=r"^955\.mat cannot be read"):
        read_slice(io.BytesIO(cut), "955.mat", 955)


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not there any more"):
        read_slice(tmp_path / "3.mat", "3.mat", 3)


def test_folds_leave_out_slices_without_one(figshare_dir: Path) -> None:
    folds = read_folds(figshare_dir / "cvind.mat", "cvind.mat")
    assert folds == {
        57: 1, 58: 1, 143: 4, 954: 4, 955: 4, 956: 4, 1069: 3, 2001: 5, 2002: 5, 2003: 5, 2228: 2, 2229: 2
    }  # fmt: skip


@pytest.mark.parametrize("values", [[1.0, 6.0], [1.5], [-1.0], [np.nan]])
def test_folds_that_are_none_are_refused(values: list[float]) -> None:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["cvind"] = [values]
    content.seek(0)
    with pytest.raises(DataError, match=r"^cvind\.mat: folds are"):
        read_folds(content, "cvind.mat")


def test_a_slice_is_no_fold_file(figshare_dir: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_folds(figshare_dir / "57.mat", "cvind.mat")
