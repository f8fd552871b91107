"""Run a cohort: what is to be done, by one process or several, and kept in the manifest."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from espcn_core import __version__
from espcn_core.cohort.choice import Existing, choose
from espcn_core.cohort.jobs import Job, clear_leftovers_of
from espcn_core.cohort.lock import locked
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.parts import Part, PartManifest, refuse_other_parts
from espcn_core.cohort.settings import parameters_of
from espcn_core.cohort.tables import NAME
from espcn_core.cohort.work import Outcome, Wanted, Watcher, Worker
from espcn_core.cohort.worker import Setup
from espcn_core.cohort.workers import Workers
from espcn_core.cores import usable_cores
from espcn_core.upscaling.engines import Engines


@dataclass(frozen=True)
class Manner:
    """How a cohort is run.

    Attributes
    ----------
    folder : Path, optional
        The output folder, which keeps the manifest; None if there is one output file.
    existing : {"error", "resume", "skip", "overwrite"}
        See `espcn_core.cohort.choice.choose`.
    suffix : str
        Of the results' names.
    engines : tuple of str
        Device, precision and engine, as `Engines` takes them.
    at_once : int
        Files at a time, each in a process of its own; one at a time is done in this process.
    command : sequence of str
        What starts a worker process.
    debug : bool
        Print the traceback of what fails.
    part : Part, optional
        Which part of a cohort the jobs are, if it is run in parts.
    scheduler : str, optional
        Who gives the jobs to the workers of a cluster: see `espcn_core.cohort.cluster.Cluster`.
    say : callable
        Gets a line about the cluster.
    """

    folder: Path | None = None
    existing: Existing = "error"
    suffix: str = ""
    engines: tuple[str, str, str] = ("auto", "fp32", "torch")
    at_once: int = 1
    command: Sequence[str] = ()
    debug: bool = False
    part: Part | None = None
    scheduler: str | None = None
    say: Callable[[str], None] = lambda line: None


def run_cohort(
    jobs: Sequence[Job], wanted: Wanted, manner: Manner, watcher: Watcher, engines: Engines | None = None
) -> Counter[str]:
    """Do the jobs that are to be done; one that fails does not stop the others.

    Parameters
    ----------
    jobs : sequence of Job
    wanted : Wanted
    manner : Manner
    watcher : Watcher
        Outcomes come when they are known, those that are skipped first.
    engines : Engines, optional
        Networks that are loaded already, for a run in this process.

    Returns
    -------
    Counter
        How many jobs are done, planned, skipped and failed.

    Raises
    ------
    RequestError
        If results are there that must not be touched or were made otherwise, or another run writes there.
    ManifestError
        If the manifest cannot be written.
    EspcnError
        If no worker can be started.
    KeyboardInterrupt
        After the running jobs have stopped, without a file that is not complete.
    """
    _, precision, engine = manner.engines
    trust = any(job.trust is not None for job in jobs)
    parameters = parameters_of(wanted, precision=precision, engine=engine, trust=trust)
    counts: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        todo, manifest = _prepared(jobs, wanted, manner, parameters, stack)
        if manifest is not None:
            watcher = _Noting(watcher, manifest)
        for outcome in _skipped(jobs, todo):
            watcher.finish(outcome)
            counts[outcome.state] += 1
        outcomes = _outcomes(todo, wanted, manner, watcher, engines, hashes=manifest is not None)
        for outcome in stack.enter_context(contextlib.closing(outcomes)):
            if manifest is not None:
                manifest.finish(outcome, parameters)
            watcher.finish(outcome)
            counts[outcome.state] += 1
    return counts


def _prepared(
    jobs: Sequence[Job], wanted: Wanted, manner: Manner, parameters: str, stack: contextlib.ExitStack
) -> tuple[list[Job], Manifest | None]:
    """What is to be done, and the manifest that keeps it; the folder is locked until the stack is closed."""
    folder = manner.folder
    if folder is not None and manner.part is not None and not wanted.dry_run:
        return _prepared_part(jobs, manner, folder, manner.part, parameters, stack)
    known = folder is not None and (folder / NAME).is_file()
    if folder is None or wanted.dry_run:
        looked_at = stack.enter_context(Manifest(folder, read_only=True)) if folder and known else None
        todo = choose(jobs, manner.existing, looked_at, parameters, manner.suffix)
        if not wanted.dry_run:
            clear_leftovers_of(jobs)
        return todo, None
    if not folder.exists():  # a wrong call makes no folder
        choose(jobs, manner.existing, None, parameters, manner.suffix)
        folder.mkdir(parents=True, exist_ok=True)
    stack.enter_context(locked(folder))
    refuse_other_parts(folder, None)
    manifest = stack.enter_context(Manifest(folder)) if known else None
    todo = choose(jobs, manner.existing, manifest, parameters, manner.suffix)
    clear_leftovers_of(jobs)
    if manifest is None:
        manifest = stack.enter_context(Manifest(folder))
    manifest.begin_run(manner.at_once, __version__)
    manifest.expect(todo, manner.suffix, map(_size, todo))
    return todo, manifest


def _prepared_part(
    jobs: Sequence[Job],
    manner: Manner,
    folder: Path,
    part: Part,
    parameters: str,
    stack: contextlib.ExitStack,
) -> tuple[list[Job], Manifest]:
    """The same for one part of a cohort, while others may be done on other machines."""
    folder.mkdir(parents=True, exist_ok=True)
    stack.enter_context(locked(folder, shared=True))
    stack.enter_context(locked(folder, part.lock))
    refuse_other_parts(folder, part)
    manifest = stack.enter_context(PartManifest(folder, part))
    todo = choose(jobs, manner.existing, manifest, parameters, manner.suffix)
    clear_leftovers_of(jobs)
    manifest.begin_run(manner.at_once, __version__)
    manifest.expect(todo, manner.suffix, map(_size, todo))
    return todo, manifest


def _skipped(jobs: Iterable[Job], todo: Iterable[Job]) -> Iterator[Outcome]:
    wanted = set(todo)
    return (Outcome(job, "skipped") for job in jobs if job not in wanted)


def _outcomes(
    jobs: Sequence[Job],
    wanted: Wanted,
    manner: Manner,
    watcher: Watcher,
    engines: Engines | None,
    hashes: bool,
) -> Generator[Outcome, None, None]:
    """The outcomes of the jobs, as they come."""
    if manner.scheduler is not None and jobs and not wanted.dry_run:
        from espcn_core.cohort.cluster import Cluster

        shared = Setup(wanted, manner.engines, hashes, manner.debug)
        cluster = Cluster(manner.scheduler, shared, manner.folder, manner.at_once, watcher, manner.say)
        with contextlib.closing(cluster.run(jobs)) as outcomes:
            yield from outcomes
        return
    count = min(manner.at_once, len(jobs))
    if count <= 1:  # in the main thread, where Ctrl-C ends reading and writing too
        engines = engines or Engines(*manner.engines)
        yield from map(Worker(wanted, engines, watcher, hashes=hashes, debug=manner.debug), jobs)
        return
    threads = int(os.environ.get("OMP_NUM_THREADS") or usable_cores())
    setup = Setup(wanted, manner.engines, hashes, manner.debug)
    workers = Workers(manner.command, setup, count, max(1, threads // count), watcher)
    with contextlib.closing(workers.run(jobs)) as outcomes:
        yield from outcomes


def _size(job: Job) -> int | None:
    """Bytes of the input."""
    try:
        return sum(os.stat(path).st_size for path in (job.series.files if job.series else (job.source,)))
    except OSError:
        return None


class _Noting:
    """A `Watcher` that notes in the manifest what is begun."""

    def __init__(self, watcher: Watcher, manifest: Manifest) -> None:
        self._watcher, self._manifest = watcher, manifest
        self.upscaled, self.written, self.finish = watcher.upscaled, watcher.written, watcher.finish

    def begin(self, job: Job, plan: str, place: str) -> None:
        """Pass it on, and note it."""
        self._manifest.start(job)
        self._watcher.begin(job, plan, place)
