"""Runs a `Job` and tells the panel on the main thread what happens in it."""

import time

import qt

from ESPCNSlicerLib.job import Event, Job

_EVERY = 5
"""Milliseconds of the event loop between two looks at the queue."""

_SHARE = 0.01
"""Seconds that the main thread sleeps at each look. An event loop that waits in C++ may hold Python's lock,
and PythonQt's may. Then the thread of the job gets on best while the main thread sleeps in Python."""


class Runner:
    """One job at a time.

    Parameters
    ----------
    happened : callable
        Gets each `Event`, on the main thread.
    """

    def __init__(self, happened):
        self._happened = happened
        self._job = None
        self._timer = qt.QTimer()
        self._timer.interval = _EVERY
        self._timer.connect("timeout()", self._look)

    @property
    def is_busy(self):
        """Whether a job goes on, or is being cancelled."""
        return self._job is not None

    @property
    def is_cancelled(self):
        """Whether the job was told to stop."""
        return self._job is not None and self._job.is_cancelled

    def start(self, compute):
        """Begin a job: ``compute(progress, say)`` in a thread."""
        if self._job is not None:
            raise RuntimeError("a run goes on: cancel it first")
        self._job = Job(compute)
        self._job.start()
        self._timer.start()

    def cancel(self):
        """Let the job stop; its last event follows."""
        if self._job is not None:
            self._job.cancel()

    def abandon(self):
        """Let the job stop, and hear no more of it."""
        self.cancel()
        self._timer.stop()
        self._job = None

    def _look(self):
        if self._job is not None and self._job.is_running:
            time.sleep(_SHARE)
        for event in self._job.events() if self._job is not None else ():
            if event.kind in ("done", "cancelled", "failed"):
                if self.is_cancelled and event.kind == "done":
                    event = Event("cancelled")  # it was ready, but nobody wants it any more
                self._timer.stop()
                self._job = None
            self._happened(event)
