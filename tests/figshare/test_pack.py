from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from espcn_core.errors import DataError, RequestError
from espcn_core.figshare import open_source, pack


def test_a_chunk_is_one_whole_slice(forms: dict[str, Path]) -> None:
    with h5py.File(forms["packed"]) as file:
        assert file["512x512/image"].chunks == (1, 512, 512)
        assert file["512x512/image"].compression is None
        assert file["512x512/image"].shape == (10, 512, 512)
        assert file["256x256/mask"].shape == (2, 256 * 256 // 8)


def test_a_slice_may_have_any_size(figshare_dir: Path, tmp_path: Path) -> None:
    shutil.copy(figshare_dir / "955.mat", tmp_path / "1.mat")
    rng = np.random.default_rng(0)
    image, mask = rng.integers(-99, 99, (5, 7)).astype(np.int16), rng.integers(0, 2, (5, 7))
    with h5py.File(tmp_path / "1.mat", "r+") as file:
        for name, value in (("image", image.T), ("tumorMask", mask.T.astype(np.uint8))):
            del file["cjdata"][name]
            file["cjdata"][name] = value
    with open_source(tmp_path) as source:
        pack(source, tmp_path / "p.h5")
    with open_source(tmp_path / "p.h5") as packed:
        assert packed.folds() is None
        piece = packed.read(1)
    assert np.array_equal(piece.image, image)
    assert np.array_equal(piece.mask, mask == 1)


def test_a_packed_file_may_be_packed_again(forms: dict[str, Path], tmp_path: Path) -> None:
    with open_source(forms["packed"]) as source:
        pack(source, tmp_path / "again.h5")
    with open_source(forms["packed"]) as a, open_source(tmp_path / "again.h5") as b:
        assert a.folds() == b.folds()
        assert all(np.array_equal(a.read(i).border, b.read(i).border) for i in a.indices)


def test_a_file_that_is_there_is_left_alone(figshare_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    path.write_text("mine")
    with open_source(figshare_dir) as source, pytest.raises(RequestError, match="is there already"):
        pack(source, path)
    assert path.read_text() == "mine"


def test_a_broken_slice_leaves_no_file(figshare_dir: Path, tmp_path: Path) -> None:
    for name in ("57.mat", "58.mat"):
        shutil.copy(figshare_dir / name, tmp_path)
    (tmp_path / "58.mat").write_bytes(b"broken")
    out = tmp_path / "out"
    out.mkdir()
    with open_source(tmp_path) as source, pytest.raises(DataError, match=r"58\.mat cannot be read"):
        pack(source, out / "p.h5")
    assert list(out.iterdir()) == []


def test_a_run_that_was_stopped_leaves_no_file(figshare_dir: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert [path.name for path in tmp_path.iterdir()] == [".p.h5.part"]
        raise KeyboardInterrupt

    with open_source(figshare_dir) as source, pytest.raises(KeyboardInterrupt):
        pack(source, tmp_path / "p.h5", stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_sentence(figshare_dir: Path, tmp_path: Path) -> None:
    with open_source(figshare_dir) as source, pytest.raises(DataError, match="cannot be written"):
        pack(source, tmp_path / "no" / "p.h5")


def test_another_or_a_cut_hdf5_file_is_refused(forms: dict[str, Path], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match="not one that `espcn-core data pack` wrote"):
        open_source(tmp_path / "other.h5")
    content = forms["packed"].read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cut\.h5 cannot be read"):
        open_source(tmp_path / "cut.h5")


def test_a_damaged_slice_is_named(forms: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    shutil.copy(forms["packed"], path)
    with h5py.File(path) as file:
        place = file["512x512/mask"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write(b"\xff" * 16)
    with open_source(path) as source:
        assert source.read(58).patient == "P00005"
        with pytest.raises(DataError, match=r"p\.h5: slice 57 cannot be read"):
            source.read(57)
