"""From records to the numbers of the report: one nested structure, ready for JSON, always the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from espcn_core.evaluation import statistics
from espcn_core.evaluation.comparisons import methods_compared, tumor_against_head
from espcn_core.evaluation.flags import check
from espcn_core.evaluation.records import About, Record
from espcn_core.evaluation.table import METRICS, REFERENCE, Table, make_table

DIGITS = 6
"""Significant digits of every number."""

GAINS = "psnr", "ssim"
"""Metrics whose gain over bicubic is given."""

MATRIX_REGIONS = "image", "head"

_FEW = 12
"""Volumes that are named in the sentence of the result; the table has all."""


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
        ``volumes``: if volumes were measured, ``[volume][method][region]`` with the means over its slices of
        ``psnr``, ``ssim`` and ``psnr_gain``, on the first degradation;
        ``flags``: what must hold, as sentences (`espcn_core.evaluation.flags`).

    Raises
    ------
    RequestError
        If bicubic is not among the methods, or there are no records.
    """
    table = make_table(about, records)
    results = aggregates(table)
    summary: dict[str, Any] = rounded(
        {
            "statistics": statistics.HOW,
            "reference": REFERENCE,
            "main": table.main,
            "results": results,
            "matrix": _matrix(table, results),
            "tests": {
                "methods": methods_compared(table),
                "tumor_against_head": tumor_against_head(table),
            },
            **({"volumes": _by_volume(table)} if about.kind == "volumes" else {}),
        }
    )
    summary["flags"] = check(about, table, results)
    summary["headline"] = _headline(about, table, summary)
    return summary


def aggregates(table: Table) -> dict[str, Any]:
    """The ``results`` of a summary, not rounded."""
    return {
        degradation: {
            method: {region: _cell(table, degradation, method, region) for region in table.regions}
            for method in table.methods
        }
        for degradation in table.degradations
    }


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


def _by_volume(table: Table) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Means over the slices of each volume: PSNR, SSIM and gain on the first degradation."""
    first = table.degradations[0]
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {
        name: {method: {} for method in table.methods} for name in sorted(set(table.patients))
    }
    for method in table.methods:
        for region in table.regions:
            series = {metric: table.get(first, method, region, metric) for metric in GAINS}
            if method != REFERENCE:
                series["psnr_gain"] = table.gain(first, method, region)
            means = [statistics.patient_means(values, table.patients) for values in series.values()]
            for cells, *numbers in zip(found.values(), *means, strict=True):
                cells[method][region] = {
                    metric: float(value) for metric, value in zip(series, numbers, strict=True)
                }
    return found


def _headline(about: About, table: Table, summary: dict[str, Any]) -> str:
    """The result in one sentence."""
    first = table.degradations[0]
    main = summary["main"]
    cells = {method: summary["results"][first][method]["image"] for method in (main, REFERENCE)}
    where = f"{about.extent} at x{about.scale} (degradation {first}, whole image)"
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
        f"{_each_volume(main, summary.get('volumes', {}))}"
    )


def _each_volume(method: str, volumes: dict[str, Any]) -> str:
    """The gain in each of a few volumes, for their mean says little."""
    gains = {name: cells[method]["image"]["psnr_gain"] for name, cells in volumes.items()}
    if not 2 <= len(gains) <= _FEW:
        return ""
    listed = (f"{name} {'exact' if gain is None else f'{gain:+.2f}'}" for name, gain in gains.items())
    return f" By volume: {', '.join(listed)}."
