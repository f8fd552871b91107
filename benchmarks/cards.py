"""Fill the cards of the shipped weights from the reports of ``espcn-core evaluate``.

    python -m benchmarks.cards REPORT/results.json [...] [--check]

`Card.metrics` of every shipped model that a report measured is made anew from the given reports alone, so the
same reports give the same cards:

- ``psnr``, ``ssim``, ``bicubic_psnr``, ``bicubic_ssim``, ``gain`` and, for each region, PSNR and gain: of the
  largest report on the degradation that the card names;
- ``degradations``: the gain on each, of the report with the most degradations;
- ``off_distribution``: which of these the model was not trained on, and what it does there;
- ``volumes``: the gain on each folder of volumes, and on each volume in it;
- ``through_plane``: of networks for thick slices, what reports of ``--through-plane`` say; the rest is left.

Every mean has its 95 % interval (``low``, ``high``: bootstrap of the patients), and every part says how many
slices and patients it is of and which command gives it again. Prints what changed. With `--check` nothing is
written, and the exit code is 1 if a card is not what the reports say.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from espcn_core.evaluation.trained import trained
from espcn_core.models import cards
from espcn_core.models.cards import Card, shipped_cards
from espcn_core.models.ranges import CONTRAST_RANGE, SPACING_RANGE

Report = dict[str, Any]

REGIONS = "image", "head", "tumor", "ring"

_DIGITS = {"psnr": 2, "ssim": 4, "psnr_gain": 2}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", type=Path, nargs="+", help="results.json of a report, or its folder")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a card would change")
    options = parser.parse_args(arguments)

    reports = [read(path) for path in options.reports]
    stale = False
    for name, card in shipped_cards().items():
        thick = card.factor[0] != card.factor[1]
        own = [report for report in reports if name in report["about"]["cards"]]
        if not own:
            print(f"{name}: in none of the reports, left as it is")
            continue
        new = dataclasses.replace(card, metrics=(through_plane if thick else metrics_of)(card, own))
        changes = list(differences(card.metrics, new.metrics))
        print(f"{name}: {len(changes) or 'no'} change{'' if len(changes) == 1 else 's'}")
        for change in changes:
            print(f"  {change}")
        stale = stale or bool(changes)
        if not options.check:
            (cards.SHIPPED / f"{name}.json").write_text(new.to_json(), encoding="utf-8")
    if options.check and stale:
        sys.exit(1)


def read(path: Path) -> Report:
    """A report's ``results.json``."""
    path = path / "results.json" if path.is_dir() else path
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        sys.exit(f"{path} is not a readable results.json: {error}")
    if not isinstance(report, dict) or not {"about", "summary"} <= set(report):
        sys.exit(f"{path} is not the results.json of a report: give the file that espcn-core evaluate wrote")
    return report


def through_plane(card: Card, reports: Sequence[Report]) -> dict[str, Any]:
    """The metrics of a card, with what reports of thick slices say.

    Ends the program if a report measured other weights of that name.
    """
    factor = str(card.factor[1])
    found: dict[str, Any] = {}
    for about, summary in ((report["about"], report["summary"]) for report in reports):
        if about["cards"][card.name]["sha256"] != card.sha256:
            sys.exit(f"{about['command']}: measured other weights called {card.name}: run it again")
        cells = {
            name: by_factor[factor][summary["main"]]
            for name, by_factor in summary["means"].items()
            if factor in by_factor
        }
        found[about["data"]] = {
            "gain": {name: round(cell["gain"], 2) for name, cell in cells.items()},
            "least": {name: round(cell["least_gain"], 2) for name, cell in cells.items()},
            "how": "PSNR over that of B-spline, in dB: mean over the three axes, and along the worst of them",
            "profile": about["profiles"][0],
            "method": summary["main"],
            "command": about["command"],
        }
    return {**card.metrics, "through_plane": found}


def metrics_of(card: Card, reports: Sequence[Report]) -> dict[str, Any]:
    """What some reports say of the weights of a card.

    Ends the program if a report measured other weights of that name, or patients of the training, or if no
    report is on the degradation of the card.
    """
    for report in reports:
        about = report["about"]
        if about["cards"][card.name]["sha256"] != card.sha256:
            sys.exit(f"{about['command']}: measured other weights called {card.name}: run it again")
        held_out = card.training.get("held_out_fold")
        if about["kind"] == "figshare" and about["fold"] != held_out:
            sys.exit(f"{about['command']}: {card.name} has seen all folds but {held_out}: measure that one")
    shrink = card.training.get("config", {}).get("shrink", 1)
    folds = [r for r in reports if r["about"]["kind"] == "figshare" and r["about"]["shrink"] == shrink]
    own = [report for report in folds if card.degradation in report["about"]["degradations"]]
    if not own:
        sys.exit(f"no report measures {card.name} on {card.degradation} and slices shrunk by {shrink}")
    largest = max(own, key=lambda report: report["about"]["slices"])
    widest = max(folds, key=lambda report: (len(report["about"]["degradations"]), report["about"]["slices"]))
    volumes = [report for report in reports if report["about"]["kind"] == "volumes"]

    metrics = usual(card, largest)
    if len(widest["about"]["degradations"]) > 1:
        gains = {how: gain(widest, how, card.name) for how in widest["about"]["degradations"]}
        metrics["degradations"] = {"gain": gains, **_source(widest)}
        metrics["off_distribution"] = off_distribution(card, gains)
    for report in volumes:
        data, how = report["about"]["data"], report["about"]["degradations"][0]
        elsewhere = metrics.setdefault("volumes", {})
        if data in elsewhere:
            sys.exit(f"two reports measure {card.name} on {data}: give one of them")
        elsewhere[data] = {
            "gain": gain(report, how, card.name),
            "each": {
                volume: round(methods[card.name]["image"]["psnr_gain"], _DIGITS["psnr_gain"])
                for volume, methods in report["summary"]["volumes"].items()
            },
            "degradation": _protocol(report, how),
            **_source(report),
        }
    return metrics


def usual(card: Card, report: Report) -> dict[str, Any]:
    """How good a model is on the degradation of its card, by region."""
    results = report["summary"]["results"][card.degradation]
    cells, bicubic = results[card.name], results["bicubic"]["image"]
    return {
        "psnr": mean(cells["image"], "psnr"),
        "ssim": mean(cells["image"], "ssim"),
        "bicubic_psnr": mean(bicubic, "psnr"),
        "bicubic_ssim": mean(bicubic, "ssim"),
        "gain": mean(cells["image"], "psnr_gain"),
        "degradation": _protocol(report, card.degradation),
        **_source(report),
        "peak": report["about"]["peak"],
        "statistics": "; ".join(report["summary"]["statistics"].split("; ")[:2]),  # the mean and the interval
        "regions": {
            region: {
                "psnr": interval(cells[region], "psnr"),
                "gain": gain(report, card.degradation, card.name, region),
            }
            for region in REGIONS
            if "psnr_gain" in cells.get(region, {})
        },
    }


def off_distribution(card: Card, gains: Mapping[str, Mapping[str, Any]]) -> str:
    """What the model does on coarse slices unlike those of its training, in words."""
    own = trained(dataclasses.asdict(card))
    ranges = {SPACING_RANGE, CONTRAST_RANGE} & set(card.training)
    others = {how: cell["mean"] for how, cell in gains.items() if not own.on(how)}
    parts = []
    for words, worse in (("worse than bicubic interpolation on", True), ("still better on", False)):
        chosen = [f"{how} ({gained:+.2f} dB)" for how, gained in others.items() if (gained < 0) is worse]
        if chosen:
            parts.append(f"{words} {', '.join(chosen)}")
    told = (
        " A warning names the spacing or contrast of a volume that is unlike the training's."
        if ranges
        else ""
    )
    return f"Trained on {own}. On what it was not trained on: {'; '.join(parts) or 'not tested'}.{told}"


def gain(report: Report, how: str, name: str, region: str = "image") -> dict[str, float | None]:
    """Of a model over bicubic, in dB."""
    return interval(report["summary"]["results"][how][name][region], "psnr_gain")


def mean(cell: Mapping[str, Any], metric: str) -> float:
    """The mean over patients, rounded for a card."""
    return round(cell[metric]["mean"], _DIGITS[metric])


def interval(cell: Mapping[str, Any], metric: str) -> dict[str, float | None]:
    """The mean over patients and its 95 % interval, which one patient does not have."""
    values = {end: cell[metric][end] for end in ("mean", "low", "high")}
    return {end: None if value is None else round(value, _DIGITS[metric]) for end, value in values.items()}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """A line for each entry that is not the same."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    for key in [*after, *(key for key in before if key not in after)]:
        if before.get(key) != after.get(key):
            yield f"{key}: {before.get(key, 'none')} -> {after.get(key, 'none')}"


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Entries by their path; a mean with its interval is one."""
    if not isinstance(value, Mapping):
        yield name, value
    elif set(value) == {"mean", "low", "high"}:
        yield name, f"{value['mean']} ({value['low']} to {value['high']})"
    else:
        for key, entry in value.items():
            yield from _leaves(entry, f"{name}.{key}" if name else key)


def _source(report: Report) -> dict[str, Any]:
    """How many of what, and how to measure it again."""
    about = report["about"]
    return {key: about[key] for key in ("slices", "patients", "fold", "command") if about[key] is not None}


def _protocol(report: Report, how: str) -> str:
    """How the coarse slices came about, as in ``halved, bicubic / 2``."""
    shrink = report["about"]["shrink"]
    shrunk = {1: "", 2: "halved, "}.get(shrink, f"shrunk by {shrink}, ")
    return f"{shrunk}{how} / {report['about']['scale']}"


if __name__ == "__main__":
    main()
