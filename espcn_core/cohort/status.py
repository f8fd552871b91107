"""How far a cohort is, by the manifest in its output folder; nothing is written."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from espcn_core.cohort.lock import is_held
from espcn_core.cohort.merging import merge_into
from espcn_core.cohort.parts import is_new, parts_in, running_parts
from espcn_core.cohort.tables import NAME, in_memory, open_to_read, unreadable
from espcn_core.errors import RequestError

STATES = ("done", "skipped", "failed", "running", "waiting")


@dataclass(frozen=True)
class Status:
    """What a manifest says.

    Attributes
    ----------
    counts : mapping
        Files by state.
    failed : tuple of (input, sentence)
    running : tuple of str
        Inputs that a run works on now.
    alive : bool
        Whether a run goes on.
    voxels : int
        Of all results.
    seconds_left : float, optional
        By the rate of the run that goes on, in bytes of its inputs; None if there is none, or none yet.
    made_with : tuple of dict
        The parameters of the results; more than one if some were overwritten with others.
    """

    counts: Mapping[str, int]
    failed: tuple[tuple[str, str], ...]
    running: tuple[str, ...]
    alive: bool
    voxels: int
    seconds_left: float | None
    made_with: tuple[dict[str, Any], ...]


def read_status(folder: Path) -> Status:
    """The status of an output folder.

    Raises
    ------
    RequestError
        If there is no manifest, or it cannot be read.
    ManifestError
        If it is in use too long.
    """
    parts = parts_in(folder)
    if parts:
        return _sum(folder)
    path = folder / NAME
    if not path.is_file():
        raise RequestError(f"{folder} holds no manifest ({NAME}): name the output folder of an upscale call")
    with contextlib.closing(open_to_read(path)) as base:
        return _of(base, path, alive=is_held(folder))


def _sum(folder: Path) -> Status:
    """What the main manifest and those of parts say together; of two rows for a result the newer counts."""
    running = running_parts(folder)
    left = []
    main = [(folder / NAME, is_held(folder))] if (folder / NAME).is_file() else []
    parts = [(folder / part.name, part in running) for part in parts_in(folder)]
    with contextlib.closing(in_memory()) as base:
        for path, alive in [*main, *parts]:
            if is_new(path):
                continue
            try:
                with contextlib.closing(open_to_read(path)) as other:
                    merge_into(base, other, glances=False, alive=alive)
                    left.append(_seconds_left(other) if alive else None)
            except sqlite3.DatabaseError as error:
                raise unreadable(path, error) from None
        found = _of(base, folder / NAME, alive=bool(running))
    return replace(found, seconds_left=max((s for s in left if s is not None), default=None))


def _of(base: sqlite3.Connection, path: Path, *, alive: bool) -> Status:
    """What one manifest says."""
    try:
        counts = dict.fromkeys(STATES, 0) | dict(
            base.execute("SELECT state, count(*) FROM jobs GROUP BY state")
        )
        if not alive:
            counts["waiting"] += counts["running"]
            counts["running"] = 0
        failed = base.execute("SELECT input, error FROM jobs WHERE state = 'failed' ORDER BY input")
        running = (
            base.execute("SELECT input FROM jobs WHERE state = 'running' ORDER BY input") if alive else ()
        )
        made = base.execute("SELECT DISTINCT parameters FROM jobs WHERE state = 'done'")
        voxels = base.execute("SELECT total(voxels) FROM jobs WHERE state = 'done'").fetchone()[0]
        return Status(
            counts,
            tuple((_text(source), error) for source, error in failed),
            tuple(_text(row[0]) for row in running),
            alive,
            int(voxels),
            _seconds_left(base) if alive else None,
            tuple(json.loads(row[0]) for row in made),
        )
    except sqlite3.DatabaseError as error:
        raise unreadable(path, error) from None


def _seconds_left(base: sqlite3.Connection) -> float | None:
    """By the bytes that the newest run has done since it began, and those that it has left."""
    newest = base.execute("SELECT id, started FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    if newest is None:
        return None
    run, started = newest
    done, left = base.execute(
        "SELECT total(input_size) FILTER (WHERE ended IS NOT NULL), "
        "total(input_size) FILTER (WHERE ended IS NULL) FROM jobs WHERE run = ?",
        (run,),
    ).fetchone()
    return max(0.0, left * (time.time() - started) / done) if done > 0 else None


def _text(path: str | bytes) -> str:
    return os.fsdecode(path)
