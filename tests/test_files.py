from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from espcn_core.files import clear_leftovers, complete_file, complete_folder, part_path, publish

HOLD = """
import sys, time
from espcn_core.files import complete_file
with complete_file(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""

WRITE = """
import sys
import nibabel as nib, numpy as np
from espcn_core.volumes import from_nibabel, write
array = np.random.default_rng(0).integers(0, 999, (400, 400, 200)).astype(np.int16)
volume = from_nibabel(nib.Nifti1Image(array, np.eye(4)))
print("writing", flush=True)
write(volume, sys.argv[1])
"""


def names(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def child(tmp_path):
    """Starts a process that writes a file and does not end by itself in time."""
    running = []

    def start(code, name):
        process = subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / name], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout.readline() == "writing\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_name_appears_with_the_last_byte(tmp_path):
    path = tmp_path / "a.nii"
    with complete_file(path) as file:
        file.write(b"new")
        (part,) = names(tmp_path)
        assert part.startswith(".a.nii.")
        assert part.endswith(".espcn-part")
    assert names(tmp_path) == ["a.nii"]
    assert path.read_bytes() == b"new"
    umask = os.umask(0o022)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_after_an_error_all_is_as_before(tmp_path, error):
    path = tmp_path / "a.nii"
    path.write_bytes(b"old")

    def fail():
        with complete_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == ["a.nii"]
    assert path.read_bytes() == b"old"


def test_a_link_is_replaced_and_its_target_kept(tmp_path):
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "a.nii").symlink_to("target")
    with complete_file(tmp_path / "a.nii") as file:
        file.write(b"new")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert (tmp_path / "a.nii").read_bytes() == b"new"


def test_the_longest_name(tmp_path):
    name = "é" * 125 + ".nii"  # 254 bytes
    with complete_file(tmp_path / name) as file:
        file.write(b"x")
        (part,) = names(tmp_path)
    assert names(tmp_path) == [name]
    (tmp_path / part).touch()
    assert clear_leftovers(tmp_path, [name]) == 1


def test_a_kill_in_the_middle_leaves_nothing_under_the_name(tmp_path, child):
    process = child(WRITE, "a.nii.gz")
    deadline = time.monotonic() + 30
    while not any(p.stat().st_size for p in tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (part,) = names(tmp_path)
    assert part.startswith(".a.nii.gz.")
    assert clear_leftovers(tmp_path, ["b.nii.gz", "a.nii"]) == 0
    assert clear_leftovers(tmp_path, ["a.nii.gz"]) == 1
    assert names(tmp_path) == []


def test_what_a_living_process_writes_is_left_alone(tmp_path, child):
    dead, living = child(HOLD, "a.nii"), child(HOLD, "a.nii")
    dead.kill()
    dead.wait()
    assert len(names(tmp_path)) == 2
    assert clear_leftovers(tmp_path) == 1
    (part,) = names(tmp_path)
    assert (tmp_path / part).read_bytes() == b"half"
    living.kill()
    living.wait()
    assert clear_leftovers(tmp_path) == 1


def test_other_files_and_other_folders_are_left_alone(tmp_path):
    for name in ("a.nii", ".a.nii", ".hidden", "a.espcn-part"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".a.nii.0123abcd.espcn-part").touch()
    assert clear_leftovers(tmp_path) == 0
    assert clear_leftovers(tmp_path / "sub") == 1
    assert clear_leftovers(tmp_path / "missing") == 0
    assert len(names(tmp_path)) == 5


def test_a_file_swept_between_creation_and_lock_is_made_again(tmp_path, monkeypatch):
    from espcn_core import files

    lock, swept = files._lock, []

    def sweep_first(file):
        if not swept:
            swept.append(clear_leftovers(tmp_path))
        lock(file)

    monkeypatch.setattr(files, "_lock", sweep_first)
    with complete_file(tmp_path / "a.nii") as file:
        file.write(b"x")
    assert swept == [1]
    assert names(tmp_path) == ["a.nii"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    from espcn_core import files

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    with complete_file(tmp_path / "a.nii") as file:
        file.write(b"x")
        assert clear_leftovers(tmp_path) == 0
    assert names(tmp_path) == ["a.nii"]


def test_a_part_grows_hidden_beside_its_place(tmp_path):
    path = tmp_path / "a.h5"
    part = part_path(path)
    assert part.parent == path.parent
    assert part.name.startswith(".")
    part.write_text("new")
    path.write_text("old")
    assert clear_leftovers(tmp_path) == 0  # it is there to be gone on with
    publish(path)
    assert path.read_text() == "new"
    assert not part.exists()


FILL = """
import sys, time
from espcn_core.files import complete_folder
with complete_folder(sys.argv[1]) as folder:
    (folder / "1").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_folder_appears_when_all_of_it_is_there(tmp_path):
    with complete_folder(tmp_path / "a") as folder:
        (folder / "1").write_bytes(b"one")
        assert not (tmp_path / "a").exists()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a" / "1").read_bytes() == b"one"
    with complete_folder(tmp_path / "a") as folder:
        (folder / "2").write_bytes(b"two")
        assert names(tmp_path / "a") == ["1"]
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["2"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_a_folder_is_as_before(tmp_path, error):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()

    def fail():
        with complete_folder(tmp_path / "a") as folder:
            (folder / "1").write_bytes(b"one")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["old"]


def test_a_folder_of_a_living_process_is_left_alone_and_that_of_a_dead_one_cleared(tmp_path, child):
    dead, living = child(FILL, "a"), child(FILL, "a")
    dead.kill()
    dead.wait()
    assert len(names(tmp_path)) == 2
    assert clear_leftovers(tmp_path, ["b"]) == 0
    assert clear_leftovers(tmp_path, ["a"]) == 1
    (part,) = names(tmp_path)
    assert names(tmp_path / part) == ["1"]
    living.kill()
    living.wait()
    assert clear_leftovers(tmp_path) == 1
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_replaced_is_as_before(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(NotADirectoryError), complete_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a"]


def test_the_old_folder_comes_back_if_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    rename, calls = os.rename, []

    def once(source, target):
        calls.append(source)
        if len(calls) == 2:
            raise PermissionError
        rename(source, target)

    monkeypatch.setattr(os, "rename", once)
    with pytest.raises(PermissionError), complete_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == ["old"]
