"""``espcn-core status``: how far the cohort in an output folder is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from espcn_core.cohort.status import Status


def status(
    folder: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="The output folder of an upscale call.")],
    merge: Annotated[
        bool,
        typer.Option("--merge", help="First put what the parts of a cohort (--part) kept into one manifest."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say how far a cohort is: what is done, what failed and why, and the time left.

    It reads the manifests of the folder, while runs go on or after, and changes nothing without --merge.
    """
    from espcn_core.cohort.parts import merge_parts
    from espcn_core.cohort.status import read_status

    if merge:
        merge_parts(folder)
    found = read_status(folder)
    print(_as_json(found) if as_json else "\n".join(_lines(folder, found)))


def _lines(folder: Path, found: Status) -> list[str]:
    counts = (
        ", ".join(f"{count} {state}" for state, count in found.counts.items() if count) or "nothing to do"
    )
    lines = [f"{folder}: {counts}; {found.voxels / 1e6:,.0f} million voxels made"]
    if found.alive:
        left = "" if found.seconds_left is None else f", about {_duration(found.seconds_left)} left"
        lines.append(f"a run goes on{left}")
        lines += [f"running: {_line(source)}" for source in found.running]
    elif found.counts["waiting"]:
        lines.append("no run goes on: call upscale again with --existing resume to do the rest")
    if len(found.made_with) > 1:
        lines.append(f"the results were made with {len(found.made_with)} sets of parameters: see --json")
    return lines + [f"failed: {_line(source)}: {_line(error)}" for source, error in found.failed]


def _as_json(found: Status) -> str:
    import dataclasses
    import json

    content = dataclasses.asdict(found)
    content["failed"] = [{"input": source, "error": error} for source, error in found.failed]
    return json.dumps(content, indent=2)


def _line(text: str) -> str:
    """In one line, and printable whatever the names of files are."""
    text = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
