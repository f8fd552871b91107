"""Whether files are what they were."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from espcn_core.cohort import stamps
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.stamps import files_of_source, files_of_target, hashed, stamp, still
from espcn_core.volumes.dicom import Series


def test_the_hash_of_one_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    found = hashed([tmp_path / "a"])
    assert found.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert (found.size, found.mtime_ns) == (3, (tmp_path / "a").stat().st_mtime_ns)


def test_several_files_change_when_one_does_whichever_and_when_names_do(tmp_path):
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_bytes(b"0")
        os.utime(file, ns=(0, 10**18))
    before = hashed(files)
    for file in files:
        os.utime(file, ns=(0, 5))  # older than the others
        assert stamp(files).unlike(before)
        file.write_bytes(b"1")
        assert hashed(files).sha256 != before.sha256
        file.write_bytes(b"0")
    files[2].rename(tmp_path / "d")
    assert hashed([*files[:2], tmp_path / "d"]).sha256 != before.sha256


def test_the_hash_is_asked_for_only_if_the_time_alone_differs(tmp_path, monkeypatch):
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    known = hashed([file])
    asked = []
    digest = stamps._digest
    monkeypatch.setattr(stamps, "_digest", lambda path: asked.append(path) or digest(path))
    assert still(known, [file]) == known
    assert not asked
    file.write_bytes(b"abcd")
    assert still(known, [file]) is None
    assert not asked
    file.write_bytes(b"abc")
    os.utime(file, ns=(0, 5))
    now = still(known, [file])
    assert now.mtime_ns == 5
    assert asked == [file]
    file.write_bytes(b"abd")
    assert still(known, [file]) is None
    file.unlink()
    assert still(known, [file]) is None


def test_what_belongs_to_a_volume(tmp_path):
    for name in ("a.hdr", "a.img", "b.nii.gz", "b.json", "c.nii"):
        (tmp_path / name).touch()

    def names(source: str) -> list[str]:
        return [path.name for path in files_of_source(Job(tmp_path / source, Path("x")))]

    assert names("a.hdr") == ["a.hdr", "a.img"]
    assert names("b.nii.gz") == ["b.nii.gz", "b.json"]
    assert names("c.nii") == ["c.nii"]
    assert files_of_target(tmp_path) == sorted(tmp_path.iterdir())
    series = Series(tmp_path, (tmp_path / "c.nii",), "1")
    assert files_of_source(Job(tmp_path, Path("x"), series=series)) == [tmp_path / "c.nii"]
    with pytest.raises(OSError, match="gone"):
        stamp(files_of_source(Job(tmp_path / "gone.nii", Path("x"))))
