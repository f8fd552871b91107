"""The form of a manifest: its tables, how paths stand in them, and how its file is opened to be read."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from espcn_core.cohort.guard import check, connected
from espcn_core.errors import EspcnError, ManifestError, RequestError

NAME = ".espcn-core.sqlite"
NEXT = "\x1e"
"""Between two sentences of one value."""

VERSION = 1
SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, process INTEGER, jobs INTEGER, version TEXT
);
CREATE TABLE jobs (
    output PRIMARY KEY, suffix TEXT NOT NULL, run INTEGER NOT NULL, input NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'skipped', 'failed')),
    input_size INTEGER, input_mtime_ns INTEGER, input_sha256 TEXT,
    parameters TEXT, models TEXT, place TEXT,
    output_size INTEGER, output_mtime_ns INTEGER, output_sha256 TEXT,
    trust, trust_size INTEGER, trust_mtime_ns INTEGER, trust_sha256 TEXT,
    voxels INTEGER, seconds REAL, ended REAL, error TEXT
) WITHOUT ROWID;
"""
GLANCES = """
CREATE TABLE IF NOT EXISTS glances (
    output PRIMARY KEY, coarse BLOB, fine BLOB, width INTEGER, height INTEGER, view TEXT, difference REAL,
    plan TEXT, notes TEXT
)
"""  # rows are long, so they are beside those that every run reads


def in_memory() -> sqlite3.Connection:
    """An empty manifest that is nowhere on a disk, for sums."""
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.executescript(SCHEMA)
    return base


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection to a manifest that is there, which writes nothing.

    Raises
    ------
    RequestError, ManifestError
        As `Manifest`.
    """
    try:
        base = connected(path, read_only=True)
    except sqlite3.DatabaseError as error:
        raise unreadable(path, error) from None
    try:
        check_version(path, base.execute("PRAGMA user_version").fetchone()[0])
        check(base, path, SCHEMA, GLANCES, whole=False)
    except BaseException as error:
        base.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise unreadable(path, error) from None
        raise
    return base


def check_version(path: Path, version: int) -> None:
    """Raise `RequestError` if a manifest is of another version than this."""
    if version != VERSION:
        raise RequestError(
            f"{path} is a manifest of form {version}, and this version knows {VERSION}: use the version "
            "that made it, or delete it, which loses nothing but time"
        )


def unreadable(path: Path, error: sqlite3.Error) -> EspcnError:
    """What is wrong with a manifest."""
    if not isinstance(error, sqlite3.OperationalError):
        return RequestError(
            f"{path} is damaged or no manifest ({error}): delete it, which loses nothing but time"
        )
    return ManifestError(f"{path} cannot be used: {error}; see whether its disk is full or may be written to")


def relative(path: Path, folder: Path) -> str | bytes:
    """A path below an output folder as its manifest names it."""
    return stored(path.relative_to(folder) if path.is_relative_to(folder) else path.resolve())


def stored(path: str | Path) -> str | bytes:
    """A path as text, or as bytes where it is no text."""
    try:
        os.fspath(path).encode()
        return os.fspath(path)
    except UnicodeEncodeError:
        return os.fsencode(path)
