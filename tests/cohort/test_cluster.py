"""The workers of a real Dask scheduler on this machine: killed, stopped, strangers, and lost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from espcn_core.cohort.cluster import Cluster
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.run import Manner, run_cohort
from espcn_core.cohort.worker import Setup
from espcn_core.errors import EspcnError, RequestError

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

ENGINES = ("cpu", "fp32", "torch")

PRELOAD = """
import os, signal, time
from espcn_core.cohort import work
from espcn_core.files import complete_file
kept = work.__dict__.setdefault("kept", (work.volumes.read, work.volumes.write))  # Dask may load this twice
read, write = kept
def odd(source):
    name, flag = str(source), str(source) + ".flag"
    if "deadly" in name or ("once" in name and not os.path.exists(flag)):
        open(flag, "a").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if "odd" in name:
        raise ValueError("PATIENT NAME")
    return read(source)
def slowly(volume, path, progress, **options):
    if "slow" not in str(path):
        return write(volume, path, progress, **options)
    with complete_file(path) as file:
        file.write(b"half")
        file.flush()
        open(str(path.parent.parent / "begun"), "a").close()
        for _ in range(200):
            time.sleep(0.05)
            if not progress(1, 2):
                raise work.CancelledError("stopped")
work.volumes.read, work.volumes.write = odd, slowly
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a scheduler with three worker processes, of which one has three threads."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "odd.py").write_text(PRELOAD)
    environment = os.environ | {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with contextlib.ExitStack() as stack:
        place = f"tcp://127.0.0.1:{free_port()}"

        def start(*words):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]],
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            stack.callback(process.terminate)

        start("dask_scheduler", "--host", place, "--no-dashboard")
        for threads in (1, 1, 3):
            start("dask_worker", place, "--nthreads", str(threads), "--no-dashboard", "--preload", "odd.py")
        yield place


@pytest.fixture
def run(wanted, watcher, address, tmp_path):
    def run(jobs, folder="out", existing="error", address=address, say=lambda line: None):
        manner = Manner(tmp_path / folder, existing, engines=ENGINES, scheduler=address, say=say)
        return run_cohort(jobs, wanted, manner, watcher)

    return run


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def made(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name[0] != "."}


def test_a_killed_worker_costs_a_retry_and_no_bit(run, wanted, watcher, save, tmp_path):
    names = [*(f"{n}.nii.gz" for n in range(8)), "once.nii.gz", "odd.nii.gz", "deadly.nii.gz"]
    jobs = [Job(save(tmp_path / "in" / n, seed=i), tmp_path / "out" / n) for i, n in enumerate(names)]
    assert run(jobs) == {"done": 9, "failed": 2}
    errors = {outcome.job.source.name: outcome.error for outcome in watcher.finished if outcome.error}
    assert errors.keys() == {"deadly.nii.gz", "odd.nii.gz"}
    assert "deadly.nii.gz: every worker that tried it was killed" in errors["deadly.nii.gz"]
    assert "PATIENT" not in errors["odd.nii.gz"]
    local = [Job(job.source, tmp_path / "local" / job.target.name) for job in jobs[:9]]
    run_cohort(local, wanted, Manner(tmp_path / "local", engines=ENGINES), watcher)
    assert made(tmp_path / "out") == made(tmp_path / "local")
    assert run(jobs[:9], existing="resume") == {"skipped": 9}


def test_names_may_be_relative(run, jobs, tmp_path, monkeypatch, watcher):
    monkeypatch.chdir(tmp_path)
    near = [Job(Path("in") / job.source.name, Path("out") / job.target.name) for job in jobs[:1]]
    assert run(near) == {"done": 1}, watcher.finished


def test_a_stop_leaves_no_half_file(wanted, watcher, address, save, tmp_path):
    jobs = [
        Job(save(tmp_path / "in" / f"slow{n}.nii.gz"), tmp_path / "out" / f"slow{n}.nii.gz") for n in range(9)
    ]
    cluster = Cluster(address, Setup(wanted, ENGINES), None, 1, watcher, lambda line: None)
    outcomes = cluster.run([Job(save(tmp_path / "in" / "a.nii"), tmp_path / "out" / "a.nii"), *jobs])
    assert next(outcomes).state == "done"
    end = time.monotonic() + 10
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    started = time.monotonic()
    outcomes.close()
    assert time.monotonic() - started < 3
    time.sleep(0.3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.nii"]


def test_another_version_is_refused(run, jobs, monkeypatch):
    monkeypatch.setattr("espcn_core.cohort.cluster.__version__", "0.0")
    with pytest.raises(
        RequestError, match=r"^the worker tcp://.* has espcn_core .*, and this is 0\.0: install"
    ):
        run(jobs)


def test_a_folder_that_is_not_shared_is_refused(wanted, watcher, address, jobs, tmp_path):
    cluster = Cluster(address, Setup(wanted, ENGINES), tmp_path / "no", 1, watcher, lambda line: None)
    with pytest.raises(RequestError, match=r"does not see .*/no: use a folder that all machines share"):
        list(cluster.run(jobs[:1]))


@pytest.mark.parametrize("bad", ["nonsense", "tcp://127.0.0.1:1", "xyz://a:1"])
def test_no_scheduler_is_a_sentence(run, jobs, monkeypatch, bad):
    monkeypatch.setattr("espcn_core.cohort.cluster._CONNECT", 1)
    with pytest.raises(RequestError, match=f"^--scheduler {bad} does not answer"):
        run(jobs, address=bad)


def test_a_scheduler_without_workers_that_ends(run, jobs, monkeypatch, tmp_path):
    monkeypatch.setattr("espcn_core.cohort.cluster._WAIT", 0.5)
    place = f"tcp://127.0.0.1:{free_port()}"
    words = ["-m", "distributed.cli.dask_scheduler", "--host", place, "--no-dashboard"]
    with subprocess.Popen(
        [sys.executable, *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        said = []

        def say(line):
            said.append(line)
            threading.Timer(1.5, process.kill).start()

        try:
            with pytest.raises(EspcnError, match=r"^the scheduler tcp://.* is lost"):
                run(jobs, address=place, say=say)
        finally:
            process.kill()
    assert said == [f"{place} has no worker: waiting for one"]


def test_a_missing_extra_is_a_sentence(run, jobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RequestError, match=r"pip install espcn-core\[cluster\]"):
        run(jobs)


def test_slurm_by_a_stand_in(run, jobs, tmp_path, monkeypatch):
    if find_spec("dask_jobqueue") is None:
        pytest.skip("dask_jobqueue is not installed")
    import dask

    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    scripts = {
        "sbatch": 'cp "$1" "$0.$$"\nsetsid sh "$0.$$" >/dev/null 2>&1 &\necho "Submitted batch job $!"\n',
        "scancel": f'echo "$1" >> {tmp_path}/cancelled\nkill -- "-$1"\n',
    }
    (tmp_path / "bin").mkdir()
    for name, script in scripts.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with pytest.raises(RequestError, match="needs sbatch"):
        run(jobs[:2], address="slurm")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with (
        dask.config.set({"jobqueue.slurm.cores": None}),
        pytest.raises(RequestError, match=r"cannot be used as jobqueue\.yaml says"),
    ):
        run(jobs[:2], "out", "resume", address="slurm")
    with dask.config.set({"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "2GB"}):
        assert run(jobs[:2], "out", "resume", address="slurm") == {"done": 2}
    assert (tmp_path / "cancelled").exists()
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == handlers
