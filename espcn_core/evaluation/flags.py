"""What must hold of a measurement and of each model in it: checked, and said in a sentence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from espcn_core.evaluation.cases import NOISY
from espcn_core.evaluation.records import About, counted
from espcn_core.evaluation.statistics import Aggregate, Values, aggregate, patient_means
from espcn_core.evaluation.table import REFERENCE, Table
from espcn_core.evaluation.trained import trained

LARGEST_DRIFT = 0.001
"""Of the range of the truth."""

LARGEST_SHIFT = 0.02
"""In fine voxels."""

LARGEST_LOSS = 0.3
"""In dB: what a model for many degradations may lose against the specialist of one."""

RIVALS = REFERENCE, "bspline"
"""The interpolations that a model must beat on every degradation."""

_NAMED = 3
"""Pairs of methods that a sentence names."""

Flag = tuple[bool, str] | None


def check(about: About, table: Table, results: dict[str, Any]) -> list[dict[str, Any]]:
    """Check the measurement and every model.

    Parameters
    ----------
    about : About
    table : Table
    results : dict
        What `espcn_core.evaluation.summary.aggregates` gives.

    Returns
    -------
    list of dict
        ``name`` of the check, ``method`` (None for a check of all of them), whether it ``holds``, and the
        ``sentence``. What cannot be checked with these records (no tumor, one degradation) is left out, and
        all of it without models.
    """
    if not table.models:
        return []
    found: list[tuple[str, str | None, Flag]] = []
    for model in table.models:
        found += [
            ("unseen", model, _unseen(about, model)),
            ("tumor", model, _tumor(model, table)),
            ("everywhere", model, _everywhere(model, table)),
            *(("specialist", model, flag) for flag in _specialists(model, about, table)),
            ("checkerboard", model, _checkerboard(model, table, results)),
            ("drift", model, _drift(model, table)),
            ("shift", model, _shift(model, about)),
        ]
    found += [("order", None, _order(table, results)), ("aligned", None, _aligned(about, table))]
    return [
        {"name": name, "method": method, "holds": flag[0], "sentence": flag[1]}
        for name, method, flag in found
        if flag is not None
    ]


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


def _tumor(model: str, table: Table) -> Flag:
    if not {"tumor", "head"} <= set(table.regions):
        return None
    gains = [table.gain(table.degradations[0], model, region) for region in ("tumor", "head")]
    both = np.isfinite(gains).all(axis=0)
    if not both.any():
        return None
    tumor, head = (_over_patients(np.where(both, gain, np.nan), table).mean for gain in gains)
    difference = _over_patients(gains[0] - gains[1], table)
    holds = difference.mean >= 0
    compared = (
        "as large" if holds and f"{difference.mean:.2f}" == "0.00" else "larger" if holds else "smaller"
    )
    undecided = " These patients do not decide it: the interval holds 0." if _holds_zero(difference) else ""
    return holds, (
        f"The gain of {model} over {REFERENCE} is {tumor:+.2f} dB in the tumor and {head:+.2f} dB in the "
        f"head of the same slices, {compared} in the tumor: difference {_with_interval(difference)}."
        f"{undecided}"
    )


def _order(table: Table, results: dict[str, Any]) -> Flag:
    """Whether the methods have the same order by PSNR in the head alone."""
    if "head" not in table.regions:
        return None
    regions = "image", "head"
    cells = {
        method: [cell[region].get("psnr") for region in regions]
        for method, cell in results[table.degradations[0]].items()
    }
    if not all(image and head for image, head in cells.values()):
        return None
    means = {method: [cell["mean"] for cell in pair] for method, pair in cells.items()}
    ranked, in_head = (sorted(means, key=lambda method: -means[method][place]) for place in (0, 1))
    swapped = [
        f"{first} is {means[first][0] - means[second][0]:.2f} dB above {second} in the image and "
        f"{means[second][1] - means[first][1]:.2f} dB below it in the head"
        for first, second in itertools.combinations(ranked, 2)
        if means[second][1] > means[first][1]
    ]
    if not swapped:
        return True, (
            f"By PSNR the {len(means)} methods have the same order in the head alone as in the whole image "
            f"({', '.join(ranked)}): no rank is carried by air."
        )
    more = f"; and {len(swapped) - _NAMED} pairs more" if len(swapped) > _NAMED else ""
    kept = all(ranked.index(model) == in_head.index(model) for model in table.models)
    return False, (
        "By PSNR the methods have another order in the head alone than in the whole image: "
        f"{'; '.join(swapped[:_NAMED])}{more}.{' The models keep their places.' if kept else ''}"
    )


def _everywhere(model: str, table: Table) -> Flag:
    """In how many cells of the degradation matrix a model beats the interpolations."""
    rivals = [method for method in RIVALS if method in table.methods]
    missing = [method for method in RIVALS if method not in table.methods]
    regions = {"image": "in the whole image", "head": "in the head"}
    count = len(table.degradations)
    lost: dict[str, dict[str, str]] = {name: {} for name in regions if name in table.regions}
    for region, degradation in itertools.product(lost, table.degradations):
        gains = {
            rival: _over_patients(table.gain(degradation, model, region, over=rival), table).mean
            for rival in rivals
        }
        nearest = min(gains, key=lambda rival: gains[rival])
        if not gains[nearest] > 0:
            lost[region][degradation] = f"{degradation} ({gains[nearest]:+.2f} dB against {nearest})"
    parts: list[str] = []
    for region, cells in lost.items():
        beaten = "all" if not cells else str(count - len(cells)) if len(cells) < count else "none"
        if parts and set(cells) == set(lost["image"]):
            parts.append(f"{'the same ' if 0 < len(cells) < count else ''}{beaten} {regions[region]}")
        else:
            parts.append(f"{beaten} {regions[region]}{', not ' if cells else ''}{', '.join(cells.values())}")
    holds = not any(lost.values())
    unknown = f" {', '.join(missing)} was not measured." if missing else ""
    return holds, (
        f"Of the {counted(count, 'degradation')} tested, {model} beats {' and '.join(rivals)} "
        f"on {'; '.join(parts)}.{unknown}"
    )


def _specialists(model: str, about: About, table: Table) -> list[Flag]:
    """What a model for many degradations loses against each specialist of its kind."""
    own = trained(about.cards[model])
    flags: list[Flag] = []
    for other in table.models:
        special = trained(about.cards[other])
        alike = about.cards[other].get("architecture") == about.cards[model].get("architecture")
        if own.is_specialist or not special.is_specialist or not alike:
            continue
        (kind,) = special.kinds
        if kind not in table.degradations:
            continue
        difference = _over_patients(table.gain(kind, model, "image", over=other), table)
        holds = difference.mean >= -LARGEST_LOSS
        flags.append(
            (
                holds,
                f"On {kind}, the one degradation of the specialist {other}, {model} "
                f"{'loses' if difference.mean < 0 else 'gains'} {abs(difference.mean):.2f} dB against it: "
                f"difference {_with_interval(difference)}; a loss of {LARGEST_LOSS:g} dB is allowed.",
            )
        )
    return flags


def _checkerboard(model: str, table: Table, results: dict[str, Any]) -> Flag:
    cells = {how: results[how][model]["image"] for how in table.degradations}
    first = cells[table.degradations[0]]
    if not all({"checkerboard", "truth_checkerboard"} <= set(cell) for cell in cells.values()):
        return None
    truth = first["truth_checkerboard"]["mean"]
    found = {how: cell["checkerboard"]["mean"] for how, cell in cells.items()}
    holds = max(found.values()) <= truth
    return holds, (
        f"The checkerboard energy of {model} is {1e6 * first['checkerboard']['mean']:.1f} ppm of all energy"
        f"{_others(found, lambda value: f'{1e6 * value:.1f} ppm')}: "
        f"{'no larger' if holds else 'larger'} than that of the truth, {1e6 * truth:.1f} ppm."
    )


def _drift(model: str, table: Table) -> Flag:
    drifts = {how: np.abs(table.get(how, model, "image", "drift")) for how in table.degradations}
    if not all(np.isfinite(drift).any() for drift in drifts.values()):
        return None
    found = {how: _over_patients(drift, table).mean for how, drift in drifts.items()}
    clean = {how: value for how, value in found.items() if not how.endswith(NOISY)} or found
    noisy = [value for how, value in found.items() if how not in clean]
    first = next(iter(clean))
    holds = max(clean.values()) < LARGEST_DRIFT
    aside = (
        f" From noisy slices, whose mean the noise itself has raised, it departs by up to "
        f"{100 * max(noisy):.2g} %."
        if noisy
        else ""
    )
    return holds, (
        f"The mean of a slice drifts by {100 * clean[first]:.2g} % of the range with {model}, up or down "
        f"(at most {100 * np.nanmax(drifts[first]):.2g} % in a slice)"
        f"{_others(clean, lambda value: f'{100 * value:.2g} %')}: "
        f"{'less' if holds else 'not less'} than {100 * LARGEST_DRIFT:g} %.{aside}"
    )


def _shift(model: str, about: About) -> Flag:
    if model not in about.shifts:
        return None
    rows, columns = (f"{shift:+.3f}" for shift in about.shifts[model])
    holds = _largest(about, model) <= LARGEST_SHIFT
    return holds, (
        f"The best PSNR of {model} is at a shift of {_unsigned(rows)} rows and {_unsigned(columns)} columns "
        f"(fine voxels), {'within' if holds else 'not within'} {LARGEST_SHIFT:g} of 0."
    )


def _aligned(about: About, table: Table) -> Flag:
    shifts = {
        method: _largest(about, method)
        for method in table.methods
        if method in about.shifts and method not in table.models
    }
    if not shifts:
        return None
    worst = max(shifts, key=lambda method: shifts[method])
    holds = shifts[worst] <= LARGEST_SHIFT
    return holds, (
        f"{'No' if holds else 'An'} interpolation is penalised for a shift: the largest that the best PSNR "
        f"of one needs is {shifts[worst]:.3f} fine voxels ({worst})."
    )


def _over_patients(values: Values, table: Table) -> Aggregate:
    return aggregate(patient_means(values, table.patients))


def _largest(about: About, method: str) -> float:
    return max(map(abs, about.shifts[method]))


def _others(found: dict[str, float], form: Any) -> str:
    """The worst of the degradations after the first."""
    first, *others = found
    if not others:
        return ""
    worst = max(others, key=lambda how: found[how])
    return f" on {first}, and at most {form(found[worst])} on the others ({worst})"


def _holds_zero(value: Aggregate) -> bool:
    return value.low <= 0 <= value.high


def _with_interval(value: Aggregate) -> str:
    if not np.isfinite(value.low):
        return f"{value.mean:+.2f} dB"
    return f"{value.mean:+.2f} dB (95 % interval {value.low:+.2f} to {value.high:+.2f})"


def _unsigned(number: str) -> str:
    """No sign before a zero."""
    return number.lstrip("+-") if float(number) == 0 else number
