"""Tasks in worker processes, each with a worker of its own and one thread: the same numbers however many."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch

from espcn_core.errors import EspcnError

Wanted = TypeVar("Wanted")


class Worker(Protocol):
    """What a process needs, loaded once."""

    def measure(self, *task: Any) -> list[Any]:
        """The records of a task."""


def results(
    make: Callable[[Wanted], Worker], wanted: Wanted, tasks: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[list[Any]]:
    """The records of each task, in order.

    Parameters
    ----------
    make : callable
        Makes the worker of a process; at the top level of its module.
    wanted : object
        What it is made from. Goes to other processes.
    tasks : sequence of tuple
        Arguments of `Worker.measure`.
    jobs : int
        Processes that share the tasks; with one, this process does them.

    Raises
    ------
    EspcnError
        If a process was ended from outside.
    """
    if jobs <= 1:
        worker = make(wanted)
        for task in tasks:
            with one_thread():
                found = worker.measure(*task)
            yield found
        return
    # Not forked: the parent's torch has threads by now.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin, initargs=(make, wanted))
    try:
        yield from pool.map(_work, tasks)
    except BrokenProcessPool as error:
        raise EspcnError("a worker process was ended, as for want of memory: use fewer --jobs") from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums over more threads would depend on their number in the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


_worker: list[Worker] = []
"""That of this process, once it has begun."""


def _begin(make: Callable[[Any], Worker], wanted: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which ends its workers
    torch.set_num_threads(1)
    _worker[:] = [make(wanted)]


def _work(task: tuple[Any, ...]) -> list[Any]:
    return _worker[0].measure(*task)
