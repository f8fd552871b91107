"""The tables of methods by region, from the summary."""

from __future__ import annotations

from html import escape
from typing import Any

from espcn_core.evaluation.records import About, counted
from espcn_core.evaluation.report.markup import (
    MISSING,
    Cell,
    measured,
    number,
    significant,
    table,
    text,
)
from espcn_core.evaluation.trained import trained

REGION_NAMES = {
    "image": "Whole image",
    "head": "Head, without the air around it",
    "tumor": "Tumor",
    "ring": "Ring of 8 pixels around the tumor",
}

Summary = dict[str, Any]


def main_table(about: About, summary: Summary) -> str:
    """PSNR, gain and SSIM of every method, one group per region, on the first degradation."""
    results = summary["results"][about.degradations[0]]
    regions = list(results[about.methods[0]])
    groups = []
    for region in regions:
        cells = {method: results[method][region] for method in about.methods}
        best = {
            metric: max((cell[metric]["mean"] for cell in cells.values() if metric in cell), default=None)
            for metric in ("psnr", "ssim")
        }
        rows = []
        for method, cell in cells.items():
            kinds = {
                metric: "best" if metric in cell and cell[metric]["mean"] == best[metric] else ""
                for metric in best
            }
            rows.append(
                [
                    method_cell(about, method),
                    measured(cell.get("psnr"), 2, kind=kinds["psnr"]),
                    measured(cell.get("psnr_gain"), 2, sign=True),
                    measured(cell.get("ssim"), 4, kind=kinds["ssim"], ends=3),
                ]
            )
        units = max(cell["psnr"]["patients"] if "psnr" in cell else 0 for cell in cells.values())
        slices = counted(cells[about.methods[0]]["slices"], "slice")
        groups.append((f"{REGION_NAMES[region]} ({slices}, {counted(units, about.unit)})", rows))
    columns = ("Method", "PSNR, dB", f"Gain over {summary['reference']}, dB", "SSIM")
    caption = (
        f"Mean over {about.unit}s and 95 % interval, x{about.scale}, degradation {about.degradations[0]}"
    )
    return table(caption, columns, groups, "inline")


def spread_table(about: About, summary: Summary) -> str:
    """Median and standard deviation, which the main table has no room for."""
    results = summary["results"][about.degradations[0]]
    groups = []
    for region in results[about.methods[0]]:
        rows = []
        for method in about.methods:
            cell = results[method][region]
            row = [method_cell(about, method)]
            for metric, digits in (("psnr", 2), ("ssim", 4), ("rmse", None)):
                for name in ("median", "sd"):
                    value = cell[metric][name] if metric in cell else None
                    row.append(Cell(significant(value) if digits is None else number(value, digits), value))
            rows.append(row)
        groups.append((REGION_NAMES[region], rows))
    columns = ("Method", "PSNR median, dB", "sd, dB", "SSIM median", "sd", "RMSE median, native units", "sd")
    return table(f"Median and standard deviation over {about.unit}s", columns, groups)


def volumes_table(about: About, summary: Summary) -> str:
    """PSNR of bicubic in each volume, and what the other methods gain over it."""
    reference = summary["reference"]
    others = [method for method in about.methods if method != reference]
    groups = []
    for region in summary["results"][about.degradations[0]][about.methods[0]]:
        rows = []
        for name, cells in summary["volumes"].items():
            look = about.volumes.get(name, "")
            row = [Cell(f"{escape(name)}<small>{escape(look)}</small>", name, "word")]
            value = cells[reference][region]["psnr"]
            row.append(Cell(number(value, 2), value))
            for method in others:
                gain = cells[method][region]["psnr_gain"]
                row.append(Cell(number(gain, 2, sign=True), gain, _worth(gain)))
            rows.append(row)
        groups.append((REGION_NAMES[region], rows))
    columns = ("Volume, true slices", f"PSNR of {reference}, dB", *others)
    caption = f"Gain over {reference} in dB, mean over the slices of each volume, x{about.scale}"
    return table(f"{caption}, degradation {about.degradations[0]}", columns, groups, "dense")


def matrices(about: About, summary: Summary) -> str:
    """Gain over bicubic of every method on every degradation, one group per region."""
    groups = []
    for region, rows in summary["matrix"].items():
        body = []
        for method, gains in rows.items():
            known = trained(about.cards[method]) if method in about.cards else None
            name = method_cell(about, method)
            if known:
                name = Cell(f"{name.html}<small>{escape(known.short)}</small>", name.key, name.kind)
            row = [name]
            for degradation in about.degradations:
                gain = gains[degradation]
                mark = f'<abbr title="{_TRAINED}">*</abbr>' if known and known.on(degradation) else ""
                kind = _worth(None if gain is None else gain["mean"])
                row.append(measured(gain, 2, sign=True, kind=kind, note=mark))
            body.append(row)
        groups.append((REGION_NAMES[region], body))
    heads = [degradation.replace("+rician", " + Rician ") for degradation in about.degradations]
    heads = [f"{head} %" if "Rician" in head else head for head in heads]
    caption = f"Gain in dB over {summary['reference']} on the same degradation, 95 % interval"
    return table(caption, ("Method", *heads), groups, "dense matrix")


def shifts_table(about: About) -> str:
    """The shift that each method's best PSNR needs."""
    rows = [
        [
            method_cell(about, method),
            *(Cell(number(shift, 3, sign=True), shift) for shift in about.shifts[method]),
        ]
        for method in about.methods
        if method in about.shifts
    ]
    caption = "Shift at which the PSNR of each method is best, in fine voxels"
    return table(caption, ("Method", "Rows", "Columns"), [("", rows)])


def artefacts_table(about: About, summary: Summary) -> str:
    """What PSNR hides, of the whole image on the first degradation."""
    results = summary["results"][about.degradations[0]]
    rows = []
    for method in about.methods:
        cell = results[method]["image"]
        mean = {name: cell[name]["mean"] for name in _ARTEFACTS if name in cell}
        drift = None if "drift" not in mean else 100 * mean["drift"]
        rows.append(
            [
                method_cell(about, method),
                Cell(number(mean.get("hfen"), 3), mean.get("hfen")),
                _ppm(mean.get("checkerboard")),
                Cell(number(drift, 4, sign=True), drift),
                Cell(number(mean.get("consistency"), 1), mean.get("consistency")),
            ]
        )
    truth = results[about.methods[0]]["image"].get("truth_checkerboard")
    if truth:
        nothing = Cell(MISSING)
        rows.append([text("the truth itself", "muted"), nothing, _ppm(truth["mean"]), nothing, nothing])
    columns = (
        "Method",
        "HFEN",
        "Checker\N{SOFT HYPHEN}board, ppm of energy",
        "Mean drift, % of range",
        "Consis\N{SOFT HYPHEN}tency, dB",
    )
    return table(f"Mean over {about.unit}s, whole image", columns, [("", rows)])


def cards_table(about: About) -> str:
    """What each model was trained on."""
    rows = []
    for method in about.methods:
        if method not in about.cards:
            continue
        card = about.cards[method]
        training = card.get("training", {})
        fold = training.get("held_out_fold")
        rows.append(
            [
                method_cell(about, method),
                text(str(trained(card)), "wide"),
                text(str(training.get("data", MISSING)), "wide"),
                text(_count(training)),
                text(MISSING if fold is None else str(fold)),
            ]
        )
    columns = ("Model", "Trained on", "Data", "Patients, slices", "Fold held out")
    return table("What the models were trained on, from their cards", columns, [("", rows)])


def method_cell(about: About, method: str) -> Cell:
    """The name of a method; models stand out."""
    return text(method, "model" if method in about.cards else "")


_TRAINED = "trained on this degradation"

_ARTEFACTS = "hfen", "checkerboard", "drift", "consistency"


def _worth(gain: float | None) -> str:
    """How a gain over bicubic is coloured."""
    if gain is None:
        return ""
    return "gain" if gain > 0 else "loss" if gain < 0 else ""


def _ppm(share: float | None) -> Cell:
    return Cell(number(None if share is None else 1e6 * share, 1), share)


def _count(training: Any) -> str:
    counts = [str(training[name]) for name in ("patients", "slices") if name in training]
    return ", ".join(counts) or MISSING
