"""Waiting for something while Qt's events go on."""

from __future__ import annotations

import time
from collections.abc import Callable

import qt


class Wait:
    """Call it with a condition: events are processed until it holds.

    `longest_gap` is the longest time in seconds, over all waits, in which the event loop did not get round to
    a timer of 5 ms: as long was the panel frozen.
    """

    HEARTBEAT = 5  # ms

    def __init__(self) -> None:
        self.longest_gap = 0.0

    def __call__(self, condition: Callable[[], object], seconds: float = 10.0, what: str = "") -> None:
        """Process events until the condition holds.

        Parameters
        ----------
        condition : callable
            Asked after every turn of the event loop.
        seconds : float
            How long to wait at most.
        what : str
            The name of the condition for the message.

        Raises
        ------
        AssertionError
            If the time is over first.
        """
        begin = self._last = time.monotonic()
        timer = qt.QTimer()
        timer.setTimerType(qt.Qt.PreciseTimer)
        timer.timeout.connect(self._beat)
        timer.start(self.HEARTBEAT)
        loop = qt.QEventLoop
        try:
            while not condition():
                if time.monotonic() - begin > seconds:
                    raise AssertionError(f"{what or 'The condition'} did not come true in {seconds:g} s")
                qt.QApplication.processEvents(loop.AllEvents | loop.WaitForMoreEvents)
        finally:
            timer.stop()
            self._beat()

    def _beat(self) -> None:
        now = time.monotonic()
        self.longest_gap = max(self.longest_gap, now - self._last)
        self._last = now
