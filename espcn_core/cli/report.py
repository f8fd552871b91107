"""What the user of ``upscale`` sees: a bar, a line for each file, a table of what failed; JSON and a log."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from espcn_core.cli.messages import complain
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.work import Outcome
from espcn_core.errors import RequestError
from espcn_core.volumes.formats import ending_of

STATES = ("done", "planned", "skipped", "failed")


class Report:
    """Tells on the error stream how a cohort goes; a `Watcher`, used as a context. It keeps what failed.

    Parameters
    ----------
    jobs : sequence of Job
    quiet : bool
        Say nothing but errors.
    listeners : sequence of Listing, Log or Plans
        Who else gets every outcome.
    """

    def __init__(
        self, jobs: Sequence[Job], quiet: bool, listeners: Sequence[Listing | Log | Plans] = ()
    ) -> None:
        self._quiet, self._listeners = quiet, listeners
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            disable=quiet or not self._console.is_terminal,
        )
        self._jobs = len(jobs)
        self._finished = self._voxels = 0
        self._failed: list[tuple[str, str]] = []
        shown = not self._bar.disable
        # By bytes of the inputs, for the time left: files differ.
        self._bytes = {job: _size(job) for job in jobs} if shown else {}
        self._files = self._bar.add_task(
            "files", total=sum(self._bytes.values()) or 1, text=self._count(), visible=len(jobs) > 1
        )
        self._running: dict[Job, TaskID] = {}

    def __enter__(self) -> Report:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, job: Job, plan: str, place: str) -> None:
        """Say what will be done."""
        self._say(f"{job.name}: {plan} on {place}")
        self._running[job] = self._bar.add_task(job.source.name, total=None, text="")

    def upscaled(self, job: Job, done: int, total: int) -> None:
        """Move the bar of a file."""
        self._bar.update(self._running[job], completed=done, total=total, text=f"{done}/{total} slices")

    def written(self, job: Job, done: int, total: int) -> None:
        """Move it a second time: compressing takes as long as upscaling."""
        self._bar.update(self._running[job], completed=done, total=total, text=f"{done / total:.0%} written")

    def finish(self, outcome: Outcome) -> None:
        """Say what went wrong with a file, or what there is to know about it."""
        if (task := self._running.pop(outcome.job, None)) is not None:
            self._bar.remove_task(task)
        self._finished += 1
        self._voxels += outcome.voxels
        self._bar.update(self._files, advance=self._bytes.get(outcome.job, 0), text=self._count())
        if outcome.error is not None:
            self._failed.append((outcome.job.name, outcome.error))
            complain(outcome.error)
        for note in outcome.notes:
            self._say(f"{outcome.job.name}: {note}")
        for listener in self._listeners:
            listener.finish(outcome)

    def conclude(self, counts: Mapping[str, int]) -> None:
        """Say how many files are done, and show those of a cohort that failed."""
        if self._finished < 2:
            return
        if self._failed:
            table = Table(
                "file", "what is wrong", title=f"{len(self._failed)} of {self._finished} files failed"
            )
            for source, error in self._failed:
                table.add_row(Text(source), Text(error.removeprefix(source).lstrip(": ")))
            self._console.print(table)
        self._say(", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]))

    def _count(self) -> str:
        return f"{self._finished}/{self._jobs} files, {self._voxels / 1e6:,.0f} million voxels"

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._console.print(Text(line), soft_wrap=True)


class Listing:
    """The cohort as one JSON document on the standard output, written file by file."""

    def __init__(self) -> None:
        self._begun = False
        self._place = ""
        self._counts: Counter[str] = Counter()

    def finish(self, outcome: Outcome) -> None:
        """Write what became of a file."""
        self._place = outcome.place or self._place
        self._counts[outcome.state] += 1
        text = json.dumps(
            {
                "input": str(outcome.job.source),
                "output": str(outcome.job.target),
                "trust": None if outcome.job.trust is None else str(outcome.job.trust),
                "state": outcome.state,
                "error": outcome.error,
                "plan": outcome.plan,
                "notes": outcome.notes,
                "deviation": outcome.deviation,
                "seconds": outcome.seconds,
            },
            indent=2,
        )
        print("," if self._begun else '{"files": [', text, sep="\n", end="")
        self._begun = True

    def conclude(self, place: str) -> None:
        """End the document. ``place`` is what networks run on where none has run."""
        counts = {state: self._counts[state] for state in STATES}
        print("" if self._begun else '{"files": [', f'], "summary": {json.dumps(counts)},', sep="\n")
        print(f'"device": {json.dumps(self._place or place)}}}', flush=True)


class Plans:
    """What a dry run would do: a line for each file on the standard output, at the end."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def finish(self, outcome: Outcome) -> None:
        """Keep what would be done."""
        if outcome.plan is not None:
            self._lines.append(f"{outcome.job.name}: {outcome.plan}")

    def conclude(self) -> None:
        """Say it."""
        print("".join(f"{line}\n" for line in self._lines), end="")


class Log:
    """A line of JSON for the start, each file's end and the summary; nothing of any header.

    Parameters
    ----------
    path : Path
        Lines are added to a log that is there.

    Raises
    ------
    RequestError
        If it cannot be written, or something else is there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            if ending_of(path.name) or (path.exists() and path.read_bytes()[:1] not in (b"", b"{")):
                raise RequestError(f"--log {path} is no log: choose another name, as in --log run.jsonl")
            self._file: TextIO | None = open(path, "a", encoding="utf-8", buffering=1)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RequestError(f"--log {path} cannot be written: {reason}") from None
        self._started = time.monotonic()

    def write(self, event: str, **content: Any) -> None:
        """Add a line. A disk that is full is said once."""
        if self._file is None:
            return
        try:
            self._file.write(json.dumps({"event": event, "time": round(time.time(), 3), **content}) + "\n")
        except OSError as error:
            self._file = None
            complain(f"--log {self._path} ends here: {(error.strerror or str(error)).lower()}")

    def finish(self, outcome: Outcome) -> None:
        """A file is over."""
        self.write(
            "file", input=str(outcome.job.source), output=str(outcome.job.target), state=outcome.state,
            error=outcome.error, voxels=outcome.voxels, seconds=outcome.seconds, place=outcome.place,
        )  # fmt: skip

    def conclude(self, counts: Mapping[str, int], *, interrupted: bool = False) -> None:
        """The cohort is over."""
        said = {state: counts[state] for state in STATES} if not interrupted else {}
        self.write(
            "interrupted" if interrupted else "summary",
            **said, seconds=round(time.monotonic() - self._started, 3),
        )  # fmt: skip


def _size(job: Job) -> int:
    try:
        return sum(path.stat().st_size for path in (job.series.files if job.series else (job.source,)))
    except OSError:
        return 0
