"""What a process of a Dask cluster does for a run: one job after another, until it is told to leave."""

from __future__ import annotations

import pickle
import threading
import time
from pathlib import Path
from typing import Any

from espcn_core import __version__
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.tables import NAME
from espcn_core.cohort.work import Outcome, Worker
from espcn_core.cohort.worker import Setup
from espcn_core.errors import CancelledError
from espcn_core.upscaling.engines import Engines

_ONE_AT_A_TIME = threading.Lock()
_workers: dict[str, Worker] = {}
_stopped: set[str] = set()
_busy: set[str] = set()


def do(version: str, number: str, setup: bytes, job: bytes, folder: str | None) -> tuple[str, Any]:
    """In a worker of the cluster: do a job, and say what became of it; nothing is raised."""
    from distributed import get_worker

    here = get_worker()
    if version != __version__:
        return "refused", (
            f"the worker {here.address} has espcn_core {__version__}, and this is {version}: install the "
            "same version on both"
        )
    if folder is not None and number not in _workers and not _sees(folder):
        return "refused", (
            f"the worker {here.address} does not see {folder}: use a folder that all machines share"
        )
    with _ONE_AT_A_TIME:
        if number in _stopped:
            return "stopped", None
        _busy.add(number)
        try:
            return "outcome", pickle.dumps(_worker(number, setup, here.state.nthreads)(pickle.loads(job)))
        except CancelledError:
            return "stopped", None
        finally:
            _busy.discard(number)


def _worker(number: str, setup: bytes, threads: int) -> Worker:
    """The one of this process and run, with its networks."""
    if number not in _workers:
        import torch

        torch.set_num_threads(threads)
        read: Setup = pickle.loads(setup)
        _workers.clear()  # an earlier run's networks
        _workers[number] = Worker(
            read.wanted, Engines(*read.engines), Nobody(),
            stopped=lambda: number in _stopped, hashes=read.hashes, debug=read.debug,
        )  # fmt: skip
    return _workers[number]


def leave(number: str) -> bool:
    """In a worker of the cluster: stop a run; whether it still works on it."""
    _stopped.add(number)
    return number in _busy


def _sees(folder: str) -> bool:
    """Whether the manifest is there; a file that is new on a network may be seen some seconds later."""
    for _ in range(4):
        if Path(folder, NAME).is_file():
            return True
        time.sleep(1)
    return False


class Nobody:
    """A `Watcher` that is not interested."""

    def begin(self, job: Job, plan: str, place: str) -> None:
        """Nothing."""

    def upscaled(self, job: Job, done: int, total: int) -> None:
        """Nothing."""

    def written(self, job: Job, done: int, total: int) -> None:
        """Nothing."""

    def finish(self, outcome: Outcome) -> None:
        """Nothing."""
