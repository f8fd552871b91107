"""The page: what was made thick, the result, tables by volume, axis, factor and profile, and pictures."""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template
from typing import Any

from espcn_core.evaluation.report.markup import Cell, number, sentence, significant, table, terms, text
from espcn_core.evaluation.report.words import FILES
from espcn_core.evaluation.through.methods import ADAPTED
from espcn_core.evaluation.through.pictures import panels
from espcn_core.evaluation.through.records import UNKNOWN, About, Example
from espcn_core.evaluation.through.summary import Summary

_MEANS = """
<h2>Gain by volume and factor</h2>
<p>Each volume is made thick along each of its three axes; a number is the mean over the axes, and below it
that of the worst axis. The peak of the PSNR is the range of the true volume, the same for all.</p>
"""

_AXES = """
<h2>Axis by axis</h2>
<p>Rows are named by what thick slices along the axis are called. SSIM and HFEN (high-frequency error norm: 0
is perfect, 1 is what an image without any edge has) are those of slices that hold the axis.</p>
<ul>
<li><b>Edge width</b>: median distance from 10 to 90 % of the steepest edges along the axis, at the same
places for all methods; nearer to the truth is better.</li>
<li><b>Slice edges</b>: how much the steps from voxel to voxel go with the place within a slice, over that of
the truth; 1 is nothing of the method's own.</li>
<li><b>Deviation</b>: the largest difference between the result, made thick again, and the thick slices, as
a part of their range.</li>
</ul>
"""

_PROFILES = """
<h2>Other slice profiles</h2>
<p>The profile is how a thick slice weights what lies along its axis, with its width in slice distances.
Whoever upscales states one, and may be wrong.</p>
"""


def make_page(about: About, summary: Summary, example: Example | None) -> str:
    """The whole page as HTML that loads nothing.

    Parameters
    ----------
    about : About
    summary : dict
        As `espcn_core.evaluation.through.summary.summarise` gives it, with None for what is no number.
    example : Example, optional
    """
    title = f"Through-plane super-resolution on {about.data}"
    pictures = "" if example is None else panels(example)
    body = "\n".join(
        (
            f"<h1>{escape(title)}</h1>",
            _measured(about),
            f'<p class="result">{sentence(summary["headline"])}</p>',
            _MEANS + _means_table(about, summary),
            _checks(summary),
            pictures,
            _AXES + _axes_tables(about, summary),
            _PROFILES + _profiles_table(about, summary),
            f"<footer>{FILES}<p>The same again: <code>{escape(about.command)}</code></p></footer>",
        )
    )
    parts = resources.files("espcn_core.evaluation.report")
    style, script, page = (
        parts.joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "sort.js", "page.html")
    )
    return Template(page).substitute(title=escape(title), style=style, script=script, body=body)


def _measured(about: About) -> str:
    volumes = "; ".join(f"{name}: {look}" for name, look in about.volumes.items())
    factors = ", ".join(f"x{factor}" for factor in about.factors)
    pairs = [
        ("Data", f"{about.data}: {volumes}"),
        ("Left out", "; ".join(about.left_out.values())),
        ("Task", f"slices {factors} as thick along one axis, made thin again"),
        ("Slice profile", f"{about.profiles[0]} made the slices; {_told(about)}"),
        ("Other profiles", ", ".join(about.profiles[1:])),
        ("Methods", ", ".join(about.methods)),
        ("Adapted", _adapted(about)),
        ("Weights", ", ".join(about.cards)),
        ("Version", f"espcn-core {about.version}"),
    ]
    return terms([(name, escape(value)) for name, value in pairs if value])


def _told(about: About) -> str:
    if about.stated == UNKNOWN:
        return "the networks are told nothing of it"
    return f"the networks are told {about.stated}"


def _adapted(about: About) -> str:
    if not about.adapted:
        return ""
    return (
        f"{ADAPTED}: {about.adapted} more steps on the fine slices of each thick volume, which it is then for"
    )


def _means_table(about: About, summary: Summary) -> str:
    groups = []
    for factor in map(str, about.factors):
        rows = []
        for volume, by_factor in summary["means"].items():
            cells = by_factor[factor]
            row = [text(volume), _plain(cells[summary["reference"]]["psnr"], 2)]
            for method in _others(about, summary):
                cell = cells[method]
                html = (
                    f"{number(cell['gain'], 2, sign=True)}"
                    f"<small>{number(cell['least_gain'], 2, sign=True)}</small>"
                )
                row.append(Cell(html, cell["gain"], _worth(cell["gain"])))
            rows.append(row)
        groups.append((f"x{factor}", rows))
    columns = ("Volume", f"PSNR of {summary['reference']}, dB", *_others(about, summary))
    caption = f"Gain over {summary['reference']} in dB, {about.profiles[0]}"
    return table(caption, columns, groups, "dense") + _head_table(about, summary)


def _head_table(about: About, summary: Summary) -> str:
    """The same in the head alone, folded away."""
    groups = []
    for factor in map(str, about.factors):
        rows = []
        for volume, by_factor in summary["means"].items():
            cells = by_factor[factor]
            row = [text(volume), _plain(cells[summary["reference"]]["psnr_head"], 2)]
            row += [
                Cell(number(gain, 2, sign=True), gain, _worth(gain))
                for gain in (cells[method]["gain_head"] for method in _others(about, summary))
            ]
            rows.append(row)
        groups.append((f"x{factor}", rows))
    columns = ("Volume", f"PSNR of {summary['reference']}, dB", *_others(about, summary))
    caption = f"Gain over {summary['reference']} in dB, in the head without the air around it"
    return f"<details><summary>The head alone</summary>{table(caption, columns, groups, 'dense')}</details>"


def _axes_tables(about: About, summary: Summary) -> str:
    """One table a volume and factor; all but the first are folded away."""
    html = ""
    for volume, by_factor in summary["axes"].items():
        for factor in map(str, about.factors):
            made = _axes_table(about, summary, volume, factor, by_factor[factor])
            name = escape(f"{volume} x{factor}")
            html += f"<details{'' if html else ' open'}><summary>{name}</summary>{made}</details>"
    return html


def _axes_table(about: About, summary: Summary, volume: str, factor: str, by_axis: dict[str, Any]) -> str:
    groups = []
    trusted = any(cell["trust"] is not None for cells in by_axis.values() for cell in cells.values())
    for slices, cells in by_axis.items():
        rows = []
        for method in about.methods:
            cell = cells[method]
            row = [
                text(method, "model" if method in about.networks else ""),
                _plain(cell["psnr"], 2),
                Cell(number(cell["gain"], 2, sign=True), cell["gain"]),
                _plain(cell["psnr_head"], 2),
                _plain(cell["ssim"], 4),
                _plain(cell["hfen"], 3),
                Cell(significant(cell["rmse"]), cell["rmse"]),
                _plain(cell["edge_width"], 2),
                _plain(cell["slice_edges"], 3),
                _plain(None if cell["deviation"] is None else 100 * cell["deviation"], 2),
            ]
            rows.append([*row, _plain(cell["trust"], 2)] if trusted else row)
        width = cells[summary["main"]]["truth_edge_width"]
        groups.append((f"Thick {slices} slices; edge width of the truth {number(width, 2)} mm", rows))
    columns = [
        "Method",
        "PSNR, dB",
        f"Gain over {summary['reference']}, dB",
        "PSNR of the head, dB",
        "SSIM",
        "HFEN",
        "RMSE, native units",
        "Edge width, mm",
        "Slice edges",
        "Deviation, %",
    ]
    if trusted:
        columns.append("Trust map and error, rank correlation")
    return table(f"{volume} x{factor}, {about.profiles[0]}", columns, groups, "dense")


def _profiles_table(about: About, summary: Summary) -> str:
    groups = []
    for profile, by_factor in summary["profiles"].items():
        rows = [
            [
                text(f"x{factor}"),
                Cell(number(cell["stated"], 2, sign=True), cell["stated"], _worth(cell["stated"])),
                Cell(number(cell["right"], 2, sign=True), cell["right"], _worth(cell["right"])),
                Cell(number(cell["free"], 2, sign=True), cell["free"], _worth(cell["free"])),
                _plain(cell["cost"], 2),
                _plain(cell["most"], 2),
            ]
            for factor, cell in by_factor.items()
        ]
        groups.append((f"True profile {profile}", rows))
    columns = (
        "Factor",
        "Gain, nothing stated, dB" if about.stated == UNKNOWN else f"Gain, {about.stated} stated, dB",
        "Gain, right one stated, dB",
        f"Gain of {about.networks[-1]}, dB",
        "Cost of not knowing it, dB",
        "Most in a volume, dB",
    )
    caption = f"Gain of {summary['main']} over {summary['reference']}, mean over volumes and axes"
    return table(caption, columns, groups)


def _checks(summary: Summary) -> str:
    items = "".join(
        f'<li><b class="{"yes" if flag["holds"] else "no"}">{"holds" if flag["holds"] else "fails"}</b>'
        f"{sentence(flag['sentence'])}</li>"
        for flag in summary["flags"]
    )
    return f'<h2>What should hold</h2><ul class="checks">{items}</ul>'


def _others(about: About, summary: Summary) -> list[str]:
    return [method for method in about.methods if method != summary["reference"]]


def _plain(value: float | None, digits: int) -> Cell:
    return Cell(number(value, digits), value)


def _worth(gain: float | None) -> str:
    return "" if not gain else "gain" if gain > 0 else "loss"
