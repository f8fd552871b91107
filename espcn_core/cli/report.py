"""What the user of ``upscale`` sees: a bar, a line for each file, a table of what failed; or JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from espcn_core.cli.batch import Outcome
from espcn_core.cli.jobs import Job
from espcn_core.cli.messages import complain


class Report:
    """Tells on the error stream how a batch goes; a `Watcher`, used as a context.

    Parameters
    ----------
    jobs : int
        How many there are.
    quiet : bool
        Say nothing but errors.
    """

    def __init__(self, jobs: int, quiet: bool) -> None:
        self._quiet = quiet
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
        self._total = jobs
        self._finished = 0
        self._files = self._bar.add_task("files", total=jobs, text=f"0/{jobs}", visible=jobs > 1)
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
        self._bar.update(self._files, completed=self._finished, text=f"{self._finished}/{self._total}")
        if outcome.error is not None:
            complain(outcome.error)
        for note in outcome.notes:
            self._say(f"{outcome.job.name}: {note}")

    def conclude(self, outcomes: Sequence[Outcome]) -> None:
        """Say how many files are done, and show those of a batch that failed."""
        if len(outcomes) < 2:
            return
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        if failed:
            table = Table("file", "what is wrong", title=f"{len(failed)} of {len(outcomes)} files failed")
            for outcome in failed:
                source = outcome.job.name
                table.add_row(Text(source), Text((outcome.error or "").removeprefix(source).lstrip(": ")))
            self._console.print(table)
        counts = summary(outcomes)
        self._say(", ".join(f"{count} {state}" for state, count in counts.items() if count))

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._console.print(Text(line), soft_wrap=True)


def summary(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many files are done, planned in a dry run, skipped and failed."""
    counts = Counter(outcome.state for outcome in outcomes)
    return {state: counts[state] for state in ("done", "planned", "skipped", "failed")}


def as_json(outcomes: Sequence[Outcome], device: str) -> str:
    """The batch as a JSON document."""
    files: list[dict[str, Any]] = [
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
        }
        for outcome in outcomes
    ]
    return json.dumps({"device": device, "summary": summary(outcomes), "files": files}, indent=2)
