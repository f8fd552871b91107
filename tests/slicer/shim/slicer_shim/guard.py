"""Errors that Qt and VTK swallow, made visible."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_hidden_errors() -> Iterator[None]:
    """Raise at the end if an exception ended a Qt slot, a VTK observer or a thread meanwhile.

    In Slicer such an exception is printed and the application goes on, so a test would not see it.

    Raises
    ------
    AssertionError
        With the tracebacks.
    """
    seen: list[str] = []

    def keep(kind: type, error: BaseException, trace: Any) -> None:
        seen.append("".join(traceback.format_exception(kind, error, trace)))

    hooks = sys.excepthook, threading.excepthook
    sys.excepthook = keep
    threading.excepthook = lambda args: keep(args.exc_type, args.exc_value, args.exc_traceback)
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook = hooks
    if seen:
        raise AssertionError("Exceptions that nobody caught:\n" + "\n".join(seen))
