"""Ctrl-C and SIGTERM, also while nothing of Python runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from espcn_core.cli.interruption import ending_in_time

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

BUSY = """
import sys
from espcn_core.cli.interruption import ending_in_time
import numpy as np
with ending_in_time("ended"):
    print("busy", flush=True)
    try:
        while True:
            {work}
    except KeyboardInterrupt:
        {after}
"""


def sent(code: str, *signals: int, pause: float = 0.2) -> tuple[int, float, str]:
    """Exit code, seconds since the first signal, and what was said."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) as process:
        process.stdout.readline()
        time.sleep(0.2)
        started = time.perf_counter()
        for number in signals:
            process.send_signal(number)
            time.sleep(pause)
        error = process.communicate(timeout=30)[1]
        return process.returncode, time.perf_counter() - started, error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_an_exception(number):
    code, seconds, error = sent(BUSY.format(work="pass", after="sys.exit(7)"), number)
    assert (code, error) == (7, "")
    assert seconds < 2


def test_who_computes_on_is_ended_in_time():
    work = "np.sort(np.random.default_rng(1).random(400_000_000 // 8))"
    code, seconds, error = sent(BUSY.format(work=work, after="import time; time.sleep(60)"), signal.SIGINT)
    assert code == 130
    assert 2 < seconds < 3.5
    assert error.strip() == "espcn-core: ended"


def test_the_second_signal_ends_at_once():
    code, seconds, error = sent(BUSY.format(work="pass", after="import time; time.sleep(60)"), 2, 15)
    assert code == 130
    assert seconds < 1.5
    assert error.strip() == "espcn-core: ended"


def test_handlers_come_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with ending_in_time("x"):
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    assert signal.set_wakeup_fd(-1) == -1
