"""Cohorts in one process: outcomes, failures, interruption, reruns. The watcher plays the user here."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from espcn_core.cohort import manifest, tables, work
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.lock import locked
from espcn_core.cohort.run import Manner, run_cohort
from espcn_core.errors import ManifestError, RequestError, VolumeError

ENGINES = ("cpu", "fp32", "torch")


@pytest.fixture
def go(jobs, wanted, watcher):
    """Runs the jobs into their folder."""

    def go(existing="error", who=watcher, some=jobs, what=wanted, **manner):
        manner = {"folder": jobs[0].target.parent, "engines": ENGINES} | manner
        who.finished.clear()
        return run_cohort(some, what, Manner(existing=existing, **manner), who)

    return go


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


ALL = [f"{n}.nii.gz" for n in range(5)]


def test_outcomes_are_counted_and_nothing_but_results_and_the_manifest_is_left(go, jobs, watcher):
    assert go() == {"done": 5}
    assert [outcome.job for outcome in watcher.finished] == jobs
    assert all(
        outcome.seconds > 0 and outcome.plan == watcher.plans[outcome.job] for outcome in watcher.finished
    )
    assert files_below(jobs[0].target.parent) == [tables.NAME, *ALL]


def test_an_output_file_has_no_manifest(go, jobs):
    assert go(some=jobs[:1], folder=None) == {"done": 1}
    assert files_below(jobs[0].target.parent) == ["0.nii.gz"]


def test_a_surprise_in_one_file_does_not_stop_the_others(go, jobs, watcher, monkeypatch, capsys):
    write = work.volumes.write

    def surprising(volume, path, progress, **options):
        errors = {
            "1.nii.gz": RuntimeError("Jane Doe"),
            "2.nii.gz": MemoryError(),
            "3.nii.gz": OSError(28, "No space left on device"),
        }
        if path.name in errors:
            raise errors[path.name]
        write(volume, path, progress)

    monkeypatch.setattr(work.volumes, "write", surprising)
    assert go() == {"done": 2, "failed": 3}
    errors = [outcome.error for outcome in watcher.finished]
    places = [str(job.source) for job in jobs]
    assert errors[1].startswith(f"{places[1]}: unexpected error, RuntimeError in work.py, line ")
    assert errors[1].endswith(" (run with --debug to see it all)")
    assert "Doe" not in errors[1]  # what nobody expected may quote a header
    assert errors[2].startswith(f"{places[2]}: there is not enough memory")
    assert errors[3] == f"{places[3]}: no space left on device"
    assert "Traceback" not in capsys.readouterr().err
    go("overwrite", debug=True)
    assert "RuntimeError: Jane Doe" in capsys.readouterr().err


def test_a_result_that_does_not_fit_into_memory_is_refused_before_it_is_begun(go, jobs, watcher, monkeypatch):
    asked = []

    def check_memory(needed, name):
        asked.append((needed, name))
        raise VolumeError(f"{name} needs too much")

    monkeypatch.setattr(work.volumes, "check_memory", check_memory)
    go(some=jobs[:1])
    assert watcher.finished[0].error == f"{jobs[0].source} needs too much"
    assert not watcher.plans
    voxels = 12 * 10 * 4 * 2 * 2
    assert asked == [(voxels * np.dtype(np.int16).itemsize + (400 << 20), jobs[0].name)]


@pytest.fixture
def heard():
    """Ctrl-C is heard, also where whoever started the tests had it ignored, as nohup and some shells do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("stage", ["begin", "upscaled", "written", "finish"])
def test_an_interruption_leaves_complete_files_and_a_right_manifest(go, jobs, watcher, stage, heard):
    class CtrlC(type(watcher)):
        sent = False

        def interrupt(self, *about):
            first = about[0] if isinstance(about[0], Job) else about[0].job
            if first == jobs[2] and not self.sent:
                self.sent = True
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)

    setattr(CtrlC, stage, CtrlC.interrupt)
    with pytest.raises(KeyboardInterrupt):
        go(who=CtrlC())
    out = jobs[0].target.parent
    ready = ALL[:3] if stage == "finish" else ALL[:2]
    assert files_below(out) == [tables.NAME, *ready]
    assert go("resume") == {"done": 5 - len(ready), "skipped": len(ready)}
    assert files_below(out) == [tables.NAME, *ALL]


def times(jobs) -> list[int]:
    return [job.target.stat().st_mtime_ns if job.target.exists() else 0 for job in jobs]


def test_a_rerun_does_what_is_missing_changed_damaged_or_failed_and_nothing_else(go, jobs, watcher, save):
    good = jobs[4].source.read_bytes()
    jobs[4].source.write_bytes(b"bad")
    assert go() == {"done": 4, "failed": 1}
    before = times(jobs)
    assert go("resume") == {"skipped": 4, "failed": 1}
    assert times(jobs) == before
    jobs[4].source.write_bytes(good)  # mended
    jobs[1].target.unlink()  # missing
    whole = jobs[2].target.read_bytes()
    jobs[2].target.write_bytes(whole[:-1] + b"?")  # damaged, of the same size
    save(jobs[3].source, seed=99)  # changed
    assert go("resume") == {"done": 4, "skipped": 1}
    assert watcher.states["0.nii.gz"] == "skipped"
    assert times(jobs)[0] == before[0]
    assert jobs[2].target.read_bytes() == whole
    assert go("resume") == {"skipped": 5}


def test_other_times_of_the_same_bytes_change_nothing(go, jobs, monkeypatch):
    go()
    os.utime(jobs[0].source, (1, 1))
    os.utime(jobs[1].target, (1, 1))
    assert go("resume") == {"skipped": 5}

    def read(path):
        raise AssertionError(f"{path} is hashed again")

    monkeypatch.setattr("espcn_core.cohort.stamps._digest", read)
    assert go("resume") == {"skipped": 5}  # the new times are kept


def test_a_changed_sidecar_is_a_changed_input(go, jobs):
    go()
    jobs[3].source.with_name("3.json").write_text("{}")
    assert go("resume") == {"done": 1, "skipped": 4}


@pytest.mark.parametrize("existing", ["error", "resume", "skip"])
def test_other_parameters_or_another_model_are_not_mixed(go, jobs, wanted, weights, existing):
    go(some=jobs[:2])
    other = dataclasses.replace(wanted, dtype="float32")
    with pytest.raises(
        RequestError, match=r"out holds 2 results made with dtype same rather than float32: give"
    ):
        go(existing, some=jobs[2:], what=other)
    request = dataclasses.replace(wanted.request, model=str(weights / "small-2.safetensors"))
    with pytest.raises(
        RequestError, match=r"made with model \w{12}\.\.\. rather than \w{12}\.\.\.: give the same"
    ):
        go(existing, what=dataclasses.replace(wanted, request=request))
    assert go("skip") == {"done": 3, "skipped": 2}
    assert go("overwrite", what=other) == {"done": 5}
    assert go("resume", what=other) == {"skipped": 5}


def test_a_model_file_at_another_path_is_the_same_model(go, wanted, weights, tmp_path):
    go()
    shutil.copytree(weights, tmp_path / "copy")
    request = dataclasses.replace(wanted.request, model=str(tmp_path / "copy" / "small-1.safetensors"))
    assert go("resume", what=dataclasses.replace(wanted, request=request)) == {"skipped": 5}


def test_shipped_weights_that_changed_are_noticed(go, wanted, weights, tmp_path, monkeypatch):
    for seed in (1, 2):
        (tmp_path / f"shipped{seed}").mkdir()
        for ending in (".safetensors", ".json"):
            text = (
                (weights / f"small-{seed}{ending}")
                .read_bytes()
                .replace(f"small-{seed}".encode(), b"espcn-r-x2")
            )
            (tmp_path / f"shipped{seed}" / f"espcn-r-x2{ending}").write_bytes(text)
    default = dataclasses.replace(wanted, request=dataclasses.replace(wanted.request, model=None))
    monkeypatch.setattr("espcn_core.models.cards.SHIPPED", tmp_path / "shipped1")
    go(what=default)
    assert go("resume", what=default) == {"skipped": 5}
    monkeypatch.setattr("espcn_core.models.cards.SHIPPED", tmp_path / "shipped2")
    for existing in ("resume", "skip"):
        with pytest.raises(
            RequestError, match="results of the model espcn-r-x2, which is another one today: use"
        ):
            go(existing, what=default)


def test_results_of_another_suffix_are_another_cohort(go, jobs, wanted):
    go()
    others = [dataclasses.replace(job, target=job.target.with_name(f"x{job.target.name}")) for job in jobs]
    other = dataclasses.replace(wanted, dtype="float32")
    assert go(some=others, what=other, suffix="x") == {"done": 5}


def test_results_that_were_removed_do_not_count_as_made_otherwise(go, jobs, wanted):
    go()
    for job in jobs:
        job.target.unlink()
    assert go(what=dataclasses.replace(wanted, dtype="float32")) == {"done": 5}


def test_without_the_manifest_results_are_treated_as_ever(go, jobs):
    go(some=jobs[:3])
    jobs[0].target.with_name(tables.NAME).unlink()
    with pytest.raises(
        RequestError, match=r"0\.nii\.gz and 2 other outputs are there, and no manifest says what"
    ):
        go("resume")
    with pytest.raises(RequestError, match=r"0\.nii\.gz and 2 other outputs exist: use --existing skip or"):
        go("error")
    assert tables.NAME not in files_below(jobs[0].target.parent)  # a refused call leaves nothing
    assert go("skip") == {"done": 2, "skipped": 3}
    with pytest.raises(
        RequestError, match=r"use --existing resume, --existing skip or --existing overwrite$"
    ):
        go("error")
    assert go("overwrite") == {"done": 5}
    assert go("resume") == {"skipped": 5}


def test_skip_redoes_what_a_killed_run_was_to_make_again(go, jobs, wanted, watcher):
    go()
    other = dataclasses.replace(wanted, dtype="float32")

    class Killed(type(watcher)):
        def begin(self, job, plan, place):
            if job == jobs[3]:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go("overwrite", who=Killed(), what=other)
    assert go("skip", what=other) == {"done": 2, "skipped": 3}


def test_an_input_that_already_is_as_asked_for_is_not_read_again(go, jobs, wanted, watcher, save):
    as_it_is = dataclasses.replace(
        wanted, request=dataclasses.replace(wanted.request, scale=(1, 1, 1), model=None)
    )
    assert go(what=as_it_is) == {"skipped": 5}
    assert watcher.finished[0].notes
    assert go("resume", what=as_it_is) == {"skipped": 5}
    assert not watcher.finished[0].notes
    save(jobs[1].source, seed=99)
    go("resume", what=as_it_is)
    assert [outcome.job for outcome in watcher.finished if outcome.notes] == [jobs[1]]


def test_a_dry_run_writes_nothing_and_knows_the_manifest(go, jobs, wanted):
    dry = dataclasses.replace(wanted, dry_run=True)
    assert go(what=dry) == {"planned": 5}
    assert not jobs[0].target.parent.exists()
    go(some=jobs[:2])
    before = files_below(jobs[0].target.parent)
    assert go("resume", what=dry) == {"planned": 3, "skipped": 2}
    assert files_below(jobs[0].target.parent) == before


def test_a_second_run_into_the_folder_is_refused(go, jobs):
    jobs[0].target.parent.mkdir()
    with locked(jobs[0].target.parent), pytest.raises(RequestError, match="another run writes into"):
        go()
    assert go() == {"done": 5}


def test_a_manifest_that_cannot_be_written_ends_the_run_with_a_sentence(go, jobs, monkeypatch):
    def full(self, job):
        with self._saying():
            raise manifest.sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(manifest.Manifest, "start", full)
        with pytest.raises(ManifestError, match=r"\.sqlite cannot be used: database or disk is full"):
            go()
    assert go("resume") == {"done": 5}


def test_an_input_that_changes_while_it_is_read_fails(go, jobs, watcher, monkeypatch):
    hashed = work.hashed

    def changing(files):
        if files[0] == jobs[1].source:
            monkeypatch.setattr(
                "espcn_core.cohort.stamps._digest", lambda path: os.utime(path, (1, 1)) or "0"
            )
        else:
            monkeypatch.undo()
            monkeypatch.setattr(work, "hashed", changing)
        return hashed(files)

    monkeypatch.setattr(work, "hashed", changing)
    assert go() == {"done": 4, "failed": 1}
    assert "changes while it is read" in watcher.finished[1].error


def test_workers_and_one_process_give_the_same_files(go, jobs, program):
    go()
    one = [job.target.read_bytes() for job in jobs]
    assert go("overwrite", at_once=2, command=program()) == {"done": 5}
    assert [job.target.read_bytes() for job in jobs] == one
    assert go("resume", at_once=2, command=program()) == {"skipped": 5}
