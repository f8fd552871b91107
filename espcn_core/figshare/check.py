"""Read all that is there and say what it is and what is wrong with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from espcn_core.errors import DataError
from espcn_core.figshare.folds import person
from espcn_core.figshare.slices import (
    HALF_SIZE,
    SLICE_COUNT,
    FigshareSlice,
    FigshareSource,
    as_runs,
    expected_size,
)


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes
    ----------
    slices : int
        Slices that were read in full.
    labels : dict of int to int
        Slices of each label, 1 to 3.
    sizes : dict of (int, int) to int
        Slices of each size (rows, columns).
    patients : int
        Different patient ids.
    folds : dict of int to int, or None
        Slices of each fold; None without ``cvind.mat``.
    missing : tuple of int
        Numbers of the 3,064 that are not there. A subset of the data set is nothing wrong.
    broken : dict of int to str
        Why a slice that is there cannot be read.
    problems : tuple of str
        What else is not as it should be.
    notes : tuple of str
        What is worth knowing and nothing wrong.
    """

    slices: int
    labels: dict[int, int]
    sizes: dict[tuple[int, int], int]
    patients: int
    folds: dict[int, int] | None
    missing: tuple[int, ...]
    broken: dict[int, str]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether all that is there is whole and as it should be."""
        return not self.broken and not self.problems


def check(source: FigshareSource, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Read every slice of a source.

    Parameters
    ----------
    source : FigshareSource
        From `open_source`.
    progress : callable, optional
        Called with the number of slices looked at and of all slices.
    """
    labels: Counter[int] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    patients: dict[int, str] = {}
    broken: dict[int, str] = {}
    problems: list[str] = []
    for done, index in enumerate(source.indices, start=1):
        try:
            piece = source.read(index)
        except DataError as error:
            broken[index] = str(error)
        else:
            labels[piece.label] += 1
            sizes[piece.image.shape] += 1
            patients[index] = piece.patient
            problems += _problems(piece)
        if progress is not None:
            progress(done, len(source.indices))

    folds: dict[int, int] | None = None
    try:
        folds = source.folds()
    except DataError as error:
        problems.append(str(error))
    if folds and (lost := sorted(set(patients) - set(folds))):
        problems.append(
            f"cvind.mat has no fold for {_numbers(lost)}: take the one that belongs to these slices"
        )
    missing = tuple(sorted(set(range(1, SLICE_COUNT + 1)) - set(source.indices)))
    return CheckReport(
        slices=len(patients),
        labels=dict(sorted(labels.items())),
        sizes=dict(sorted(sizes.items())),
        patients=len(set(patients.values())),
        folds=None if folds is None else dict(sorted(Counter(folds.values()).items())),
        missing=missing,
        broken=broken,
        problems=tuple(problems),
        notes=tuple(_notes(patients, folds, missing)),
    )


def _problems(piece: FigshareSlice) -> list[str]:
    problems = []
    if not 1 <= piece.index <= SLICE_COUNT:
        problems.append(f"slice {piece.index} is none of the data set's 1 to {SLICE_COUNT}: take it out")
    elif piece.image.shape != expected_size(piece.index):
        is_, should = ("x".join(map(str, size)) for size in (piece.image.shape, expected_size(piece.index)))
        problems.append(f"slice {piece.index} is {is_}, not {should}: fetch it again")
    if not piece.mask.any():
        problems.append(f"slice {piece.index} has an empty tumor mask: fetch it again")
    return problems


def _notes(patients: dict[int, str], folds: dict[int, int] | None, missing: tuple[int, ...]) -> list[str]:
    notes = []
    if missing:
        notes.append(
            f"a subset: {len(missing)} of the {SLICE_COUNT} slices are not there, {_numbers(missing)}"
        )
    if small := sorted(HALF_SIZE & set(patients)):
        notes.append(f"256x256, as in the public data set: {_numbers(small)}")
    if not folds:
        notes.append("no folds from cvind.mat: training deals patients to five folds by their id")
        return notes
    places: dict[str, set[int]] = defaultdict(set)
    for index, patient in patients.items():
        if index in folds:
            places[person(patient)].add(folds[index])
    if torn := sorted(who for who, where in places.items() if len(where) > 1):
        notes.append(f"in two folds of cvind.mat, trained on in one: patients {', '.join(torn)}")
    return notes


def _numbers(indices: tuple[int, ...] | list[int]) -> str:
    """The first runs of many numbers."""
    runs = as_runs(indices)
    return ", ".join(runs[:12]) + (f" and {len(runs) - 12} more runs" if len(runs) > 12 else "")
