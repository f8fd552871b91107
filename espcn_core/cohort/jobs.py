"""From the inputs on the command line to the files to read and to write, with everything checked at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from espcn_core.cohort.places import Destination, Item, Naming, items_of
from espcn_core.errors import RequestError
from espcn_core.files import clear_leftovers
from espcn_core.volumes.dicom import Series
from espcn_core.volumes.formats import format_of, parts_of


@dataclass(frozen=True)
class Job:
    """A file or a DICOM series to read, and the files to write.

    Attributes
    ----------
    source : Path
        The file, or the folder of the series.
    target : Path
        Where the finer volume goes; a name without the ending of a volume is a folder of DICOM images.
    trust : Path, optional
        Where the trust map goes, if one is wanted.
    series : Series, optional
        What is read, if it is a DICOM series.
    label : Path, optional
        Its name within the folder that was searched, or its own name if it was named.
    sidecar : Path, optional
        Where the metadata of the result go, if they are to be written: see `espcn_core.cohort.bids`.
    """

    source: Path
    target: Path
    trust: Path | None = None
    series: Series | None = None
    label: Path | None = field(default=None, compare=False)
    sidecar: Path | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.series or self.source)

    @property
    def targets(self) -> tuple[Path, ...]:
        """All files to write."""
        return (self.target,) if self.trust is None else (self.target, self.trust)

    @property
    def is_done(self) -> bool:
        """Whether all targets are there, and the sidecar."""
        return all(map(_is_there, self.targets)) and (self.sidecar is None or self.sidecar.is_file())


def find_jobs(
    inputs: Sequence[Path],
    output: str,
    suffix: str = "",
    *,
    trust: str | None = None,
    compress: bool | None = None,
    output_format: str | None = None,
    resume: bool = False,
) -> list[Job]:
    """The jobs of a call, in the order of the inputs; what a folder holds is sorted.

    Parameters
    ----------
    inputs : sequence of Path
        Files, and folders that are searched for volumes and DICOM series. Their structure and names are kept;
        results of series are named by their numbers.
    output : str
        A file for one input file. Otherwise, or if it ends in a slash or is there as one, a folder.
    suffix : str
        Goes before the ending of each name in an output folder.
    trust : str, optional
        Where trust maps go: a file or a folder, as for ``output``.
    compress : bool, optional
        Whether names of NIfTI files in an output folder end in .nii.gz or in .nii; by default as the inputs.
    output_format : str, optional
        The format in an output folder, instead of each input's own.
    resume : bool
        A file found in a folder that is the target of another job is the result of an earlier run: no input.

    Raises
    ------
    RequestError
        If an input is missing or has nothing to upscale, an output is not what it must be, a target is an
        input, or two of what is written have the same name.
    """
    if os.path.basename(suffix) != suffix:
        raise RequestError(f"--suffix {suffix} is not part of a file name: use letters, digits, _ and -")
    for path in inputs:
        if not os.path.lexists(path):
            raise RequestError(f"{path} does not exist: check the name")
    options = [("--output", output)] + ([] if trust is None else [("--trust", trust)])
    written = {Path(path).resolve() for _, path in options}
    items = [item for path in inputs for item in items_of(path, written)]
    places = [Destination(option, path, inputs, items) for option, path in options]
    if suffix and places[0].is_file:
        raise RequestError(
            f"--suffix goes with an output folder: write the whole name into --output {output}"
        )
    if compress is not None and places[0].is_file:
        raise RequestError(
            f"--compress and --no-compress go with an output folder: end --output {output} in .nii.gz or .nii"
        )
    if output_format is not None and places[0].is_file:
        raise RequestError(
            f"--output-format goes with an output folder: end --output {output} as a file of it"
        )
    jobs = list(_jobs_into(places, items, Naming(suffix, compress, output_format), resume))
    check_targets(jobs)
    return jobs


def folder_of(jobs: Sequence[Job], output: str) -> Path | None:
    """The output folder of some jobs; None if ``output`` is the file of one."""
    path = Path(output)
    return None if [job.target for job in jobs] == [path] else path


def refuse_existing(jobs: Iterable[Job], *, resumable: bool = False) -> None:
    """Raise `RequestError` if a target is there already; ``resumable``: in a folder with a manifest."""
    there = [path for job in jobs for path in job.targets if _is_there(path)]
    if there:
        more = f" and {len(there) - 1} other outputs exist" if len(there) > 1 else " exists"
        first = "resume, --existing skip" if resumable else "skip"
        raise RequestError(f"{there[0]}{more}: use --existing {first} or --existing overwrite")


def check_anonymous(jobs: Iterable[Job]) -> None:
    """Raise `RequestError` if not all results are DICOM series, for only those are anonymised."""
    other = next((job.target for job in jobs if format_of(job.target)), None)
    if other is not None:
        raise RequestError(f"--anonymise goes with DICOM series, and {other} would be none: leave it out")


def clear_leftovers_of(jobs: Iterable[Job]) -> None:
    """Remove what a killed run of these jobs has left under temporary names."""
    folders: dict[Path, set[str]] = {}
    for target in (path for job in jobs for path in job.targets):
        folders.setdefault(target.parent, set()).update(part.name for part in parts_of(target))
    for folder, names in folders.items():
        clear_leftovers(folder, names)


def _jobs_into(
    places: Sequence[Destination], items: Sequence[Item], naming: Naming, resume: bool
) -> Iterator[Job]:
    """The jobs of what was named and of what was found in folders."""
    jobs: dict[Job, bool] = {}
    for item in items:
        target, *trust = (place.of(item, naming, trust=bool(n)) for n, place in enumerate(places))
        job = Job(item.source, target, trust[0] if trust else None, item.series, item.name)
        jobs[job] = jobs.get(job, True) and item.searched
    targets = {_place(target): job for job in jobs for target in job.targets}
    for job, searched in jobs.items():
        if not (resume and searched and targets.get(_place(job.source), job) != job):
            yield job


def check_targets(jobs: Sequence[Job]) -> None:
    """Raise `RequestError` if a target is an input or that of two jobs, or cannot be written."""
    inputs = {place for job in jobs for place in (_place(job.source), _as_header(job.source.resolve()))}
    taken: dict[Path, Job] = {}
    for job in jobs:
        for target in job.targets:
            option = "--output" if target is job.target else "--trust"
            place = _place(target)
            if place in inputs:
                raise RequestError(f"{target} is an input: choose another {option}, or a --suffix")
            other = taken.setdefault(place, job)
            if other is job and target is not job.target and place == _place(job.target):
                raise RequestError(f"{target} is both --output and --trust: choose another --trust")
            if other is not job:
                raise RequestError(
                    f"{other.source} and {job.source} would both become {target}: upscale them in two calls"
                )
    for folder in {target.parent for job in jobs for target in job.targets}:
        there = next(f for f in (folder, *folder.absolute().parents) if f.exists())
        if not there.is_dir():
            raise RequestError(
                f"{there} is a file, so nothing can be written into {folder}: choose another place"
            )
        if not os.access(there, os.W_OK):
            raise RequestError(f"there is no permission to write into {there}: choose another place")


def _is_there(target: Path) -> bool:
    """Of a pair the .hdr counts: it is written last."""
    return _as_header(target).is_file() if format_of(target) else target.exists()


def _place(path: Path) -> Path:
    """Where a file is written: a link in its folder's path is followed, the file itself would be replaced."""
    return _as_header(path.parent.resolve() / path.name)


def _as_header(path: Path) -> Path:
    """One name for both files of a pair."""
    if path.suffix.lower() != ".img":
        return path
    return path.with_suffix(".HDR" if path.suffix.isupper() else ".hdr")
