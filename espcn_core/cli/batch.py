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
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from espcn_core import volumes
from espcn_core.cli.jobs import Job
from espcn_core.cli.messages import explain
from espcn_core.cli.thickness import profile_of
from espcn_core.errors import CancelledError
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.memory import bytes_needed
from espcn_core.upscaling.plan import Plan, Request, make_plan
from espcn_core.upscaling.trust import run_with_trust
from espcn_core.upscaling.upscaler import Result, run

_NOTHING_TO_DO = "it already is as asked for, and nothing is written; --force writes it as it is"


@dataclass(frozen=True)
class Wanted:
    """What is wanted of every file.

    Attributes
    ----------
    request : Request
        Scale, spacing, plane and model.
    dtype : str
        Of the written voxels; ``same`` keeps type, slope and inter of the file, any other writes physical
        values.
    slice_thickness : float, optional
        In mm; by default what a file's sidecar says.
    consistent : bool
        Whether an axis that is made finer on its own is to give the file's slices again.
    force : bool
        Write a file that already is as asked for.
    dry_run : bool
        Write nothing: say what would be done.
    anonymise : bool
        Take the identity out of DICOM series.
    """

    request: Request
    dtype: str = "same"
    slice_thickness: float | None = None
    consistent: bool = True
    force: bool = False
    dry_run: bool = False
    anonymise: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    job : Job
    state : {"done", "planned", "skipped", "failed"}
        ``planned``: it would be done, but for a dry run.
    error : str, optional
        Why it failed, in one sentence that names the file.
    plan : str, optional
        What was done.
    notes : tuple of str
        What the user should know although it worked.
    deviation : float, optional
        How far the result, made thick again, is from the file, as a part of its range; where an axis was made
        finer on its own.
    seconds : float
        From reading to the complete file.
    """

    job: Job
    state: Literal["done", "planned", "skipped", "failed"]
    error: str | None = None
    plan: str | None = None
    notes: tuple[str, ...] = ()
    deviation: float | None = None
    seconds: float = 0.0


class Watcher(Protocol):
    """Who is told what happens; from any thread."""

    def begin(self, job: Job, plan: str, place: str) -> None:
        """The file is read, and this is what will be done, and what the networks run on."""

    def upscaled(self, job: Job, done: int, total: int) -> None:
        """So many slices of the file are upscaled."""

    def written(self, job: Job, done: int, total: int) -> None:
        """So many voxels of the result are written."""

    def finish(self, outcome: Outcome) -> None:
        """The job is over; called in the order of the jobs."""


def run_batch(
    jobs: Sequence[Job],
    wanted: Wanted,
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
            outcome = _upscale(job, wanted, engines, watcher, stop)
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


def _upscale(job: Job, wanted: Wanted, engines: Engines, watcher: Watcher, stop: threading.Event) -> Outcome:
    """Read, upscale and write one file."""
    volume = volumes.read(job.series or job.source)
    plan = make_plan(volume.grid, wanted.request)
    if not plan.steps and not wanted.force:
        return Outcome(job, "skipped", plan=str(plan), notes=(_NOTHING_TO_DO,))
    volume.check_on(plan.target)
    dtype = volume.array.dtype if wanted.dtype == "same" else np.dtype(wanted.dtype)
    for target in job.targets:
        wide = np.dtype(np.float32) if target is job.trust else dtype
        volumes.check_writable(volume, plan.target.shape, wide, target)
    count = math.prod(volume.array.shape[3:])
    volumes.check_memory(bytes_needed(plan, count, dtype, trust=job.trust is not None), job.name)
    profile, notes = profile_of(job.source, plan, wanted.slice_thickness, volume.slice_thickness)
    if wanted.dry_run:
        return Outcome(job, "planned", plan=str(plan), notes=tuple(notes))
    for only in (only for step in plan.steps for only in step.passes):
        engines.load(only.model)
    watcher.begin(job, str(plan), engines.place)

    def upscaled(done: int, total: int) -> bool:
        watcher.upscaled(job, done, total)
        return not stop.is_set()

    def written(done: int, total: int) -> bool:
        watcher.written(job, done, total)
        return not stop.is_set()

    options: dict[str, Any] = {
        "consistent": wanted.consistent, "profile": profile, "engines": engines, "progress": upscaled
    }  # fmt: skip
    result, spread = _run(volume, plan, wanted.dtype, job.trust is not None, options)
    pairs = [(job.target, volume.on(result.array, plan.target, physical=wanted.dtype != "same"))]
    if job.trust is not None and spread is not None:
        pairs.append((job.trust, volume.on(spread, plan.target, physical=True)))
    for path, finer in pairs:
        path.parent.mkdir(parents=True, exist_ok=True)
        volumes.write(finer, path, written, anonymise=wanted.anonymise)
    notes += result.notes
    if result.deviation is not None:
        notes.append(_said(result.deviation))
    return Outcome(job, "done", plan=str(plan), notes=tuple(notes), deviation=result.deviation)


def _run(
    volume: volumes.Volume, plan: Plan, dtype: str, trust: bool, options: dict[str, Any]
) -> tuple[Result, npt.NDArray[np.float32] | None]:
    """The upscaled voxels and the trust map, which is in physical units."""
    keep = dtype == "same"
    if not plan.steps and keep:  # as it is, to the last bit
        spread = np.zeros(volume.array.shape, np.float32, order="F") if trust else None
        return Result(volume.array, "", ()), spread
    form: dict[str, Any] = {
        "dtype": volume.array.dtype if keep else np.dtype(dtype),
        "slope": 1.0 if keep else volume.slope,
        "inter": 0.0 if keep else volume.inter,
    }
    if not trust:
        return run(plan, volume.array, **form, **options), None
    result, spread = run_with_trust(plan, volume.array, **form, **options)
    if keep:
        spread *= np.float32(abs(volume.slope))
    return result, spread


def _said(deviation: float) -> str:
    much = f"at most {100 * deviation:.2g} %" if deviation >= 1e-4 else "less than 0.01 %"
    return f"made thick again it differs from the input by {much} of its range"


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
    named = any(str(path) in sentence for path in (job.source, *job.targets))
    return sentence if named else f"{job.name}: {sentence}"
