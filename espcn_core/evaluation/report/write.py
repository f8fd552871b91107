"""The three files of a report."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from espcn_core.evaluation.records import About, Example, Record
from espcn_core.evaluation.report.page import make_page
from espcn_core.evaluation.summary import rounded, summarise
from espcn_core.evaluation.table import REGIONS
from espcn_core.files import complete_file


def report(about: About, records: Sequence[Record], examples: Sequence[Example], folder: Path) -> Path:
    """Write ``report.html``, ``records.csv`` and ``results.json``; the same arguments give the same bytes.

    Parameters
    ----------
    about : About
    records : sequence of Record
        In any order.
    examples : sequence of Example
        Of the cases that `espcn_core.evaluation.summary.pick_cases` names; may be empty.
    folder : Path
        Made if it is missing.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    RequestError
        If bicubic is not among the methods, or there are no records.
    """
    summary = summarise(about, records)
    results = {"about": rounded(dataclasses.asdict(about)), "summary": summary, "records": "records.csv"}
    ordered = sorted(records, key=lambda record: _place(about, record))
    contents = {
        "records.csv": as_csv(Record, ordered),
        "results.json": json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        + "\n",
        "report.html": make_page(about, summary, ordered, examples),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        with complete_file(folder / name) as file:
            file.write(content.encode())
    return folder / "report.html"


def _place(about: About, record: Record) -> tuple[int, int, int, int, str]:
    """By degradation, method and region as in the tables, then by case: 58 before 143."""
    return (
        about.degradations.index(record.degradation),
        about.methods.index(record.method),
        REGIONS.index(record.region),
        len(record.case),
        record.case,
    )


def as_csv(kind: type, records: Iterable[Any]) -> str:
    """One row per record of a dataclass; an empty field is a number that there is not."""
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(kind)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for record in records:
        writer.writerow([_field(getattr(record, name)) for name in fields])
    return text.getvalue()


def _field(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.8g}"
    return value
