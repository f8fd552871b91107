"""How far a cohort is, by the manifest in its output folder; nothing is written."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espcn_core.cohort.lock import is_held
from espcn_core.cohort.manifest import NAME, open_to_read, unreadable
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
    path = folder / NAME
    if not path.is_file():
        raise RequestError(f"{folder} holds no manifest ({NAME}): name the output folder of an upscale call")
    alive = is_held(folder)
    base = open_to_read(path)
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
    finally:
        base.close()


def _seconds_left(base: sqlite3.Connection) -> float | None:
    """By the bytes that the newest run has done since it began, and those that it has left."""
    run, started = base.execute("SELECT id, started FROM runs ORDER BY id DESC LIMIT 1").fetchone()
    done, left = base.execute(
        "SELECT total(input_size) FILTER (WHERE ended IS NOT NULL), "
        "total(input_size) FILTER (WHERE ended IS NULL) FROM jobs WHERE run = ?",
        (run,),
    ).fetchone()
    return float(left * (time.time() - started) / done) if done else None


def _text(path: str | bytes) -> str:
    return os.fsdecode(path)
