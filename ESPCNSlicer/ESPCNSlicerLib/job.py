"""A computation in a thread of its own that says what happens through a queue.

The thread calls nothing of MRML or Qt. Whoever started it asks for its `Event`s, from a timer of the main
thread.
"""

import logging
import queue
import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """What happened in a job.

    Attributes
    ----------
    kind : {"progress", "note", "done", "cancelled", "failed"}
        The last three end it.
    text : str
        A sentence for the user.
    done, total : int
        Slices.
    seconds_left : float, optional
    result : object
        Of the computation, where it is done.
    """

    kind: str
    text: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    result: object = None


class Job:
    """Runs ``compute(progress, say)`` once.

    Parameters
    ----------
    compute : callable
        Gets ``progress(done, total)``, which returns False once the job is to stop, and ``say(sentence)``.
    """

    def __init__(self, compute):
        self._compute = compute
        self._events = queue.SimpleQueue()
        self._stop = threading.Event()
        self._started = 0.0
        self._thread = threading.Thread(target=self._run, name="ESPCN", daemon=True)

    def start(self):
        """Begin, and return at once."""
        self._started = time.monotonic()
        self._thread.start()

    def cancel(self):
        """Let it stop after the slices at hand; a ``cancelled`` event follows."""
        self._stop.set()

    @property
    def is_cancelled(self):
        """Whether it was told to stop."""
        return self._stop.is_set()

    @property
    def is_running(self):
        """Whether the thread is alive."""
        return self._thread.is_alive()

    def events(self):
        """What happened since the last call, in order."""
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def _run(self):
        from espcn_core.errors import CancelledError, EspcnError

        try:
            result = self._compute(self._progress, self._say)
        except CancelledError as stopped:
            self._events.put(Event("cancelled", str(stopped)))
        except EspcnError as error:
            self._events.put(Event("failed", str(error)))
        except Exception as error:  # a thread has no one else to tell
            logging.exception("ESPCN: the run failed")
            self._events.put(Event("failed", f"unexpected error: {error or type(error).__name__}"))
        else:
            self._events.put(Event("cancelled") if self.is_cancelled else Event("done", result=result))

    def _progress(self, done, total):
        seconds = time.monotonic() - self._started
        left = seconds / done * (total - done) if done else None
        self._events.put(Event("progress", done=done, total=total, seconds_left=left))
        return not self.is_cancelled

    def _say(self, sentence):
        self._events.put(Event("note", sentence))
