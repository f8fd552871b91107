"""The tables of the page, from the summary."""

from __future__ import annotations

from typing import Any

from espcn_core.evaluation.records import About
from espcn_core.evaluation.report.markup import (
    MISSING,
    Cell,
    measured,
    number,
    p_value,
    significant,
    table,
    text,
)

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
                    measured(cell.get("ssim"), 4, kind=kinds["ssim"]),
                ]
            )
        patients = max(cell["psnr"]["patients"] if "psnr" in cell else 0 for cell in cells.values())
        title = f"{REGION_NAMES[region]} ({cells[about.methods[0]]['slices']} slices, {patients} patients)"
        groups.append((title, rows))
    columns = ("Method", "PSNR, dB", f"Gain over {summary['reference']}, dB", "SSIM")
    caption = f"Mean over patients and 95 % interval, x{about.scale}, degradation {about.degradations[0]}"
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
    return table("Median and standard deviation over patients", columns, groups)


def matrices(about: About, summary: Summary) -> str:
    """Gain over bicubic of every method on every degradation, one group per region."""
    groups = []
    for region, rows in summary["matrix"].items():
        body = []
        for method, gains in rows.items():
            trained = about.cards.get(method, {}).get("degradation")
            row = [method_cell(about, method)]
            for degradation in about.degradations:
                gain = gains[degradation]
                mark = '<abbr title="trained on this degradation">*</abbr>' if degradation == trained else ""
                kind = "" if gain is None else "gain" if gain["mean"] > 0 else "loss"
                row.append(measured(gain, 2, sign=True, kind=kind, note=mark))
            body.append(row)
        groups.append((REGION_NAMES[region], body))
    heads = [degradation.replace("+rician", " + Rician ") for degradation in about.degradations]
    heads = [f"{head} %" if "Rician" in head else head for head in heads]
    caption = f"Gain in dB over {summary['reference']} on the same degradation, 95 % interval"
    return table(caption, ("Method", *heads), groups, "dense")


def methods_table(about: About, summary: Summary, region: str) -> str:
    """Each model against each other method."""
    rows = [
        [method_cell(about, row["first"]), text(row["second"]), *_test(row)]
        for row in summary["tests"]["methods"][region]
    ]
    caption = f"PSNR, method against method: {REGION_NAMES[region].lower()}, {_tests(len(rows))}"
    return table(caption, ("Method", "Against", *_TEST), [("", rows)])


def tumor_table(about: About, summary: Summary) -> str:
    """The tumor against the head of the same slices."""
    titles = {"psnr": "PSNR", "gain": f"Gain over {summary['reference']}"}
    groups = [
        (
            f"{titles[name]} ({_tests(len(family))})",
            [[method_cell(about, row["method"]), *_test(row)] for row in family],
        )
        for name, family in summary["tests"]["tumor_against_head"].items()
        if family
    ]
    return table("Tumor minus head, same slices", ("Method", *_TEST), groups)


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
    columns = ("Method", "HFEN", "Checkerboard, ppm of energy", "Mean drift, % of range", "Consistency, dB")
    return table("Mean over patients, whole image", columns, [("", rows)])


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
                text(str(card.get("degradation", MISSING))),
                text(str(training.get("data", MISSING))),
                text(_count(training)),
                text(MISSING if fold is None else str(fold)),
            ]
        )
    columns = ("Model", "Trained on degradation", "Data", "Patients, slices", "Fold held out")
    return table("What the models were trained on, from their cards", columns, [("", rows)])


def method_cell(about: About, method: str) -> Cell:
    """The name of a method; models stand out."""
    return text(method, "model" if method in about.cards else "")


_ARTEFACTS = "hfen", "checkerboard", "drift", "consistency"

_TEST = (
    "Patients",
    "Mean difference, dB",
    "Wilcoxon p (Holm)",
    "Effect size",
    "Slices",
    "Mann-Whitney p",
)


def _test(row: dict[str, Any]) -> list[Cell]:
    difference = row["difference"]
    return [
        Cell(str(difference["patients"]), difference["patients"]),
        measured(difference, 2, sign=True),
        Cell(p_value(row["wilcoxon_holm"]).replace("<", "&lt;"), row["wilcoxon_holm"]),
        Cell(number(row["rank_biserial"], 2, sign=True), row["rank_biserial"]),
        Cell(str(row["slices"]), row["slices"]),
        Cell(p_value(row["mann_whitney"]).replace("<", "&lt;"), row["mann_whitney"], "muted"),
    ]


def _ppm(share: float | None) -> Cell:
    return Cell(number(None if share is None else 1e6 * share, 1), share)


def _tests(count: int) -> str:
    return "one test" if count == 1 else f"one family of {count} tests"


def _count(training: Any) -> str:
    counts = [str(training[name]) for name in ("patients", "slices") if name in training]
    return ", ".join(counts) or MISSING
