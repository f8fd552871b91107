"""Ctrl-C and SIGTERM that end a command in time, even while a library computes and hears nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

INTERRUPTED = 130

_SECONDS = 2.5
"""From the first signal to the end, whatever is still computing."""


@contextlib.contextmanager
def ending_in_time(message: str) -> Iterator[None]:
    """Within the block the first signal raises `KeyboardInterrupt`; the second ends the process at once.

    If the process is still there 2.5 s after the first, because it computes and Python cannot interrupt that,
    it is ended too: what it was writing has no name yet, and the system releases its locks.

    Parameters
    ----------
    message : str
        The line that is said by a process that ends so.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = {signal.SIGINT, signal.SIGTERM}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, _interrupt) for number in ours}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, {int(n) for n in ours}, message), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        watch.join()
        os.close(reader)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _watch(reader: int, ours: set[int], message: str) -> None:
    """Gets the number of every signal as a byte, as soon as it comes, and nothing at the end."""
    heard = 0
    timer = threading.Timer(_SECONDS, _end, (message,))
    timer.daemon = True
    while numbers := os.read(reader, 16):
        heard += sum(number in ours for number in numbers)
        if heard == 1 and not timer.is_alive():
            timer.start()
        if heard > 1:
            _end(message)
    timer.cancel()


def _end(message: str) -> None:
    os.write(2, f"\nespcn-core: {message}\n".encode())
    os._exit(INTERRUPTED)
