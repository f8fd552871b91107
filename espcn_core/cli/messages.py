"""What the command line says when something went wrong."""

from __future__ import annotations

import sys

from espcn_core.errors import EspcnError


def complain(message: str) -> None:
    """One line on the error stream."""
    print(f"espcn-core: {' '.join(message.split())}", file=sys.stderr)


def explain(error: Exception) -> str:
    """A sentence about any error."""
    if isinstance(error, EspcnError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory: close other programs, or use fewer --jobs or another machine"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror[0].lower()}{error.strerror[1:]}"
    return f"unexpected error, {type(error).__name__}: {error} (run with --debug to see where)"
