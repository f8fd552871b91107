"""Rows of several manifests in one."""

from __future__ import annotations

import sqlite3


def merge_into(
    base: sqlite3.Connection, other: sqlite3.Connection, *, glances: bool = True, alive: bool = False
) -> None:
    """Take over what another manifest says. It may be done again.

    Parameters
    ----------
    base : sqlite3.Connection
        With the tables of a manifest, in a transaction.
    other : sqlite3.Connection
        That is only read. Of two rows for one result the newer wins.
    glances : bool
        Whether the pictures are taken over too.
    alive : bool
        Whether somebody writes into the other; if not, none of its jobs is running.
    """
    runs = _merge_runs(base, other)
    pictured = glances and other.execute("SELECT 1 FROM sqlite_schema WHERE name = 'glances'").fetchone()
    found = other.execute("SELECT * FROM jobs")
    names = [column[0] for column in found.description]
    put = f"INSERT OR REPLACE INTO jobs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    here = (
        "SELECT coalesce(j.ended, r.started, 0) FROM jobs j LEFT JOIN runs r ON r.id = j.run "
        "WHERE j.output = ?"
    )
    for row in found:
        values = dict(zip(names, row, strict=True))
        values["run"], started = runs.get(values["run"], (0, 0.0))
        key = (values["output"],)
        known = base.execute(here, key).fetchone()
        if known is not None and known[0] > (values["ended"] or started):
            continue
        if values["state"] == "running" and not alive:
            values["state"] = "waiting"
        base.execute(put, tuple(values.values()))
        if glances:
            base.execute("DELETE FROM glances WHERE output = ?", key)
        if pictured:
            seen = other.execute("SELECT * FROM glances WHERE output = ?", key)
            base.executemany("INSERT INTO glances VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", seen)


def _merge_runs(base: sqlite3.Connection, other: sqlite3.Connection) -> dict[int, tuple[int, float]]:
    """For each run of another manifest, its number here and when it started."""
    numbers = {}
    columns = "started, ended, process, jobs, version"
    for number, *run in other.execute(f"SELECT id, {columns} FROM runs").fetchall():
        same = (run[0], run[2], run[4])
        find = "SELECT id FROM runs WHERE started = ? AND process IS ? AND version IS ?"
        known = base.execute(find, same).fetchone()
        if known is None:
            put = f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?)"
            known = (base.execute(put, run).lastrowid,)
        numbers[number] = (int(known[0]), float(run[0]))
    return numbers
