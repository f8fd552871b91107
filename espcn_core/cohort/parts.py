"""A cohort in parts, each run on its own, as in a job array, and put together at the end."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from espcn_core.cohort.guard import connected
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.lock import is_held, locked
from espcn_core.cohort.manifest import Entry, Manifest
from espcn_core.cohort.tables import NAME, open_to_read
from espcn_core.errors import RequestError

_MOST = 100_000  # parts
_FILE = re.compile(r"\.espcn-core\.part-([1-9][0-9]*)-of-([1-9][0-9]*)\.sqlite")


@dataclass(frozen=True)
class Part:
    """Every N-th job, from the I-th on.

    Attributes
    ----------
    index : int
        I, from 1 on.
    count : int
        N.
    """

    index: int
    count: int

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs of this part; those of a folder are sorted, so all parts see the same list."""
        return list(jobs[self.index - 1 :: self.count])

    @property
    def name(self) -> str:
        """Of its manifest."""
        return f".espcn-core.part-{self.index}-of-{self.count}.sqlite"

    @property
    def lock(self) -> str:
        """The name of its lock."""
        return f".espcn-core.part-{self.index}-of-{self.count}.lock"


def parse_part(text: str) -> Part:
    """The part that ``I/N`` names. Raises `RequestError` if there is none."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= _MOST:
        raise RequestError(
            f"--part {text} is no part: give I/N with 1 <= I <= N <= {_MOST}, as in --part 3/64"
        )
    return Part(int(found[1]), int(found[2]))


def parts_in(folder: Path) -> list[Part]:
    """Those whose manifests are in an output folder, sorted."""
    if not folder.is_dir():
        return []
    found = (_FILE.fullmatch(path.name) for path in folder.iterdir())
    parts = [Part(int(name[1]), int(name[2])) for name in found if name]
    return sorted(parts, key=lambda part: (part.count, part.index))


def refuse_other_parts(folder: Path, part: Part | None) -> None:
    """Raise `RequestError` if a folder holds parts of another number than this one; None: any parts."""
    other = next((p for p in parts_in(folder) if part is None or p.count != part.count), None)
    if other is not None:
        raise RequestError(
            f"{folder} holds {other.name} of a run in {other.count} parts: run espcn-core status {folder} "
            "--merge first"
        )


class PartManifest(Manifest):
    """The manifest of a part, which also knows what the main one said when the part began.

    Parameters
    ----------
    folder : Path
        Whose parts of the same number are compared with this one.
    part : Part
    """

    def __init__(self, folder: Path, part: Part) -> None:
        super().__init__(folder, part.name)
        self._stack = contextlib.ExitStack()
        self._main: Manifest | None = None
        self._part = part
        try:
            if (folder / NAME).is_file():
                self._main = self._stack.enter_context(contextlib.closing(Manifest(folder, read_only=True)))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """As a manifest, and the main one."""
        self._stack.close()
        super().close()

    def entry(self, job: Job) -> Entry | None:
        """Of the part itself, or else of the main manifest."""
        own = super().entry(job)
        return own if own is not None or self._main is None else self._main.entry(job)

    def made_otherwise(self, suffix: str, parameters: str) -> list[str]:
        """Of all parts and the main manifest."""
        found = super().made_otherwise(suffix, parameters)
        if self._main is not None:
            found += self._main.made_otherwise(suffix, parameters)
        for other in self._others():
            found += other.made_otherwise(suffix, parameters)
        return found

    def models(self, suffix: str) -> list[str]:
        """Of this part and the main manifest."""
        return super().models(suffix) + ([] if self._main is None else self._main.models(suffix))

    def _others(self) -> list[Manifest]:
        """Those of other parts that have begun; they stay open until this one is closed."""
        found = []
        for part in parts_in(self._folder):
            if part != self._part and not is_new(self._folder / part.name):
                other = Manifest(self._folder, part.name, read_only=True)
                found.append(self._stack.enter_context(contextlib.closing(other)))
        return found


def is_new(path: Path) -> bool:
    """Whether a manifest is just being made, and holds nothing yet.

    What a killed run was in the middle of is rolled back first, which a reader may not do.
    """
    part = _FILE.fullmatch(path.name)
    with contextlib.suppress(OSError, sqlite3.DatabaseError):
        journal = path.with_name(f"{path.name}-journal").exists()
        if part and journal and not is_held(path.parent, Part(int(part[1]), int(part[2])).lock):
            with contextlib.closing(connected(path)) as base:
                base.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    try:
        with contextlib.closing(connected(path, read_only=True)) as base:
            return bool(base.execute("PRAGMA user_version").fetchone()[0] == 0)
    except sqlite3.DatabaseError:
        return False  # whoever opens it says what is wrong


def merge_parts(folder: Path) -> None:
    """Put what parts kept into the main manifest, and remove their manifests.

    Killed at any moment, it is finished by another call.

    Raises
    ------
    RequestError
        If a run goes on, or a manifest cannot be read.
    ManifestError
        If the main one cannot be written.
    """
    parts = parts_in(folder)
    if not parts:
        return
    with locked(folder), contextlib.ExitStack() as stack:
        main = stack.enter_context(Manifest(folder))
        bases = []
        for part in parts:
            with Manifest(folder, part.name):
                pass  # what a killed run was in the middle of is rolled back
            bases.append(stack.enter_context(contextlib.closing(open_to_read(folder / part.name))))
        main.merge(bases)
        main.flush()
        stack.close()
        for part in parts:
            for name in (part.name, f"{part.name}-journal", part.lock):
                (folder / name).unlink(missing_ok=True)


def running_parts(folder: Path) -> list[Part]:
    """Those that somebody works on."""
    return [part for part in parts_in(folder) if is_held(folder, part.lock)]
