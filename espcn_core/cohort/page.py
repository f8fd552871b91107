"""One page that shows every result of a cohort beside its input, and loads nothing."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from espcn_core import __version__
from espcn_core.cohort.difference import BRIGHTEST, DARKEST
from espcn_core.cohort.glance import MOST
from espcn_core.cohort.jobs import Job
from espcn_core.cohort.shown import Results, Shown
from espcn_core.errors import RequestError
from espcn_core.files import complete_file

_STATES = {
    "done": "done",
    "skipped": "already as asked for",
    "failed": "failed",
    "waiting": "not done yet",
    "running": "being done by another run",
    "unknown": "left as it was",
}
_WITHOUT = {
    "done": "Done without --report: no pictures, no measure; --existing overwrite makes it again with them.",
    "skipped": "It already was as asked for, and nothing was written.",
    "waiting": "It is not done yet: --existing resume does it.",
    "running": "Another run is at it.",
    "unknown": "A result is there that the manifest does not know, and it was left.",
}
_MEANING = (
    "The difference says how far a result, averaged back over each voxel of its input, is from that input: "
    f"the root mean square of all voxels, as a part of the range from the {DARKEST:g}st to the "
    f"{BRIGHTEST:g}th percentile of the input."
)
_LIMITS = (
    "It finds what went wrong with a volume as a whole. It is not the error of what lies between the voxels, "
    "which nobody has measured, and it is not zero where all is right: a network need not keep means, and "
    "slices that overlap are no plain means."
)
_PICTURES = (
    "Both pictures show the same part of the middle slice in the same grey values, the range from black to "
    f"white; of slices of more than {MOST} fine voxels the middle. The patient's right is on the left, "
    "and in sagittal pictures anterior is on the left."
)


@dataclass(frozen=True)
class Call:
    """What was asked for, for the head of a page.

    Attributes
    ----------
    inputs : sequence of str
    output : str
    request : dict
        What was asked for, by names.
    seconds : float
        How long the call took.
    """

    inputs: Sequence[str]
    output: str
    request: Mapping[str, str]
    seconds: float


def check_page(path: Path, jobs: Sequence[Job], folder: Path | None, *, dry_run: bool) -> None:
    """Raise `RequestError` if a page cannot be made, or not at a path; ask before the work is done."""
    if folder is None:
        raise RequestError("--report goes with an output folder, which keeps its pictures: end --output in /")
    if dry_run:
        raise RequestError("--report shows results, and --dry-run makes none: leave one of them out")
    if path.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"--report {path} is no name of a page: end it in .html")
    if path.is_dir():
        raise RequestError(f"--report {path} is a folder: name a file in it, as in {path / 'report.html'}")
    place = path.resolve()
    files = (job.series.files if job.series else (job.source,) for job in jobs)
    if place in {Path(file).resolve() for some in files for file in some}:
        raise RequestError(f"--report {path} is an input: choose another name")
    targets = {target.resolve() for job in jobs for target in job.targets}
    if targets & {place, *place.parents}:
        raise RequestError(f"--report {path} is an output or in one: choose another name")
    there = next(folder for folder in place.parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RequestError(f"--report {path} cannot be written into {there}: {reason}") from None
    if find_spec("PIL") is None:
        raise RequestError("--report needs Pillow for its pictures: pip install 'espcn-core[report]'")


def write_page(path: Path, jobs: Sequence[Job], folder: Path, call: Call) -> None:
    """Write the page of some jobs; it has its name when it is complete.

    Parameters
    ----------
    path : Path
        Its folder is made if there is none.
    jobs : sequence of Job
    folder : Path
        The output folder, with the manifest.
    call : Call

    Raises
    ------
    RequestError, ManifestError
        If the manifest cannot be read.
    OSError
        If the page cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with Results(jobs, folder) as results, complete_file(path) as file:
        for piece in page(results, call):
            file.write(piece.encode())


def page(results: Results, call: Call) -> Iterator[str]:
    """The pieces of the page, one for each result."""
    count = sum(results.counts.values())
    title = f"{count} {'volume' if count == 1 else 'volumes'}, espcn-core {__version__}"
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>\n{style}</style>\n'
        f"</head>\n<body>\n<main>\n{_head(results, call, count)}"
    )
    for shown in results:
        yield _article(shown)
    yield "</main>\n</body>\n</html>\n"


def printable(text: str | bytes) -> str:
    """Text for HTML: escaped, and what cannot be seen or is no text as \\n, \\x1b or \\udcff."""
    words = os.fsdecode(text)
    return escape("".join(c if c.isprintable() else repr(c)[1:-1] for c in words))


def _head(results: Results, call: Call, count: int) -> str:
    states = ", ".join(f"{results.counts[s]} {word}" for s, word in _STATES.items() if results.counts[s])
    inputs = ", ".join(map(printable, call.inputs[:3]))
    more = f" and {len(call.inputs) - 3} more" if len(call.inputs) > 3 else ""
    first = f"{count} {'volume' if count == 1 else 'volumes'} of {inputs}{more} into {printable(call.output)}"
    pairs = {
        **{name: printable(value) for name, value in call.request.items()},
        "Written": f"{_date(time.time())} by espcn-core {__version__}, after a call of {call.seconds:.1f} s",
    }
    terms = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in pairs.items())
    words = "".join(f"<p>{escape(text)}</p>\n" for text in (_MEANING, _LIMITS, _PICTURES))
    return f"<h1>{first}: {states}</h1>\n<dl>{terms}</dl>\n{words}<p>The worst come first.</p>\n"


def _article(shown: Shown) -> str:
    when = "" if shown.ended is None else f", {_date(shown.ended)}"
    took = "" if shown.seconds is None else f" in {shown.seconds:.1f} s"
    how = f'<p class="small">{_STATES[shown.state]}{took}{when}</p>'
    head = f"<h2>{printable(shown.name)}</h2>"
    if shown.glance is None:
        why = printable(shown.error or _WITHOUT.get(shown.state, ""))
        kind = ' class="failed"' if shown.state == "failed" else ""
        return f'<article class="plain"><div>{head}<p{kind}>{why}</p>{how}</div></article>\n'
    seen = shown.glance
    pictures = "".join(
        f'<figure><img src="data:image/webp;base64,{base64.b64encode(content).decode()}" '
        f'width="{seen.width}" height="{seen.height}" style="aspect-ratio: {seen.width} / {seen.height}" '
        f'loading="lazy" decoding="async" alt="{name}, {escape(seen.view)}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, content in (("input", seen.coarse), ("result", seen.fine))
    )
    much = "not known" if seen.difference is None else f"{100 * seen.difference:.2f} %"
    notes = "".join(f'<p class="small">{printable(note)}</p>' for note in shown.notes)
    return (
        f'<article><div class="pictures">{pictures}</div><div>{head}'
        f'<p class="difference">difference {much}</p><p>{printable(shown.plan)}</p>'
        f'<p class="small">{escape(seen.view)}</p>{notes}{how}</div></article>\n'
    )


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def words_of(parameters: str) -> dict[str, str]:
    """What a cohort is made with, in words; what was not stated is left out."""
    given = {
        name: value
        for name, value in json.loads(parameters).items()
        if value not in (None, False) and name != "version"
    }
    return {
        name.replace("_", " ").capitalize(): ", ".join(map(str, value)) if isinstance(value, list)
        else "yes" if value is True else str(value)
        for name, value in given.items()
    }  # fmt: skip
