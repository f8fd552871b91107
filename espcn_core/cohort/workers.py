"""Several worker processes, of which any may be killed: that costs the one volume it worked on."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

from espcn_core.cohort.jobs import Job, clear_leftovers_of
from espcn_core.cohort.work import Outcome, Watcher, naming
from espcn_core.cohort.worker import Setup
from espcn_core.errors import EspcnError

_PATIENCE = 1.5
"""Seconds that workers have to leave what they do, when they are told to."""

_KILLED = (
    "the worker was killed, probably for want of memory: use fewer --jobs, or a machine with more memory"
)


class Workers:
    """Worker processes that upscale jobs.

    Parameters
    ----------
    command : sequence of str
        Starts a process that calls `espcn_core.cohort.worker.serve`.
    setup : Setup
    count : int
        How many at most.
    threads : int
        That each may compute with.
    watcher : Watcher
        `Watcher.finish` is not called.
    """

    def __init__(
        self, command: Sequence[str], setup: Setup, count: int, threads: int, watcher: Watcher
    ) -> None:
        self._command, self._setup, self._watcher = command, setup, watcher
        self._count, self._threads, self._reason = count, threads, _KILLED
        self._messages: queue.SimpleQueue[tuple[_Process, tuple[Any, ...] | None]] = queue.SimpleQueue()
        self._processes: set[_Process] = set()

    def run(self, jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        """The outcomes, each when it is known.

        A job whose worker was killed is done once more, alone, after all others.

        Raises
        ------
        EspcnError
            If no worker can be started.
        """
        again: list[Job] = []
        try:
            yield from self._rounds(deque(jobs), self._count, again)
            for job in again:
                self._dismiss()  # so that it has all the memory there is
                second: list[Job] = []
                yield from self._rounds(deque([job]), 1, second)
                for lost in second:
                    yield Outcome(lost, "failed", error=naming(lost, self._reason))
        finally:
            self._stop()

    def _rounds(self, jobs: deque[Job], count: int, lost: list[Job]) -> Iterator[Outcome]:
        """Give a job to whoever has none until all are done; jobs of killed workers are added to ``lost``."""
        while jobs or any(process.job for process in self._processes):
            while jobs and len(self._processes) < min(count, self._busy() + len(jobs)):
                self._processes.add(_Process(self._command, self._setup, self._threads, self._messages))
            process, message = self._messages.get()
            if process not in self._processes:
                continue
            if message is None:
                self._lose(process, lost)
                continue
            kind, *values = message
            if kind == "finish":
                process.job = None
            elif kind != "ready":
                getattr(self._watcher, kind)(process.job, *values)
            if process.job is None and jobs:
                process.give(jobs.popleft())
            if kind == "finish":
                yield values[0]

    def _busy(self) -> int:
        return sum(process.job is not None for process in self._processes)

    def _lose(self, process: _Process, lost: list[Job]) -> None:
        """A worker has ended that nobody told to."""
        self._processes.discard(process)
        code = process.wait()
        if not process.ready:
            raise EspcnError(
                f"a worker process ended while it started (exit code {code}): see above, or use --jobs 1"
            )
        self._reason = (
            _KILLED if code in (-9, 137) else f"the worker crashed ({_named(code)}): report this file"
        )
        if process.job is not None:
            clear_leftovers_of([process.job])
            lost.append(process.job)

    def _dismiss(self) -> None:
        """Let those go who have nothing to do."""
        for process in self._processes:
            process.tell(None)
        for process in self._processes:
            process.wait(_PATIENCE)
        self._processes.clear()

    def _stop(self) -> None:
        """End all; who does not leave its file in time is killed, and its temporary files are removed."""
        left = [process.job for process in self._processes if process.job]
        try:
            for process in self._processes:
                process.tell(None)
            end = time.monotonic() + _PATIENCE
            for process in self._processes:
                process.wait(max(0.0, end - time.monotonic()))
        finally:
            for process in self._processes:
                process.kill()
            self._processes.clear()
            clear_leftovers_of(left)


class _Process:
    """One worker process, and the job it has."""

    def __init__(
        self, command: Sequence[str], setup: Setup, threads: int, messages: queue.SimpleQueue[Any]
    ) -> None:
        self.job: Job | None = None
        self.ready = False
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        with _deaf_children():
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
        self._messages = messages
        self._send(setup)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def give(self, job: Job) -> None:
        self.job = job
        self._send(job)

    def tell(self, word: None) -> None:
        self._send(word)

    def wait(self, seconds: float | None = None) -> int:
        """The exit code; a process that does not end in time is killed."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def kill(self) -> None:
        self._process.kill()

    def _send(self, what: Any) -> None:
        with contextlib.suppress(OSError):  # it has ended, and its output says so
            assert self._process.stdin is not None
            pickle.dump(what, self._process.stdin)
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
            while True:
                message = pickle.load(self._process.stdout)
                self.ready = True
                self._messages.put((self, message))

    def _watch(self) -> None:
        """Say that the process has ended, after what it said; not by its output, which a child may hold."""
        self._process.wait()
        self._listener.join(1)
        self._messages.put((self, None))


@contextlib.contextmanager
def _deaf_children() -> Iterator[None]:
    """Processes that are started within do not hear Ctrl-C and SIGTERM, from their first moment."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _named(code: int) -> str:
    """An exit code, or the signal that ended a process."""
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"exit code {code}"
