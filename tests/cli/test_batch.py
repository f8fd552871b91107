"""Many files: threads, failures and interruption. The watcher plays the user here."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from espcn_core.cli import batch
from espcn_core.cli.batch import Wanted, run_batch
from espcn_core.cli.jobs import Job
from espcn_core.errors import VolumeError
from espcn_core.upscaling import engine
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.plan import Request


class Watcher:
    """Remembers what it is told; a subclass interferes."""

    def __init__(self):
        self.plans, self.finished = {}, []

    def begin(self, job, plan, place):
        self.plans[job] = plan

    def upscaled(self, job, done, total):
        pass

    def written(self, job, done, total):
        pass

    def finish(self, outcome):
        self.finished.append(outcome)


@pytest.fixture
def jobs(tmp_path, save):
    return [Job(save(tmp_path / "in" / f"{n}.nii.gz"), tmp_path / "out" / f"{n}.nii.gz") for n in range(5)]


@pytest.fixture
def wanted_x2(model):
    return Wanted(Request(scale=2, model=str(model)))


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("threads", [1, 3])
def test_outcomes_come_in_the_order_of_the_jobs(jobs, wanted_x2, threads):
    class Uneven(Watcher):
        def upscaled(self, job, done, total):
            time.sleep(0.02 * (5 - int(job.source.name[0])))  # the first take longest

    watcher = Uneven()
    outcomes = run_batch(jobs, wanted_x2, Engines("cpu"), watcher, threads=threads)
    assert [outcome.job for outcome in outcomes] == jobs
    assert watcher.finished == outcomes
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert all(outcome.seconds > 0 and outcome.plan == watcher.plans[outcome.job] for outcome in outcomes)
    assert files_below(jobs[0].target.parent) == [f"{n}.nii.gz" for n in range(5)]


def test_threads_give_what_one_gives(jobs, wanted_x2):
    engines = Engines("cpu")
    run_batch(jobs, wanted_x2, engines, Watcher(), threads=1)
    one = [job.target.read_bytes() for job in jobs]
    run_batch(jobs, wanted_x2, engines, Watcher(), threads=4)
    assert [job.target.read_bytes() for job in jobs] == one


def test_threads_share_the_cores_and_the_network(jobs, wanted_x2, monkeypatch):
    loaded, seen = [], set()
    load = engine.load_model
    monkeypatch.setattr(engine, "load_model", lambda model: loaded.append(model) or load(model))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)

    class Both(Watcher):
        barrier = threading.Barrier(2)

        def begin(self, job, plan, place):
            seen.add(threading.get_ident())
            self.barrier.wait(timeout=20)  # two files are worked on at the same time

    run_batch(jobs[:4], wanted_x2, Engines("cpu"), Both(), threads=2)
    assert len(loaded) == 1
    assert len(seen) == 2
    assert asked == [4, 4]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_surprise_in_one_file_does_not_stop_the_others(jobs, wanted_x2, monkeypatch, capsys, threads):
    write = batch.volumes.write

    def surprising(volume, path, progress, **options):
        errors = {
            "1.nii.gz": RuntimeError("who\nknows"),
            "2.nii.gz": MemoryError(),
            "3.nii.gz": OSError(28, "No space left on device"),
        }
        if path.name in errors:
            raise errors[path.name]
        write(volume, path, progress)

    monkeypatch.setattr(batch.volumes, "write", surprising)
    outcomes = run_batch(jobs, wanted_x2, Engines("cpu"), Watcher(), threads=threads)
    assert [outcome.state for outcome in outcomes] == ["done", "failed", "failed", "failed", "done"]
    name = jobs[1].source.parent
    assert (
        outcomes[1].error
        == f"{name / '1.nii.gz'}: unexpected error, RuntimeError: who\nknows (run with --debug to see where)"
    )
    assert outcomes[2].error.startswith(f"{name / '2.nii.gz'}: there is not enough memory")
    assert outcomes[3].error == f"{name / '3.nii.gz'}: no space left on device"
    assert "Traceback" not in capsys.readouterr().err
    run_batch(jobs, wanted_x2, Engines("cpu"), Watcher(), threads=threads, debug=True)
    assert "RuntimeError: who" in capsys.readouterr().err


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stage", ["upscaled", "written"])
def test_an_interruption_leaves_complete_files_alone(jobs, wanted_x2, threads, stage):
    class CtrlC(Watcher):
        sent = False

        def interrupt(self, job, done, total):
            if job == jobs[2] and not self.sent:
                self.sent = True
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.5)  # until the main thread has heard it

    setattr(CtrlC, stage, CtrlC.interrupt)
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run_batch(jobs, wanted_x2, Engines("cpu"), CtrlC(), threads=threads)
    assert time.perf_counter() - started < 5
    left = files_below(jobs[0].target.parent)
    assert set(left) <= {"0.nii.gz", "1.nii.gz", "3.nii.gz"}  # at most those that ended before
    again = run_batch(jobs, wanted_x2, Engines("cpu"), Watcher(), threads=threads, skip=True)
    assert [outcome.state == "skipped" for outcome in again] == [f"{n}.nii.gz" in left for n in range(5)]
    assert files_below(jobs[0].target.parent) == [f"{n}.nii.gz" for n in range(5)]


def test_a_result_that_does_not_fit_into_memory_is_refused_before_it_is_begun(jobs, wanted_x2, monkeypatch):
    asked = []

    def check_memory(needed, name):
        asked.append((needed, name))
        raise VolumeError(f"{name} needs too much")

    monkeypatch.setattr(batch.volumes, "check_memory", check_memory)
    watcher = Watcher()
    outcome = run_batch(jobs[:1], wanted_x2, Engines("cpu"), watcher)[0]
    assert outcome.error == f"{jobs[0].source} needs too much"
    assert not watcher.plans
    voxels = 12 * 10 * 4 * 2 * 2
    assert asked == [(voxels * np.dtype(np.int16).itemsize + (400 << 20), jobs[0].name)]
