"""``python -m espcn_core.cli.worker``: a worker process of ``upscale --jobs``."""

from __future__ import annotations

import sys

from espcn_core.cli.process import prepare, put_off_meta_kernels

COMMAND = (sys.executable, "-m", "espcn_core.cli.worker")


def main() -> None:
    """Work for the process that started this one."""
    prepare()
    put_off_meta_kernels()
    from espcn_core.cohort.worker import serve

    serve()


if __name__ == "__main__":
    main()
