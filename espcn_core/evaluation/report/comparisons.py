"""The tables of tests: method against method, and the tumor against the head."""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import Any

from espcn_core.evaluation.records import About, counted
from espcn_core.evaluation.report.markup import Cell, measured, number, p_value, table, text
from espcn_core.evaluation.report.tables import REGION_NAMES, Summary, method_cell

_SHOWN = {"image": "Whole image", "head": "Head", "tumor": "Tumor"}
"""Regions that stand beside each other, with short names."""


def methods_table(about: About, summary: Summary) -> str:
    """Each model against each other method, the regions beside each other."""
    tests = {region: rows for region, rows in summary["tests"]["methods"].items() if region in _SHOWN}
    groups = []
    for first, pairs in groupby(zip(*tests.values(), strict=True), key=lambda rows: rows[0]["first"]):
        body = [[method_cell(about, rows[0]["second"]), *map(_brief, rows)] for rows in pairs]
        groups.append((f"{first} against", body))
    columns = ("Method", *(_SHOWN[region] for region in tests))
    count = _tests(len(next(iter(tests.values()))))
    caption = f"Difference in PSNR, dB; 95 % interval; p by Holm and effect size r. Each region is {count}"
    return table(caption, columns, groups)


def all_methods_table(about: About, summary: Summary) -> str:
    """The same below each other, with what there is no room for beside."""
    groups = [
        (
            REGION_NAMES[region],
            [
                [method_cell(about, row["first"]), text(row["second"]), *_counts(row), *_test(row)]
                for row in rows
            ],
        )
        for region, rows in summary["tests"]["methods"].items()
    ]
    columns = ("Method", "Against", f"{about.unit.capitalize()}s", "Slices", *_TEST)
    return table("PSNR, method against method; p by Holm and effect size r", columns, groups, "inline")


def tumor_table(about: About, summary: Summary) -> str:
    """The tumor against the head of the same slices."""
    titles = {"psnr": "PSNR", "gain": f"Gain over {summary['reference']}"}
    groups = []
    for name, family in summary["tests"]["tumor_against_head"].items():
        if family:
            units = counted(family[0]["difference"]["patients"], about.unit)
            title = (
                f"{titles[name]} ({counted(family[0]['slices'], 'slice')}, {units}; {_tests(len(family))})"
            )
            groups.append((title, [[method_cell(about, row["method"]), *_test(row)] for row in family]))
    return table("Tumor minus head, same slices; p by Holm and effect size r", ("Method", *_TEST), groups)


_TEST = ("Difference, dB", "p", "r", "Mann-Whitney p")


def _test(row: dict[str, Any]) -> list[Cell]:
    return [
        measured(row["difference"], 2, sign=True),
        Cell(escape(p_value(row["wilcoxon_holm"])), row["wilcoxon_holm"]),
        Cell(number(row["rank_biserial"], 2, sign=True), row["rank_biserial"]),
        Cell(escape(p_value(row["mann_whitney"])), row["mann_whitney"], "muted"),
    ]


def _brief(row: dict[str, Any]) -> Cell:
    """Difference and interval, and below them p and the effect size."""
    cell = measured(row["difference"], 2, sign=True)
    if cell.key is None:
        return cell
    p = p_value(row["wilcoxon_holm"])
    p = p if p.startswith("<") else f"= {p}"
    effect = number(row["rank_biserial"], 2, sign=True)
    return Cell(
        f"{cell.html}<small class=loose><span>p {escape(p)}</span> <span>r {effect}</span></small>", cell.key
    )


def _counts(row: dict[str, Any]) -> list[Cell]:
    counts = row["difference"]["patients"], row["slices"]
    return [Cell(str(count), count) for count in counts]


def _tests(count: int) -> str:
    return "one test" if count == 1 else f"one family of {count} tests"
