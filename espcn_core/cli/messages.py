"""What the command line says when something went wrong."""

from __future__ import annotations

import sys


def complain(message: str) -> None:
    """One line on the error stream."""
    print(f"espcn-core: {' '.join(message.split())}", file=sys.stderr)
