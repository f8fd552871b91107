"""One run at a time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from espcn_core.cohort.lock import NAME, is_held, locked
from espcn_core.errors import RequestError

HOLD = """
import sys, time
from pathlib import Path
from espcn_core.cohort.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_leaves_nothing(tmp_path):
    with locked(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_is_refused_in_a_sentence(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(RequestError, match=r"^another run writes into .*: wait for it, or"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        pass


def test_a_killed_process_holds_nothing(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        assert is_held(tmp_path)
        with pytest.raises(RequestError), locked(tmp_path):
            pass
        process.kill()
    assert (tmp_path / NAME).exists()  # the file stays, the lock does not
    assert not is_held(tmp_path)
    with locked(tmp_path):
        pass
