"""Which jobs of a call are still to do, by what is on the disk and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from espcn_core.cohort.jobs import Job, refuse_existing
from espcn_core.cohort.manifest import Entry, Manifest
from espcn_core.cohort.settings import changed_model, difference
from espcn_core.cohort.stamps import files_of_source, files_of_target, still
from espcn_core.errors import RequestError

Existing = Literal["error", "resume", "skip", "overwrite"]

_OR = "use --existing overwrite to make all of them again, or another --output folder"


def choose(
    jobs: Sequence[Job], existing: Existing, manifest: Manifest | None, parameters: str, suffix: str = ""
) -> list[Job]:
    """The jobs that are to be done.

    Parameters
    ----------
    jobs : sequence of Job
    existing : {"error", "resume", "skip", "overwrite"}
        What to do about results that are there: refuse the call; redo those that are failed or no longer what
        the manifest says of input and result; leave them; redo all.
    manifest : Manifest, optional
        Of the output folder.
    parameters : str
        What the results are to be made with.
    suffix : str
        Results of one suffix in a folder are one cohort, and are made with the same.

    Raises
    ------
    RequestError
        If results are there that the call is not to touch, or that were made otherwise.
    """
    if existing == "overwrite":
        return list(jobs)
    if manifest is not None:
        _refuse_mixture(manifest, parameters, suffix)
    if existing == "error":
        refuse_existing(jobs, resumable=manifest is not None)
        return list(jobs)
    entries = [(job, manifest.entry(job) if manifest else None) for job in jobs]
    if existing == "skip":
        return [job for job, entry in entries if not job.is_done or _is_unfinished(entry)]
    unknown = [job for job, entry in entries if entry is None and job.is_done]
    if unknown:
        more = f" and {len(unknown) - 1} other outputs are" if len(unknown) > 1 else " is"
        raise RequestError(
            f"{unknown[0].target}{more} there, and no manifest says what of: use --existing skip to leave "
            "what is there, or --existing overwrite to make it again"
        )
    return [job for job, entry in entries if not _is_as_it_was(job, entry, manifest, parameters)]


def _refuse_mixture(manifest: Manifest, parameters: str, suffix: str) -> None:
    """Raise `RequestError` if results are there that were made with something else."""
    folder: Path = manifest.path.parent
    otherwise = manifest.made_otherwise(suffix, parameters)
    if otherwise:
        raise RequestError(
            f"{folder} holds {len(otherwise)} result{'s' * (len(otherwise) > 1)} made with "
            f"{difference(otherwise[0], parameters)}: give the same again, {_OR}"
        )
    changed = changed_model(manifest.models(suffix), parameters)
    if changed is not None:
        raise RequestError(
            f"{folder} holds results of the model {changed}, which is another one today: {_OR}"
        )


def _is_unfinished(entry: Entry | None) -> bool:
    """Whether a run was to make the result again and did not get so far."""
    return entry is not None and entry.state not in ("done", "skipped")


def _is_as_it_was(job: Job, entry: Entry | None, manifest: Manifest | None, parameters: str) -> bool:
    """Whether a job is done, and its files are what they were then."""
    if entry is None or manifest is None or entry.read is None or _is_unfinished(entry):
        return False
    if entry.state == "done" and not job.is_done:
        return False
    if entry.parameters != parameters or len(entry.wrote) != (
        len(job.targets) if entry.state == "done" else 0
    ):
        return False
    read = still(entry.read, files_of_source(job))
    wrote = []
    for known, target in zip(entry.wrote, job.targets, strict=False):
        if read is not None and (now := still(known, files_of_target(target))) is not None:
            wrote.append(now)
    if read is None or len(wrote) < len(entry.wrote):
        return False
    if (read, tuple(wrote)) != (entry.read, entry.wrote):
        manifest.retime(job, read, tuple(wrote))
    return True
