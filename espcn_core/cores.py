"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Processors that the process is bound to, or fewer if its control group gets less time than that.

    What is not whole is rounded up. Groups are a matter of Linux: version 2, or the processor's own group
    of version 1.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [share for share in (_second(), _first()) if share is not None]
    return max(1, min([bound, *(int(-(-share // 1)) for share in shares)]))


def _second() -> float | None:
    """Processors' worth of time by cpu.max of this group and of those that hold it."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:
        return None
    names = [line.partition("::")[2].strip("/") for line in lines if line.startswith("0::")]
    own = _CGROUPS / (names[0] if names else "")
    shares = []
    for folder in (own, *own.parents):
        if _CGROUPS in (folder, *folder.parents):
            quota, _, period = _text(folder / "cpu.max").partition(" ")
            shares.append(_share(quota, period))
    return min((share for share in shares if share is not None), default=None)


def _first() -> float | None:
    return _share(*(_text(_CGROUPS / "cpu" / f"cpu.cfs_{what}_us") for what in ("quota", "period")))


def _share(quota: str, period: str) -> float | None:
    """Time within a period over the period; none if there is no limit."""
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
