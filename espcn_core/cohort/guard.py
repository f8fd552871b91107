"""Opening an SQLite file that a stranger may have put there, so that it is read and written and nothing else.

SQLite believes a file: its triggers and views run within our statements, a journal beside it may name any
file of the machine, which is then deleted, links lead elsewhere, and pages may lead in circles. So the files
are looked at before SQLite opens them, and what is in them before anything of it is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from espcn_core.files import is_plain_name

_JOURNAL_END = bytes.fromhex("d9d505f920a163d7")
"""How a rollback journal ends that names the journal of a transaction over several files, to be deleted.

See section 3 of https://www.sqlite.org/atomiccommit.html; one file alone never has such a journal.
"""

_LARGEST = 16 << 20  # bytes of a value or a row
_LONGEST = 65_536  # bytes of a text or path
_JSON = 4096  # characters of a JSON text
_SETS = 1000  # different JSON texts
_FAR = 1e11  # no time in seconds is further from 1970
_STEPS = 1_000_000, 50  # of SQLite's machine, for one statement: in all, and more for each byte of the file

_ODD = (
    "state NOT IN ('waiting', 'running', 'done', 'skipped', 'failed') OR state = 'failed' AND error IS NULL "
    "OR state = 'done' AND (parameters IS NULL OR models IS NULL)"
)
_TYPES = {"INTEGER": ["integer"], "REAL": ["real"], "TEXT": ["text"], "BLOB": ["blob"], "": ["text", "blob"]}


def connected(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection on which nothing of the file's schema can run.

    Raises
    ------
    sqlite3.DatabaseError
        If what is there under its name, or beside it for SQLite, is none of its files, or SQLite says so.
    """
    for name in ("", "-journal", "-wal", "-shm"):
        _check_file(path.with_name(path.name + name))
    mode = "ro" if read_only else "rwc"
    base = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=10
    )
    try:
        for limit, most in (
            (sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST),
            (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
            (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        ):
            base.setlimit(limit, most)
        if sys.version_info >= (3, 12):
            base.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
            base.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
        base.text_factory = lambda text: text.decode(errors="backslashreplace")
        base.execute("PRAGMA trusted_schema = OFF")
        base.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        base.close()
        raise
    return base


def check(base: sqlite3.Connection, path: Path, schema: str, optional: str, *, whole: bool) -> None:
    """Raise `sqlite3.DatabaseError` if a file does not hold what a schema says, and nothing else.

    Parameters
    ----------
    base : Connection
        From `connected`.
    path : Path
        Of the file.
    schema : str
        The statements that make its tables.
    optional : str
        Statements for tables that may be missing.
    whole : bool
        Whether to look at all pages, those of optional tables too.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as model, _in_bounds(base, path):
        model.executescript(schema)
        needed = _things(model)
        model.executescript(optional)
        there, allowed = _things(base), _things(model)
        if not needed <= there <= allowed:
            raise sqlite3.DatabaseError("its tables are not those of a manifest")
        names = {name for kind, name, _ in there if kind == "table"}
        scope = ["1"] if whole else [f"'{name}'" for kind, name, _ in needed if kind == "table"]
        for part in scope:
            if (said := base.execute(f"PRAGMA quick_check({part})").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(" ".join(said.split()))
        for name in sorted(names):
            _check_values(base, model, name)


def is_empty(base: sqlite3.Connection, path: Path) -> bool:
    """Whether a file holds no table at all."""
    with _in_bounds(base, path):
        return not _things(base)


def is_inside(path: str | bytes) -> bool:
    """Whether a relative path stays in its folder."""
    parts = Path(os.fsdecode(path))
    return not parts.is_absolute() and ".." not in parts.parts and not parts.drive


def _check_file(path: Path) -> None:
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise sqlite3.OperationalError(error.strerror) from None
    if not stat.S_ISREG(kind):
        raise sqlite3.DatabaseError(f"{path.name} is a link or no file")
    if path.name.endswith("-journal"):
        try:
            with path.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - len(_JOURNAL_END)))
                end = file.read()
        except FileNotFoundError:  # who wrote has just ended
            return
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from None
        if end == _JOURNAL_END:
            raise sqlite3.DatabaseError(f"{path.name} names a file that SQLite would delete")


@contextlib.contextmanager
def _in_bounds(base: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Stop a statement that takes more steps than a file of this size can need: its pages lead in circles."""
    size = _size(path) + _size(path.with_name(f"{path.name}-wal"))
    base.set_progress_handler(lambda: 1, min(_STEPS[0] + _STEPS[1] * size, 2**31 - 1))
    try:
        yield
    except UnicodeDecodeError:  # Python takes SQLite's messages for UTF-8, and they quote names
        raise sqlite3.DatabaseError("a name in it is no text") from None
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise sqlite3.DatabaseError("its pages lead in circles") from None
        raise
    finally:
        base.set_progress_handler(None, 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # whoever wrote has just ended
        return 0


def _things(base: sqlite3.Connection) -> set[tuple[Any, ...]]:
    """Kind, name and text of all tables, indices, views and triggers."""
    return set(base.execute("SELECT type, name, sql FROM sqlite_master LIMIT 100"))


def _check_values(base: sqlite3.Connection, model: sqlite3.Connection, table: str) -> None:
    """Raise `sqlite3.DatabaseError` if a value is not of the type of its column, or too large."""
    wrong = []
    for _, name, declared, full, _, key in model.execute(f"PRAGMA table_info({table})"):
        kinds = [*_TYPES[declared], *([] if full or key else ["null"])]
        wrong.append(f"typeof({name}) NOT IN ({', '.join(map(repr, kinds))})")
        if declared == "REAL":
            wrong.append(f"abs({name}) > {_FAR}")
        elif declared in ("TEXT", ""):
            wrong.append(f"length(CAST({name} AS BLOB)) > {_LONGEST}")
    if base.execute(f"SELECT 1 FROM {table} WHERE {' OR '.join(wrong)} LIMIT 1").fetchone():
        raise sqlite3.DatabaseError(f"a value in {table} is of another kind")
    if table != "jobs":
        return
    if base.execute(f"SELECT 1 FROM jobs WHERE {_ODD} LIMIT 1").fetchone():
        raise sqlite3.DatabaseError("a state is none, or what goes with it is missing")
    for name in ("parameters", "models"):
        sentence = f"SELECT DISTINCT {name} FROM jobs WHERE {name} NOT NULL LIMIT {_SETS + 1}"
        for number, (text,) in enumerate(base.execute(sentence)):
            content = _content(text)
            if name == "models" and not all(map(is_plain_name, content)):
                raise sqlite3.DatabaseError("the name of a model is no plain name")
            if number == _SETS:
                raise sqlite3.DatabaseError(f"its results were made in more than {_SETS} ways")


def _content(text: str) -> dict[str, Any]:
    """The object that a JSON text holds: of texts, numbers, truths and lists of numbers."""
    try:
        content = json.loads(text) if len(text) <= _JSON else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not all(map(_is_flat, content.values())):
        raise sqlite3.DatabaseError("what results were made with is not said as JSON")
    return content


def _is_flat(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(item is None or isinstance(item, str | int | float) for item in items)
