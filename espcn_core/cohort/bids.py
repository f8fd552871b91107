"""BIDS data sets: their anatomical images as jobs, named as the BIDS specification, 1.11, says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espcn_core.cohort.jobs import Job, check_targets
from espcn_core.errors import RequestError

DESCRIPTION = "dataset_description.json"
DERIVATIVES = Path("derivatives", "espcn")
SUFFIXES = "T1w T2w PDw T2starw FLAIR inplaneT1 inplaneT2 PDT2 angio FLASH UNIT1".split()
"""Weighted images. Maps are left out, for their values are measurements, and images to fit."""

MAKER = "espcn-core"
"""Who has generated a data set of results."""

_FILE = re.compile(
    r"(?P<entities>(?:[a-z]+-[0-9A-Za-z+]+_)+)(?P<suffix>[0-9A-Za-z]+)(?P<ending>\.nii(?:\.gz)?)"
)
_PARTS = ("phase", "real", "imag")
_LARGEST = 1 << 20  # bytes of a sidecar


@dataclass(frozen=True)
class Name:
    """A BIDS file name, taken apart.

    Attributes
    ----------
    entities : tuple of (str, str)
        Keys and labels in the order of the name.
    suffix : str
        T1w, for example.
    ending : str
        .nii or .nii.gz.
    """

    entities: tuple[tuple[str, str], ...]
    suffix: str
    ending: str

    @classmethod
    def of(cls, name: str) -> Name | None:
        """None if it is no name of an image."""
        found = _FILE.fullmatch(name)
        if found is None:
            return None
        pairs = [tuple(pair.split("-")) for pair in found["entities"][:-1].split("_")]
        entities = tuple((key, label) for key, label in pairs)
        return cls(entities, found["suffix"], found["ending"]) if len(dict(pairs)) == len(pairs) else None

    @property
    def stem(self) -> str:
        """Without the ending."""
        return "_".join([*(f"{key}-{label}" for key, label in self.entities), self.suffix])

    @property
    def finer(self) -> Name:
        """What the result is called: ``desc`` is the last entity, and adds to one that is there."""
        before = dict(self.entities).get("desc", "")
        kept = tuple(pair for pair in self.entities if pair[0] != "desc")
        return Name((*kept, ("desc", f"{before}Sr" if before else "sr")), self.suffix, self.ending)


def bids_jobs(root: Path, output: Path | None = None) -> tuple[list[Job], Counter[str]]:
    """The anatomical images of a BIDS data set as jobs, sorted by subject, session and name.

    Parameters
    ----------
    root : Path
        The folder with dataset_description.json.
    output : Path, optional
        The folder of the derivative data set; ``derivatives/espcn`` in the root by default.

    Returns
    -------
    jobs : list of Job
    left_out : Counter of str
        How many images in the folders ``anat`` are none of these, by suffix, part or reason.

    Raises
    ------
    RequestError
        If it is no BIDS data set, cannot be searched or holds no such image, one image is there twice, or the
        output is the folder of another data set.
    """
    if not (root / DESCRIPTION).is_file():
        raise RequestError(
            f"{root} has no {DESCRIPTION}, so it is no BIDS data set: name the folder that has"
        )
    output = root / DERIVATIVES if output is None else output
    _check_output(output)
    jobs: dict[Path, Job] = {}
    left_out: Counter[str] = Counter()
    for source in _images(root):
        name = Name.of(source.name)
        reason = _reason(name, source.relative_to(root))
        if name is None or reason:
            left_out[reason] += 1
            continue
        label = source.relative_to(root)
        folder = output / label.parent
        sidecar = folder / f"{name.finer.stem}.json"
        if sidecar in jobs:
            raise RequestError(
                f"{jobs[sidecar].source} and {source} are the same image to BIDS: remove one of them"
            )
        target = folder / (name.finer.stem + name.ending)
        jobs[sidecar] = Job(source, target, label=label, sidecar=sidecar)
    if not jobs:
        raise RequestError(
            f"{root} holds no anatomical image (sub-*/anat/*_T1w.nii.gz and the like): name another data set"
        )
    check_targets(list(jobs.values()))
    return list(jobs.values()), left_out


def _images(root: Path) -> Iterator[Path]:
    """All NIfTI files in the folders ``anat`` of all subjects and sessions, sorted."""
    for subject in sorted(root.glob("sub-*")):
        for anat in (subject / "anat", *(session / "anat" for session in sorted(subject.glob("ses-*")))):
            try:
                paths = sorted(anat.iterdir()) if anat.is_dir() else []
            except OSError as error:
                raise RequestError(f"{anat} cannot be searched: {error.strerror}") from None
            yield from (p for p in paths if p.name.endswith((".nii", ".nii.gz")) and p.name[0] != ".")


def _reason(name: Name | None, label: Path) -> str:
    """Why an image is left out; empty if it is not."""
    if name is None:
        return "not named as BIDS says"
    folders = [f"{key}-{value}" for key, value in name.entities[: len(label.parts) - 2]]
    if folders != list(label.parts[:-2]) or dict(name.entities[len(folders) :]).keys() & {"sub", "ses"}:
        return "not in the folder of its name"
    if dict(name.entities).get("part") in _PARTS:
        return f"part-{dict(name.entities)['part']}"
    return "" if name.suffix in SUFFIXES else name.suffix


def _check_output(output: Path) -> None:
    """Raise `RequestError` if a folder is the data set of somebody else."""
    path = output / DESCRIPTION
    makers = read_json(path)[0].get("GeneratedBy")
    ours = isinstance(makers, list) and any(isinstance(m, dict) and m.get("Name") == MAKER for m in makers)
    if path.exists() and not ours:
        raise RequestError(f"{output} is another data set, by its {DESCRIPTION}: choose another --output")


def read_json(path: Path) -> tuple[dict[str, Any], str]:
    """A JSON object, or an empty one and what is wrong with the file that is there."""
    if not path.is_file():
        return {}, ""
    try:
        if path.stat().st_size > _LARGEST:
            return {}, "is no sidecar, for it is larger than 1 MiB, and is left out"
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}, "is no JSON that can be read, and is left out"
    return (content, "") if isinstance(content, dict) else ({}, "is no JSON object, and is left out")
