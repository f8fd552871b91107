"""The page: what was measured, the result, then everything behind it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any

from espcn_core.evaluation.records import About, Example, Record
from espcn_core.evaluation.report import comparisons, tables, words
from espcn_core.evaluation.report.markup import sentence, terms
from espcn_core.evaluation.report.pictures import panels
from espcn_core.evaluation.report.plots import profile, spectra
from espcn_core.evaluation.report.view import find_edge, find_window, shown_region
from espcn_core.evaluation.summary import pick_cases


def make_page(
    about: About, summary: dict[str, Any], records: Sequence[Record], examples: Sequence[Example]
) -> str:
    """The whole page as HTML that loads nothing.

    Parameters
    ----------
    about : About
    summary : dict
        As `espcn_core.evaluation.summary.summarise` gives it.
    records : sequence of Record
        To know which example is the best, the median and the worst patient.
    examples : sequence of Example
    """
    title = f"Super-resolution x{about.scale} on {about.data}"
    labels = {case: label for label, case in pick_cases(about, records).items()}
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            _measured(about),
            f'<p class="result">{sentence(summary["headline"])}</p>',
            _results(about, summary),
            _volumes(about, summary),
            _checks(summary),
            _degradations(about, summary),
            _statistics(about, summary),
            _shifts(about),
            _artefacts(about, summary),
            _examples(about, summary, labels, examples),
            _numbers(about),
        )
    )
    parts = resources.files(__package__)
    style, script, page = (
        parts.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "sort.js", "page.html")
    )
    return Template(page).substitute(title=escape(title), style=style, script=script, body=body)


def _measured(about: About) -> str:
    fold = "" if about.fold is None else f", held-out fold {about.fold}"
    truth = "the slice as it is"
    if about.shrink > 1:
        truth = f"the slice made {about.shrink} times coarser, antialiased"
    first, *others = about.degradations
    also = f"; the matrix below also tests {', '.join(others)}" if others else ""
    pairs = [
        ("Data", f"{about.data}{fold}: {about.extent}"),
        ("Task", f"x{about.scale} along both axes of a slice; the truth is {truth}"),
        ("Degradation", f"{first}{also}"),
        ("Peak of the PSNR", about.peak),
        ("Methods", ", ".join(about.methods)),
        ("Version", f"espcn-core {about.version}"),
    ]
    cards = tables.cards_table(about) if about.cards else ""
    return terms([(name, escape(value)) for name, value in pairs]) + cards


def _checks(summary: dict[str, Any]) -> str:
    def items(flags: list[dict[str, Any]]) -> str:
        return "".join(
            f'<li><b class="{"yes" if flag["holds"] else "no"}">{"holds" if flag["holds"] else "fails"}</b>'
            f"{sentence(flag['sentence'])}</li>"
            for flag in flags
        )

    own = [flag for flag in summary["flags"] if flag["method"] in (summary["main"], None)]
    others = [flag for flag in summary["flags"] if flag not in own]
    if not own:
        return ""
    html = f'{words.CHECKS}<ul class="checks">{items(own)}</ul>'
    if others:
        failed = sum(not flag["holds"] for flag in others)
        html += (
            f"<details><summary>The same for the other models: {failed} of {len(others)} fail</summary>"
            f'<ul class="checks">{items(others)}</ul></details>'
        )
    return html


def _results(about: About, summary: dict[str, Any]) -> str:
    return (
        f"{_filled(words.RESULTS, unit=about.unit)}{tables.main_table(about, summary)}"
        "<details><summary>Medians, standard deviations and RMSE</summary>"
        f"{tables.spread_table(about, summary)}</details>"
    )


def _volumes(about: About, summary: dict[str, Any]) -> str:
    if "volumes" not in summary:
        return ""
    return words.VOLUMES + tables.volumes_table(about, summary)


def _degradations(about: About, summary: dict[str, Any]) -> str:
    if len(about.degradations) < 2 or not any(summary["matrix"].values()):
        return ""
    point = words.POINT if "point" in about.degradations else ""
    noise = words.NOISE if any("rician" in name for name in about.degradations) else ""
    return words.DEGRADATIONS + point + noise + tables.matrices(about, summary)


def _statistics(about: About, summary: dict[str, Any]) -> str:
    if not summary["tests"]["methods"]["image"]:
        return ""
    tumor = comparisons.tumor_table(about, summary) if summary["tests"]["tumor_against_head"] else ""
    volumes = words.FEW_VOLUMES if about.unit == "volume" else ""
    return (
        f"{words.STATISTICS}{volumes}{comparisons.methods_table(about, summary)}"
        "<details><summary>All regions, with Mann-Whitney U</summary>"
        f"{comparisons.all_methods_table(about, summary)}</details>{tumor}"
        f"<p>How it was computed: {escape(summary['statistics'])}.</p>"
    )


def _shifts(about: About) -> str:
    return words.SHIFTS + tables.shifts_table(about) if about.shifts else ""


def _artefacts(about: About, summary: dict[str, Any]) -> str:
    return words.ARTEFACTS + tables.artefacts_table(about, summary)


def _slice(example: Example) -> str:
    """Number of a slice in its data set or its volume, of which the name stands beside it."""
    return example.case.removeprefix(f"{example.patient} ")


def _examples(
    about: About, summary: dict[str, Any], labels: dict[str, str], examples: Sequence[Example]
) -> str:
    if not examples:
        return ""
    main = summary["main"]
    central = next((example for example in examples if labels.get(example.case) == "median"), examples[0])
    line = find_edge(central, find_window(central))
    html = _filled(words.PICTURES, main=main, reference=summary["reference"], unit=about.unit)
    for example in examples:
        label = labels.get(example.case)
        name = f"{label} {about.unit}".capitalize() if label else about.unit.capitalize()
        region = shown_region(example)
        drawn = f", {region} outlined" if region else ""
        html += (
            f"<h3>{name}: {escape(example.patient)}, slice {escape(_slice(example))}{drawn}</h3>"
            f"{panels(example, main, line if example is central else None)}"
        )
    plots = (
        (profile(central, main, line), _filled(words.PROFILE, along=line.along, place=line.place)),
        (spectra(central, main), words.SPECTRA),
    )
    figures = "".join(f"<figure>{plot}<figcaption>{caption}</figcaption></figure>" for plot, caption in plots)
    title = f"An edge and the spectra, slice {escape(central.case)}"  # of a volume its name, too
    return f'{html}<h3>{title}</h3><div class="plots">{figures}</div>'


def _numbers(about: About) -> str:
    return f"<footer>{words.FILES}<p>The same again: <code>{escape(about.command)}</code></p></footer>"


def _filled(template: str, **values: Any) -> str:
    """Words with values in their places."""
    return Template(template).substitute({name: escape(str(value)) for name, value in values.items()})
