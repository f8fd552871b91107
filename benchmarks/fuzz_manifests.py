"""Manifests to damage, and what a command does with one that it finds: a part of `benchmarks.fuzz`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
import tempfile
from pathlib import Path
from unittest import mock

from benchmarks.fuzz_mutations import Part
from espcn_core.cohort.choice import choose
from espcn_core.cohort.glance import Glance
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.settings import hash_of
from espcn_core.cohort.shown import Results
from espcn_core.cohort.stamps import Stamp
from espcn_core.cohort.status import read_status
from espcn_core.cohort.tables import NAME
from espcn_core.cohort.work import Outcome
from espcn_core.errors import EspcnError

_MADE = '{"dtype":"same","model":null,"scale":[2,2],"spacing":null,"version":"1"}'
_MODEL = "espcn-r-x2"
_STAMP = Stamp(100, 5, "aa")
_LEFT = {NAME + more for more in ("", "-wal", "-shm", "-journal")} | {"0_sr.nii"}
_RAN = b"a trigger ran"
_NOISE = "SELECT 'a trig' || 'ger ran'"
_HOSTILE = (
    f"CREATE TRIGGER t AFTER UPDATE ON jobs BEGIN UPDATE runs SET version = ({_NOISE}); END",
    f"CREATE TRIGGER t AFTER INSERT ON runs BEGIN UPDATE runs SET version = ({_NOISE}); END",
    "ALTER TABLE jobs RENAME TO j; CREATE VIEW jobs AS SELECT * FROM j",
    f"ALTER TABLE jobs ADD COLUMN more TEXT GENERATED ALWAYS AS ({_NOISE[7:]}) VIRTUAL",
    "CREATE INDEX i ON jobs (hex(zeroblob(10000)))",
    "CREATE INDEX i ON jobs (state) WHERE length(hex(zeroblob(1000))) > 0",
    "CREATE TABLE more (x DEFAULT (hex(zeroblob(10000))))",
    "CREATE VIRTUAL TABLE more USING fts5(x)",
    "ANALYZE",
    "UPDATE jobs SET output = '../../x' WHERE state = 'done'",
    "UPDATE jobs SET output = '/etc/passwd', trust = '/etc/shadow' WHERE state = 'done'",
    "UPDATE jobs SET parameters = replace(hex(zeroblob(30000)), '0', '[')",
    "UPDATE jobs SET models = replace(hex(zeroblob(1000)), '0', '[')",
    'UPDATE jobs SET models = \'{"../../../etc/x":"00"}\'',
    "UPDATE jobs SET models = '[1]', parameters = 'null'",
    "UPDATE jobs SET parameters = x'00ff', error = zeroblob(3000000)",
    "UPDATE jobs SET voxels = 9e999, input_size = 'many', input_mtime_ns = -1, ended = 9e999",
    "UPDATE jobs SET input_size = 9223372036854775807, voxels = 9223372036854775807",
    "UPDATE jobs SET error = char(27) || '[2J' || char(10) || 'forged', input = char(27)",
    "UPDATE runs SET started = 'once', process = x'00'",
    "DELETE FROM runs",
    "PRAGMA ignore_check_constraints = 1; UPDATE jobs SET state = 'odd'",
    "UPDATE glances SET coarse = zeroblob(5000000), notes = '[[', plan = x'ff', width = -1",
    "PRAGMA user_version = 2",
    "PRAGMA user_version = 0",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET rootpage = 2 WHERE rootpage > 1",
    "PRAGMA writable_schema = 1; UPDATE sqlite_master SET rootpage = 1 WHERE name = 'jobs'",
    "PRAGMA encoding = 'UTF-16'; VACUUM",
    "PRAGMA auto_vacuum = 1; VACUUM",
    "PRAGMA page_size = 512; VACUUM",
    "PRAGMA page_size = 65536; VACUUM",
)


def _jobs(folder: Path) -> list[Job]:
    return [Job(Path(f"in/{n}.nii"), folder / f"{n}_sr.nii", label=Path(f"{n}.nii")) for n in range(5)]


def _outcome(job: Job, state: str = "done") -> Outcome:
    if state == "failed":
        return Outcome(job, "failed", error=f"{job.source} is damaged")
    glance = Glance(bytes(64), bytes(64), 8, 8, "axial", 0.01)
    return Outcome(
        job, "done", plan="x2", notes=("a note",), voxels=7, models={_MODEL: hash_of(_MODEL)},
        read=_STAMP, wrote=(_STAMP,), glance=glance,
    )  # fmt: skip


def _fill(manifest: Manifest, jobs: list[Job]) -> None:
    """One done, one failed, one running, two waiting."""
    manifest.begin_run(1, "1")
    manifest.expect(jobs, "", [100] * len(jobs))
    manifest.finish(_outcome(jobs[0]), _MADE)
    manifest.finish(_outcome(jobs[1], "failed"), _MADE)
    manifest.start(jobs[2])


def _parts(folder: Path) -> list[Part]:
    names = [name for name in (NAME, f"{NAME}-wal") if (folder / name).exists()]
    contents = [(folder / name).read_bytes() for name in names]
    return [
        Part(name, content if name == NAME else _salted(content), text=True)
        for name, content in zip(names, contents, strict=True)
    ]


def _salted(wal: bytes) -> bytes:
    """A log with salts that are the same in each run, and the sums that go with them.

    See section 4 of https://www.sqlite.org/fileformat2.html.
    """
    order = ">" if wal[3] & 1 else "<"
    (page,) = struct.unpack_from(">I", wal, 8)
    salted, first, second = bytearray(wal), 0, 0

    def add(at: int, size: int) -> None:
        nonlocal first, second
        words = struct.unpack_from(f"{order}{size // 4}I", salted, at)
        for one, other in zip(words[::2], words[1::2], strict=True):
            first = (first + one + second) % 2**32
            second = (second + other + first) % 2**32

    salted[16:24] = bytes(8)
    add(0, 24)
    struct.pack_into(">II", salted, 24, first, second)
    for at in range(32, len(salted), 24 + page):
        salted[at + 8 : at + 16] = bytes(8)
        add(at, 8)
        add(at + 24, page)
        struct.pack_into(">II", salted, at + 16, first, second)
    return bytes(salted)


def _of_rows(plain: bytes) -> bytes:
    """A manifest with the rows that a JSON text says, as far as it can be read."""
    with tempfile.TemporaryDirectory() as name:
        with Manifest(Path(name)):
            pass
        base = sqlite3.connect(Path(name) / NAME, isolation_level=None)
        base.execute("PRAGMA synchronous = OFF")
        base.execute("PRAGMA ignore_check_constraints = ON")
        try:
            rows = json.loads(plain)
        except (ValueError, RecursionError):
            rows = []
        for row in rows if isinstance(rows, list) else []:
            if not isinstance(row, list) or not row or row[0] not in ("jobs", "runs", "glances"):
                continue
            with contextlib.suppress(sqlite3.Error, TypeError, ValueError, OverflowError, LookupError):
                base.execute(f"INSERT INTO {row[0]} VALUES ({', '.join('?' * (len(row) - 1))})", row[1:])
        base.close()
        return (Path(name) / NAME).read_bytes()


def _rows(path: Path) -> bytes:
    """The rows of a manifest as a JSON text; pictures are left out."""
    base = sqlite3.connect(path)
    rows = [[name, *row] for name in ("jobs", "runs") for row in base.execute(f"SELECT * FROM {name}")]
    glances = base.execute(
        "SELECT output, NULL, NULL, width, height, view, difference, plan, notes FROM glances"
    )
    rows += [["glances", *row] for row in glances]
    base.close()
    return json.dumps(rows, indent=0).encode()


def manifests() -> list[list[Part]]:
    """Empty ones, full ones, one of a run that goes on, and hostile ones."""
    found = []
    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch("time.time", return_value=1.7e9),
        mock.patch("os.getpid", return_value=1000),
    ):
        folder = Path(name)
        with Manifest(folder):
            pass
        found.append(_parts(folder))
        with Manifest(folder) as manifest:
            _fill(manifest, _jobs(folder))
            found += [_parts(folder)] * 25
        good = (folder / NAME).read_bytes()
        found += [[Part(NAME, _rows(folder / NAME), _of_rows, text=True)]] * 50
        found += [_parts(folder)] * 25
        for statement in _HOSTILE:
            (folder / NAME).write_bytes(good)
            base = sqlite3.connect(folder / NAME, isolation_level=None)
            base.executescript(statement)
            base.close()
            found.append(_parts(folder))
    return found


def read_manifest(folder: Path) -> int:
    """All that commands do with a manifest, whatever of it is refused: look, choose, and write."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    around = sorted(folder.parent.iterdir())
    jobs = _jobs(folder)
    jobs[0].target.write_bytes(bytes(100))
    refused: list[EspcnError] = []
    for use in (_look, _show, _choose, _write, _look):
        try:
            use(folder, jobs)
        except EspcnError as error:
            refused.append(error)
    left = {path.name for path in folder.iterdir()}
    assert left <= _LEFT, left
    assert sorted(folder.parent.iterdir()) == around
    assert not any(_RAN in path.read_bytes() for path in folder.iterdir()), "a trigger ran"
    if refused:
        raise refused[0]
    return size


def _look(folder: Path, jobs: list[Job]) -> None:
    read_status(folder)


def _show(folder: Path, jobs: list[Job]) -> None:
    with Results(jobs, folder) as results:
        list(results)


def _choose(folder: Path, jobs: list[Job]) -> None:
    with Manifest(folder, read_only=True) as manifest:
        choose(jobs, "resume", manifest, _MADE)


def _write(folder: Path, jobs: list[Job]) -> None:
    with Manifest(folder) as manifest:
        todo = choose(jobs, "skip", manifest, _MADE)
        manifest.begin_run(1, "1")
        manifest.expect(todo, "", [100] * len(todo))
        for job in todo[:2]:
            manifest.start(job)
            manifest.finish(_outcome(job), _MADE)
