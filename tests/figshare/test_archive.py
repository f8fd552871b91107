from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from espcn_core.errors import DataError
from espcn_core.figshare import open_source
from espcn_core.figshare.archive import Archive


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A zip file with a stored zip file in it, behind a member of odd length."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.txt", b"one" * 1000)
        archive.writestr("2.txt", b"two")
    path = tmp_path / "outer.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", b"x" * 1013)
        archive.writestr("inner.zip", inner.getvalue())
    return path


def test_members_of_the_inner_file_are_read_in_any_order(nested: Path) -> None:
    archive = Archive(nested, "inner.zip")
    assert archive.members() == ["a/1.txt", "2.txt"]
    assert archive.read("2.txt") == b"two"
    assert archive.read("a/1.txt") == b"one" * 1000
    assert archive.name == "outer.zip/inner.zip"
    archive.close()
    assert archive.read("2.txt") == b"two"
    archive.close()


def test_a_damaged_member_is_named(nested: Path) -> None:
    content = bytearray(nested.read_bytes())
    content[content.index(b"a/1.txt") + 15] ^= 0xFF
    nested.write_bytes(content)
    with pytest.raises(DataError, match=r"^outer\.zip/inner\.zip/a/1\.txt cannot be read"):
        Archive(nested, "inner.zip").read("a/1.txt")


@pytest.mark.parametrize("inner", ["readme", "not there"])
def test_an_inner_file_that_is_no_zip_is_named(nested: Path, inner: str) -> None:
    with pytest.raises(DataError, match=f"^outer.zip/{inner} is not a whole zip file"):
        Archive(nested, inner).members()


def test_a_member_that_unpacks_to_more_than_any_slice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.mat", bytes(65 << 20))
    with open_source(path) as source, pytest.raises(DataError, match="claims 68,157,440 bytes"):
        source.read(1)


def test_a_broken_zip_file_in_a_folder_is_named(forms: dict[str, Path], tmp_path: Path) -> None:
    content = (forms["zips"] / "brainTumorDataPublic_1-766.zip").read_bytes()
    (tmp_path / "brainTumorDataPublic_1-766.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"brainTumorDataPublic_1-766\.zip is not a whole zip file"):
        open_source(tmp_path)
