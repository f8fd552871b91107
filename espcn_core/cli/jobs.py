"""From the inputs on the command line to the files to read and to write, with everything checked at once."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from espcn_core.errors import RequestError
from espcn_core.files import clear_leftovers
from espcn_core.volumes import is_volume

_ENDINGS = (".nii.gz", ".nii", ".hdr", ".img")


@dataclass(frozen=True)
class Job:
    """A file to read and the files to write.

    Attributes
    ----------
    source : Path
    target : Path
        Where the finer volume goes.
    trust : Path, optional
        Where the trust map goes, if one is wanted.
    """

    source: Path
    target: Path
    trust: Path | None = None

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
    resume: bool = False,
) -> list[Job]:
    """The jobs of a call, in the order of the inputs; what a folder holds is sorted.

    Parameters
    ----------
    inputs : sequence of Path
        Files, and folders that are searched for NIfTI files. Their structure and names are kept.
    output : str
        A file for one input file. Otherwise, or if it ends in a slash or is there as one, a folder.
    suffix : str
        Goes before the ending of each name in an output folder.
    trust : str, optional
        Where trust maps go: a file or a folder, as for ``output``.
    compress : bool, optional
        Whether names in an output folder end in .nii.gz or in .nii; by default as those of the inputs.
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
    places = [_Destination("--output", output, inputs)]
    if trust is not None:
        places.append(_Destination("--trust", trust, inputs))
    if suffix and places[0].is_file:
        raise RequestError(
            f"--suffix goes with an output folder: write the whole name into --output {output}"
        )
    if compress is not None and places[0].is_file:
        raise RequestError(
            f"--compress and --no-compress go with an output folder: end --output {output} in .nii.gz or .nii"
        )
    jobs = list(_jobs_into(places, inputs, suffix, compress, resume))
    _check_targets(jobs)
    return jobs


def refuse_existing(jobs: Iterable[Job]) -> None:
    """Raise `RequestError` if a target is there already."""
    there = [path for job in jobs for path in job.targets if _is_there(path)]
    if there:
        more = f" and {len(there) - 1} other outputs exist" if len(there) > 1 else " exists"
        raise RequestError(f"{there[0]}{more}: use --existing skip or --existing overwrite")


def clear_leftovers_of(jobs: Iterable[Job]) -> None:
    """Remove what a killed run of these jobs has left under temporary names."""
    folders: dict[Path, set[str]] = {}
    for target in (path for job in jobs for path in job.targets):
        pair = {target.with_suffix(ending).name for ending in (".hdr", ".img")}
        names = pair if target.name in pair else {target.name}
        folders.setdefault(target.parent, set()).update(names)
    for folder, names in folders.items():
        clear_leftovers(folder, names)


class _Destination:
    """Where an option puts what is written: into one file, or under names of their own into a folder."""

    def __init__(self, option: str, path: str, inputs: Sequence[Path]) -> None:
        named_as_file = path.lower().endswith(_ENDINGS)
        self.path = Path(path)
        self.is_file = (
            len(inputs) == 1
            and not inputs[0].is_dir()
            and not path.endswith(("/", os.sep))
            and not self.path.is_dir()
        )
        if self.is_file and not named_as_file:
            raise RequestError(
                f"{option} {path} is no NIfTI file name: end it in .nii.gz or .nii, or in / for a folder"
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

    def of(self, name: Path, suffix: str, compress: bool | None) -> Path:
        """The file for an input's name within its folder."""
        return self.path if self.is_file else self.path / name.with_name(_new(name.name, suffix, compress))


def _jobs_into(
    places: Sequence[_Destination], inputs: Sequence[Path], suffix: str, compress: bool | None, resume: bool
) -> Iterator[Job]:
    """The jobs of files and of what is found in folders."""
    written = {place.path.resolve() for place in places}
    jobs: dict[Job, bool] = {}
    for path in inputs:
        if path.is_dir():
            found = list(_search(path, written))
            if not found:
                raise RequestError(f"{path} holds no NIfTI file (.nii, .nii.gz, .hdr): name another folder")
            for source in found:
                name = source.relative_to(path)
                jobs.setdefault(Job(source, *(place.of(name, suffix, compress) for place in places)), True)
        else:
            name = Path(path.name)
            jobs[Job(path, *(place.of(name, suffix, compress) for place in places))] = False
    targets = {_place(target): job for job in jobs for target in job.targets}
    for job, searched in jobs.items():
        if not (resume and searched and targets.get(_place(job.source), job) != job):
            yield job


def _search(folder: Path, written: Collection[Path]) -> Iterator[Path]:
    """NIfTI files in a folder and below, without hidden ones and those in the folders that are written to."""
    for root, folders, files in os.walk(folder, onerror=_refuse):
        below = Path(root)
        folders[:] = sorted(f for f in folders if f[0] != "." and (below / f).resolve() not in written)
        yield from (below / f for f in sorted(files) if f[0] != "." and is_volume(f))


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
    return _as_header(target).is_file()


def _place(path: Path) -> Path:
    """Where a file is written: a link in its folder's path is followed, the file itself would be replaced."""
    return _as_header(path.parent.resolve() / path.name)


def _as_header(path: Path) -> Path:
    """One name for both files of a pair."""
    if path.suffix.lower() != ".img":
        return path
    return path.with_suffix(".HDR" if path.suffix.isupper() else ".hdr")


def _new(name: str, suffix: str, compress: bool | None) -> str:
    ending = next((e for e in _ENDINGS if name.lower().endswith(e)), Path(name).suffix)
    stem = name[: len(name) - len(ending)]
    ending = name[len(stem) :]
    if compress is False and ending.lower() == ".nii.gz":
        ending = ending[: -len(".gz")]
    if compress and ending.lower() in (".nii", ".hdr", ".img"):
        ending = ".nii.gz"
    return stem + suffix + ending
