"""What a derivative BIDS data set says of its images: sidecars, and the description of the data set.

Fields follow the BIDS specification, 1.11. No free text of the source is copied unless that is asked for.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from espcn_core import __version__
from espcn_core.cohort.bids import DESCRIPTION, MAKER, Name, read_json
from espcn_core.cohort.bids_headers import kept_headers
from espcn_core.cohort.jobs import Job
from espcn_core.files import clear_leftovers, complete_file
from espcn_core.models.cards import Card
from espcn_core.upscaling.steps import Plan

_VERSION = "1.10.0"
_LINK = "source"  # what BIDS URIs in the results call the data set that they come from
_MADE = "Made finer by a trained network: what is between the measured voxels is inferred, not measured."
_RESAMPLED = "Interpolated onto another grid."
_AS_IT_IS = "As its source, which already was as asked for."
_README = """Anatomical images made finer by espcn-core.

A trained network infers what is between the voxels that were measured; nothing more was measured. The sidecar
of each image names its source, the model with its SHA-256, and the spacing before and after. The results are
not for diagnosis, or for any decision about a patient.
"""

_NUMBERS = frozenset(
    "MagneticFieldStrength EchoTime InversionTime RepetitionTime RepetitionTimeExcitation FlipAngle "
    "RepetitionTimePreparation MTOffsetFrequency MTNumberOfPulses MTPulseDuration "
    "ParallelReductionFactorInPlane ParallelReductionFactorOutOfPlane PartialFourier "
    "MultibandAccelerationFactor".split()
)
_TRUTHS = frozenset("NonlinearGradientCorrection MTState SpoilingState NegativeContrast".split())
_WORDS = {
    "MRAcquisitionType": ("1D", "2D", "3D"),
    "ContrastBolusIngredient": ("IODINE", "GADOLINIUM", "CARBON DIOXIDE", "BARIUM", "XENON"),
}
_LICENCE = re.compile(r"PD|CC0(-1\.0)?|PDDL(-1\.0)?|ODbL(-1\.0)?|CC-BY(-NC)?(-SA|-ND)?(-\d\.\d)?", re.I)
_DOI = re.compile(r"(?:doi:|https://doi\.org/)?(?P<name>10\.\d{4,9}/[0-9A-Za-z._;()/:-]{1,80})")


def describe(job: Job, plan: Plan, cards: Sequence[Card], *, keep_headers: bool = False) -> list[str]:
    """Write the sidecar of a result, and the description of the data set where it is missing or another.

    Parameters
    ----------
    job : Job
        One of `bids_jobs`; its target is written.
    plan : Plan
        What was done.
    cards : sequence of Card
        Of the models that did it.
    keep_headers : bool
        Copy the source's other metadata too, as `kept_headers` does.

    Returns
    -------
    list of str
        What the user should know: sidecars that cannot be read, and metadata that cannot be kept.

    Raises
    ------
    OSError
        If they cannot be written.
    """
    assert job.label is not None
    assert job.sidecar is not None
    levels = len(job.label.parts) - 1
    root, output = job.source.parents[levels], job.sidecar.parents[levels]
    description = dataset_description(root, output)
    if read_json(output / DESCRIPTION)[0] != description:  # of another version, if it is there
        if not any(output.glob("README*")):
            _write(output / "README", _README)
        _write(output / DESCRIPTION, json.dumps(description, indent=2) + "\n")
    metadata, notes = inherited(job)
    content = sidecar_of(job.label, metadata, plan, cards)
    if keep_headers:
        kept, left_out = kept_headers(metadata)
        content = {**content, **kept, **content}
        if left_out:
            notes.append(f"{left_out} of its metadata are too large or no JSON, and are left out")
    _write(job.sidecar, json.dumps(content, indent=2) + "\n")
    return notes


def dataset_description(root: Path, output: Path) -> dict[str, Any]:
    """What dataset_description.json of the results says; of the source's it takes licence and DOI alone."""
    before = read_json(root / DESCRIPTION)[0]
    link = quote(Path(os.path.relpath(root.resolve(), output.resolve())).as_posix())
    licence, doi = before.get("License"), before.get("DatasetDOI")
    source = {"URL": f"bids:{_LINK}:"}
    if isinstance(doi, str) and (found := _DOI.fullmatch(doi)):
        source = {"URL": f"https://doi.org/{found['name']}", "DOI": doi}
    return {
        "Name": "Anatomical images made finer by espcn-core",
        "BIDSVersion": _VERSION,
        "DatasetType": "derivative",
        **({"License": licence} if isinstance(licence, str) and _LICENCE.fullmatch(licence) else {}),
        "GeneratedBy": [{"Name": MAKER, "Version": __version__}],
        "SourceDatasets": [source],
        "DatasetLinks": {_LINK: link},
    }


def sidecar_of(label: Path, metadata: Mapping[str, Any], plan: Plan, cards: Sequence[Card]) -> dict[str, Any]:
    """What the sidecar of a result says.

    Parameters
    ----------
    label : Path
        The source, relative to its data set.
    metadata : mapping
        Of the source. Only numbers, truths and words of closed lists are taken from it, and only of fields
        that stay true.
    plan : Plan
    cards : sequence of Card
    """
    stripped = metadata.get("SkullStripped")
    known = isinstance(stripped, bool)
    skull = "" if known else " Whether the skull was removed is not said of the source, and taken as no."
    source, target = plan.source.spacing, plan.target.spacing
    content: dict[str, Any] = {
        "Description": (_MADE if cards else _RESAMPLED if plan.steps else _AS_IT_IS) + skull,
        "Sources": [f"bids:{_LINK}:{label.as_posix()}"],
        "SkullStripped": stripped if known else False,
        "Resolution": f"{_millimetres(target)}, made from {_millimetres(source)}",
    }
    for name, value in metadata.items():
        if name in _NUMBERS and _all(_is_number, value):
            content[name] = value
        elif name in _TRUTHS and isinstance(value, bool):
            content[name] = value
        elif name in _WORDS and value in _WORDS[name]:
            content[name] = value
    if (reference := _reference(metadata.get("SpatialReference"))) is not None:
        content["SpatialReference"] = reference
    if (thickness := _thickness(metadata.get("SliceThickness"), plan)) is not None:
        content["SliceThickness"] = thickness
    content["SuperResolution"] = {
        "SoftwareName": MAKER,
        "SoftwareVersion": __version__,
        "Scale": [round(before / now, 6) for before, now in zip(source, target, strict=True)],
        "Planes": list(dict.fromkeys(only.plane for step in plan.steps for only in step.passes)),
        "Models": [{"Name": card.name, "SHA256": card.sha256} for card in cards],
        "SourceSpacing": [round(mm, 6) for mm in source],
        "Spacing": [round(mm, 6) for mm in target],
    }
    return content


def inherited(job: Job) -> tuple[dict[str, Any], list[str]]:
    """The metadata of a source by BIDS's inheritance: what is nearer to the image, and names it closer, wins.

    Returns
    -------
    metadata : dict
    notes : list of str
        A sentence for each sidecar that cannot be read.
    """
    metadata: dict[str, Any] = {}
    notes = []
    for path in sidecars_of(job):
        content, wrong = read_json(path)
        metadata |= content
        if wrong:
            notes.append(f"{path} {wrong}")
    return metadata, notes


def inherited_thickness(job: Job) -> tuple[float | None, str | None]:
    """The slice thickness of a source in mm by its metadata, and what is to be said of one that is none."""
    thickness = inherited(job)[0].get("SliceThickness")
    if thickness is None or (_is_number(thickness) and thickness > 0):
        return thickness, None
    return None, "SliceThickness in its metadata is no length in mm, and is left out"


def sidecars_of(job: Job) -> list[Path]:
    """The sidecars of a source, from the root of its data set to its own folder."""
    name = Name.of(job.source.name)
    assert name is not None
    assert job.label is not None
    folders = reversed(job.source.parents[: len(job.label.parts)])
    return [path for folder in folders for path in _candidates(folder, name)]


def _candidates(folder: Path, name: Name) -> Iterator[Path]:
    """Sidecars in a folder that an image may have, those with the fewest entities first."""
    for count in range(len(name.entities) + 1):
        for entities in itertools.combinations(name.entities, count):
            path = folder / f"{Name(entities, name.suffix, '').stem}.json"
            if path.is_file():
                yield path


def _write(path: Path, text: str) -> None:
    clear_leftovers(path.parent, {path.name})
    with complete_file(path) as file:
        file.write(text.encode())


def _thickness(before: Any, plan: Plan) -> float | None:
    """The slice thickness of the result in mm; None if it is not known.

    An axis that stands alone is the slices', and the model makes slices that touch. Otherwise the slices are
    along the one coarsest axis.
    """
    if not _is_number(before) or before <= 0:
        return None
    alone = {step.axis for step in plan.steps if step.axis is not None}
    source, target = plan.source.spacing, plan.target.spacing
    order = sorted(range(3), key=lambda axis: source[axis])
    if len(alone) == 1:
        axis = alone.pop()
    elif source[order[2]] > 1.01 * source[order[1]]:
        axis = order[2]
    else:
        return None
    return float(before) if math.isclose(source[axis], target[axis], rel_tol=1e-3) else round(target[axis], 6)


def _reference(before: Any) -> str | None:
    """A spatial reference as it is from here: ``orig``, a BIDS URI of the source, or an address."""
    if before == "orig" or (isinstance(before, str) and re.fullmatch(r"https://[0-9A-Za-z._/-]+", before)):
        return str(before)
    if isinstance(before, str) and re.fullmatch(r"bids::[0-9A-Za-z/_.+-]+", before):
        return f"bids:{_LINK}:{before.removeprefix('bids::')}"
    return None


def _all(holds: Callable[[Any], bool], value: Any) -> bool:
    """Whether something holds for a value, or for each of a short list."""
    return all(map(holds, value)) and 0 < len(value) < 1000 if isinstance(value, list) else holds(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6


def _millimetres(spacing: Sequence[float]) -> str:
    return " x ".join(f"{mm:.4g}" for mm in spacing) + " mm"
