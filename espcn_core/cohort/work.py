"""One file: read, upscaled and written; whatever goes wrong with it becomes a sentence."""

from __future__ import annotations

import dataclasses
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from espcn_core import volumes
from espcn_core.cohort.bids_metadata import describe, inherited_thickness
from espcn_core.cohort.glance import Glance, glance_at
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.stamps import Stamp, files_of_source, files_of_target, hashed
from espcn_core.cohort.thickness import profile_of
from espcn_core.errors import CancelledError, EspcnError, ManifestError, explain
from espcn_core.upscaling.engines import Engines
from espcn_core.upscaling.finish import AGREES
from espcn_core.upscaling.memory import bytes_needed
from espcn_core.upscaling.plan import Plan, Request, make_plan
from espcn_core.upscaling.trust import run_with_trust
from espcn_core.upscaling.upscaler import Result, run

State = Literal["done", "planned", "skipped", "failed"]

_NOTHING_TO_DO = "it already is as asked for, and nothing is written; --force writes it as it is"
_PACKAGE = Path(volumes.__file__).parents[1]


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
    glance : bool
        Make pictures for a page.
    keep_headers : bool
        Copy a BIDS source's metadata into the result's sidecar, texts too.
    """

    request: Request
    dtype: str = "same"
    slice_thickness: float | None = None
    consistent: bool = True
    force: bool = False
    dry_run: bool = False
    anonymise: bool = False
    glance: bool = False
    keep_headers: bool = False


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
    voxels : int
        Of the result.
    place : str
        What the networks ran on.
    models : dict
        The SHA-256 of the weights that were used, by name.
    read : Stamp, optional
        Of what was read, if hashes are wanted.
    wrote : tuple of Stamp
        Of the target and the trust map.
    glance : Glance, optional
        If it is wanted and the file was done.
    """

    job: Job
    state: State
    error: str | None = None
    plan: str | None = None
    notes: tuple[str, ...] = ()
    deviation: float | None = None
    seconds: float = 0.0
    voxels: int = 0
    place: str = ""
    models: dict[str, str] = field(default_factory=dict)
    read: Stamp | None = None
    wrote: tuple[Stamp, ...] = ()
    glance: Glance | None = None


class Watcher(Protocol):
    """Who is told what happens."""

    def begin(self, job: Job, plan: str, place: str) -> None:
        """The file is read, and this is what will be done, and what the networks run on."""

    def upscaled(self, job: Job, done: int, total: int) -> None:
        """So many slices of the file are upscaled."""

    def written(self, job: Job, done: int, total: int) -> None:
        """So many voxels of the result are written."""

    def finish(self, outcome: Outcome) -> None:
        """The job is over."""


class Worker:
    """Upscales file after file with the same networks.

    Parameters
    ----------
    wanted : Wanted
    engines : Engines
    watcher : Watcher
        `Watcher.finish` is not called.
    stopped : callable
        Whether to stop; asked between slices and pieces of a file.
    hashes : bool
        Whether to hash what is read and written.
    debug : bool
        Print the traceback of what fails.
    """

    def __init__(
        self,
        wanted: Wanted,
        engines: Engines,
        watcher: Watcher,
        *,
        stopped: Callable[[], bool] = lambda: False,
        hashes: bool = False,
        debug: bool = False,
    ) -> None:
        self._wanted, self._engines, self._watcher = wanted, engines, watcher
        self._stopped, self._hashes, self._debug = stopped, hashes, debug

    def __call__(self, job: Job) -> Outcome:
        """Do a job; whatever is wrong with the file, the others are still to do.

        Raises
        ------
        CancelledError
            If it was to stop.
        """
        started = time.perf_counter()
        try:
            outcome = self._upscale(job)
        except (CancelledError, ManifestError):
            raise
        except Exception as error:
            if self._debug:
                traceback.print_exception(error)
            outcome = Outcome(job, "failed", error=naming(job, _sentence(error)))
        return dataclasses.replace(outcome, seconds=round(time.perf_counter() - started, 3))

    def _upscale(self, job: Job) -> Outcome:
        """Read, upscale and write one file."""
        wanted, engines = self._wanted, self._engines
        volume = volumes.read(job.series or job.source)
        read = hashed(files_of_source(job)) if self._hashes else None
        plan = make_plan(volume.grid, wanted.request)
        if not plan.steps and not wanted.force:
            return Outcome(job, "skipped", plan=str(plan), notes=(_NOTHING_TO_DO,), read=read)
        volume.check_on(plan.target)
        dtype = volume.array.dtype if wanted.dtype == "same" else np.dtype(wanted.dtype)
        for target in job.targets:
            wide = np.dtype(np.float32) if target is job.trust else dtype
            volumes.check_writable(volume, plan.target.shape, wide, target)
        count = math.prod(volume.array.shape[3:])
        volumes.check_memory(bytes_needed(plan, count, dtype, trust=job.trust is not None), job.name)
        beside = None if job.sidecar is None else inherited_thickness(job)
        profile, notes = profile_of(job.source, plan, wanted.slice_thickness, volume.slice_thickness, beside)
        if wanted.dry_run:
            return Outcome(job, "planned", plan=str(plan), notes=tuple(notes))
        models = {only.model: engines.load(only.model).card for step in plan.steps for only in step.passes}
        self._watcher.begin(job, str(plan), engines.place)

        def upscaled(done: int, total: int) -> bool:
            self._watcher.upscaled(job, done, total)
            return not self._stopped()

        def written(done: int, total: int) -> bool:
            self._watcher.written(job, done, total)
            return not self._stopped()

        options: dict[str, Any] = {
            "consistent": wanted.consistent, "profile": profile, "engines": engines, "progress": upscaled
        }  # fmt: skip
        result, spread = _run(volume, plan, wanted.dtype, job.trust is not None, options)
        pairs = [(job.target, volume.on(result.array, plan.target, physical=wanted.dtype != "same"))]
        if job.trust is not None and spread is not None:
            pairs.append((job.trust, volume.on(spread, plan.target, physical=True)))
        glance = glance_at(volume, pairs[0][1]) if wanted.glance else None
        for path, finer in pairs:
            path.parent.mkdir(parents=True, exist_ok=True)
            volumes.write(finer, path, written, anonymise=wanted.anonymise)
        if job.sidecar is not None:
            notes += describe(job, plan, list(models.values()), keep_headers=wanted.keep_headers)
        notes += result.notes
        if result.deviation is not None:
            notes.append(_said(result.deviation, result.array.dtype if wanted.consistent else None))
        return Outcome(
            job, "done", plan=str(plan), notes=tuple(notes), deviation=result.deviation,
            voxels=result.array.size, place=engines.place,
            models={card.name: card.sha256 for card in models.values()}, read=read,
            wrote=tuple(hashed(files_of_target(path)) for path, _ in pairs) if self._hashes else (),
            glance=glance,
        )  # fmt: skip


def naming(job: Job, sentence: str) -> str:
    """The sentence, with the file's name in front if it does not name it."""
    named = any(str(path) in sentence for path in (job.source, *job.targets))
    return sentence if named else f"{job.name}: {sentence}"


def _sentence(error: Exception) -> str:
    """What went wrong. The text of an error that nobody expected may quote a header: its place is named."""
    if isinstance(error, EspcnError | MemoryError) or (isinstance(error, OSError) and error.strerror):
        return explain(error)
    frames = traceback.extract_tb(error.__traceback__)
    ours = next((frame for frame in reversed(frames) if _PACKAGE in Path(frame.filename).parents), frames[-1])
    place = f"{Path(ours.filename).name}, line {ours.lineno}"
    return f"unexpected error, {type(error).__name__} in {place} (run with --debug to see it all)"


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


def _said(deviation: float, whole: np.dtype[Any] | None) -> str:
    """How far a result is from the thick slices, and what would help where it was made to agree in a type of
    few numbers."""
    much = f"at most {100 * deviation:.2g} %" if deviation >= 1e-4 else "less than 0.01 %"
    nearer = ""
    if whole is not None and whole.kind in "iu" and deviation > AGREES:
        nearer = f", which {whole} has too few numbers to avoid: --dtype float32 comes nearer"
    return f"made thick again it differs from the input by {much} of its range{nearer}"
