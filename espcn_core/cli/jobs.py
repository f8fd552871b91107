"""From the inputs on the command line to the files to read and to write, with everything checked at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from espcn_core.errors import RequestError
from espcn_core.files import clear_leftovers
from espcn_core.volumes import is_volume
from espcn_core.volumes.dicom import Series, find_series, is_dicom, series_of
from espcn_core.volumes.formats import DICOM, FORMATS, ending_of, format_of, listed_series, parts_of

_KINDS = ".nii.gz, .nii, .nrrd, .mha or .mgz"


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
    """

    source: Path
    target: Path
    trust: Path | None = None
    series: Series | None = None

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
        """Whether all targets are there."""
        return all(map(_is_there, self.targets))


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
    items = [item for path in inputs for item in _items_of(path, written)]
    places = [_Destination(option, path, inputs, items) for option, path in options]
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
    jobs = list(_jobs_into(places, items, _Naming(suffix, compress, output_format), resume))
    _check_targets(jobs)
    return jobs


def refuse_existing(jobs: Iterable[Job]) -> None:
    """Raise `RequestError` if a target is there already."""
    there = [path for job in jobs for path in job.targets if _is_there(path)]
    if there:
        more = f" and {len(there) - 1} other outputs exist" if len(there) > 1 else " exists"
        raise RequestError(f"{there[0]}{more}: use --existing skip or --existing overwrite")


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


@dataclass(frozen=True)
class _Item:
    """Something to upscale.

    Attributes
    ----------
    source : Path
    name : Path
        Its name in an output folder, before suffix and ending are chosen.
    searched : bool
        Whether it was found in a folder, not named.
    series : Series, optional
    """

    source: Path
    name: Path
    searched: bool
    series: Series | None = None


@dataclass(frozen=True)
class _Naming:
    """How names in an output folder come from those of the inputs: see `find_jobs`."""

    suffix: str
    compress: bool | None
    output_format: str | None

    def of(self, item: _Item, *, trust: bool) -> Path:
        name = item.name.name
        ending = "" if item.series else ending_of(name) or Path(name).suffix
        stem = name[: len(name) - len(ending)]
        wanted = self.output_format or (DICOM if item.series else None)
        if wanted == DICOM and trust:
            wanted = "nifti"
        if wanted == DICOM:
            if not item.series:
                raise RequestError(
                    f"{item.source} is no DICOM series, and only from one another can be derived: "
                    "choose another --output-format"
                )
            return item.name.with_name(stem + self.suffix)
        if wanted is not None:
            form = next(form for form in FORMATS if form.name == wanted)
            ending = ending if ending.lower() in form.endings else form.endings[0]
        if self.compress is False and ending.lower() == ".nii.gz":
            ending = ending[: -len(".gz")]
        if self.compress and ending.lower() in (".nii", ".hdr", ".img"):
            ending = ".nii.gz"
        return item.name.with_name(stem + self.suffix + ending)


class _Destination:
    """Where an option puts what is written: into one file, or under names of their own into a folder."""

    def __init__(self, option: str, path: str, inputs: Sequence[Path], items: Sequence[_Item]) -> None:
        named_as_file = bool(ending_of(path))
        self.path = Path(path)
        series = [item.series for item in items if item.series]
        folder = path.endswith(("/", os.sep)) or self.path.is_dir()
        if len(inputs) == 1 and len(series) == len(items) > 1 and named_as_file and not folder:
            raise RequestError(
                f"{inputs[0]} holds {len(series)} DICOM series ({listed_series(series)}), "
                f"and {option} {path} is one file: name a folder, or a file of one series"
            )
        self.is_file = (
            len(inputs) == len(items) == 1 and not folder and (named_as_file or not items[0].series)
            and (bool(series) or not inputs[0].is_dir())
        )  # fmt: skip
        if self.is_file and not named_as_file:
            raise RequestError(
                f"{option} {path} is no name of a volume: end it in {_KINDS}, or in / for a folder"
            )
        if not self.is_file and self.path.exists() and not self.path.is_dir():
            raise RequestError(
                f"{option} {path} is a file, and these inputs need a folder: choose another name"
            )
        if not self.is_file and named_as_file and not self.path.exists():
            raise RequestError(
                f"{option} {path} is named as a file, and these inputs need a folder: "
                "end it in / if it is one"
            )

    def of(self, item: _Item, naming: _Naming, *, trust: bool) -> Path:
        """The file for an input."""
        return self.path if self.is_file else self.path / naming.of(item, trust=trust)


def _items_of(path: Path, written: Collection[Path]) -> Iterator[_Item]:
    """What is to be upscaled at a path: the file, or what is found in the folder."""
    if not path.is_dir():
        if not ending_of(path.name) and is_dicom(path):
            series = series_of(path)
            yield _Item(series.folder, Path(series.stem), False, series)
        else:
            yield _Item(path, Path(path.name), False)
        return
    images, found = [], False
    for source in _search(path, written):
        if is_volume(source):
            found = True
            yield _Item(source, source.relative_to(path), True)
        elif is_dicom(source):
            images.append(source)
    for series in find_series(images):
        found = True
        yield _Item(series.folder, series.folder.relative_to(path) / series.stem, True, series)
    if not found:
        raise RequestError(f"{path} holds no volume ({_KINDS}) and no DICOM series: name another folder")


def _jobs_into(
    places: Sequence[_Destination], items: Sequence[_Item], naming: _Naming, resume: bool
) -> Iterator[Job]:
    """The jobs of what was named and of what was found in folders."""
    jobs: dict[Job, bool] = {}
    for item in items:
        target, *trust = (place.of(item, naming, trust=bool(n)) for n, place in enumerate(places))
        job = Job(item.source, target, trust[0] if trust else None, item.series)
        jobs[job] = jobs.get(job, True) and item.searched
    targets = {_place(target): job for job in jobs for target in job.targets}
    for job, searched in jobs.items():
        if not (resume and searched and targets.get(_place(job.source), job) != job):
            yield job


def _search(folder: Path, written: Collection[Path]) -> Iterator[Path]:
    """Files in a folder and below, without hidden ones and those in the folders that are written to."""
    for root, folders, files in os.walk(folder, onerror=_refuse):
        below = Path(root)
        folders[:] = sorted(f for f in folders if f[0] != "." and (below / f).resolve() not in written)
        yield from (below / f for f in sorted(files) if f[0] != ".")


def _refuse(error: OSError) -> None:
    raise RequestError(f"{error.filename} cannot be searched: {error.strerror}")


def _check_targets(jobs: Sequence[Job]) -> None:
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
