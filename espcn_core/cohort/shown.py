"""What a page shows of the results of some jobs, read from the manifest one at a time."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from espcn_core.cohort.glance import Glance
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.tables import NAME, NEXT, open_to_read, relative, stored, unreadable

_ORDER = ("failed", "waiting", "running", "unknown", "done", "skipped")


@dataclass(frozen=True)
class Shown:
    """One result.

    Attributes
    ----------
    name : str or bytes
        Of the input, as the manifest has it.
    state : {"done", "skipped", "failed", "waiting", "running", "unknown"}
        ``unknown``: the manifest does not know it.
    seconds, ended : float, optional
        How long it took, and when it was over, in seconds since 1970.
    error : str, optional
    plan : str
    notes : tuple of str
    glance : Glance, optional
        None if it was made without.
    """

    name: str | bytes
    state: str
    seconds: float | None = None
    ended: float | None = None
    error: str | None = None
    plan: str = ""
    notes: tuple[str, ...] = ()
    glance: Glance | None = None


class Results:
    """The results of some jobs, the worst first; a context.

    Those that failed come first, then those that are not done, then by the difference, largest first. Whose
    difference is not known comes before those whose is, and who has no pictures after.

    Parameters
    ----------
    jobs : sequence of Job
    folder : Path
        The output folder, with a manifest.

    Attributes
    ----------
    counts : Counter
        How many are in each state.

    Raises
    ------
    RequestError, ManifestError
        If the manifest cannot be read.
    """

    def __init__(self, jobs: Sequence[Job], folder: Path) -> None:
        self._path, self._folder = folder / NAME, folder
        self._base = open_to_read(self._path)
        self.counts: Counter[str] = Counter()
        ranks = {job: self._rank(job) for job in jobs}
        self._jobs = sorted(jobs, key=ranks.__getitem__)

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def __iter__(self) -> Iterator[Shown]:
        for job in self._jobs:
            row = self._one(
                "input, state, seconds, ended, error, plan, notes, "
                "coarse, fine, width, height, view, difference", job
            )  # fmt: skip
            if row is None:
                yield Shown(stored(job.label or job.source.name), "unknown")
                continue
            name, state, seconds, ended, error, *texts = row
            if state != "done" or None in texts[:-1]:
                yield Shown(name, state, seconds, ended, error)
                continue
            plan, notes, *glance = texts
            sentences = tuple(notes.split(NEXT)) if notes else ()
            yield Shown(name, state, seconds, ended, None, plan, sentences, Glance(*glance))

    def _rank(self, job: Job) -> tuple[int, float]:
        row = self._one("state, coarse IS NOT NULL, difference", job)
        state, pictured, difference = row or ("unknown", False, None)
        self.counts[state] += 1
        if not pictured:
            return _ORDER.index(state), math.inf
        return _ORDER.index(state), -math.inf if difference is None else -difference

    def _one(self, columns: str, job: Job) -> tuple[Any, ...] | None:
        sentence = f"SELECT {columns} FROM jobs LEFT JOIN glances USING (output) WHERE output = ?"
        try:
            row: tuple[Any, ...] | None = self._base.execute(
                sentence, (relative(job.target, self._folder),)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            raise unreadable(self._path, error) from None
        return row
