"""``python -m espcn_core.cli.worker``: a worker process of ``upscale --jobs``."""

from __future__ import annotations

import sys

from espcn_core.cli.process import import_less, leaving, prepare

COMMAND = (sys.executable, "-m", "espcn_core.cli.worker")


def main() -> None:
    """Work for the process that started this one."""
    prepare()
    import_less()
    from espcn_core.cohort.worker import serve

    serve()


if __name__ == "__main__":
    with leaving():
        main()
