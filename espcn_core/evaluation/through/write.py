"""The three files of a through-plane report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from espcn_core.evaluation.report.write import as_csv
from espcn_core.evaluation.summary import rounded
from espcn_core.evaluation.through.page import make_page
from espcn_core.evaluation.through.records import About, Example, Record
from espcn_core.evaluation.through.summary import Summary, summarise
from espcn_core.files import complete_file


def report(
    about: About, records: Sequence[Record], example: Example | None, folder: Path
) -> tuple[Path, Summary]:
    """Write ``report.html``, ``records.csv`` and ``results.json``; the same arguments give the same bytes.

    Parameters
    ----------
    about : About
    records : sequence of Record
        In any order.
    example : Example, optional
        Pictures for the page.
    folder : Path
        Made if it is missing.

    Returns
    -------
    Path
        Of the page.
    dict
        What `espcn_core.evaluation.through.summary.summarise` says.
    """
    summary = rounded(summarise(about, records))
    results = {"about": rounded(dataclasses.asdict(about)), "summary": summary, "records": "records.csv"}
    contents = {
        "records.csv": as_csv(Record, sorted(records, key=lambda record: _place(about, record))),
        "results.json": json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        + "\n",
        "report.html": make_page(about, summary, example),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with complete_file(folder / name) as file:
            file.write(content.encode())
    return folder / "report.html", summary


def _place(about: About, record: Record) -> tuple[int, int, int, int, int, str]:
    return (
        list(about.volumes).index(record.volume),
        record.factor,
        record.axis,
        about.profiles.index(record.profile),
        about.methods.index(record.method),
        record.stated,
    )
