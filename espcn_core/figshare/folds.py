"""Which slices train and which validate. No patient is on both sides."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from espcn_core.errors import DataError, RequestError
from espcn_core.figshare.slices import FigshareSource

FOLDS = 5


@dataclass(frozen=True)
class Split:
    """Numbers of the slices on each side.

    Attributes
    ----------
    train, validation : tuple of int
        Numbers in the data set, sorted.
    fold : int
        The fold that validates, 1 to 5.
    by : "cvind" or "PID"
        Where the folds come from: the data set's own file, or patients dealt out here.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    fold: int
    by: Literal["cvind", "PID"]


def split(source: FigshareSource, fold: int | None = None, seed: int = 0) -> Split:
    """Hold one of five folds out.

    Parameters
    ----------
    source : FigshareSource
        From `open_source`.
    fold : int, optional
        The fold that validates, 1 to 5; the first if None.
    seed : int
        Deals patients to folds where ``cvind.mat`` is not there. The same patients and seed give the same
        folds.

    Raises
    ------
    RequestError
        If there is no such fold.
    DataError
        If one side has no slice, or a file cannot be read.

    Notes
    -----
    In the public data set no patient id is in two folds of cvind.mat, but ids that differ only in a letter
    at the end (MR036496B) may be scans of one patient and count as one here. A patient in two folds goes to
    the one with most of the patient's slices: that keeps the published folds nearly as they are, where an
    error would leave the user with files that cannot be used. A patient without any fold only trains.
    """
    held_out = 1 if fold is None else fold
    if held_out not in range(1, FOLDS + 1):
        raise RequestError(f"there is no fold {fold}: give one from 1 to {FOLDS}")
    slices: dict[str, list[int]] = defaultdict(list)
    for index, pid in source.patients().items():
        slices[person(pid)].append(index)
    published = source.folds()
    places = _majority(slices, published) if published else _dealt(slices, seed)

    validation = sorted(i for who, where in places.items() if where == held_out for i in slices[who])
    train = sorted(i for who, where in places.items() if where != held_out for i in slices[who])
    if not train or not validation:
        side = "validate" if train else "train"
        raise DataError(
            f"fold {held_out} leaves no slice to {side} with, of {len(slices)} patients: "
            "take another fold or more slices"
        )
    return Split(tuple(train), tuple(validation), held_out, "cvind" if published else "PID")


def unseen(source: FigshareSource, indices: Sequence[int], trained: Collection[int]) -> tuple[int, ...]:
    """Those of the slices whose patient has no slice among the trained ones.

    The folds of one copy of the data set need not be those of another, so a fold's number alone does not say
    that a model has not seen a patient.
    """
    patients = source.patients()
    known = {person(patients[index]) for index in trained if index in patients}
    return tuple(index for index in indices if index not in trained and person(patients[index]) not in known)


def person(pid: str) -> str:
    """The patient id without a letter behind its number, which tells scans of one patient apart."""
    return re.sub(r"(?<=\d)[A-Za-z]$", "", pid)


def _majority(slices: dict[str, list[int]], folds: dict[int, int]) -> dict[str, int]:
    """For each patient the fold with most of the slices, the lower of two; 0 where none has a fold."""
    places = {}
    for who, indices in slices.items():
        votes = Counter(folds[i] for i in indices if i in folds)
        places[who] = min(votes, key=lambda where: (-votes[where], where), default=0)
    return places


def _dealt(slices: dict[str, list[int]], seed: int) -> dict[str, int]:
    """Deal patients in a random order, each to the fold that has the fewest slices so far."""
    order = sorted(slices)
    np.random.default_rng(seed).shuffle(order)
    sizes = [0] * FOLDS
    places = {}
    for who in order:
        smallest = sizes.index(min(sizes))
        sizes[smallest] += len(slices[who])
        places[who] = smallest + 1
    return places
