"""What was done in an output folder: an SQLite file, written by one process and read by any."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from espcn_core.cohort.guard import check, connected, is_empty, is_inside
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.merging import merge_into
from espcn_core.cohort.settings import canonical
from espcn_core.cohort.stamps import Stamp
from espcn_core.cohort.tables import (
    GLANCES,
    NAME,
    NEXT,
    SCHEMA,
    VERSION,
    check_version,
    open_to_read,
    relative,
    stored,
    unreadable,
)
from espcn_core.cohort.work import Outcome


@dataclass(frozen=True)
class Entry:
    """What the manifest says of one result.

    Attributes
    ----------
    state : {"waiting", "running", "done", "skipped", "failed"}
        ``skipped``: the input already was as asked for, and nothing was written.
    parameters : str, optional
        What it was made with.
    read : Stamp, optional
        Of the input.
    wrote : tuple of Stamp
        Of the result and the trust map.
    """

    state: str
    parameters: str | None
    read: Stamp | None
    wrote: tuple[Stamp, ...]


class Manifest:
    """The manifest of an output folder, open for writing; a context.

    What is written is on the disk when the process is killed at any moment. Paths are relative: of inputs to
    the folder that was searched, of outputs to the output folder.

    Parameters
    ----------
    folder : Path
        The output folder. Its manifest is made if there is none.
    name : str
        Of the file. One that is not the main one is kept without a log in shared memory, which only processes
        of one machine see.
    read_only : bool
        Only look into a manifest that is there.

    Raises
    ------
    RequestError
        If a manifest is there that this version cannot read.
    ManifestError
        If it cannot be written, here and in all methods.
    """

    def __init__(self, folder: Path, name: str = NAME, *, read_only: bool = False) -> None:
        self._folder = folder
        self.path = folder / name
        self._run = 0
        self._read_only = read_only
        if read_only:
            self._base = open_to_read(self.path)
            return
        with self._saying():
            self._base = connected(self.path)
        try:
            self._begin()
        except BaseException:
            self._base.close()
            raise

    def _begin(self) -> None:
        """Look at what is there, and make what is missing."""
        with self._saying():
            version = self._base.execute("PRAGMA user_version").fetchone()[0]
            fresh = version == 0 and is_empty(self._base, self.path)
        if not fresh:
            check_version(self.path, version)
        with self._saying():
            if not fresh:
                check(self._base, self.path, SCHEMA, GLANCES, whole=True)
            alone = self.path.name == NAME
            self._base.execute(f"PRAGMA journal_mode = {'WAL' if alone else 'DELETE'}")
            self._base.execute(f"PRAGMA synchronous = {'NORMAL' if alone else 'FULL'}")
            if fresh:
                self._base.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
            self._base.execute(GLANCES)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What was running is to do again; if nobody reads, the file is left without a log beside it."""
        with contextlib.suppress(sqlite3.Error):
            self._base.execute("UPDATE jobs SET state = 'waiting' WHERE state = 'running'")
            self._base.execute("UPDATE runs SET ended = ? WHERE id = ?", (time.time(), self._run))
            self._base.execute("PRAGMA journal_mode = DELETE")
        self.close()

    def close(self) -> None:
        """As it is, which is all there is to do for one that is only read."""
        self._base.close()

    def made_otherwise(self, suffix: str, parameters: str) -> list[str]:
        """For each result with a suffix that was made with other parameters and is there: what with."""
        sentence = (
            "SELECT output, parameters FROM jobs WHERE suffix = ? AND state = 'done' AND parameters != ?"
        )
        with self._saying():
            rows = self._base.execute(sentence, (suffix, parameters)).fetchall()
        return [made for output, made in rows if self._is_there(output)]

    def _is_there(self, output: str | bytes) -> bool:
        return is_inside(output) and os.path.exists(self._folder / os.fsdecode(output))

    def models(self, suffix: str) -> list[str]:
        """The different sets of weights, as JSON, that results with a suffix were made with."""
        sentence = "SELECT DISTINCT models FROM jobs WHERE suffix = ? AND state = 'done'"
        with self._saying():
            return [row[0] for row in self._base.execute(sentence, (suffix,))]

    def entry(self, job: Job) -> Entry | None:
        """What is known of a job's result."""
        row = self._one(
            "SELECT state, parameters, input_size, input_mtime_ns, input_sha256, output_size, "
            "output_mtime_ns, output_sha256, trust_size, trust_mtime_ns, trust_sha256 "
            "FROM jobs WHERE output = ?",
            self.key(job),
        )
        if row is None:
            return None
        read, *wrote = (Stamp(*row[n : n + 3]) if row[n] is not None else None for n in (2, 5, 8))
        return Entry(row[0], row[1], read, tuple(stamp for stamp in wrote if stamp))

    def begin_run(self, at_once: int, version: str) -> None:
        """A run begins."""
        with self._saying():
            values = (time.time(), os.getpid(), at_once, version)
            sentence = "INSERT INTO runs (started, process, jobs, version) VALUES (?, ?, ?, ?)"
            self._run = int(self._base.execute(sentence, values).lastrowid or 0)

    def expect(self, jobs: Sequence[Job], suffix: str, size_of: Iterable[int | None]) -> None:
        """These are to be done, and what is there of them is not to be relied on."""
        rows = (
            (self.key(job), suffix, self._run, stored(job.label or job.source.name), size)
            for job, size in zip(jobs, size_of, strict=True)
        )
        with self._saying(), self._transaction():
            self._base.executemany(
                "INSERT OR REPLACE INTO jobs (output, suffix, run, input, input_size, state) "
                "VALUES (?, ?, ?, ?, ?, 'waiting')",
                rows,
            )
            self._base.executemany("DELETE FROM glances WHERE output = ?", ((self.key(j),) for j in jobs))
        self.flush()  # before a result is there

    def start(self, job: Job) -> None:
        """Somebody works on a job."""
        with self._saying():
            self._base.execute("UPDATE jobs SET state = 'running' WHERE output = ?", (self.key(job),))

    def finish(self, outcome: Outcome, parameters: str) -> None:
        """Keep what became of a job."""
        trust = outcome.job.trust
        read, wrote, missing = outcome.read, list(outcome.wrote), (None, None, None)
        stamps = [
            missing if stamp is None else (stamp.size, stamp.mtime_ns, stamp.sha256)
            for stamp in (read, *wrote, *[None] * (2 - len(wrote)))
        ]
        values = (
            outcome.state, *stamps[0], parameters, canonical(outcome.models), outcome.place, *stamps[1],
            None if trust is None else self._relative(trust), *stamps[2],
            outcome.voxels, outcome.seconds, time.time(), _text(outcome.error), self.key(outcome.job),
        )  # fmt: skip
        sentence = (
            "UPDATE jobs SET state = ?, input_size = coalesce(?, input_size), input_mtime_ns = ?, "
            "input_sha256 = ?, parameters = ?, models = ?, place = ?, output_size = ?, output_mtime_ns = ?, "
            "output_sha256 = ?, trust = ?, trust_size = ?, trust_mtime_ns = ?, trust_sha256 = ?, voxels = ?, "
            "seconds = ?, ended = ?, error = ? WHERE output = ?"
        )
        with self._saying():
            if (seen := outcome.glance) is not None:
                self._base.execute(
                    "INSERT OR REPLACE INTO glances VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (self.key(outcome.job), seen.coarse, seen.fine, seen.width, seen.height, seen.view,
                     seen.difference, _text(outcome.plan) or "", _text(NEXT.join(outcome.notes))),
                )  # fmt: skip
            self._base.execute(sentence, values)

    def merge(self, others: Iterable[sqlite3.Connection]) -> None:
        """Take over what other manifests say, in one transaction; of two rows for a result the newer wins.

        It may be done again.
        """
        with self._saying(), self._transaction():
            for other in others:
                merge_into(self._base, other)

    def flush(self) -> None:
        """Have all on the disk itself."""
        with self._saying():
            self._base.execute("PRAGMA wal_checkpoint(FULL)")

    def retime(self, job: Job, read: Stamp, wrote: tuple[Stamp, ...]) -> None:
        """Files have other times than when they were kept, and the same bytes."""
        if self._read_only:
            return
        times = [stamp.mtime_ns for stamp in (read, *wrote)] + [None] * (2 - len(wrote))
        sentence = (
            "UPDATE jobs SET input_mtime_ns = ?, output_mtime_ns = ?, trust_mtime_ns = ? WHERE output = ?"
        )
        with self._saying():
            self._base.execute(sentence, (*times, self.key(job)))

    def key(self, job: Job) -> str | bytes:
        """What the manifest calls a job: the path of its result."""
        return self._relative(job.target)

    def _relative(self, path: Path) -> str | bytes:
        return relative(path, self._folder)

    def _one(self, sentence: str, *values: Any) -> tuple[Any, ...] | None:
        with self._saying():
            row: tuple[Any, ...] | None = self._base.execute(sentence, values).fetchone()
            return row

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._base.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    @contextlib.contextmanager
    def _saying(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise unreadable(self.path, error) from None


def _text(sentence: str | None) -> str | None:
    """A sentence that may name a file whose name is no text: its bytes are written as \\udcff."""
    return None if sentence is None else sentence.encode(errors="backslashreplace").decode()
