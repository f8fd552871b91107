"""A worker process: gets jobs through its input, tells through its output how they go."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any, BinaryIO

from espcn_core.cohort.jobs import Job
from espcn_core.cohort.work import Outcome, Wanted, Worker
from espcn_core.errors import CancelledError
from espcn_core.upscaling.engines import Engines

_SECONDS = 0.2
"""Between two messages about the progress of a file."""


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know once.

    Attributes
    ----------
    wanted : Wanted
    engines : tuple of str
        Device, precision and engine.
    hashes, debug : bool
        As for `espcn_core.cohort.work.Worker`.
    """

    wanted: Wanted
    engines: tuple[str, str, str]
    hashes: bool = False
    debug: bool = False


class _Channel:
    """The way to the parent; a `Watcher` that passes on what it is told, not too often."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._last = 0.0

    def send(self, kind: str, *values: Any) -> None:
        pickle.dump((kind, *values), self._file)
        self._file.flush()

    def begin(self, job: Job, plan: str, place: str) -> None:
        self.send("begin", plan, place)

    def upscaled(self, job: Job, done: int, total: int) -> None:
        self._sometimes("upscaled", done, total)

    def written(self, job: Job, done: int, total: int) -> None:
        self._sometimes("written", done, total)

    def finish(self, outcome: Outcome) -> None:
        self.send("finish", outcome)

    def _sometimes(self, kind: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS:
            self._last = now
            self.send(kind, done, total)


def serve() -> None:
    """Work until the input ends or says so.

    The end of the input is the end of the parent, whatever the reason: then the process ends at once.
    What a terminal or a cluster sends to all processes is for the parent, which tells.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel, source = _Channel(os.fdopen(os.dup(1), "wb")), os.fdopen(os.dup(0), "rb")
    os.dup2(2, 1)  # what anybody prints is no message
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # a library may fork, and a child then closes what a thread reads
    setup: Setup = pickle.load(source)
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(source, jobs, stop), daemon=True).start()
    worker = Worker(
        setup.wanted, Engines(*setup.engines), channel,
        stopped=stop.is_set, hashes=setup.hashes, debug=setup.debug,
    )  # fmt: skip
    channel.send("ready")
    while (job := jobs.get()) is not None:
        try:
            channel.finish(worker(job))
        except CancelledError:
            return


def _listen(file: BinaryIO, jobs: queue.SimpleQueue[Job | None], stop: threading.Event) -> None:
    """Take jobs; None means to stop, in the middle of one too."""
    try:
        while (job := pickle.load(file)) is not None:
            jobs.put(job)
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(1)
    stop.set()
    jobs.put(None)
