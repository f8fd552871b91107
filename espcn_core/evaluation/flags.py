"""What must hold of a model, checked against its numbers and said in a sentence each."""

from __future__ import annotations

from typing import Any

import numpy as np

from espcn_core.evaluation.records import About
from espcn_core.evaluation.statistics import aggregate, patient_means
from espcn_core.evaluation.table import REFERENCE, Table

LARGEST_DRIFT = 0.001
"""Of the range of the truth."""

LARGEST_SHIFT = 0.02
"""In fine voxels."""


def check(about: About, table: Table, summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Check every model.

    Parameters
    ----------
    about : About
    table : Table
    summary : dict
        ``results``, ``matrix`` and ``tests`` as `espcn_core.evaluation.summary.summarise` gives them.

    Returns
    -------
    list of dict
        ``name`` of the check, ``method``, whether it ``holds``, and the ``sentence``. What cannot be checked
        with these records (no tumor, one degradation) is left out.
    """
    flags = []
    for model in table.models:
        found = {
            "unseen": _unseen(about, model),
            "tumor": _tumor(model, summary),
            "order": _order(model, table, summary),
            "everywhere": _everywhere(model, table),
            "checkerboard": _checkerboard(model, table, summary),
            "drift": _drift(model, table),
            "shift": _shift(model, about),
        }
        flags += [
            {"name": name, "method": model, "holds": flag[0], "sentence": flag[1]}
            for name, flag in found.items()
            if flag is not None
        ]
    return flags


Flag = tuple[bool, str] | None


def _unseen(about: About, model: str) -> Flag:
    held_out = about.cards[model].get("training", {}).get("held_out_fold")
    if about.kind != "figshare" or held_out is None:
        return None
    if about.fold == held_out:
        return True, f"{model} was trained without fold {held_out}: it has seen none of these patients."
    measured = "all folds" if about.fold is None else f"fold {about.fold}"
    return False, (
        f"{model} was trained without fold {held_out} alone, and this is {measured}: it has seen patients "
        "that are measured here, and its numbers say nothing about new ones."
    )


def _tumor(model: str, summary: dict[str, Any]) -> Flag:
    rows = summary["tests"]["tumor_against_head"].get("gain", [])
    difference = next((row["difference"] for row in rows if row["method"] == model), None)
    if difference is None or difference["mean"] is None:
        return None
    holds = difference["mean"] >= 0
    return holds, (
        f"The gain of {model} over {REFERENCE} is {abs(difference['mean']):.2f} dB "
        f"{'larger' if holds else 'smaller'} in the tumor than in the head of the same slices"
        f"{_interval(difference)}."
    )


def _order(model: str, table: Table, summary: dict[str, Any]) -> Flag:
    if "head" not in table.regions:
        return None
    results = summary["results"][table.degradations[0]]
    above: dict[str, set[str]] = {}
    for region in ("image", "head"):
        psnr = {method: results[method][region].get("psnr") for method in table.methods}
        means = {method: value["mean"] for method, value in psnr.items() if value}
        if len(means) < len(psnr):
            return None
        above[region] = {method for method, mean in means.items() if mean > means[model]}
    changed = sorted(above["image"] ^ above["head"], key=table.methods.index)
    if not changed:
        place = len(above["image"]) + 1
        return True, (
            f"{model} is at place {place} of {len(table.methods)} by PSNR in the head alone as in the whole "
            "image, with the same methods above it: its rank is not carried by air."
        )
    return False, (
        f"{model} changes places with {', '.join(changed)} between whole image and head: the order by PSNR "
        "is partly carried by air."
    )


def _everywhere(model: str, table: Table) -> Flag:
    rivals = [method for method in (REFERENCE, "bspline") if method in table.methods]
    lost = []
    for degradation in table.degradations:
        gains = {rival: table.gain(degradation, model, "image", over=rival) for rival in rivals}
        means = {rival: aggregate(patient_means(gain, table.patients)).mean for rival, gain in gains.items()}
        best = min(means, key=lambda rival: means[rival])
        if means[best] <= 0:
            lost.append(f"{degradation} ({means[best]:+.2f} dB against {best})")
    against = " and ".join(rivals)
    count = len(table.degradations)
    if not lost:
        tested = f"each of the {count} degradations" if count > 1 else "the one degradation tested"
        return True, f"{model} is better than {against} on {tested}."
    return False, f"{model} is not better than {against} on {len(lost)} of {count}: {', '.join(lost)}."


def _checkerboard(model: str, table: Table, summary: dict[str, Any]) -> Flag:
    cell = summary["results"][table.degradations[0]][model]["image"]
    if not {"checkerboard", "truth_checkerboard"} <= set(cell):
        return None
    own, truth = cell["checkerboard"]["mean"], cell["truth_checkerboard"]["mean"]
    return own <= truth, (
        f"The checkerboard energy of {model} is {1e6 * own:.1f} ppm of all energy, "
        f"{'no larger' if own <= truth else 'larger'} than that of the truth, {1e6 * truth:.1f} ppm."
    )


def _drift(model: str, table: Table) -> Flag:
    drift = np.abs(table.get(table.degradations[0], model, "image", "drift"))
    if not np.isfinite(drift).any():
        return None
    mean = aggregate(patient_means(drift, table.patients)).mean
    holds = mean < LARGEST_DRIFT
    return holds, (
        f"The mean of a slice drifts by {100 * mean:.2g} % of the range with {model}, up or down, "
        f"{'less' if holds else 'not less'} than {100 * LARGEST_DRIFT:g} %; at most "
        f"{100 * np.nanmax(drift):.2g} %."
    )


def _shift(model: str, about: About) -> Flag:
    if model not in about.shifts:
        return None
    rows, columns = about.shifts[model]
    holds = max(abs(rows), abs(columns)) <= LARGEST_SHIFT
    return holds, (
        f"The best PSNR of {model} is at a shift of {rows:+.3f} rows and {columns:+.3f} columns (fine "
        f"voxels), {'within' if holds else 'not within'} {LARGEST_SHIFT:g}."
    )


def _interval(value: dict[str, Any]) -> str:
    if value["low"] is None:
        return ""
    return f" (difference {value['mean']:+.2f} dB, 95 % interval {value['low']:+.2f} to {value['high']:+.2f})"
