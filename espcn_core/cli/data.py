"""``espcn-core data``: fetch, check and pack the figshare brain tumor slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from espcn_core.figshare import CheckReport

app = typer.Typer(help="Fetch, check and pack the figshare brain tumor slices.", no_args_is_help=True)

_SOURCE_HELP = "Folder of N.mat files, folder of the zip files, a zip file, or a packed .h5 file."


@app.command("fetch")
def fetch_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
) -> None:
    """Fetch the public data set (0.9 GB), going on where an earlier run broke off.

    Every file is checked against its published MD5. The zip files need not be unpacked.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from espcn_core.figshare import fetch

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def tell(name: str, done: int, size: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=size)
            bars.update(tasks[name], completed=done)

        fetch(folder, progress=tell)
    typer.echo(f"The data set is in {folder}, as published.")


@app.command("check")
def check_command(
    source: Annotated[Path, typer.Argument(metavar="DIR", help=_SOURCE_HELP)],
) -> None:
    """Read every slice; show labels, sizes, patients and folds.

    The exit code is 1 if a file is broken or not as in the public data set. A part of the data set is fine.
    """
    from espcn_core.figshare import check, open_source

    with open_source(source) as slices, _bar("Reading") as progress:
        report = check(slices, progress)
    _show(report, source)
    if not report.ok:
        raise typer.Exit(1)


@app.command("pack")
def pack_command(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help=_SOURCE_HELP)],
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="The file to write (0.5 MB a slice).")],
) -> None:
    """Write all slices into one HDF5 file, from which training reads them fastest."""
    from espcn_core.figshare import open_source, pack

    with open_source(source) as slices, _bar("Packing") as progress:
        pack(slices, file, progress)
        count = len(slices.indices)
    typer.echo(f"{count} slices in {file}, {file.stat().st_size / 1e6:,.0f} MB.")


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on the error stream, fed with the slices done and the slices in all."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(report: CheckReport, source: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from espcn_core.figshare import LABELS

    table = Table(title=escape(str(source)), show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_row("slices", str(report.slices))
    table.add_row("patients", str(report.patients), end_section=True)
    for label, count in report.labels.items():
        table.add_row(LABELS[label], str(count))
    table.add_section()
    for (height, width), count in report.sizes.items():
        table.add_row(f"{height}x{width}", str(count))
    table.add_section()
    for fold, count in (report.folds or {}).items():
        table.add_row(f"fold {fold}", str(count))
    console = Console()
    console.print(table)
    for note in report.notes:
        console.print(f"Note: {escape(note)}", soft_wrap=True, highlight=False)
    for problem in (*report.broken.values(), *report.problems):
        console.print(f"[red]Wrong:[/red] {escape(problem)}", soft_wrap=True, highlight=False)
    if report.ok:
        console.print("All is well.")
