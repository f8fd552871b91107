"""A cohort in parts: who does what, who excludes whom, and what is left when all is merged."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from pathlib import Path

import pytest

from espcn_core.cohort.lock import locked
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.parts import Part, merge_parts, parse_part, parts_in, refuse_other_parts
from espcn_core.cohort.run import Manner, run_cohort
from espcn_core.cohort.status import read_status
from espcn_core.cohort.tables import NAME
from espcn_core.errors import RequestError

ENGINES = ("cpu", "fp32", "torch")


@pytest.fixture
def out(jobs):
    return jobs[0].target.parent


@pytest.fixture
def run(jobs, wanted, watcher, out):
    def run(part=None, existing="error", wanted=wanted, jobs=jobs):
        manner = Manner(out, existing, engines=ENGINES, part=part)
        return run_cohort(part.of(jobs) if part else jobs, wanted, manner, watcher)

    return run


def rows(out, name=NAME):
    with contextlib.closing(sqlite3.connect(out / name)) as base:
        return base.execute("SELECT output, state, run, parameters FROM jobs ORDER BY output").fetchall()


def test_parts_are_all_jobs_once():
    jobs = list(range(11))
    parts = [Part(index, 4).of(jobs) for index in range(1, 5)]
    assert sorted(job for part in parts for job in part) == jobs
    assert parts[1] == [1, 5, 9]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/3", "1/3/4", "a/b", "1 /3", "\u0661/3", ""])
def test_what_is_no_part_is_a_sentence(text):
    with pytest.raises(RequestError, match=r"^--part .* is no part: give I/N"):
        parse_part(text)
    assert parse_part("3/64") == Part(3, 64)


def test_parts_and_a_merge_are_the_whole(run, out, jobs):
    for index in (1, 2, 3):
        run(Part(index, 3))
    assert not (out / NAME).exists()
    assert read_status(out).counts["done"] == 5
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    read_status(out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before  # a look changes nothing
    merge_parts(out)
    assert sorted(path.name for path in out.iterdir()) == sorted([NAME, *(j.target.name for j in jobs)])
    assert [row[:2] for row in rows(out)] == [(f"{n}.nii.gz", "done") for n in range(5)]
    assert run(existing="resume") == {"skipped": 5}
    assert run(Part(2, 2), existing="resume") == {"skipped": 2}  # by what the main manifest says


def test_a_part_resumes_by_its_own_manifest(run, jobs):
    part = Part(1, 2)
    run(part)
    jobs[2].target.unlink()
    assert run(part, existing="resume") == {"skipped": 2, "done": 1}


def test_a_whole_run_and_other_numbers_are_refused_until_merged(run, out):
    run(Part(1, 2))
    with pytest.raises(RequestError, match=r"in 2 parts: run espcn-core status .* --merge first"):
        run(Part(1, 3), existing="resume")
    with pytest.raises(RequestError, match="in 2 parts"):
        run(existing="resume")
    merge_parts(out)
    assert run(existing="resume") == {"skipped": 3, "done": 2}


def test_parts_share_the_folder_and_exclude_the_whole(run, out):
    out.mkdir()
    with locked(out, shared=True):
        run(Part(1, 2))  # beside another
        with pytest.raises(RequestError, match="another run writes"):
            merge_parts(out)
        with pytest.raises(RequestError, match="another run writes"):
            run(existing="resume")
    with locked(out), pytest.raises(RequestError, match="another run writes"):
        run(Part(2, 2))
    with locked(out, Part(2, 2).lock), pytest.raises(RequestError, match="another run writes"):
        run(Part(2, 2))
    assert not list(out.glob("*.lock"))


def test_a_mixture_is_refused_between_parts(run, wanted):
    run(Part(1, 2))
    other = dataclasses.replace(wanted, dtype="float32")
    with pytest.raises(RequestError, match="made with dtype same rather than float32"):
        run(Part(2, 2), wanted=other)


def test_the_newest_row_wins(run, out, wanted):
    run()
    other = dataclasses.replace(wanted, dtype="float32")
    run(Part(1, 2), existing="overwrite", wanted=other)
    assert [made["dtype"] for made in read_status(out).made_with].count("float32") == 1
    merge_parts(out)
    kinds = ["float32" if "float32" in row[3] else "same" for row in rows(out)]
    assert kinds == ["float32", "same", "float32", "same", "float32"]


def test_a_row_that_is_older_than_the_main_one_loses(run, out, wanted):
    run(Part(1, 2))
    part = (out / Part(1, 2).name).read_bytes()
    merge_parts(out)
    run(existing="overwrite", wanted=dataclasses.replace(wanted, dtype="float32"))
    (out / Part(1, 2).name).write_bytes(part)  # as if the merge had been killed before it removed it
    merge_parts(out)
    assert all("float32" in row[3] for row in rows(out))


@pytest.mark.parametrize("step", ["merge", "flush", "unlink"])
def test_a_merge_that_is_killed_is_finished_by_another(run, out, monkeypatch, step):
    run(Part(1, 2))
    run(Part(2, 2))

    def killed(*_, **__):
        raise KeyboardInterrupt

    whole = Path.unlink

    def unlink(path, **options):
        if path.suffix == ".sqlite" and path.name.startswith(".espcn-core.part-2"):
            raise KeyboardInterrupt
        whole(path, **options)

    with monkeypatch.context() as patch:
        if step == "unlink":
            patch.setattr(Path, "unlink", unlink)
        else:
            patch.setattr(Manifest, step, killed)
        with pytest.raises(KeyboardInterrupt):
            merge_parts(out)
    merge_parts(out)
    assert parts_in(out) == []
    assert [row[1] for row in rows(out)] == ["done"] * 5
    with contextlib.closing(sqlite3.connect(out / NAME)) as base:
        assert base.execute("SELECT count(*) FROM runs").fetchone() == (2,)


def test_a_part_that_has_just_begun_is_no_error(run, out):
    run(Part(1, 2))
    (out / Part(2, 2).name).touch()
    assert read_status(out).counts["done"] == 3
    assert run(Part(1, 2), existing="resume") == {"skipped": 3}


def test_other_parts_are_found_by_name(tmp_path):
    (tmp_path / ".espcn-core.part-01-of-2.sqlite").touch()
    assert parts_in(tmp_path) == []
    (tmp_path / Part(1, 2).name).touch()
    refuse_other_parts(tmp_path, Part(2, 2))
    with pytest.raises(RequestError):
        refuse_other_parts(tmp_path, None)
