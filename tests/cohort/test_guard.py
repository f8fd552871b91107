"""A manifest that a stranger may have put there is refused in a sentence, or does nothing but be read."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from espcn_core.cli.status import status
from espcn_core.cohort import guard
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.lock import locked
from espcn_core.cohort.manifest import Manifest
from espcn_core.cohort.stamps import Stamp
from espcn_core.cohort.status import read_status
from espcn_core.cohort.tables import NAME
from espcn_core.cohort.work import Outcome
from espcn_core.errors import EspcnError, ManifestError, RequestError

MADE = '{"model":null,"scale":[2,2]}'
OTHER = '{"model":null,"scale":[3,3]}'
STAMP = Stamp(100, 5, "aa")


@pytest.fixture
def out(tmp_path) -> Path:
    """An output folder with one result and one failure."""
    folder = tmp_path / "out"
    folder.mkdir()
    with Manifest(folder) as manifest:
        done, failed = jobs(folder)
        manifest.begin_run(1, "1")
        manifest.expect([done, failed], "", [100, 100])
        manifest.finish(Outcome(done, "done", models={"m": "0"}, read=STAMP, wrote=(STAMP,)), MADE)
        manifest.finish(Outcome(failed, "failed", error="it is damaged"), MADE)
    return folder


def jobs(folder: Path) -> list[Job]:
    return [Job(Path(f"in/{name}.nii"), folder / f"{name}.nii", label=Path(f"{name}.nii")) for name in "ab"]


def change(folder: Path, statements: str) -> None:
    base = sqlite3.connect(folder / NAME, isolation_level=None)
    base.executescript(statements)
    base.close()


def refusals(folder: Path) -> list[str]:
    """What each use says; it must refuse."""
    said = []
    for use in (read_status, Manifest, lambda folder: Manifest(folder, read_only=True)):
        with pytest.raises(EspcnError) as caught:
            use(folder)
        assert str(caught.value).startswith(f"{folder / NAME} ")
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize(
    "statements",
    [
        "CREATE TRIGGER t AFTER UPDATE ON jobs BEGIN DELETE FROM runs; END",
        "CREATE TRIGGER t AFTER INSERT ON glances BEGIN DELETE FROM jobs; END",
        "ALTER TABLE jobs RENAME TO j; CREATE VIEW jobs AS SELECT * FROM j",
        "ALTER TABLE jobs ADD COLUMN more TEXT GENERATED ALWAYS AS (hex(error)) VIRTUAL",
        "CREATE INDEX i ON jobs (hex(error))",
        "CREATE TABLE more (x)",
        "DROP TABLE runs",
        "DROP TABLE runs; CREATE TABLE runs (id INTEGER PRIMARY KEY, started REAL)",
    ],
)
def test_tables_that_are_not_ours_are_refused_and_left_as_they_are(out, statements):
    change(out, statements)
    before = (out / NAME).read_bytes()
    for said in refusals(out):
        assert "(its tables are not those of a manifest): delete it, which loses nothing but time" in said
    assert (out / NAME).read_bytes() == before
    assert os.listdir(out) == [NAME]


def test_another_program_s_database_is_not_made_a_manifest(tmp_path):
    change(tmp_path, "CREATE TABLE mine (x)")
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(RequestError, match="manifest of form 0"):
        Manifest(tmp_path)
    assert (tmp_path / NAME).read_bytes() == before


def test_a_manifest_without_the_table_that_came_later_is_taken(out):
    change(out, "DROP TABLE glances")
    assert read_status(out).counts["done"] == 1
    with Manifest(out) as manifest:
        assert manifest.entry(jobs(out)[0]).state == "done"
    change(out, "SELECT output FROM glances")


@pytest.mark.parametrize(
    ("change_of", "says"),
    [
        ("error = x'00'", "of another kind"),
        ("error = hex(zeroblob(40000))", "of another kind"),
        ("error = CAST(zeroblob(20000000) AS TEXT)", "too big"),
        ("voxels = 'many'", "of another kind"),
        ("voxels = 1.5", "of another kind"),
        ("ended = 9e999", "of another kind"),
        ("trust = 5", "of another kind"),
        ("error = NULL", "a state is none, or what goes with it is missing"),
        ("parameters = NULL", "a state is none, or what goes with it is missing"),
        ("models = NULL", "a state is none, or what goes with it is missing"),
        ("state = 'odd'", "a state is none|CHECK"),
        ("parameters = 'null'", "not said as JSON"),
        ("parameters = '[1]'", "not said as JSON"),
        ("parameters = '{'", "not said as JSON"),
        ("parameters = '{\"a\":[[1]]}'", "not said as JSON"),
        ("parameters = replace(hex(zeroblob(2000)), '0', '[')", "not said as JSON"),
        ("parameters = '{\"a\":\"' || hex(zeroblob(2050)) || '\"}'", "not said as JSON"),
        ('models = \'{"../m":"0"}\'', "no plain name"),
    ],
)
def test_values_that_no_manifest_holds_are_refused(out, change_of, says):
    change(out, f"PRAGMA ignore_check_constraints = 1; UPDATE jobs SET {change_of}")
    for said in refusals(out):
        assert re.search(says, said), said


def test_more_ways_of_making_than_there_can_be_are_refused(out, monkeypatch):
    change(out, "UPDATE jobs SET parameters = '{\"a\":\"' || output || '\"}'")
    assert len(read_status(out).made_with) == 1
    monkeypatch.setattr(guard, "_SETS", 1)
    assert "more than 1 ways" in refusals(out)[0]


def test_a_table_in_the_place_of_the_schema_is_refused(out):
    change(out, "PRAGMA writable_schema = 1; UPDATE sqlite_master SET rootpage = 1 WHERE name = 'jobs'")
    refusals(out)


def test_tables_that_share_their_pages_are_refused_before_a_write(out):
    root = "SELECT rootpage FROM sqlite_master WHERE name = 'runs'"
    statement = f"UPDATE sqlite_master SET rootpage = ({root}) WHERE name = 'glances'"
    change(out, f"DELETE FROM runs; PRAGMA writable_schema = 1; {statement}")
    before = (out / NAME).read_bytes()
    with pytest.raises(RequestError, match="delete it"):
        Manifest(out)
    assert (out / NAME).read_bytes() == before


def test_a_manifest_without_runs_has_no_time_left(out):
    change(out, "DELETE FROM runs; UPDATE jobs SET state = 'waiting'")
    with locked(out):
        assert read_status(out).seconds_left is None


def test_what_a_manifest_says_is_printed_without_control_characters(out, capsys):
    change(out, "UPDATE jobs SET error = char(27) || '[2J' || char(10) || 'forged' WHERE state = 'failed'")
    status(out)
    assert r"failed: b.nii: \x1b[2J forged" in capsys.readouterr().out


def test_pages_that_lead_in_circles_are_no_hang(out, monkeypatch):
    monkeypatch.setattr(guard, "_STEPS", (10, 0))
    assert all("its pages lead in circles" in said for said in refusals(out))


def test_a_name_in_the_schema_that_is_no_text_is_a_sentence(out):
    path = out / NAME
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE runs", b"CREATE \xffABLE runs"))
    refusals(out)


def test_results_elsewhere_are_not_looked_for(out, tmp_path, monkeypatch):
    (tmp_path / "secret").touch()
    seen = []
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: seen.append(str(path)) or exists(path))
    for place in ("../secret", str(tmp_path / "secret"), "a/../../secret"):
        change(out, f"UPDATE jobs SET output = '{place}' WHERE state = 'done'")
        with Manifest(out) as manifest:
            assert manifest.made_otherwise("", OTHER) == []
    assert not [path for path in seen if path.endswith("secret")]


def super_journal(base: Path, victim: Path) -> bytes:
    """A journal to be rolled back, of a transaction over several files, whose own journal is ``victim``."""
    magic = bytes.fromhex("d9d505f920a163d7")
    pages = base.stat().st_size // 4096
    head = magic + b"".join(n.to_bytes(4, "big") for n in (0, 1, pages, 512, 4096))
    name = os.fsencode(victim)
    tail = (len(name), sum(name))
    locking = (0x40000000 // 4096 + 1).to_bytes(4, "big")
    return head.ljust(512, b"\0") + locking + name + b"".join(n.to_bytes(4, "big") for n in tail) + magic


def test_a_journal_that_names_another_file_deletes_nothing(out, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (out / f"{NAME}-journal").write_bytes(super_journal(out / NAME, victim))
    for said in refusals(out):
        assert "-journal names a file that SQLite would delete" in said
    assert victim.read_text() == "mine"
    change(out, "SELECT * FROM jobs")  # SQLite itself
    assert not victim.exists()


def test_a_journal_that_is_deleted_meanwhile_is_none(out, monkeypatch):
    journal = out / f"{NAME}-journal"
    journal.touch()
    look = os.lstat

    def lstat(path):
        found = look(path)
        journal.unlink() if path == journal else None
        return found

    monkeypatch.setattr(os, "lstat", lstat)
    assert read_status(out).counts["done"] == 1


def test_a_journal_of_a_write_that_was_cut_off_is_rolled_back(out):
    whole = (out / NAME).read_bytes()
    base = sqlite3.connect(out / NAME, isolation_level=None)
    base.execute("PRAGMA cache_size = 1")
    base.execute("BEGIN")
    base.execute("UPDATE jobs SET error = hex(zeroblob(20000))")
    cut, journal = (out / NAME).read_bytes(), (out / f"{NAME}-journal").read_bytes()
    base.execute("ROLLBACK")
    base.close()
    assert cut != whole
    (out / NAME).write_bytes(cut)
    (out / f"{NAME}-journal").write_bytes(journal)
    with Manifest(out) as manifest:
        assert manifest.entry(jobs(out)[0]).state == "done"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("more", ["", "-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["link", "hanging link", "pipe", "folder"])
def test_links_and_pipes_in_place_of_its_files_are_refused(out, tmp_path, more, kind):
    path, other = out / f"{NAME}{more}", tmp_path / "other"
    path.unlink(missing_ok=True)
    if kind == "link":
        other.write_bytes(b"")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(other)
    with pytest.raises(EspcnError, match=f"{path.name} is a link or no file"):
        Manifest(out)
    assert not other.exists() or other.read_bytes() == b""
    assert other.exists() == (kind == "link")


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".espcn-core.lock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"), locked(out):
        pass
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_lock_that_is_a_pipe_is_no_hang(out):
    os.mkfifo(out / ".espcn-core.lock")
    code = "import sys; from pathlib import Path; from espcn_core.cohort.status import read_status as r"
    line = [sys.executable, "-c", f"{code}; print(r(Path(sys.argv[1])).alive)", str(out)]
    assert subprocess.run(line, capture_output=True, text=True, check=True, timeout=30).stdout == "False\n"


def test_a_manifest_without_permission_is_a_sentence(out, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "lstat", refuse)
    with pytest.raises(ManifestError, match="cannot be used: Permission denied"):
        Manifest(out)
