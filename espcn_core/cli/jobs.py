"""From the inputs on the command line to the files to read and to write, with everything checked at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from espcn_core.errors import RequestError
from espcn_core.files import clear_leftovers
from espcn_core.volumes import is_volume

_ENDINGS = (".nii.gz", ".nii", ".hdr", ".img")


@dataclass(frozen=True)
class Job:
    """A file to read and the file to write."""

    source: Path
    target: Path

    @property
    def is_done(self) -> bool:
        """Whether the target is there. Of a pair the .hdr counts: it is written last."""
        return _as_header(self.target).is_file()


def find_jobs(inputs: Sequence[Path], output: str, suffix: str = "", *, resume: bool = False) -> list[Job]:
    """The jobs of a call, in the order of the inputs; what a folder holds is sorted.

    Parameters
    ----------
    inputs : sequence of Path
        Files, and folders that are searched for NIfTI files. Their structure and names are kept.
    output : str
        A file for one input file. Otherwise, or if it ends in a slash or is there as one, a folder.
    suffix : str
        Goes before the ending of each name in an output folder.
    resume : bool
        A file found in a folder that is the target of another job is the result of an earlier run: no input.

    Raises
    ------
    RequestError
        If an input is missing or has nothing to upscale, the output is not what it must be, a target is an
        input, or two inputs have the same target.
    """
    if os.path.basename(suffix) != suffix:
        raise RequestError(f"--suffix {suffix} is not part of a file name: use letters, digits, _ and -")
    for path in inputs:
        if not os.path.lexists(path):
            raise RequestError(f"{path} does not exist: check the name")
    one_file = len(inputs) == 1 and not inputs[0].is_dir()
    if one_file and not output.endswith(("/", os.sep)) and not os.path.isdir(output):
        if suffix:
            raise RequestError(
                f"--suffix goes with an output folder: write the whole name into --output {output}"
            )
        if not output.lower().endswith(_ENDINGS):
            raise RequestError(
                f"--output {output} is no NIfTI file name: end it in .nii.gz or .nii, or in / for a folder"
            )
        jobs = [Job(inputs[0], Path(output))]
    else:
        jobs = list(_jobs_into(inputs, output, suffix, resume))
    _check_targets(jobs)
    return jobs


def refuse_existing(jobs: Iterable[Job]) -> None:
    """Raise `RequestError` if a target is there already."""
    there = [job.target for job in jobs if job.is_done]
    if there:
        more = f" and {len(there) - 1} other outputs exist" if len(there) > 1 else " exists"
        raise RequestError(f"{there[0]}{more}: use --existing skip or --existing overwrite")


def clear_leftovers_of(jobs: Iterable[Job]) -> None:
    """Remove what a killed run of these jobs has left under temporary names."""
    folders: dict[Path, set[str]] = {}
    for job in jobs:
        pair = {job.target.with_suffix(ending).name for ending in (".hdr", ".img")}
        names = pair if job.target.name in pair else {job.target.name}
        folders.setdefault(job.target.parent, set()).update(names)
    for folder, names in folders.items():
        clear_leftovers(folder, names)


def _jobs_into(inputs: Sequence[Path], output: str, suffix: str, resume: bool) -> Iterator[Job]:
    """The jobs whose targets lie in an output folder."""
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise RequestError(
            f"--output {output} is a file, and these inputs need a folder: choose another name"
        )
    if output.lower().endswith(_ENDINGS) and not folder.exists():
        raise RequestError(
            f"--output {output} is named as a file, and these inputs need a folder: end it in / if it is one"
        )
    jobs: dict[Job, bool] = {}
    for path in inputs:
        if path.is_dir():
            found = list(_search(path, folder.resolve()))
            if not found:
                raise RequestError(f"{path} holds no NIfTI file (.nii, .nii.gz, .hdr): name another folder")
            for source in found:
                target = folder / source.relative_to(path).with_name(_insert(source.name, suffix))
                jobs.setdefault(Job(source, target), True)
        else:
            jobs[Job(path, folder / _insert(path.name, suffix))] = False
    targets = {_place(job.target) for job in jobs}
    for job, searched in jobs.items():
        place = _place(job.source)
        if not (resume and searched and place in targets and place != _place(job.target)):
            yield job


def _search(folder: Path, output: Path) -> Iterator[Path]:
    """NIfTI files in a folder and below, without hidden ones and those in the output folder."""
    for root, folders, files in os.walk(folder, onerror=_refuse):
        below = Path(root)
        folders[:] = sorted(f for f in folders if f[0] != "." and (below / f).resolve() != output)
        yield from (below / f for f in sorted(files) if f[0] != "." and is_volume(f))


def _refuse(error: OSError) -> None:
    raise RequestError(f"{error.filename} cannot be searched: {error.strerror}")


def _check_targets(jobs: Sequence[Job]) -> None:
    inputs = {place for job in jobs for place in (_place(job.source), _as_header(job.source.resolve()))}
    taken: dict[Path, Path] = {}
    for job in jobs:
        place = _place(job.target)
        if place in inputs:
            raise RequestError(f"{job.target} is an input: choose another --output, or a --suffix")
        if place in taken:
            raise RequestError(
                f"{taken[place]} and {job.source} would both become {job.target}: upscale them in two calls"
            )
        taken[place] = job.source
    for folder in {job.target.parent for job in jobs}:
        there = next(f for f in (folder, *folder.absolute().parents) if f.exists())
        if not there.is_dir():
            raise RequestError(
                f"{there} is a file, so nothing can be written into {folder}: choose another --output"
            )
        if not os.access(there, os.W_OK):
            raise RequestError(f"there is no permission to write into {there}: choose another --output")


def _place(path: Path) -> Path:
    """Where a file is written: a link in its folder's path is followed, the file itself would be replaced."""
    return _as_header(path.parent.resolve() / path.name)


def _as_header(path: Path) -> Path:
    """One name for both files of a pair."""
    if path.suffix.lower() != ".img":
        return path
    return path.with_suffix(".HDR" if path.suffix.isupper() else ".hdr")


def _insert(name: str, suffix: str) -> str:
    ending = next((e for e in _ENDINGS if name.lower().endswith(e)), Path(name).suffix)
    stem = name[: len(name) - len(ending)]
    return stem + suffix + name[len(stem) :]
