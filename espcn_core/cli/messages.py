"""What the command line says beside its results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def complain(message: str) -> None:
    """One line on the error stream."""
    print(f"espcn-core: {' '.join(message.split())}", file=sys.stderr)


@contextmanager
def bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the error stream, fed with the pieces of work done and in all."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Measuring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measure", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
