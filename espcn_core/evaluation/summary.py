"""From records to the numbers of the report: one nested structure, ready for JSON, always the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from espcn_core.evaluation import statistics
from espcn_core.evaluation.flags import check
from espcn_core.evaluation.records import About, Record
from espcn_core.evaluation.table import METRICS, REFERENCE, Table, make_table

DIGITS = 6
"""Significant digits of every number."""

GAINS = "psnr", "ssim"
"""Metrics whose gain over bicubic is given."""

MATRIX_REGIONS = "image", "head"


def summarise(about: About, records: Sequence[Record]) -> dict[str, Any]:
    """All aggregated numbers of a measurement.

    Parameters
    ----------
    about : About
    records : sequence of Record
        In any order.

    Returns
    -------
    dict
        ``statistics``: how the numbers were made; ``main``: the method that the report is about;
        ``headline``: the result in one sentence;
        ``results``: ``[degradation][method][region]`` with the number of ``slices``, of ``exact`` ones
        (infinite PSNR), the aggregate of each metric by its name, and of the gains over bicubic as
        ``psnr_gain`` and ``ssim_gain``;
        ``matrix``: ``[region][method][degradation]``, the gain in dB over bicubic;
        ``tests``: ``methods`` (each model with each other method, by region) and ``tumor_against_head``
        (``psnr`` of each method, ``gain`` of each model), on the first degradation, each list one family for
        Holm;
        ``flags``: what must hold, as sentences (`espcn_core.evaluation.flags`).

    Raises
    ------
    RequestError
        If bicubic is not among the methods, or there are no records.
    """
    table = make_table(about, records)
    results = {
        degradation: {
            method: {region: _cell(table, degradation, method, region) for region in table.regions}
            for method in table.methods
        }
        for degradation in table.degradations
    }
    summary: dict[str, Any] = rounded(
        {
            "statistics": statistics.HOW,
            "reference": REFERENCE,
            "main": table.main,
            "results": results,
            "matrix": _matrix(table, results),
            "tests": {"methods": _methods(table), "tumor_against_head": _tumor_against_head(table)},
        }
    )
    summary["flags"] = check(about, table, summary)
    summary["headline"] = _headline(about, table, summary)
    return summary


def pick_cases(about: About, records: Sequence[Record]) -> dict[str, str]:
    """The cases to show: best, median and worst patient by the main method's mean gain over bicubic.

    Returns
    -------
    dict
        ``best``, ``median`` and ``worst``, as far as there are patients enough; of each patient the slice
        whose gain is nearest to the patient's mean, one with a tumor if there is one.

    Raises
    ------
    RequestError
        As `summarise`.
    """
    table = make_table(about, records)
    first = table.degradations[0]
    gain = table.gain(first, table.main, "image")
    means = statistics.patient_means(gain, table.patients)
    names = sorted(set(table.patients))
    ranked = [names[place] for place in np.argsort(-means, kind="stable") if math.isfinite(means[place])]
    picks = {
        1: {"median": 0},
        2: {"best": 0, "worst": -1},
    }.get(len(ranked), {"best": 0, "median": len(ranked) // 2, "worst": -1} if ranked else {})
    tumor = np.zeros(len(gain), bool)
    if "tumor" in table.regions:
        tumor = np.isfinite(table.get(first, table.main, "tumor", "mse"))
    cases = {}
    for label, place in picks.items():
        own = np.asarray(table.patients) == ranked[place]
        shown = own & tumor if (own & tumor).any() else own
        distance = np.where(shown, np.abs(gain - means[names.index(ranked[place])]), math.inf)
        cases[label] = table.cases[int(np.nanargmin(distance))]
    return cases


def rounded(value: Any) -> Any:
    """Numbers with `DIGITS` significant digits, NaN and infinities as None: what JSON can hold."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def _cell(table: Table, degradation: str, method: str, region: str) -> dict[str, Any]:
    """All aggregates of one method in one region."""
    psnr = table.get(degradation, method, region, "psnr")
    cell: dict[str, Any] = {
        "slices": int(np.isfinite(table.get(degradation, method, region, "mse")).sum()),
        "exact": int(np.isposinf(psnr).sum()),
    }
    series = {metric: table.get(degradation, method, region, metric) for metric in METRICS}
    if method != REFERENCE:
        series |= {f"{metric}_gain": table.gain(degradation, method, region, metric) for metric in GAINS}
    for name, values in series.items():
        means = statistics.patient_means(values, table.patients)
        if np.isfinite(means).any():
            cell[name] = dataclasses.asdict(statistics.aggregate(means))
    return cell


def _matrix(table: Table, results: dict[str, Any]) -> dict[str, Any]:
    """The gains once more, in the order of the degradation matrix: models first, then baselines."""
    rows = [*table.models, *(m for m in table.methods if m not in table.models and m != REFERENCE)]
    return {
        region: {
            method: {
                degradation: results[degradation][method][region].get("psnr_gain")
                for degradation in table.degradations
            }
            for method in rows
        }
        for region in MATRIX_REGIONS
        if region in table.regions
    }


def _methods(table: Table) -> dict[str, list[dict[str, Any]]]:
    """PSNR of each model against each other method, by region, on the first degradation."""
    first = table.degradations[0]
    pairs = [
        (model, other)
        for model in table.models or (table.main,)
        for other in table.methods
        if other != model
        # Two models are compared once.
        and not (other in table.models and table.models.index(other) < table.models.index(model))
    ]
    return {
        region: _family(
            [
                (
                    {"first": model, "second": other},
                    table.get(first, model, region, "psnr"),
                    table.get(first, other, region, "psnr"),
                )
                for model, other in pairs
            ],
            table,
        )
        for region in table.regions
    }


def _tumor_against_head(table: Table) -> dict[str, list[dict[str, Any]]]:
    """PSNR of each method, and gain of each model, in the tumor against the head of the same slices."""
    if not {"tumor", "head"} <= set(table.regions):
        return {}
    first = table.degradations[0]
    psnr = [
        (
            {"method": method},
            table.get(first, method, "tumor", "psnr"),
            table.get(first, method, "head", "psnr"),
        )
        for method in table.methods
    ]
    gain = [
        ({"method": method}, table.gain(first, method, "tumor"), table.gain(first, method, "head"))
        for method in table.models or (table.main,)
        if method != REFERENCE
    ]
    return {"psnr": _family(psnr, table), "gain": _family(gain, table)}


def _family(
    rows: list[tuple[dict[str, Any], statistics.Values, statistics.Values]], table: Table
) -> list[dict[str, Any]]:
    """One family of tests: each row compared, then p adjusted over all of them."""
    compared = [statistics.compare(first, second, table.patients) for _, first, second in rows]
    adjusted = statistics.holm([comparison.wilcoxon for comparison in compared])
    return [
        {**names, **dataclasses.asdict(comparison), "wilcoxon_holm": p}
        for (names, _, _), comparison, p in zip(rows, compared, adjusted, strict=True)
    ]


def _headline(about: About, table: Table, summary: dict[str, Any]) -> str:
    """The result in one sentence."""
    first = table.degradations[0]
    main = summary["main"]
    cells = {method: summary["results"][first][method]["image"] for method in (main, REFERENCE)}
    people = "patient" if about.patients == 1 else "patients"
    where = (
        f"{about.slices} slices of {about.patients} {people} at x{about.scale} "
        f"(degradation {first}, whole image)"
    )
    gain = cells[main].get("psnr_gain")
    if main == REFERENCE or gain is None:
        return f"On {where} no method could be compared with {REFERENCE}."
    interval = ""
    if gain["low"] is not None:
        interval = f" (95 % interval {gain['low']:+.2f} to {gain['high']:+.2f})"
    verb = "gains" if gain["mean"] >= 0 else "loses"
    return (
        f"On {where}, {main} {verb} {abs(gain['mean']):.2f} dB{interval} over {REFERENCE}: "
        f"{cells[main]['psnr']['mean']:.2f} against {cells[REFERENCE]['psnr']['mean']:.2f} dB."
    )
