"""Upscale file after file, or several at a time, past those that fail."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

from espcn_core import volumes
from espcn_core.cli.jobs import Job
from espcn_core.cli.messages import explain
from espcn_core.errors import CancelledError
from espcn_core.upscaling.plan import make_plan
from espcn_core.upscaling.torch_engine import Engines
from espcn_core.upscaling.upscaler import run

_WORKING = 400 << 20
"""Bytes that a run may need beside the volume that it reads and the one that it makes."""


@dataclass(frozen=True)
class Request:
    """What is wanted of every file.

    Attributes
    ----------
    scale : int
        Fine voxels per coarse voxel along both axes of a slice.
    model : str
        Name of shipped weights, or path of a weight file, of that scale.
    plane : str
        Anatomical name, or ``auto``.
    dtype : str
        Of the written voxels; ``same`` keeps type, slope and inter of the file, any other writes physical
        values.
    """

    scale: int
    model: str
    plane: str
    dtype: str


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    job : Job
    state : {"done", "skipped", "failed"}
    error : str, optional
        Why it failed, in one sentence that names the file.
    plan : str, optional
        What was done.
    notes : tuple of str
        What the user should know although it worked.
    seconds : float
        From reading to the complete file.
    """

    job: Job
    state: Literal["done", "skipped", "failed"]
    error: str | None = None
    plan: str | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class Watcher(Protocol):
    """Who is told what happens; from any thread."""

    def begin(self, job: Job, plan: str) -> None:
        """The file is read, and this is what will be done."""

    def upscaled(self, job: Job, done: int, total: int) -> None:
        """So many slices of the file are upscaled."""

    def written(self, job: Job, done: int, total: int) -> None:
        """So many voxels of the result are written."""

    def finish(self, outcome: Outcome) -> None:
        """The job is over; called in the order of the jobs."""


def run_batch(
    jobs: Sequence[Job],
    request: Request,
    engines: Engines,
    watcher: Watcher,
    *,
    skip: bool = False,
    threads: int = 1,
    debug: bool = False,
) -> list[Outcome]:
    """Run the jobs; one that fails does not stop the others.

    Parameters
    ----------
    skip : bool
        Leave out jobs whose target is there.
    threads : int
        Files at a time. They share the cores.
    debug : bool
        Print the traceback of what fails.

    Raises
    ------
    KeyboardInterrupt
        After the running jobs have stopped, without a file that is not complete.
    """
    stop = threading.Event()

    def work(job: Job) -> Outcome:
        if skip and job.is_done:
            return Outcome(job, "skipped")
        started = time.perf_counter()
        try:
            outcome = _upscale(job, request, engines, watcher, stop)
        except CancelledError:
            raise
        except Exception as error:  # whatever is wrong with one file, the others are still to do
            if debug:
                traceback.print_exception(error)
            outcome = Outcome(job, "failed", error=_naming(job, explain(error)))
        return dataclasses.replace(outcome, seconds=round(time.perf_counter() - started, 3))

    outcomes = []
    for outcome in _in_order(work, jobs, min(threads, len(jobs)), stop):
        watcher.finish(outcome)
        outcomes.append(outcome)
    return outcomes


def _upscale(
    job: Job, request: Request, engines: Engines, watcher: Watcher, stop: threading.Event
) -> Outcome:
    """Read, upscale and write one file."""
    volume = volumes.read(job.source)
    plan = make_plan(volume.grid, request.scale, request.plane, request.model)
    volume.check_finer(plan.factor)
    keep = request.dtype == "same"
    dtype = volume.array.dtype if keep else np.dtype(request.dtype)
    voxels = volume.array.size * math.prod(plan.factor)
    volumes.check_memory(voxels * dtype.itemsize + _WORKING, job.source)
    watcher.begin(job, str(plan))

    def upscaled(done: int, total: int) -> bool:
        watcher.upscaled(job, done, total)
        return not stop.is_set()

    def written(done: int, total: int) -> bool:
        watcher.written(job, done, total)
        return not stop.is_set()

    result = run(
        plan,
        volume.array,
        dtype=dtype,
        slope=1.0 if keep else volume.slope,
        inter=0.0 if keep else volume.inter,
        engines=engines,
        progress=upscaled,
    )
    finer = volume.finer(result.array, plan.factor, physical=not keep)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    volumes.write(finer, job.target, written)
    return Outcome(job, "done", plan=str(plan), notes=result.notes)


def _in_order(
    work: Callable[[Job], Outcome], jobs: Sequence[Job], threads: int, stop: threading.Event
) -> Iterator[Outcome]:
    """The outcomes in the order of the jobs, each as soon as it and those before it are known."""
    if threads <= 1:  # in the main thread, where Ctrl-C ends reading and writing too
        yield from map(work, jobs)
        return
    share = max(1, torch.get_num_threads() // threads)
    # torch keeps the number of threads for each thread that calls it.
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(share,))
    try:
        for future in [pool.submit(work, job) for job in jobs]:
            yield future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _naming(job: Job, sentence: str) -> str:
    """The sentence, with the file's name in front if it does not name it."""
    named = any(str(path) in sentence for path in (job.source, job.target))
    return sentence if named else f"{job.source}: {sentence}"
