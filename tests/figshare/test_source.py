from __future__ import annotations

import multiprocessing
import pickle
import shutil
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from espcn_core.errors import DataError
from espcn_core.figshare import FigshareSlice, FigshareSource, open_source

INDICES = (57, 58, 143, 954, 955, 956, 1069, 2001, 2002, 2003, 2228, 2229)
FORMS = ["folder", "unpacked", "zips", "outer zip", "outer zip, compressed", "single zip", "packed"]
each_form = pytest.mark.parametrize("form", FORMS)


def _same(a: FigshareSlice, b: FigshareSlice) -> bool:
    words = all(getattr(a, name) == getattr(b, name) for name in ("index", "label", "patient"))
    arrays = ((getattr(a, name), getattr(b, name)) for name in ("image", "mask", "border"))
    return words and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in arrays)


@each_form
def test_every_form_holds_the_same(forms: dict[str, Path], form: str) -> None:
    with open_source(forms["folder"]) as expected, open_source(forms[form]) as source:
        assert source.indices == expected.indices == INDICES
        assert source.patients() == expected.patients() == {i: source.read(i).patient for i in INDICES}
        assert source.folds() == expected.folds()
        assert all(_same(source.read(i), expected.read(i)) for i in INDICES)
        assert source.read(955).image.shape == (256, 256)


def _total(source: FigshareSource, index: int) -> int:
    return int(source.read(index).image.sum(dtype=np.int64))


@each_form
def test_processes_and_threads_may_share_a_source(forms: dict[str, Path], form: str) -> None:
    with open_source(forms[form]) as source:
        expected = [_total(source, i) for i in INDICES]  # the file is open when the workers start
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(_total, [source] * 12, INDICES)) == expected
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(2, mp_context=context) as processes:
            assert list(processes.map(_total, [source] * 12, INDICES)) == expected
        assert [_total(source, i) for i in INDICES] == expected


def _inherited_total(index: int) -> int:
    return _total(_INHERITED[0], index)


_INHERITED: list[FigshareSource] = []


@pytest.mark.parametrize("form", ["packed", "outer zip"])
def test_forked_workers_read_through_an_inherited_source(forms: dict[str, Path], form: str) -> None:
    with open_source(forms[form]) as source:
        expected = [_total(source, i) for i in INDICES * 5]
        _INHERITED[:] = [source]
        with multiprocessing.get_context("fork").Pool(3) as pool:
            assert pool.map(_inherited_total, INDICES * 5, chunksize=1) == expected


@each_form
def test_a_source_reads_again_after_close_and_after_pickle(forms: dict[str, Path], form: str) -> None:
    with open_source(forms[form]) as source:
        first = source.read(2001)
    assert _same(source.read(2001), first)
    assert _same(pickle.loads(pickle.dumps(source)).read(2001), first)
    source.close()


@each_form
def test_a_slice_that_is_not_there(forms: dict[str, Path], form: str) -> None:
    with open_source(forms[form]) as source, pytest.raises(DataError, match="slice 3 is not"):
        source.read(3)


def test_without_cvind_there_are_no_folds(forms: dict[str, Path]) -> None:
    with open_source(forms["unpacked"] / "brainTumorDataPublic_1-766") as source:
        assert source.folds() is None
        assert source.indices == (57, 58, 143)


def test_a_file_counts_before_a_zip_file(figshare_dir: Path, forms: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(forms["zips"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "57.mat").write_bytes((figshare_dir / "58.mat").read_bytes())
    with open_source(tmp_path) as source:
        assert source.indices == INDICES
        assert (source.read(57).image == source.read(58).image).all()


def test_two_files_of_one_number_are_refused(figshare_dir: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(figshare_dir / "57.mat", tmp_path / folder)
    with pytest.raises(DataError, match="slice 57 is there twice"):
        open_source(tmp_path)


def test_hidden_files_are_left_out(figshare_dir: Path, tmp_path: Path) -> None:
    shutil.copy(figshare_dir / "57.mat", tmp_path)
    (tmp_path / "._57.mat").write_bytes(b"what macOS adds")
    (tmp_path / ".brainTumorDataPublic_1-766.zip.part").write_bytes(b"a download that goes on")
    with open_source(tmp_path) as source:
        assert source.indices == (57,)


@pytest.mark.parametrize("name", ["nowhere", "empty", "text.txt", "57.mat", "half.zip", "nothing.zip"])
def test_what_is_no_data_set_is_one_sentence(figshare_dir: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("text")
    shutil.copy(figshare_dir / "57.mat", tmp_path)
    with zipfile.ZipFile(tmp_path / "nothing.zip", "w") as archive:
        archive.writestr("a.txt", "text")
    (tmp_path / "half.zip").write_bytes((tmp_path / "nothing.zip").read_bytes()[:-30])
    with pytest.raises(DataError) as caught:
        open_source(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
