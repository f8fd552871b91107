"""What is kept of a cohort, and files that are no manifest."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest

from espcn_core.cohort.jobs import Job
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.stamps import Stamp
from espcn_core.cohort.tables import NAME, stored
from espcn_core.cohort.work import Outcome
from espcn_core.errors import ManifestError, RequestError

A = '{"model":null}'
READ, WROTE, SPREAD = Stamp(100, 5, "aa"), Stamp(200, 6, "bb"), Stamp(50, 7, "cc")


@pytest.fixture
def job(tmp_path):
    return Job(
        Path("in/sub/a.nii"), tmp_path / "sub" / "a_sr.nii", tmp_path / "t.nii", label=Path("sub/a.nii")
    )


@pytest.fixture
def manifest(tmp_path):
    with Manifest(tmp_path) as manifest:
        yield manifest


def rows(folder: Path) -> list[dict]:
    base = sqlite3.connect(folder / NAME)
    base.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in base.execute("SELECT * FROM jobs")]
    finally:
        base.close()


def test_a_job_goes_from_waiting_to_done(manifest, job, tmp_path):
    manifest.begin_run(2, "1.0")
    manifest.expect([job], "_sr", [100])
    assert manifest.entry(job).state == "waiting"
    manifest.start(job)
    assert rows(tmp_path)[0]["state"] == "running"  # a reader sees it at once
    outcome = Outcome(job, "done", seconds=1.5, voxels=9, place="cpu", models={"m": "ff"}, read=READ)
    manifest.finish(dataclasses.replace(outcome, wrote=(WROTE, SPREAD)), A)
    entry = manifest.entry(job)
    assert (entry.state, entry.parameters, entry.read, entry.wrote) == ("done", A, READ, (WROTE, SPREAD))
    (row,) = rows(tmp_path)
    assert (row["input"], row["output"], row["trust"]) == ("sub/a.nii", "sub/a_sr.nii", "t.nii")
    assert (row["models"], row["place"], row["voxels"], row["seconds"]) == ('{"m":"ff"}', "cpu", 9, 1.5)
    assert manifest.models("_sr") == ['{"m":"ff"}']
    assert manifest.models("") == []


def test_what_is_to_be_done_again_is_not_relied_on(manifest, job):
    manifest.expect([job], "", [100])
    manifest.finish(Outcome(job, "done", read=READ, wrote=(WROTE,)), A)
    manifest.expect([job], "", [100])
    assert manifest.entry(job) == dataclasses.replace(
        manifest.entry(job), state="waiting", parameters=None, wrote=()
    )


def test_a_failure_keeps_its_sentence(manifest, job, tmp_path):
    manifest.expect([job], "", [None])
    manifest.finish(Outcome(job, "failed", error="a.nii is bad"), A)
    assert rows(tmp_path)[0]["error"] == "a.nii is bad"
    assert manifest.entry(job).read is None


def test_only_results_that_are_there_were_made_otherwise(manifest, job):
    manifest.expect([job], "_sr", [100])
    manifest.finish(Outcome(job, "done", read=READ, wrote=(WROTE,)), A)
    assert manifest.made_otherwise("_sr", '{"model":1}') == []
    job.target.parent.mkdir()
    job.target.touch()
    assert manifest.made_otherwise("_sr", '{"model":1}') == [A]
    assert manifest.made_otherwise("_sr", A) == []
    assert manifest.made_otherwise("_x4", '{"model":1}') == []


def test_what_was_running_is_waiting_after_the_end_and_one_file_is_left(job, tmp_path):
    with Manifest(tmp_path) as manifest:
        manifest.expect([job], "", [100])
        manifest.start(job)
    assert rows(tmp_path)[0]["state"] == "waiting"
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_names_that_are_no_text_are_kept_as_bytes(manifest, tmp_path):
    name = "b\udcff\n.nii"
    odd = Job(Path("in") / name, tmp_path / name)
    manifest.expect([odd], "", [1])
    assert manifest.entry(odd).state == "waiting"
    assert rows(tmp_path)[0]["output"] == b"b\xff\n.nii"
    assert stored("a.nii") == "a.nii"


@pytest.mark.parametrize("read_only", [False, True])
def test_another_file_is_refused_and_left_alone(tmp_path, read_only):
    (tmp_path / NAME).write_bytes(b"no manifest at all, but long enough to be looked at" * 20)
    with pytest.raises(
        RequestError, match=r"is damaged or no manifest .*: delete it, which loses nothing but time"
    ):
        Manifest(tmp_path, read_only=read_only)
    assert (tmp_path / NAME).read_bytes().startswith(b"no manifest")


def test_a_manifest_of_a_later_form_is_refused(tmp_path):
    base = sqlite3.connect(tmp_path / NAME)
    base.execute("PRAGMA user_version = 9")
    base.close()
    with pytest.raises(RequestError, match="is a manifest of form 9, and this version knows 1"):
        Manifest(tmp_path)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(ManifestError, match="cannot be used: unable to open database file"):
        Manifest(tmp_path / "gone")
