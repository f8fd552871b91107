"""Batches of slices in several threads, each with its share of the processors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Done = TypeVar("Done")

_MOST = 4
"""Threads at once: each holds what its network makes of a batch."""

_EACH = 4
"""Items for each thread, so that none waits long for the last one."""

_busy = threading.Lock()
"""Held by who spreads: torch has one number of threads for all threads that are begun."""


def threads_for(count: int) -> int:
    """How many threads share so many items; 1 where torch's own threads do better within each item."""
    most = min(_MOST, torch.get_num_threads())
    return most if count >= _EACH * most else 1


def spread(work: Callable[[Item], Done], items: Sequence[Item], threads: int) -> Iterator[Done]:
    """The results of some work, in the order of the items.

    A thread that does one item after another, alone, loses no time between the steps of an item, where
    several that share each step wait for one another, and for all that only one of them can do.

    Parameters
    ----------
    work : callable
        What it raises ends all.
    items : sequence
    threads : int
        If 1, or if another call is spreading, it is done in this thread.
    """
    if threads == 1 or not _busy.acquire(blocking=False):
        yield from map(work, items)
        return
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(
        threads, initializer=torch.set_num_threads, initargs=(max(1, before // threads),)
    )
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
        _busy.release()
