"""``python -m espcn_core`` and ``espcn-core`` are the command line, in a process of its own."""

from __future__ import annotations

from espcn_core.cli import main
from espcn_core.cli.process import leaving


def run() -> None:
    """Run the command line, and end the process with its exit code."""
    with leaving():
        main()


if __name__ == "__main__":
    run()
